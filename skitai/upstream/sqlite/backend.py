"""``SqliteBackend``: a file of SQLite for the calls of apps. The file of an alias is its member.

One connection writes, and others read beside it: readers never wait for writers (WAL). Each has a
thread, made when it is needed and ended when it is idle.

PERF: a select by key takes 16 us with 64 of them at once, and 27 us alone, when two threads wait
for each other. In the calling thread it takes 5 us, but what is long there holds up everybody.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from skitai.tasks.errors import Failure
from skitai.upstream.sql_session import BATCH_ROWS, SESSION_IDLE_SECONDS
from skitai.upstream.sqlite.connection import Connection, Location, refused_to_write
from skitai.upstream.sqlite.lane import closed_failure
from skitai.upstream.sqlite.lanes import Readers, Writer
from skitai.upstream.sqlite.session import CursorSession, TransactionSession
from skitai.upstream.sqlite.text import READING, first_word
from skitai.upstream.sqlite.types import ColumnTypes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from skitai.sql.rows import Row
    from skitai.sql.statement import Statement
    from skitai.upstream.interface import Member
    from skitai.upstream.sql_reply import SqlReply
    from skitai.upstream.sqlite.lane import Lane

MAX_CONNS = 4
BUSY_SECONDS = 5.0
IDLE_SECONDS = 300.0
CLOSE_SECONDS = 5.0


class SqliteBackend:
    """The connections to one file. Made on the loop and used there.

    Parameters:
        member: its ``path`` is the file, seen from the current directory; ``:memory:`` for a
            database that lives as long as the backend, on a single connection.
        max_conns: connections for reading; as many again for results that are read in batches.
            0 for no limit.
        busy_seconds: how long a statement waits for writers in other processes.
        idle_seconds: connections that nobody used for so long are closed.
        session_seconds: the same for transactions; they are rolled back.

    Attributes:
        busy: calls that run or wait here.
    """

    def __init__(
        self,
        member: Member,
        max_conns: int = MAX_CONNS,
        busy_seconds: float = BUSY_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        session_seconds: float = SESSION_IDLE_SECONDS,
    ) -> None:
        self.busy = 0
        self._loop = asyncio.get_running_loop()
        self._name = member.name
        self._idle_seconds = idle_seconds
        self._session_seconds = session_seconds
        self._closed = False
        place = Location(member.path, ColumnTypes(), busy_seconds, threading.Lock())
        self._writer = Writer(place)
        # What is in memory belongs to one connection, which lives as long as the backend.
        self._readers = None if place.private else Readers(place, max_conns)
        self._timer: asyncio.TimerHandle | None = None
        self._ending: set[Lane] = set()

    async def call(self, request: Statement) -> SqlReply:
        """Run a statement, a batch of them or a script; it commits by itself.

        Several statements are one transaction unless they say something else. The rows are those of
        the last one. Raises ``Failure`` with the error of ``sqlite3``.
        """
        self._begin()
        try:
            reply: SqlReply
            if self._readers is not None and _may_read(request):
                try:
                    reply = await self._readers.run(Connection.run, request)
                    return reply
                except Failure as exc:
                    if not refused_to_write(exc.error):
                        raise
            reply = await self._writer.run(Connection.run, request)
            return reply
        finally:
            self.busy -= 1

    async def session(self, autocommit: bool) -> CursorSession | TransactionSession:
        """Statements one after the other; see ``skitai.upstream.sql_session``.

        Parameters:
            autocommit: each statement commits by itself; False for a transaction.
        """
        if self._closed:
            raise closed_failure(self._name, sent=False)
        if autocommit:
            return CursorSession(self.call)
        return TransactionSession(self._writer, self._session_seconds)

    async def batches(
        self, statement: Statement, size: int = BATCH_ROWS
    ) -> AsyncGenerator[list[Row], None]:
        """The rows of a select, ``size`` at a time, read from the file as they are asked for.

        It reads what was there at its beginning, whatever is written since. As long as it is open,
        the log of the file can't shrink. Raises ``Failure``.
        """
        self._begin()
        try:
            if self._readers is not None and _may_read(statement):
                lane = await self._readers.hold()
                opened = ended = False
                try:
                    opened = await lane.run(Connection.open, statement)
                    while opened and not ended:
                        rows: list[Row] = await lane.run(Connection.fetch, size)
                        ended = len(rows) < size
                        if rows:
                            yield rows
                except Failure as exc:
                    if not refused_to_write(exc.error):
                        raise
                finally:
                    self._readers.release(lane, None if ended else Connection.leave)
                if opened:
                    return
            # What writes has no rows before all is written.
            reply: SqlReply = await self._writer.run(Connection.run, statement)
            everything = reply.data or []
            for start in range(0, len(everything), size):
                yield everything[start : start + size]
        finally:
            self.busy -= 1

    async def close(self) -> None:
        """Close all connections, within 5 seconds; what still runs is broken off and fails."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        lanes = self._writer.abort()
        if self._readers is not None:
            lanes += self._readers.abort()
        self._watch_ending(lanes)
        ending = list(self._ending)
        if ending:
            await asyncio.wait([lane.ended for lane in ending], timeout=CLOSE_SECONDS)
        for lane in ending:
            if lane.ended.done():
                lane.join()

    def _begin(self) -> None:
        if self._closed:
            raise closed_failure(self._name, sent=False)
        self.busy += 1
        if self._timer is None:
            self._timer = self._loop.call_later(self._idle_seconds, self._reap)

    def _reap(self) -> None:
        """End the threads that nothing was given to for a while."""
        before = self._loop.time() - self._idle_seconds
        if self._readers is not None:
            self._watch_ending(self._readers.reap(before))
            self._watch_ending(self._writer.reap(before))
        self._timer = self._loop.call_later(self._idle_seconds / 2, self._reap)

    def _watch_ending(self, lanes: list[Lane]) -> None:
        self._ending = {lane for lane in self._ending if not lane.ended.done()}
        self._ending.update(lanes)


def _may_read(statement: Statement) -> bool:
    """Whether a statement can be tried on a connection that refuses to write.

    ``Statement.writes`` is set in doubt, e.g. for all that has the word ``replace`` in it.
    """
    return not statement.writes or (
        not statement.batch
        and isinstance(statement.sql, str)
        and first_word(statement.sql) in READING
    )
