"""The databases of apps: ``was.db ('@alias')`` (seed, PostgreSQL / SQLite3, MongoDB, Redis)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from skitai.sql import Builders, SqlError, Statement, changes_data, combine
from skitai.upstream.commands import Command
from skitai.upstream.row_stream import RowStream
from skitai.upstream.sql_session import BATCH_ROWS
from skitai.upstream.transactions import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from skitai.sql import SqlTemplates
    from skitai.tasks.task import Task
    from skitai.upstream.calls import Calls

_writes = lru_cache(1024)(changes_data)


class SqlRunner:
    """Starts statements and builders of one database.

    Parameters:
        calls: starts the tasks.
        dialect: ``"postgresql"`` or ``"sqlite"``.
    """

    __slots__ = ("_calls", "_dialect")

    def __init__(self, calls: Calls, dialect: str) -> None:
        self._calls = calls
        self._dialect = dialect

    def run(self, builder: Any) -> Task:
        """Start a builder; its ``execute`` calls it."""
        return self.start(self.statement(builder))

    def start(self, statement: Statement) -> Task:
        """Start a statement; what only reads may come from the result cache."""
        if statement.writes:
            return self._calls.start(statement, False)
        sql, params = statement.sql, statement.params
        return self._calls.start(statement, True, lambda: identify(sql, params))

    def statement(self, given: Any, *params: Any) -> Statement:
        """What ``SqlDatabase.execute`` takes, as a statement. Raises ``SqlError``."""
        if isinstance(given, Statement):
            return given
        if isinstance(given, str):
            if not given.strip():
                raise SqlError("there is no statement: the text is empty")
            if len(params) == 1 and isinstance(params[0], (list, tuple)):
                params = tuple(params[0])
            return Statement(given, params, _writes(given))
        if params:
            raise SqlError(f"parameters belong to a text with placeholders, not to {given!r}")
        if isinstance(given, (list, tuple)):
            parts = [self.statement(part) for part in given]
            return combine(parts, doubled_percent=self._dialect == "postgresql")
        if hasattr(given, "compile"):
            compiled: Statement = given.compile(self._dialect)
            return compiled
        query: Any = getattr(given, "query", None)
        if hasattr(query, "sql_with_params"):  # a QuerySet of Django
            sql, values = query.sql_with_params()
            return self.statement(sql, tuple(values))
        raise SqlError(f"{given!r} is no statement: give a text, a builder, or a list of them")


class SqlDatabase(Builders):
    """A SQL database: statements and builders become tasks.

    ``with`` gives the object itself and does nothing at its end: tasks are used behind it too.

    Parameters:
        calls: starts the tasks.
        dialect: ``"postgresql"`` or ``"sqlite"``.
        templates: named statements of the app.
    """

    def __init__(self, calls: Calls, dialect: str, templates: SqlTemplates | None = None) -> None:
        # Not this object itself: that would be freed by the collector only.
        self._run = runner = SqlRunner(calls, dialect)
        super().__init__(dialect, runner, templates)
        self._calls = calls

    def __enter__(self) -> SqlDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, statement: Any, *params: Any) -> Task:
        """Start a statement.

        Parameters:
            statement: a text, a builder, something that has a query, such as a QuerySet of Django,
                or a list of any of these, which run as one.
            params: values for the placeholders of a text, ``%s`` for PostgreSQL and ``?`` for
                SQLite; also one tuple or list of them.

        Raises ``SqlError`` for what is no statement.
        """
        runner = self._run
        return runner.start(runner.statement(statement, *params))

    def stream(self, statement: Any, *params: Any, size: int = BATCH_ROWS) -> RowStream:
        """The rows of a select, read from the server as they are asked for.

        Parameters:
            statement, params: as for ``execute``.
            size: rows that are read at once.
        """
        return RowStream(self._calls, self._run.statement(statement, *params), size)

    def transaction(self) -> Transaction:
        """A transaction, see ``was.transaction``."""
        return self._session(False)

    def cursor(self) -> Transaction:
        """One connection whose statements commit each for itself, see ``was.cursor``."""
        return self._session(True)

    def _session(self, autocommit: bool) -> Transaction:
        statement, dialect = self._run.statement, self.dialect
        return Transaction(self._calls, statement, dialect, autocommit, self._templates)


class CommandDatabase:
    """A database whose commands are methods: Redis, MongoDB, interfaces of the app's own.

    Every method starts a task: ``db.get("foo")``. Raises ``AttributeError`` for names that begin
    with an underscore; what the driver doesn't know is found out by the task.
    """

    __slots__ = ("_calls",)

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def __enter__(self) -> CommandDatabase:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., Task]:
        if name.startswith("_"):
            raise AttributeError(f"{name!r} is no command")
        calls = self._calls

        def start(*args: Any, **kwargs: Any) -> Task:
            return calls.start(
                Command(name, args, kwargs), False, lambda: identify(name, args, kwargs)
            )

        return start


def identify(*values: Any) -> Hashable:
    """What stands for values in the result cache; None when some can't be told from others."""
    try:
        return tuple(map(_frozen, values))
    except TypeError:
        return None


def _frozen(value: Any) -> Hashable:
    if isinstance(value, (list, tuple)):
        return (type(value), *map(_frozen, value))
    if isinstance(value, dict):
        return (dict, *((key, _frozen(item)) for key, item in value.items()))
    hash(value)
    return (type(value), value)  # 1, 1.0 and True are equal, but not the same
