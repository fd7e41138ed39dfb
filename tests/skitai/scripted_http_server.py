"""An HTTP server that does what a test tells it, also what no server should do.

It runs on the loop of the test, so that nothing happens between two steps of the test.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skitai.upstream.interface import Member

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    Script = Callable[["Conversation"], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Received:
    """A request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes
    head: bytes


class Conversation:
    """One connection, as the script sees it.

    Attributes:
        number: 1 for the first connection of the server.
    """

    def __init__(self, number: int, reader: Any, writer: Any) -> None:
        self.number = number
        self.reader: asyncio.StreamReader = reader
        self.writer: asyncio.StreamWriter = writer

    async def head(self) -> Received:
        """The next request without its body; ends the script when the client is gone."""
        data = await self.reader.readuntil(b"\r\n\r\n")
        line, *fields = data[:-4].decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (text.split(": ", 1) for text in fields)}
        return Received(line, headers, b"", data)

    async def request(self) -> Received:
        """The next request; ends the script when the client is gone."""
        received = await self.head()
        if "chunked" in received.headers.get("transfer-encoding", ""):
            while size := int(await self.reader.readline(), 16):
                received.body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        else:
            length = int(received.headers.get("content-length", "0"))
            received.body = await self.reader.readexactly(length)
        return received

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, body: bytes = b"ok", *fields: bytes, status: bytes = b"200 OK") -> None:
        lines = b"".join(field + b"\r\n" for field in fields)
        head = b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n" % (status, lines, len(body))
        await self.send(head + body)

    async def gone(self) -> None:
        """Wait until the client has closed the connection; what it sends is read past."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """Close with an error for the client."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


class ScriptedServer:
    """Runs a script for each connection, and closes the connection when the script ends.

    Attributes:
        connections: how many were made.
        open: how many are.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None, host: str = "") -> None:
        self._script = script
        self._tls = tls
        self._host = host or "127.0.0.1"
        self._failures: list[BaseException] = []
        self._jobs: set[asyncio.Task[Any]] = set()
        self._changed = asyncio.Event()
        self.connections = 0
        self.open = 0
        self.port = 0

    async def __aenter__(self) -> ScriptedServer:
        self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: Any, *_: Any) -> None:
        self._server.close()
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        if self._failures and kind is None:
            raise self._failures[0]

    def member(self, path: str = "", **more: Any) -> Member:
        return Member(self._host, self.port, path, tls=self._tls is not None, **more)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so; looked at whenever a connection begins or ends."""
        while not condition():
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), 10)

    async def _serve(self, reader: Any, writer: Any) -> None:
        job = asyncio.current_task()
        assert job is not None
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        self.connections += 1
        self.open += 1
        self._changed.set()
        try:
            await self._script(Conversation(self.connections, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client is gone, or the test is over
        except BaseException as exc:
            self._failures.append(exc)
        finally:
            self.open -= 1
            self._changed.set()
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()


async def always_ok(client: Conversation) -> None:
    """Answer every request."""
    while True:
        await client.request()
        await client.send(OK)


def says(*pieces: bytes) -> Script:
    """Answer one request with these bytes, and close."""

    async def script(client: Conversation) -> None:
        await client.request()
        for piece in pieces:
            await client.send(piece)

    return script
