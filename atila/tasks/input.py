"""``was.Input``: the next block of a request's body (seed, Streaming Request Data)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atila.errors import ConfigError
from atila.invoking import wait_for
from skitai.tasks.awaitable import Awaitable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from skitai.server.exchange import Exchange

BLOCK_SIZE = 8192


class Input(Awaitable):
    """A block of the body of a route with ``input_stream=True``.

    Of a gRPC call it is the next message, None at the end.

    ``data = yield was.Input (n)`` and ``data = await was.Input (n)`` give the data itself, ``b""``
    at the end of the body; ``async for data in was.Input (n)`` gives all blocks.

    Parameters:
        max_buffer_size: bytes of a block. It is shorter at the end, and when the client pauses.
    """

    __slots__ = ("_exchange", "_size")

    def __init__(self, exchange: Exchange, max_buffer_size: int) -> None:
        self.meta: dict[str, Any] = {}
        self._exchange = exchange
        self._size = max_buffer_size
        if exchange.body is not None:
            raise ConfigError(
                "was.Input() reads the body of a route that was declared with input_stream=True: "
                "this one has the whole body already"
            )

    @property
    def done(self) -> bool:
        return False

    async def _read(self) -> bytes:
        body = self._exchange.input
        return b"" if body is None else await body.read(self._size)

    def __await__(self) -> Generator[Any, None, bytes]:
        return self._read().__await__()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # A message of gRPC may be empty, and then be false; the end is None.
        while (block := await self._read()) is not None and block != b"":
            yield block

    def fetch(self) -> bytes:
        """The block; waits for it in a thread."""
        return wait_for(self._read(), self._exchange.channel.server.loop)

    one = dispatch = fetch

    def commit(self) -> None:
        self.fetch()

    def cancel(self) -> None:
        """A block that nobody waits for is not read."""
