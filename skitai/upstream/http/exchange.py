"""One request and its answer: ``Exchange``, and its two ways to take an answer.

``backend`` makes one for each request; ``connection`` tells it what comes. A ``Collector`` keeps
the whole body, an ``HttpStream`` hands it on piece by piece.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from skitai.tasks.errors import Failure, NetworkError, TaskError, network_failure
from skitai.tasks.status import STA_NORMAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.upstream.http.connection import HttpConnection
    from skitai.wire.http1_client import ResponseHead

HIGH_WATER = 64 * 1024  # bytes of a body that wait for a slow reader before reading pauses


class ResponseTooLarge(TaskError):
    """The body of an answer is larger than allowed."""


def too_large(limit: int) -> Failure:
    """The answer is more than ``limit`` bytes."""
    error = ResponseTooLarge(f"the answer is larger than {limit} bytes")
    return Failure(error, STA_NORMAL, True, 502, "Response Too Large")


class Exchange:
    """What the connection tells, and who waits for it.

    Attributes:
        head: of the answer, once it came.
        ended: the answer is complete.
        failure: why it will never be.
        answered: a byte of it came.
        sent: the upstream may have seen something of the request.
        trailers: fields behind the body.
    """

    __slots__ = (
        "_waiter", "answered", "connection", "ended", "failure", "head", "sent", "trailers",
    )  # fmt: skip

    def __init__(self) -> None:
        self.connection: HttpConnection | None = None
        self.head: ResponseHead | None = None
        self.ended = False
        self.failure: Failure | None = None
        self.answered = False
        self.sent = False
        self.trailers: list[tuple[str, str]] = []
        self._waiter: asyncio.Future[None] | None = None

    # -- called by the connection

    def started(self, head: ResponseHead) -> None:
        """The head is there."""
        self.head = head

    def received(self, data: bytes) -> None:
        """A piece of the body."""
        raise NotImplementedError

    def finished(self) -> None:
        """The answer is complete; the connection may serve others."""
        self.connection = None
        self.ended = True
        self._wake()

    def failed(self, failure: Failure) -> None:
        """There will be no (more) answer."""
        self.connection = None
        if self.failure is None and not self.ended:
            self.failure = failure
            self._wake()

    # -- for the backend

    @property
    def complete(self) -> bool:
        """Whether ``ready`` has what it waits for."""
        raise NotImplementedError

    async def ready(self) -> None:
        """Wait until ``complete``; raises ``Failure``."""
        while not self.complete:
            if self.failure is not None:
                raise self.failure
            await self._wait()

    def break_off(self) -> None:
        """Nobody wants the answer any more: close its connection, if it is not free again."""
        if self.connection is not None:
            self.connection.abort()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Collector(Exchange):
    """Keeps the body.

    Parameters:
        limit: bytes it may have.
    """

    __slots__ = ("_body", "_limit", "_more")

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._body = b""
        self._more = bytearray()

    def received(self, data: bytes) -> None:
        if len(self._body) + len(self._more) + len(data) > self._limit:
            connection = self.connection
            self.failed(too_large(self._limit))
            if connection is not None:
                connection.abort()
        elif self._body:
            self._more += data
        else:
            self._body = data  # most bodies come in one piece, which is not copied

    @property
    def complete(self) -> bool:
        return self.ended

    @property
    def body(self) -> bytes:
        """All of it."""
        return self._body + self._more if self._more else self._body


class HttpStream(Exchange):
    """An answer whose body is read as it comes: ``async for piece in stream``.

    Reading from the upstream pauses while the reader is slow. Whoever stops reading before the end
    calls ``aclose``, which also ends the sending of the request's body; ``async with`` does.

    Parameters:
        stall: seconds that the upstream may be silent in the middle of the body; 0 for no limit.
    """

    __slots__ = ("_paused", "_pieces", "_size", "_stall", "on_end")

    def __init__(self, stall: float) -> None:
        super().__init__()
        self._stall = stall
        self._pieces: list[bytes] = []
        self._size = 0
        self._paused = False
        self.on_end: Callable[[], None] | None = None

    @property
    def status(self) -> int:
        """Status code of the answer."""
        return self._answer.status

    @property
    def reason(self) -> str:
        """Reason phrase as sent, maybe empty."""
        return self._answer.reason

    @property
    def version(self) -> str:
        """``"1.1"`` or ``"1.0"``."""
        return self._answer.version

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Names and values as sent, in their order, with duplicates."""
        return self._answer.fields

    @property
    def _answer(self) -> ResponseHead:
        assert self.head is not None, "a stream is handed out when its head has come"
        return self.head

    # -- called by the connection

    def started(self, head: ResponseHead) -> None:
        super().started(head)
        self._wake()

    def received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and not self._paused and self.connection is not None:
            self._paused = True
            self.connection.pause_reading()
        self._wake()

    def finished(self) -> None:
        super().finished()
        self._let_go()

    def failed(self, failure: Failure) -> None:
        super().failed(failure)
        self._let_go()

    # -- for the reader

    @property
    def complete(self) -> bool:
        return self.head is not None

    def __aiter__(self) -> HttpStream:
        return self

    async def __anext__(self) -> bytes:
        data = await self.read()
        if not data:
            raise StopAsyncIteration
        return data

    async def read(self) -> bytes:
        """What has come of the body, at least one byte; ``b""`` at its end.

        Raises ``Failure`` when the connection breaks, or the upstream stalls.
        """
        while not self._pieces:
            if self.failure is not None:
                raise self.failure
            if self.ended:
                return b""
            await self._wait_for_body()
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            if self.connection is not None:
                self.connection.resume_reading()
        return data

    def hand_over(self, protocol: asyncio.Protocol) -> tuple[Any, bytes]:
        """After status 101, let ``protocol`` go on with the connection.

        Returns the transport, whose reading is paused, and what has come behind the answer. Raises
        ``Failure`` when the connection has ended meanwhile.
        """
        if self.connection is None:
            raise self.failure or network_failure(NetworkError("the connection was closed"), True)
        connection, self.connection = self.connection, None
        self.ended = True
        return connection.hand_over(protocol)

    async def aclose(self) -> None:
        """``close``, for ``async with``."""
        self.close()

    def close(self) -> None:
        """Stop: what has not come is not wanted. May be called again, and after the end."""
        self.break_off()
        self._pieces.clear()
        if not self.ended:
            self.failed(network_failure(NetworkError("the stream was closed"), True))
        self._let_go()

    async def __aenter__(self) -> HttpStream:
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.aclose()

    async def _wait_for_body(self) -> None:
        if not self._stall:
            await self._wait()
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._stall, self._stalled)
        try:
            await self._wait()
        finally:
            timer.cancel()

    def _stalled(self) -> None:
        connection = self.connection
        text = f"the upstream sent nothing for {self._stall:g} seconds"
        self.failed(network_failure(NetworkError(text), True))
        if connection is not None:
            connection.abort()

    def _let_go(self) -> None:
        """The slot of the connection is free."""
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()
