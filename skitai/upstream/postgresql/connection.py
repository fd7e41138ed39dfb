"""One connection to PostgreSQL: psycopg2 in asynchronous mode on the event loop."""

from __future__ import annotations

import asyncio
import select
import socket
from collections import deque
from contextlib import suppress
from ipaddress import ip_address
from itertools import repeat
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import (
    POLL_OK,
    POLL_WRITE,
    TRANSACTION_STATUS_ACTIVE,
    TRANSACTION_STATUS_IDLE,
)

from skitai.sql.rows import Row
from skitai.tasks.errors import Failure, RequestFailed, request_failure
from skitai.upstream.postgresql.types import adapt, register
from skitai.upstream.sql_reply import SqlReply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg2.extensions import cursor as Cursor

    from skitai.upstream.postgresql.cancel import Canceller

# A shorter statement fits into the buffer of a socket that has nothing in it.
SHORT_STATEMENT = 4096
# What such a statement sets stays in the connection, and would change what others get.
LASTING = ("SET", "PREPARE", "LISTEN")
# More rows are made in several rounds, so that others are served in between.
ROWS_IN_ROUND = 1000


class ConnectionLost(Exception):
    """The connection broke, or was closed by the server.

    Parameters:
        error: what psycopg2 or libpq says.
        begun: whether the server may have begun to run the statement.
    """

    def __init__(self, error: psycopg2.Error, begun: bool) -> None:
        super().__init__(error)
        self.error = error
        self.begun = begun


class Connection:
    """A connection that runs one statement after the other; made by ``open``.

    Parameters:
        raw: an open connection of psycopg2, in asynchronous mode.
        gone: called once when the connection has been closed, by whomever.

    Attributes:
        running: whether the server works on a statement; True until its answer has come, also when
            nobody waits for that any more.
        closed: whether it can't be used any more.
        pooled: whether it was used before by somebody else, and so may be stale.
        tainted: whether a statement left something in it that is not for others.
        idle_since: time of the loop when it was last given back.
    """

    __slots__ = (
        "_cursor",
        "_end",
        "_fd",
        "_gone",
        "_loop",
        "_notices",
        "_poll",
        "_poller",
        "_raw",
        "_waiter",
        "_writing",
        "closed",
        "idle_since",
        "pooled",
        "running",
        "tainted",
    )

    def __init__(self, raw: Any, gone: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._raw = raw
        self._gone = gone
        self._poll = raw.poll
        self._fd = raw.fileno()
        self._cursor: Cursor = raw.cursor()
        self._waiter: asyncio.Future[None] | None = None
        self._writing = False
        self.running = False
        self.closed = False
        self._end: psycopg2.Error = psycopg2.InterfaceError("the connection is open")
        self.pooled = False
        self.tainted = False
        self.idle_since = 0.0
        # Whether anything has come, asked without waiting.
        self._poller = select.poll()
        self._poller.register(self._fd, select.POLLIN)
        # What nobody reads must not pile up.
        self._notices: deque[str] = deque(maxlen=1)
        raw.notices = self._notices
        raw.notifies = deque(maxlen=0)
        register(raw)
        # PERF: the reader stays for the life of the connection; to add and remove it for each
        # statement costs 6 us. It also sees at once that an idle connection was closed.
        self._loop.add_reader(self._fd, self._advance)

    @classmethod
    async def open(
        cls, options: Mapping[str, Any], gone: Callable[[Connection], None]
    ) -> Connection:
        """Connect.

        Parameters:
            options: keywords of ``psycopg2.connect``.
            gone: see the class.

        Raises ``ConnectionLost``, with an error of psycopg2.
        """
        loop = asyncio.get_running_loop()
        try:
            raw = psycopg2.connect(async_=True, **await _resolved(options))
        except psycopg2.Error as exc:
            raise ConnectionLost(exc, False) from exc
        try:
            while (state := raw.poll()) != POLL_OK:
                # libpq may go on with another address, so the socket is asked for each time.
                await _ready(loop, raw.fileno(), state == POLL_WRITE)
            return cls(raw, gone)
        except psycopg2.Error as exc:
            raw.close()
            raise ConnectionLost(exc, False) from exc
        except BaseException:
            raw.close()
            raise

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open; also when it has failed."""
        return not self.closed and self._raw.get_transaction_status() != TRANSACTION_STATUS_IDLE

    @property
    def tag(self) -> str:
        """What the server said that it did: ``SELECT 1``, ``SET``, ``ROLLBACK`` …"""
        return self._cursor.statusmessage or ""

    def alive(self) -> bool:
        """Whether nothing says that the server has closed an idle connection."""
        if not self.closed and self._poller.poll(0):
            self._advance()  # reads its last words
            if not self.closed:
                self._advance()  # finds the end
        return not self.closed

    async def run(self, sql: str, params: Any = ()) -> SqlReply:
        """Send a statement, or several with semicolons, and wait for the answer to the last one.

        Raises ``ConnectionLost``, and ``Failure`` when the statement can't be made of its text and
        parameters or the server refuses it. When the caller is cancelled, the statement goes on:
        see ``break_off``.
        """
        if "\0" in sql:
            # psycopg2 would send what stands before it.
            raise request_failure(RequestFailed("a statement can't contain NUL (0x00) characters"))
        # PERF: 0.6 us. Without this look a statement could be sent to a server that is gone, and
        # would then count as begun.
        if not self.alive():
            raise ConnectionLost(self._end, False)
        cursor = self._cursor
        try:
            cursor.execute(sql, adapt(params))
        except (psycopg2.OperationalError, psycopg2.InterfaceError) as exc:
            self.close()
            raise ConnectionLost(exc, False) from exc
        except psycopg2.Error as exc:
            raise request_failure(exc) from None
        except Exception as exc:
            raise request_failure(RequestFailed(str(exc))) from exc
        self.running = True
        waiter = self._waiter = self._loop.create_future()
        if len(cursor.query or b"") > SHORT_STATEMENT:
            self._advance()
        try:
            await waiter
        except psycopg2.Error as exc:
            raise Failure(exc, reason="Database Error") from None
        if cursor.description is None:
            return self._reply_without_rows(cursor)
        names = [column[0] for column in cursor.description]
        try:
            if cursor.rowcount > ROWS_IN_ROUND:
                rows = await self._many_rows(cursor, names)
            else:
                rows = _rows(names, cursor.fetchall())
        except Exception as exc:
            # E.g. a date before Christ.
            error = psycopg2.DataError(f"a value can't be converted: {exc}")
            raise Failure(error, reason="Database Error") from exc
        return SqlReply(rows, cursor.rowcount)

    async def _many_rows(self, cursor: Cursor, names: list[str]) -> list[Row]:
        # PERF: a new cursor for each statement would cost 0.5 us. But the result of the last one
        # stays in memory, so a big one goes with its cursor.
        self._cursor = self._raw.cursor()
        rows = []
        while part := cursor.fetchmany(ROWS_IN_ROUND):
            rows += _rows(names, part)
            await asyncio.sleep(0)
        return rows

    def _reply_without_rows(self, cursor: Cursor) -> SqlReply:
        if cursor.statusmessage in LASTING:
            self.tainted = True
            if cursor.statusmessage == "LISTEN":
                text = "LISTEN is not supported: nobody would receive the notifications"
                raise Failure(psycopg2.NotSupportedError(text), reason="Database Error")
        return SqlReply(None, cursor.rowcount)

    async def break_off(self, canceller: Canceller, seconds: float) -> None:
        """Have the server end what it runs; when it is not idle in time, close the connection."""
        if not self.running:
            return
        if not self._writing:
            ended = self._waiter
            if ended is None or ended.done():  # nobody waits for the answer any more
                ended = self._waiter = self._loop.create_future()
                ended.add_done_callback(asyncio.Future.exception)
            asked = self._loop.create_task(canceller.cancel(self._raw))
            try:
                # Both: a request that is on its way would hit the next statement.
                both: set[asyncio.Future[Any]] = {ended, asked}
                await asyncio.wait(both, timeout=seconds)
                if asked.done() and asked.result() and not self.running:
                    return
            finally:
                asked.cancel()
        self.close()

    def forget_result(self) -> None:
        """Free the memory of the last result."""
        self._cursor = self._raw.cursor()

    def close(self) -> None:
        """Close it at once; a statement that runs fails with ``ConnectionLost``."""
        self._closed_by(psycopg2.InterfaceError("the connection was closed"))

    # -- what the socket brings

    def _advance(self) -> None:
        """Go on with what the socket allows; called when it can be read or written."""
        try:
            state = self._poll()
            # When the socket has an error, uvloop calls once and never again.
            while (state != POLL_OK or not self.running) and self._broken():
                state = self._poll()
        except psycopg2.Error as exc:
            self._failed(exc)
            return
        except Exception as exc:  # e.g. words of the server that are no UTF-8
            self._closed_by(psycopg2.InterfaceError(f"the answer can't be read: {exc}"))
            return
        if self._writing and state != POLL_WRITE:
            self._writing = False
            self._loop.remove_writer(self._fd)
        if state == POLL_OK:
            if self.running:
                self._answered(None)
            elif self._notices:
                # To who does nothing the server only says why it is about to leave.
                self._closed_by(psycopg2.OperationalError(self._notices[0]))
        elif state == POLL_WRITE and not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._advance)

    def _broken(self) -> bool:
        return any(mask & (select.POLLERR | select.POLLHUP) for _, mask in self._poller.poll(0))

    def _failed(self, error: psycopg2.Error) -> None:
        severity = error.diag.severity_nonlocalized or ""
        refused = error.pgcode is not None and severity not in ("FATAL", "PANIC")
        if self._raw.closed or not (refused or isinstance(error, psycopg2.ProgrammingError)):
            self._closed_by(error)
        elif self._raw.get_transaction_status() == TRANSACTION_STATUS_ACTIVE:
            text = "COPY from or to the client is not supported"
            self._answered(psycopg2.NotSupportedError(text))
            self.close()
        else:
            self._answered(error)

    def _answered(self, error: Exception | None) -> None:
        self.running = False
        self._notices.clear()
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if error is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(error)

    def _closed_by(self, error: psycopg2.Error) -> None:
        if self.closed:
            return
        self.closed = True
        self._end = error
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        with suppress(psycopg2.Error):
            self._raw.close()
        self._gone(self)
        if self.running:
            self._answered(ConnectionLost(error, True))


def _rows(names: list[str], values: list[tuple[Any, ...]]) -> list[Row]:
    # PERF: 220 ns for a row; Row(zip(names, row, strict=False)) in a comprehension takes 350.
    return list(map(Row, map(zip, repeat(names), values)))


async def _ready(loop: asyncio.AbstractEventLoop, fd: int, to_write: bool) -> None:
    """Wait until a socket can be read or written."""
    ready: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    if to_write:
        loop.add_writer(fd, wake)
    else:
        loop.add_reader(fd, wake)
    try:
        await ready
    finally:
        if to_write:
            loop.remove_writer(fd)
        else:
            loop.remove_reader(fd)


async def _resolved(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options with the addresses of the host: libpq would block while it looks for them."""
    host = options.get("host", "")
    if not host or host.startswith("/"):
        return options
    with suppress(ValueError):
        ip_address(host)
        return options
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, options["port"], type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        text = f"could not translate host name {host!r} to address: {exc}"
        raise psycopg2.OperationalError(text) from exc
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    hosts = ",".join([host] * len(addresses))
    return {**options, "host": hosts, "hostaddr": ",".join(addresses)}
