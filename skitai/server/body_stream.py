"""``BodyStream``: a request body that an app reads while it arrives (seed, Streaming Request Data).

The exchange feeds it on the loop, where the app's coroutine reads it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from skitai.errors import HTTPError

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange

HIGH_WATER = 256 * 1024  # bytes kept for a slow app before the client has to wait
# A client that sends little from time to time is not kept waiting until a whole block is there.
PAUSE_SECONDS = 0.05


class BodyStream:
    """The body of one request, in blocks.

    Parameters:
        exchange: of the request; its client waits when the app is slow.

    Attributes:
        ended: the whole body has been read.
    """

    __slots__ = ("_complete", "_data", "_exchange", "_failure", "_held", "_news", "_wanted")

    def __init__(self, exchange: Exchange) -> None:
        # None when nothing is expected any more: they are freed without the garbage collector.
        self._exchange: Exchange | None = exchange
        self._data = bytearray()
        self._complete = False
        self._failure: HTTPError | None = None
        self._held = False
        self._wanted = 0
        self._news: asyncio.Future[bool] | None = None

    # -- the exchange's side

    def feed(self, data: bytes) -> None:
        """A piece arrived."""
        exchange = self._exchange
        if exchange is None:
            return
        self._data += data
        if len(self._data) >= max(HIGH_WATER, self._wanted) and not self._held:
            self._held = True
            exchange.channel.hold_body(exchange)
        self._tell()

    def end(self) -> None:
        """The last piece has arrived."""
        self._complete = True
        self._exchange = None
        self._tell()

    def lost(self) -> None:
        """The client left."""
        self.fail(HTTPError(400, "the client left before the end of its request"))

    def fail(self, error: HTTPError) -> None:
        """There will be no more of it; who reads on gets ``error``."""
        if not self._complete and self._failure is None:
            self._failure = error
            self._exchange = None
            self._tell()

    def _tell(self, news: bool = True) -> None:
        waiting = self._news
        if waiting is not None and not waiting.done():
            waiting.set_result(news)

    # -- the app's side

    @property
    def ended(self) -> bool:
        return self._complete and not self._data

    async def read(self, size: int) -> bytes:
        """The next block; ``b""`` at the end of the body.

        Parameters:
            size: bytes of a block. It is shorter at the end, and when the client pauses.

        Raises ``HTTPError`` 400 when the client left in the middle of the body or sent what is no
        body, 408 when it sent nothing for too long; ``ValueError`` for a size below 1,
        ``RuntimeError`` when another coroutine is reading.
        """
        if size < 1:
            raise ValueError(f"a block of {size} bytes can't be read: ask for 1 or more")
        if self._news is not None:
            raise RuntimeError("the body of this request is being read already")
        self._wanted = size
        while len(self._data) < size and not self._complete:
            if self._failure is not None:
                raise self._failure
            if not await self._more(PAUSE_SECONDS if self._data else None):
                break
        block = bytes(self._data[:size])
        del self._data[:size]
        if len(self._data) < HIGH_WATER:
            self._resume()
        return block

    async def read_some(self) -> bytes:
        """What has arrived, as soon as there is something; ``b""`` at the end of the body.

        Raises what ``read`` raises.
        """
        if self._news is not None:
            raise RuntimeError("the body of this request is being read already")
        self._wanted = 1
        while not self._data and not self._complete:
            if self._failure is not None:
                raise self._failure
            await self._more(None)
        block = bytes(self._data)
        self._data.clear()
        self._resume()
        return block

    def _resume(self) -> None:
        exchange = self._exchange
        if self._held and exchange is not None:
            self._held = False
            exchange.channel.resume_body(exchange)

    async def _more(self, pause: float | None) -> bool:
        """Wait for something to happen; False when nothing did for ``pause`` seconds."""
        loop = asyncio.get_running_loop()
        if len(self._data) < self._wanted:
            self._resume()
        self._news = loop.create_future()
        timer = None if pause is None else loop.call_later(pause, self._tell, False)
        try:
            return await self._news
        finally:
            self._news = None
            if timer is not None:
                timer.cancel()
