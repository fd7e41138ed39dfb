"""``Pool``: connections to one member that are used again, by one call at a time.

The drivers of Redis and of interfaces of apps use it. It lives on the worker's loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from skitai.tasks.errors import NetworkError, network_failure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from skitai.upstream.slots import Slots

ConnectionT = TypeVar("ConnectionT")

CONNECT_SECONDS = 5.0
IDLE_SECONDS = 300.0
MAX_IDLE = 256  # connections that are kept where their number has no limit


class Pool(Generic[ConnectionT]):
    """Open connections, and the way to new ones.

    Parameters:
        name: of the member, for errors.
        slots: how many calls may have one.
        connect: makes an open connection; raises ``Failure``. Cancelled, it leaves nothing open.
        usable: whether an unused connection may be used again; it must not wait.
        disconnect: closes a connection; whatever it raises is of no interest.
        max_idle: unused connections that are kept.
        connect_seconds: for making a connection.
        idle_seconds: how long an unused one is kept.
    """

    def __init__(
        self,
        name: str,
        slots: Slots,
        connect: Callable[[], Awaitable[ConnectionT]],
        usable: Callable[[ConnectionT], bool],
        disconnect: Callable[[ConnectionT], Awaitable[object]],
        max_idle: int = MAX_IDLE,
        connect_seconds: float = CONNECT_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._name = name
        self._slots = slots
        self._connect = connect
        self._usable = usable
        self._disconnect = disconnect
        self._max_idle = max_idle
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._idle: deque[tuple[float, ConnectionT]] = deque()  # the one used last is last
        self._used: dict[int, ConnectionT] = {}  # by id: classes of apps may have no hash
        self._ending: set[asyncio.Future[Any]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """Open connections, used or not."""
        return len(self._idle) + len(self._used)

    async def take(self) -> ConnectionT:
        """A connection for the caller alone, who has to ``give`` it back.

        A connection that was closed by the server while nobody used it is replaced. Raises
        ``Failure``, not sent: nothing can be connected to, or all connections are in use until the
        deadline.
        """
        await self._slots.acquire()
        try:
            connection = self._take_idle()
            if connection is None:
                connection = await self._make()
        except BaseException:
            self._slots.release()
            raise
        self._used[id(connection)] = connection
        return connection

    def give(self, connection: ConnectionT, clean: bool) -> None:
        """Take a connection back.

        Parameters:
            clean: nothing is left to be read from it, so that others may use it.
        """
        self._slots.release()
        if self._used.pop(id(connection), None) is None:
            return  # closed already, with the pool
        if not clean or len(self._idle) >= self._max_idle:
            self._drop(connection)
            return
        self._idle.append((self._loop.time(), connection))
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle_seconds, self._drop_idle)

    async def close(self) -> None:
        """Close all connections, also those in use."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in [*self._used.values(), *(idle for _, idle in self._idle)]:
            self._drop(connection)
        self._used.clear()
        self._idle.clear()
        while self._ending:
            await asyncio.wait(self._ending)

    def _take_idle(self) -> ConnectionT | None:
        self._check_open()
        while self._idle:
            _, connection = self._idle.pop()
            if self._usable(connection):
                return connection
            self._drop(connection)
        return None

    async def _make(self) -> ConnectionT:
        making = asyncio.ensure_future(self._connect())
        try:
            # Not wait_for: before Python 3.12 a cancellation could get lost in it.
            done, _ = await asyncio.wait({making}, timeout=self._connect_seconds)
        except asyncio.CancelledError:
            self._discard(making)
            raise
        if not done:
            self._discard(making)
            text = f"no connection to {self._name} within {self._connect_seconds:g} seconds"
            raise network_failure(NetworkError(text), False)
        connection = making.result()
        if self._closed:
            self._drop(connection)
            self._check_open()
        return connection

    def _check_open(self) -> None:
        if self._closed:
            raise network_failure(NetworkError(f"{self._name}: the service stops"), False)

    def _discard(self, making: asyncio.Future[ConnectionT]) -> None:
        """Break off a connecting, and close what was made nevertheless."""

        def close_made(made: asyncio.Future[ConnectionT]) -> None:
            if not made.cancelled() and made.exception() is None:
                self._drop(made.result())

        making.add_done_callback(close_made)
        self._await_end(making)
        making.cancel()

    def _drop(self, connection: ConnectionT) -> None:
        self._await_end(self._loop.create_task(self._quietly(connection)))

    def _await_end(self, job: asyncio.Future[Any]) -> None:
        self._ending.add(job)
        job.add_done_callback(self._ending.discard)

    async def _quietly(self, connection: ConnectionT) -> None:
        with suppress(Exception):
            await asyncio.wait_for(self._disconnect(connection), self._connect_seconds)

    def _drop_idle(self) -> None:
        """Close what was not used for long; called when the oldest one is due."""
        self._sweep = None
        due = self._loop.time() - self._idle_seconds
        while self._idle:
            since, connection = self._idle[0]
            if since > due:
                self._sweep = self._loop.call_at(since + self._idle_seconds, self._drop_idle)
                return
            self._idle.popleft()
            self._drop(connection)
