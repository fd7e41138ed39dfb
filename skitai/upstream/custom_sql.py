"""SQL databases that an app brings itself: statements, transactions and batches of rows.

``custom_backend`` has the connections, which are ``skitai.dbi.rdbms.SqlConnect``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from skitai.sql.rows import Row
from skitai.tasks.errors import Failure, RequestFailed, request_failure
from skitai.upstream.custom_backend import CustomBackend
from skitai.upstream.sql_reply import SqlReply
from skitai.upstream.sql_session import BATCH_ROWS, SESSION_IDLE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from skitai.sql.statement import Statement

_CLOSED = "the session is closed"


class CustomSqlBackend(CustomBackend):
    """A SQL server that an app's own class talks to; see ``skitai.upstream.sql_session``."""

    async def call(self, statement: Any) -> SqlReply:
        """Run a statement, which commits by itself; several are one transaction.

        Raises ``Failure``; what is an error of the program comes as it is.
        """
        async with self.connection() as connection:
            if not statement.batch:
                return await execute(connection, statement)
            await connection.begin()
            try:
                reply = await execute(connection, statement)
            except self.errors:
                await connection.rollback()
                raise
            await connection.commit()
            return reply

    async def session(self, autocommit: bool) -> CustomSession:
        """Wait for a connection of its own; see ``SqlBackend.session``."""
        holder = self.connection()
        return CustomSession(self, holder, await holder.__aenter__(), autocommit)

    async def batches(
        self, statement: Statement, size: int = BATCH_ROWS
    ) -> AsyncGenerator[list[Row], None]:
        """The rows of a select, ``size`` at a time. The interface reads all of them at once."""
        rows = (await self.call(statement)).data or []
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


async def execute(connection: Any, statement: Statement) -> SqlReply:
    """Run a statement, or those of a batch; the reply is that of the last one."""
    reply = SqlReply(None, -1)
    for single in statement.batch or (statement,):
        reply = _reply(await connection.execute(single.sql, single.params))
    return reply


def _reply(result: Any) -> SqlReply:
    if result is None:
        return SqlReply(None, -1)
    if isinstance(result, int):
        return SqlReply(None, result)
    columns, values = result
    rows = [Row(zip(columns, row, strict=True)) for row in values]
    return SqlReply(rows, len(rows))


class CustomSession:
    """One connection for several statements; see ``SqlSession``.

    Parameters:
        backend: tells what exceptions mean.
        holder: gives the connection back when it is left.
        connection: of the app's class.
        autocommit: no transaction is begun.
        idle_seconds: without a statement for so long it is rolled back and closed.
    """

    def __init__(
        self,
        backend: CustomSqlBackend,
        holder: AbstractAsyncContextManager[Any],
        connection: Any,
        autocommit: bool,
        idle_seconds: float = SESSION_IDLE_SECONDS,
    ) -> None:
        self.in_transaction = False
        self.closed = False
        self._backend = backend
        self._holder = holder
        self._connection = connection
        self._autocommit = autocommit
        self._idle_seconds = idle_seconds
        self._turn = asyncio.Lock()
        self._ending: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(idle_seconds, self._expire)

    async def execute(self, statement: Statement) -> SqlReply:
        """Run a statement; the first one begins the transaction. Raises ``Failure``."""
        async with self._turn:
            if not self._autocommit and not self.in_transaction:
                await self._run(self._connection.begin)
                self.in_transaction = True
            reply: SqlReply = await self._run(execute, self._connection, statement)
            return reply

    async def commit(self) -> None:
        """Keep what was done. Raises ``Failure``."""
        async with self._turn:
            if self.in_transaction:
                await self._run(self._connection.commit)
                self.in_transaction = False

    async def rollback(self) -> None:
        """Undo what was done since the last commit."""
        async with self._turn:
            if self.in_transaction and not self.closed:
                self.in_transaction = False
                await self._run(self._connection.rollback)

    async def close(self) -> None:
        """Undo what is not committed, and give the connection back; raises nothing."""
        async with self._turn:
            if self.closed:
                return
            error: BaseException | None = None
            if self.in_transaction:
                try:
                    await self._connection.rollback()
                except Exception as exc:
                    error = ConnectionError(f"the rollback failed: {exc}")
                except BaseException:
                    await self._leave(ConnectionError("the rollback was broken off"))
                    raise
            await self._leave(error)

    async def _run(self, function: Any, *args: Any) -> Any:
        """Call a function of the connection; when that is not clean afterwards, it is the end."""
        if self.closed:
            raise request_failure(RequestFailed(_CLOSED))
        self._timer.cancel()
        try:
            result = await function(*args)
        except self._backend.errors as exc:
            self._start_timer()
            failure = self._backend.failure(exc, True)
            assert failure is not None
            raise failure from exc
        except BaseException as exc:
            await self._leave(ConnectionError("the session was broken off"))
            failure = self._backend.failure(exc, True) if isinstance(exc, Exception) else None
            if failure is None:
                raise
            raise failure from exc
        self._start_timer()
        return result

    async def _leave(self, error: BaseException | None) -> None:
        """Give the connection back: to be closed, if there is an error."""
        self.closed = True
        self.in_transaction = False
        self._timer.cancel()
        try:
            await self._holder.__aexit__(type(error) if error else None, error, None)
        except (Failure, OSError):
            pass

    def _start_timer(self) -> None:
        self._timer = self._loop.call_later(self._idle_seconds, self._expire)

    def _expire(self) -> None:
        # A task keeps the session alive until it has ended.
        self._ending = self._loop.create_task(self.close())
