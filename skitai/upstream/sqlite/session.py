"""Transactions and cursors of SQLite: what ``skitai.upstream.sql_session`` asks for."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any

from skitai.tasks.errors import Failure
from skitai.upstream.sqlite.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from skitai.sql.statement import Statement
    from skitai.upstream.sql_reply import SqlReply
    from skitai.upstream.sqlite.lane import Job
    from skitai.upstream.sqlite.lanes import Writer


class CursorSession:
    """Statements that commit by themselves: each is a call.

    SQLite keeps nothing for a connection that a statement should find there later.

    Parameters:
        call: of the backend.
    """

    in_transaction = False

    def __init__(self, call: Callable[[Statement], Awaitable[SqlReply]]) -> None:
        self.closed = False
        self._call = call

    async def execute(self, statement: Statement) -> SqlReply:
        """Run a statement. Raises ``Failure``."""
        if self.closed:
            raise _failure(sqlite3.ProgrammingError("the cursor is closed"))
        return await self._call(statement)

    async def commit(self) -> None:
        """There is nothing to commit."""

    async def rollback(self) -> None:
        """There is nothing to undo."""

    async def close(self) -> None:
        """Nothing can be executed any more."""
        self.closed = True


class TransactionSession:
    """Statements that are committed together. From the first to the end no other may write.

    SQLite has one writer at a time. Others of this worker wait in the line of ``Writer``, those of
    other processes at the lock of the file. Whoever only reads doesn't wait.

    Parameters:
        writer: of the file.
        idle_seconds: without a statement for so long it is rolled back and closed.
    """

    def __init__(self, writer: Writer, idle_seconds: float) -> None:
        self.closed = False
        self.in_transaction = False
        self._writer = writer
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._lost = ""  # why what was executed is gone; until it is rolled back

    async def execute(self, statement: Statement) -> SqlReply:
        """Run a statement; the first one begins the transaction.

        Raises ``Failure``. A statement that fails had no effect and the transaction goes on. When
        SQLite had to undo all of it, or the statement was broken off, only ``rollback`` is left.
        """
        async with self._turn:
            self._check()
            if not self.in_transaction:
                await self._writer.acquire()
                self.in_transaction = True
                if self.closed:  # meanwhile
                    self._abandon()
                    self._check()
            reply: SqlReply = await self._run(Connection.run_inside, statement)
            return reply

    async def commit(self) -> None:
        """Keep what was done. Raises ``Failure``, also when it is gone already."""
        async with self._turn:
            self._check()
            if self.in_transaction:
                await self._run(Connection.commit)

    async def rollback(self) -> None:
        """Undo what was done since the last commit."""
        async with self._turn:
            self._lost = ""
            self._abandon()

    async def close(self) -> None:
        """Undo what is not committed; others may write."""
        self.closed = True
        self._abandon()

    def _check(self) -> None:
        if self._lost:
            raise _failure(sqlite3.OperationalError(self._lost))
        if self.closed:
            raise _failure(sqlite3.ProgrammingError("the transaction is closed"))

    async def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        if self._timer is not None:
            self._timer.cancel()
        try:
            try:
                result, still_open = await self._writer.run_inside(function, *args)
            except Failure as exc:
                if not await self._is_open():
                    self._ended(f"the transaction was rolled back: {exc.error}")
                raise
        except asyncio.CancelledError:
            self._lost = "the transaction was rolled back, as a statement of it was broken off"
            self._abandon()
            raise
        finally:
            if self.in_transaction:
                self._timer = self._loop.call_later(self._idle_seconds, self._expire)
        if not still_open:
            self._ended("")
        return result

    async def _is_open(self) -> bool:
        try:
            still_open: bool = await self._writer.run_inside(_is_open)
        except Failure:  # the connection broke, and can't be made again
            return False
        return still_open

    def _ended(self, lost: str) -> None:
        """The transaction is over, by a statement or by SQLite's own decision."""
        self._disarm()
        if self.in_transaction:
            self.in_transaction = False
            self._lost = lost
            self._writer.release()

    def _expire(self) -> None:
        self._lost = f"the transaction was rolled back: unused for {self._idle_seconds:g} seconds"
        self.closed = True
        self._abandon()

    def _abandon(self) -> None:
        self._disarm()
        if self.in_transaction:
            self.in_transaction = False
            self._writer.finish(Connection.roll_back)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _is_open(connection: Connection, job: Job) -> bool:
    return connection.in_transaction


def _failure(error: sqlite3.Error) -> Failure:
    return Failure(error, code=500, reason="Database Error")
