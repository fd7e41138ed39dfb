"""Connections that are held for more than one statement: sessions, and rows in batches."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg2
import psycopg2.errors

from skitai.tasks.errors import Failure, network_failure, request_failure
from skitai.upstream.postgresql.connection import ConnectionLost

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from skitai.sql.rows import Row
    from skitai.sql.statement import Statement
    from skitai.upstream.postgresql.connection import Connection
    from skitai.upstream.postgresql.pool import Pool
    from skitai.upstream.sql_reply import SqlReply


class Holder:
    """A connection of the pool in one hand, until it is left or idle for too long.

    Parameters:
        pool: where it goes then.
        connection: was taken from there.
        seconds: how long it may be idle.
    """

    def __init__(self, pool: Pool, connection: Connection, seconds: float) -> None:
        self.pool = pool
        self._connection: Connection | None = connection
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._why = ""
        self._wait()

    @property
    def left(self) -> bool:
        """Whether it is held no more."""
        return self._connection is None

    @property
    def in_transaction(self) -> bool:
        return self._connection is not None and self._connection.in_transaction

    @property
    def tag(self) -> str:
        """See ``Connection``."""
        return "" if self._connection is None else self._connection.tag

    async def run(self, sql: str, params: Any = ()) -> SqlReply:
        """Run a statement. Raises ``Failure``; a cancelled one ends the holding."""
        connection = self._connection
        if connection is None:
            raise request_failure(psycopg2.InterfaceError(self._why))
        self._stop_waiting()
        try:
            reply = await connection.run(sql, params)
        except ConnectionLost as exc:
            self.leave("the connection was lost")
            raise network_failure(exc.error, sent=True) from exc.error
        except Failure:
            self._wait()
            raise
        except BaseException:
            self.leave("a statement was broken off, and everything rolled back")
            raise
        self._wait()
        return reply

    def leave(self, why: str) -> asyncio.Task[None] | None:
        """Give the connection back; the task ends when a transaction is rolled back."""
        connection, self._connection = self._connection, None
        if connection is None:
            return None
        self._why = why
        self._stop_waiting()
        if connection.in_transaction:
            return self.pool.recover(connection)
        self.pool.give(connection)
        return None

    async def close(self) -> None:
        """``leave``, and wait for that."""
        job = self.leave("the session was closed")
        if job is not None:
            await asyncio.shield(job)

    def _wait(self) -> None:
        self._timer = self.pool.loop.call_later(self._seconds, self._expire)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self.leave(f"the session was idle for {self._seconds:g} s: it was rolled back and closed")


class Session:
    """``SqlSession`` on a connection of PostgreSQL; made by ``PostgresqlBackend.session``."""

    def __init__(self, holder: Holder, autocommit: bool) -> None:
        self._holder = holder
        self._autocommit = autocommit
        self._turn = asyncio.Lock()

    @property
    def in_transaction(self) -> bool:
        return self._holder.in_transaction

    @property
    def closed(self) -> bool:
        return self._holder.left

    async def execute(self, statement: Statement) -> SqlReply:
        """See ``SqlSession``."""
        async with self._turn:
            sql = statement.sql
            if not self._autocommit and not self._holder.in_transaction:
                sql = f"BEGIN;{sql}"
            return await self._holder.run(sql, statement.params)

    async def commit(self) -> None:
        """See ``SqlSession``. A transaction that has failed can't be kept: that is an error."""
        async with self._turn:
            # What was left meanwhile says why, as what was done is lost.
            if self._holder.in_transaction or self._holder.left:
                await self._holder.run("COMMIT")
                if self._holder.tag != "COMMIT":
                    text = "a statement failed before, so the transaction was rolled back"
                    error = psycopg2.errors.InFailedSqlTransaction(text)
                    raise Failure(error, reason="Database Error")

    async def rollback(self) -> None:
        """See ``SqlSession``."""
        async with self._turn:
            if self._holder.in_transaction:
                await self._holder.run("ROLLBACK")

    async def close(self) -> None:
        """See ``SqlSession``."""
        async with self._turn:
            await self._holder.close()

    def __del__(self) -> None:
        if not self._holder.left:
            with suppress(RuntimeError):  # the loop has ended
                self._holder.pool.loop.call_soon_threadsafe(
                    self._holder.leave, "the session was forgotten"
                )


async def read_batches(
    start: Callable[[str], Awaitable[tuple[Holder, SqlReply]]], sql: str, size: int
) -> AsyncGenerator[list[Row], None]:
    """The rows of a select in lists of ``size``, the last one shorter.

    Parameters:
        start: runs a text and returns who holds the connection now, and the first answer.
        sql: one statement that the server can make a cursor for: SELECT, VALUES, WITH … SELECT.
        size: 1 or more.

    Raises ``Failure``, and ``ValueError`` for a size that is none.
    """
    if size < 1:
        raise ValueError(f"rows come in batches of 1 or more, not of {size}")
    fetch = f"FETCH FORWARD {size} FROM batches"
    # The line ends a comment that the text may end with.
    text = sql.rstrip().rstrip(";")
    holder, reply = await start(f"BEGIN;DECLARE batches NO SCROLL CURSOR FOR {text}\n;{fetch}")
    try:
        while True:
            rows = reply.data or []
            last = len(rows) < size
            if last:
                await holder.run("COMMIT")
                holder.leave("all rows were read")
            if rows:
                yield rows
            if last:
                return
            reply = await holder.run(fetch)
    finally:
        await holder.close()
