"""A small server on a free port whose behaviour a test writes itself: silent, garbled, cut."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[object]]


class TcpServer:
    """``async with TcpServer(handler) as server``; at the end all connections are closed.

    Parameters:
        handler: called with reader and writer of each connection, which is closed when it returns.
        tls: encrypts connections.

    Attributes:
        port: on 127.0.0.1.
        accepted: connections so far.
        open: connections now.
    """

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._handler = handler
        self._tls = tls
        self._jobs: set[asyncio.Task[None]] = set()
        self.accepted = 0

    @property
    def open(self) -> int:
        return len(self._jobs)

    async def __aenter__(self) -> TcpServer:
        self._server = await asyncio.start_server(self._begin, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for job in self._jobs:
            job.cancel()
        while self._jobs:
            await asyncio.wait(self._jobs)
        await self._server.wait_closed()

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        job = asyncio.ensure_future(self._serve(reader, writer))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._handler(reader, writer)
        except (asyncio.CancelledError, OSError, EOFError):
            pass
        finally:
            writer.close()
            try:
                await writer.wait_closed()
            except OSError:
                pass


async def relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int = 65536
) -> None:
    """Copy bytes, ``size`` at a time, until there are no more."""
    while data := await reader.read(size):
        writer.write(data)
        await writer.drain()


def relay_to(port: int, size: int = 65536) -> Handler:
    """A handler that passes everything on to another port of this machine, and back."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        back = asyncio.ensure_future(relay(far_reader, writer, size))
        try:
            await relay(reader, far_writer)
        finally:
            far_writer.close()
            back.cancel()
            await asyncio.wait({back})

    return handle
