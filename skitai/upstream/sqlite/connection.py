"""``Connection``: one open SQLite file, and statements run on it. It lives in the thread of a lane.

Nothing here knows of the loop. Work that nobody waits for any more ends at the next look at it.
No object of ``sqlite3`` may get out of the thread: to free a cursor in one while its connection is
closed in another crashes Python 3.10.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from itertools import repeat
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from skitai.sql.rows import Row
from skitai.tasks.errors import RequestFailed, network_failure, request_failure
from skitai.upstream.sql_reply import SqlReply
from skitai.upstream.sqlite.text import UNWRAPPED, first_word, split
from skitai.upstream.sqlite.types import DEFINING, ColumnTypes
from skitai.upstream.sqlite.values import adapt_all

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from skitai.sql.statement import Statement
    from skitai.upstream.sqlite.types import Converters
    from skitai.upstream.sqlite.values import Parameters

_T = TypeVar("_T")

# SQLite itself waits so long for locks of others before the work is looked at again.
BUSY_SLICE = 0.05
_BUSY, _BUSY_SNAPSHOT, _READONLY = 5, 517, 8
# I/O error, damaged, can't be opened, not a database: another connection may do better.
_BROKEN = frozenset({10, 11, 14, 26})
_CODES = {
    "database is locked": _BUSY,
    "attempt to write a readonly database": _READONLY,
    "disk I/O error": 10,
    "database disk image is malformed": 11,
    "unable to open database file": 14,
    "file is not a database": 26,
}


class Work(Protocol):
    """What a connection asks about the work that it does.

    Attributes:
        dropped: nobody waits for it any more.
    """

    dropped: bool


class Dropped(Exception):
    """The work ended early, as nobody waits for it."""


class Location(NamedTuple):
    """Where a database is, and how it is opened.

    Attributes:
        path: of the file, seen from the current directory; ``:memory:``; or a ``file:`` URI.
        types: what is known of its columns.
        busy_seconds: how long to wait for writers in other processes.
        closing: held while a connection is closed. The last one to be closed tidies the log away,
            and of two at once neither is the last.
    """

    path: str
    types: ColumnTypes
    busy_seconds: float
    closing: threading.Lock

    @property
    def private(self) -> bool:
        """Whether it only exists in one connection."""
        if self.path.startswith("file:"):
            return ":memory:" in self.path or "mode=memory" in self.path
        return self.path in ("", ":memory:")


class Cursor(NamedTuple):
    """A result that is being read."""

    raw: sqlite3.Cursor
    names: list[str]
    converters: Converters


def error_code(error: sqlite3.Error) -> int:
    """The result code of SQLite, extended; 0 if it isn't known, as often before Python 3.11."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return _CODES.get(str(error), 0) if code is None else code


def refused_to_write(error: BaseException) -> bool:
    """Whether a statement failed because it wrote on a connection that only reads."""
    return isinstance(error, sqlite3.OperationalError) and error_code(error) & 0xFF == _READONLY


class Connection:
    """An open file.

    Parameters:
        place: what to open. A file that doesn't exist is made.
        reading: refuse all statements that write.

    Raises ``Failure`` when it can't be opened.
    """

    def __init__(self, place: Location, reading: bool) -> None:
        self._types = place.types
        self._closing = place.closing
        self._reading = reading
        self._open: Cursor | None = None
        self._busy_seconds = place.busy_seconds
        try:
            self._raw = sqlite3.connect(
                place.path,
                timeout=BUSY_SLICE,
                isolation_level=None,
                # Its lane uses it in one thread; another one interrupts it.
                check_same_thread=False,
                uri=place.path.startswith("file:"),
            )
        except sqlite3.Error as exc:
            raise network_failure(_explain(exc, place.path), sent=False) from None
        try:
            self._prepare()
        except sqlite3.Error as exc:
            self._raw.close()
            raise network_failure(_explain(exc, place.path), sent=False) from None

    def _prepare(self) -> None:
        self._log_ahead()
        self._raw.execute("PRAGMA synchronous = NORMAL")
        self._raw.execute("PRAGMA foreign_keys = ON")
        # SQLite's own lower () and LIKE know the cases of ASCII only.
        self._raw.create_function("casefold", 1, _casefold, deterministic=True)
        if self._reading:
            self._raw.execute("PRAGMA query_only = ON")

    def _log_ahead(self) -> None:
        """Readers shall not wait for writers. The setting stays in the file."""
        until = monotonic() + self._busy_seconds
        while not self._is_logging_ahead(monotonic() >= until):
            sleep(BUSY_SLICE / 5)

    def _is_logging_ahead(self, last_try: bool) -> bool:
        try:
            (mode,) = self._raw.execute("PRAGMA journal_mode").fetchone()
            if mode not in ("wal", "memory", "off"):
                self._raw.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            code = error_code(exc) & 0xFF
            # A file that can't be written to is read as it is. When all workers start at once,
            # SQLite doesn't wait for who makes the change.
            if last_try or code not in (_READONLY, _BUSY):
                raise
            return code == _READONLY
        return True

    @property
    def in_transaction(self) -> bool:
        return self._raw.in_transaction

    def interrupt(self) -> None:
        """Break off the statement that runs; any thread."""
        self._raw.interrupt()

    def close(self) -> None:
        self._open = None
        # A connection remembers that it was interrupted until its next statement, and would not
        # tidy the log away.
        with suppress(sqlite3.Error):
            self._raw.execute("SELECT 1")
        with self._closing:
            self._raw.close()

    def broken_by(self, error: BaseException) -> bool:
        """Whether it should be opened anew after an error."""
        if not isinstance(error, sqlite3.Error):
            return False
        code = error_code(error) & 0xFF
        return code in _BROKEN or (code == _READONLY and not self._reading)

    # -- statements

    def run(self, statement: Statement, work: Work) -> SqlReply:
        """Run a statement, a batch or a script, and leave no transaction open.

        Several statements are one transaction, unless they have BEGIN, COMMIT, PRAGMA … of their
        own. Returns what the last one gave. Raises ``sqlite3.Error``, ``Dropped``, and ``Failure``
        for what can't be asked.
        """
        pieces = _pieces(statement)
        wrapped = len(pieces) > 1 and not any(first_word(sql) in UNWRAPPED for sql, _ in pieces)
        try:
            if wrapped:
                self._step("BEGIN" if self._reading else "BEGIN IMMEDIATE", (), work)
            reply = self._run_all(pieces, work)
            if wrapped:
                self._step("COMMIT", (), work)
        except BaseException:
            self._roll_back()
            raise
        if self._raw.in_transaction:
            self._roll_back()
            text = "the statement leaves a transaction open: use was.transaction () for that"
            raise request_failure(RequestFailed(text))
        return reply

    def run_inside(self, statement: Statement, work: Work) -> tuple[SqlReply, bool]:
        """Run a statement in the transaction of a session; it is begun if there is none.

        Returns also whether the transaction is still open.
        """
        pieces = _pieces(statement)
        if not self._raw.in_transaction:
            # At once with the right to write: to ask for it later can fail without a remedy.
            self._step("BEGIN IMMEDIATE", (), work)
            if first_word(pieces[0][0]) == "BEGIN":
                del pieces[0]
        return self._run_all(pieces, work), self._raw.in_transaction

    def commit(self, work: Work) -> tuple[None, bool]:
        """Commit the transaction of a session. Returns whether it is still open: no."""
        self._step("COMMIT", (), work)
        return None, False

    def roll_back(self, work: Work) -> None:
        """Undo the transaction of a session, if there is one."""
        self._roll_back()

    def _roll_back(self) -> None:
        if self._raw.in_transaction:
            self._raw.execute("ROLLBACK")

    def _run_all(self, pieces: list[tuple[str, Parameters]], work: Work) -> SqlReply:
        for sql, parameters in pieces[:-1]:
            self._step(sql, parameters, work)
        return self._step(*pieces[-1], work) if pieces else SqlReply(None, -1)

    def _step(self, sql: str, parameters: Parameters, work: Work) -> SqlReply:
        def attempt() -> SqlReply:
            raw = self._raw.execute(sql, parameters)
            if raw.description is None:
                return SqlReply(None, self._count_changes(sql, raw.rowcount))
            cursor = self._describe(sql, raw)
            rows = _rows(cursor, raw.fetchall())
            return SqlReply(rows, len(rows))

        return self._patiently(attempt, work)

    def _patiently(self, attempt: Callable[[], _T], work: Work) -> _T:
        """Try until no writer of another process is in the way, for ``busy_seconds`` at most.

        SQLite takes back all that a statement did before it had to wait, so it can be run again.
        """
        until = 0.0
        while not work.dropped:
            try:
                return attempt()
            except sqlite3.OperationalError as exc:  # noqa: PERF203 - this is a loop of tries
                code = error_code(exc)
                if code & 0xFF != _BUSY or code == _BUSY_SNAPSHOT:
                    raise
                until = until or monotonic() + self._busy_seconds
                if monotonic() >= until:
                    raise
        raise Dropped

    def _count_changes(self, sql: str, rowcount: int) -> int:
        if rowcount >= 0:
            return rowcount
        word = first_word(sql)
        if word in DEFINING:
            self._types.forget()
        if word == "WITH":  # sqlite3 before Python 3.12 doesn't count what begins with WITH
            (rowcount,) = self._raw.execute("SELECT changes()").fetchone()
        return rowcount

    def _describe(self, sql: str, raw: sqlite3.Cursor) -> Cursor:
        names = [column[0] for column in raw.description]
        return Cursor(raw, names, self._types.of(self._raw, sql, names))

    # -- results in batches

    def open(self, statement: Statement, work: Work) -> bool:
        """Begin to read the result of a statement; False if it has none, or is several."""
        pieces = _pieces(statement)
        if len(pieces) > 1:
            return False
        ((sql, parameters),) = pieces

        def attempt() -> Cursor | None:
            raw = self._raw.execute(sql, parameters)
            return None if raw.description is None else self._describe(sql, raw)

        self._open = self._patiently(attempt, work)
        return self._open is not None

    def fetch(self, size: int, work: Work) -> list[Row]:
        """The next rows of the result that was opened; fewer than ``size`` at its end."""
        assert self._open is not None
        rows = _rows(self._open, self._open.raw.fetchmany(size))
        if len(rows) < size:
            self.leave(work)
        return rows

    def leave(self, work: Work) -> None:
        """Stop reading a result, and end the transaction that it was read in."""
        if self._open is not None:
            self._open.raw.close()
            self._open = None


def _casefold(text: Any) -> Any:
    return text.casefold() if isinstance(text, str) else text


def _rows(cursor: Cursor, values: list[tuple[Any, ...]]) -> list[Row]:
    _, names, converters = cursor
    rows = [_convert(row, converters) for row in values] if converters else values
    # PERF: 250 ns for a row of 4; Row(zip(names, row)) in a comprehension takes 400.
    return list(map(Row, map(zip, repeat(names), rows)))


def _convert(row: tuple[Any, ...], converters: Converters) -> tuple[Any, ...]:
    converted = list(row)
    for at, converter in converters:
        if converted[at] is not None:
            converted[at] = converter(converted[at])
    return tuple(converted)


def _pieces(statement: Statement) -> list[tuple[str, Parameters]]:
    """Single statements with their parameters, ready for ``sqlite3``.

    Raises ``Failure`` for a text without a statement, and for a script with parameters.
    """
    if statement.batch:
        return [piece for part in statement.batch for piece in _pieces(part)]
    texts = split(statement.sql) if isinstance(statement.sql, str) else ()
    if not texts:
        raise request_failure(RequestFailed("there is no statement to execute"))
    if len(texts) > 1 and statement.params:
        text = "a script of several statements can't have parameters: execute a list of them"
        raise request_failure(RequestFailed(text))
    parameters = adapt_all(statement.params) if statement.params else ()
    return [(text, parameters) for text in texts]


def _explain(error: sqlite3.Error, path: str) -> sqlite3.Error:
    """The same error with the path, and with what is wrong about it."""
    reason = ""
    directory = os.path.dirname(path) or "."
    if path.startswith("file:"):
        pass
    elif os.path.isdir(path):
        reason = ", it is a directory"
    elif not os.path.isdir(directory):
        reason = f", there is no directory {directory}"
    elif not os.access(directory, os.W_OK):
        reason = f", its directory {directory} can't be written to"
    return type(error)(f"{error}: {path}{reason}")
