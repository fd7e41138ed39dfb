"""The connections to one PostgreSQL server: who may use one, and what becomes of it afterwards."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

import psycopg2

from skitai.tasks.errors import Failure, PoolExhausted, network_failure, timeout_failure
from skitai.upstream.postgresql.cancel import Canceller
from skitai.upstream.postgresql.connection import Connection, ConnectionLost
from skitai.upstream.slots import EXPIRED, Slots

if TYPE_CHECKING:
    from collections.abc import Mapping

IDLE_SECONDS = 300.0
SWEEP_SECONDS = 30.0
# How long a server has to break off a statement, before its connection is closed instead.
BREAK_OFF_SECONDS = 1.0


class Pool:
    """A pool; made and used on the loop.

    The connection that was used last is used first: the others get old, and are closed.

    Parameters:
        options: keywords of ``psycopg2.connect``.
        limit: how many connections there may be; 0 for any number.
        name: of the member, for messages.
        idle_seconds: how long a connection is kept that nobody uses.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        limit: int,
        name: str,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._options = options
        self._name = name
        self._slots = Slots(limit, name)
        self._idle_seconds = idle_seconds
        self._open: set[Connection] = set()
        self._idle: list[Connection] = []
        # Who has a slot, but could not connect while others of this pool are connected.
        self._hungry: deque[asyncio.Future[Connection | None]] = deque()
        self._canceller = Canceller()
        self._recovering: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def busy(self) -> int:
        """How many use a connection or wait for one."""
        return self._slots.busy

    async def take(self, careful: bool) -> Connection:
        """Wait for a connection; it has to be given back once with ``give``.

        Parameters:
            careful: look whether the server has closed it. Otherwise the first statement finds out.

        Raises ``Failure``.
        """
        await self._slots.acquire()
        if self._idle and not careful:
            return self._idle.pop()
        try:
            return self._living() or await self.renew()
        except BaseException:
            self._slots.release()
            raise

    def _living(self) -> Connection | None:
        """An idle connection that the server has not closed."""
        while self._idle:
            connection = self._idle.pop()
            if connection.alive():
                return connection
        return None

    async def renew(self) -> Connection:
        """A new connection for the holder of one that was lost.

        When the server wants no more of them, one that others give back is waited for. Raises
        ``Failure``.
        """
        while not self._closed:
            try:
                connection = await Connection.open(self._options, self._gone)
            except ConnectionLost as exc:
                if not self._open:
                    raise network_failure(exc.error, sent=False) from exc.error
                found = self._living() or await self._next(exc.error)
                if found is not None:
                    return found
                continue
            self._open.add(connection)
            if not self._closed:
                return connection
            connection.close()
        raise self._refusal()

    async def _next(self, reason: psycopg2.Error) -> Connection | None:
        """The next connection that is given back, or None when one was closed instead."""
        turn: asyncio.Future[Connection | None] = self.loop.create_future()
        self._hungry.append(turn)
        try:
            return await turn
        except asyncio.CancelledError as exc:
            if turn.done() and not turn.cancelled():
                self._pass_on(turn.result() if turn.exception() is None else None)
            elif turn in self._hungry:
                self._hungry.remove(turn)
            if exc.args == (EXPIRED,):
                text = f"no connection to {self._name} was free, and no other can be made: {reason}"
                raise timeout_failure(PoolExhausted(text.rstrip())) from None
            raise

    def _pass_on(self, connection: Connection | None) -> None:
        while self._hungry:
            turn = self._hungry.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        if connection is not None:
            self._idle.append(connection)

    def give(self, connection: Connection) -> None:
        """Take a connection back from whoever has it, in whatever state it is.

        What it does is broken off, a transaction rolled back: until then it counts as used.
        """
        if connection.running or connection.in_transaction:
            self.recover(connection)
            return
        if connection.tainted:
            connection.close()
        if not connection.closed:
            connection.pooled = True
            connection.idle_since = self.loop.time()
            if self._hungry:
                self._pass_on(connection)
            else:
                self._idle.append(connection)
            if self._sweeper is None:
                self._sweep_later()
        self._slots.release()

    def recover(self, connection: Connection) -> asyncio.Task[None]:
        """``give``, for a connection that has to be made clean first; the task ends with that."""
        job = self.loop.create_task(self._clean(connection))
        self._recovering.add(job)
        job.add_done_callback(self._recovering.discard)
        return job

    async def _clean(self, connection: Connection) -> None:
        try:
            await connection.break_off(self._canceller, BREAK_OFF_SECONDS)
            if connection.in_transaction:
                await asyncio.wait_for(connection.run("ROLLBACK"), BREAK_OFF_SECONDS)
        except (Failure, ConnectionLost, asyncio.TimeoutError):
            connection.close()
        finally:
            if connection.running or connection.in_transaction:
                connection.close()
            self.give(connection)

    def _gone(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._hungry:
            self._pass_on(None)

    def _sweep_later(self) -> None:
        pause = min(SWEEP_SECONDS, self._idle_seconds)
        self._sweeper = self.loop.call_later(pause, self._sweep)

    def _sweep(self) -> None:
        """Close what is idle for too long; the oldest are at the bottom."""
        self._sweeper = None
        before = self.loop.time() - self._idle_seconds
        while self._idle and self._idle[0].idle_since <= before:
            self._idle[0].close()
        for connection in self._idle:
            connection.forget_result()
        if self._idle:
            self._sweep_later()

    async def close(self) -> None:
        """Close all connections; what runs on them is broken off and fails."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._hungry:
            self._pass_on(None)
        breaking = [
            self.loop.create_task(connection.break_off(self._canceller, BREAK_OFF_SECONDS))
            for connection in self._open
            if connection.running
        ]
        if breaking:
            await asyncio.wait(breaking)
        for connection in list(self._open):
            connection.close()
        if self._recovering:
            await asyncio.wait(self._recovering)

    def _refusal(self) -> Failure:
        error = psycopg2.InterfaceError(f"the connections to {self._name} are closed")
        return network_failure(error, sent=False)
