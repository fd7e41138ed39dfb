"""``wsgi.input`` of a body that is read while it arrives.

The endpoint of a WSGI app makes one for a request where its preference sets ``STREAM_INPUT``.
"""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

from skitai.errors import HTTPError

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange

BUFFER_SIZE = 64 * 1024


class ArrivingBody(io.RawIOBase):
    """A body as a file, read in a worker thread.

    Reading waits for the client, who waits in turn when nobody reads.

    Parameters:
        exchange: its body is streamed.
        limit: bytes that the body may have.
    """

    def __init__(self, exchange: Exchange, limit: int) -> None:
        self._body = exchange.input
        self._loop = exchange.channel.server.loop
        self._limit = limit
        self._size = 0
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what has arrived; 0 at the end.

        Raises ``HTTPError`` 400 when the client left in the middle of the body, 408 when it sent
        nothing for too long, 413 when the body is larger than its limit.
        """
        if not self._piece and self._body is not None:
            self._piece = memoryview(self._next())
        size = min(len(buffer), len(self._piece))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size

    def _next(self) -> bytes:
        assert self._body is not None
        arriving = self._body.read_some()
        piece = asyncio.run_coroutine_threadsafe(arriving, self._loop).result()
        self._size += len(piece)
        if self._size > self._limit:
            raise HTTPError(413, f"the body is larger than {self._limit} bytes")
        return piece


def open_arriving(exchange: Exchange, limit: int | None) -> io.BufferedReader:
    """The body of an exchange as a file; see ``ArrivingBody``.

    Parameters:
        limit: bytes; None for ``Settings.max_upload_size``.

    Raises ``HTTPError`` 413 when the client says that it has more.
    """
    if limit is None:
        limit = exchange.channel.server.settings.max_upload_size
    announced = exchange.request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise HTTPError(413, f"the body is larger than {limit} bytes")
    return io.BufferedReader(ArrivingBody(exchange, limit), BUFFER_SIZE)
