"""``Transaction``: several statements that are kept or undone together (``was.transaction``).

In a thread its methods wait; on the loop they return tasks to await.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

from skitai.sql import Builders
from skitai.tasks.errors import (
    Failure,
    OperationTimeout,
    TaskCancelled,
    request_failure,
    timeout_failure,
)
from skitai.tasks.reply import Reply
from skitai.tasks.task import EXPIRED, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from skitai.sql import SqlTemplates
    from skitai.sql.rows import Row
    from skitai.sql.statement import Statement
    from skitai.upstream.calls import Calls
    from skitai.upstream.sql_session import SqlSession


class Result(Task):
    """A statement of a transaction."""

    __slots__ = ()

    def fetchall(self, as_dict: bool = False) -> list[Any]:
        """All rows, as tuples unless ``as_dict``."""
        rows: list[Row] = self.fetch() or []
        return rows if as_dict else [tuple(row.values()) for row in rows]

    def fetchmany(self, size: int, as_dict: bool = False) -> list[Any]:
        """The first ``size`` rows."""
        return self.fetchall(as_dict)[:size]

    def fetchone(self, as_dict: bool = False) -> Any:
        """The first row; None when there is none."""
        return next(iter(self.fetchall(as_dict)), None)

    def fetch1(self) -> Row | None:
        """The first row, as a dictionary."""
        row: Row | None = self.fetchone(as_dict=True)
        return row

    def fetchn(self, size: int) -> list[Row]:
        """The first ``size`` rows, as dictionaries."""
        return self.fetchmany(size, as_dict=True)

    @property
    def field_names(self) -> list[str]:
        """The names of the columns; empty when there is no row to tell."""
        row = self.fetch1()
        return [] if row is None else list(row)

    @property
    def rowcount(self) -> int:
        """How many rows were found or changed."""
        return getattr(self.reply, "rowcount", -1)


class Ending(Result):
    """A commit or a rollback: whoever waits for it hears of its failure, on the loop too."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, Task]:
        yield from super().__await__()
        self.reraise()
        return self


class _Ended:
    """What is left of a transaction behind its end; ``error`` says why it has ended."""

    def __init__(self, error: Callable[[], Exception]) -> None:
        self.error = error

    def run(self, *_: object) -> NoReturn:
        raise self.error()


_ENDED = _Ended(lambda: RuntimeError("the transaction is closed already"))
_LEFT = _Ended(lambda: TaskCancelled("the client left, and the transaction was closed"))


class Transaction(Builders):
    """Statements on one connection.

    ``with was.transaction ("@alias") as tx`` undoes at its end what was not committed; so does
    ``async with``. A statement that fails makes ``commit`` fail too, until ``rollback``.

    Parameters:
        calls: of the database.
        statement: makes a statement of what ``execute`` gets.
        dialect: of the database.
        autocommit: each statement for itself.
        templates: named statements of the app.
    """

    def __init__(
        self,
        calls: Calls,
        statement: Callable[..., Statement],
        dialect: str,
        autocommit: bool = False,
        templates: SqlTemplates | None = None,
    ) -> None:
        super().__init__(dialect, self, templates)
        self._loop = calls.loop
        self._place = calls.place
        self._options = calls.options
        self._own = calls.owner.own
        self._statement: Callable[..., Statement] = statement
        self._autocommit = autocommit
        self._session: SqlSession | None = None
        self._closed = False
        self._end = _ENDED
        self._broken: BaseException | None = None
        # Statements run in the order in which they were started.
        self._turn = asyncio.Lock()
        if self._own is not None:
            self._own(self)

    # -- statements

    def execute(self, statement: Any, *params: Any) -> Result:
        """Run a statement. Parameters: ``SqlDatabase.execute``.

        In a thread it has ended, and what went wrong is raised; on the loop it is to be awaited.
        """
        return self.run(self._statement(statement, *params))

    def run(self, statement: Any) -> Result:
        """Run a builder or a statement; what ``builder.execute()`` calls."""
        compiled = self._statement(statement)
        task = self._start(lambda: self._execute(compiled), Result, self._options.filter)
        if self._own is not None:
            self._own(task)
        return self._waited(task)

    def commit(self) -> Result:
        """Keep what was done. Raises what a statement raised that failed."""
        return self._waited(self._start(self._commit, Ending))

    def rollback(self) -> Result:
        """Undo what was done since the last commit."""
        return self._waited(self._start(self._rollback, Ending))

    def close(self) -> Result:
        """Undo what was not committed, and give the connection back."""
        return self._waited(self._start(self._close))

    def cancel(self) -> None:
        """The client left: give the connection back. Any thread."""
        self._end = _LEFT
        self._loop.call(Task, self._loop, self._close)

    @property
    def done(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def _start(
        self,
        work: Callable[[], Coroutine[Any, Any, Reply]],
        kind: type[Result] = Result,
        filter: Callable[[Any], Any] | None = None,
    ) -> Result:
        return kind(self._loop, work, self._options.timeout, self._options.meta, filter)

    def _waited(self, task: Result) -> Result:
        """In a thread the task has ended; raises what went wrong there."""
        if not self._loop.here():
            task.commit()
        return task

    # -- on the loop

    async def _execute(self, statement: Statement) -> Reply:
        async with self._turn:
            try:
                session = await self._opened()
                return await session.execute(statement)
            except Failure as failure:
                self._broken = self._broken or failure.error  # later ones only follow from it
                raise
            except asyncio.CancelledError as exc:
                text = "a statement of the transaction was broken off"
                expired = exc.args == (EXPIRED,)
                why = OperationTimeout(text) if expired else TaskCancelled(text)
                self._broken = self._broken or why
                raise

    async def _opened(self) -> SqlSession:
        if self._closed:
            raise request_failure(self._end.error())
        if self._session is None:
            autocommit = self._autocommit
            session: SqlSession = await self._place.cluster.use(
                lambda backend: backend.session(autocommit)
            )
            self._session = session
        return self._session

    async def _commit(self) -> Reply:
        async with self._turn:
            if self._closed:
                raise request_failure(self._end.error())
            if isinstance(self._broken, OperationTimeout):
                raise timeout_failure(self._broken)
            if self._broken is not None:
                raise Failure(self._broken)
            if self._session is not None:
                await self._session.commit()
        return Reply(None)

    async def _rollback(self) -> Reply:
        async with self._turn:
            self._broken = None
            if self._session is not None:
                await self._session.rollback()
                if self._session.closed:
                    self._session = None  # it was lost; the next statement begins a new one
        return Reply(None)

    async def _close(self) -> Reply:
        async with self._turn:
            session, self._session, self._closed = self._session, None, True
            # The request that owns it shall be freed without the collector.
            ended = self._end
            self._own, self._runner, self._statement = None, ended, ended.run
            if session is not None:
                await session.close()
        return Reply(None)

    # -- with

    def __enter__(self) -> Transaction:
        if self._loop.here():
            raise RuntimeError("on the event loop: async with was.transaction(...)")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Transaction:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
