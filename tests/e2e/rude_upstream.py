"""An HTTP server that keeps none of the rules: what it does wrong is the path of the request."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSED = b"HTTP/1.1 200 OK\r\n\r\n"
BOMB = gzip.compress(b"\0" * (80 << 20), 9)


def _length(number: int, *fields: bytes) -> bytes:
    head = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n" % (number, head)


# What is said before the connection is closed.
SAYINGS = {
    "nothing": b"",
    "half_head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20,
    "no_http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "bad_status": b"HTTP/1.1 abc OK\r\n\r\n",
    "status_0": b"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
    "http_2": b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "switches": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "bad_header": b"HTTP/1.1 200 OK\r\nBad Header\r\nContent-Length: 0\r\n\r\n",
    "negative": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "two_lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
    "both": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "odd_coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "short": _length(100) + b"hello",
    "huge_length": _length(1 << 62) + b"hello",
    "cut_chunk": CHUNKED + b"64\r\nhello",
    "cut_end": CHUNKED + b"5\r\nhello\r\n",
    "bad_chunk": CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n",
    "huge_chunk": CHUNKED + b"f" * 40 + b"\r\nhello",
    "bad_gzip": _length(5, b"Content-Encoding: gzip") + b"hello",
    "cut_gzip": _length(30, b"Content-Encoding: gzip") + gzip.compress(b"x" * 9000)[:30],
    "bomb": _length(len(BOMB), b"Content-Encoding: gzip") + BOMB,
    "bad_json": _length(5, b"Content-Type: application/json") + b"{hell",
    "until_closed": UNTIL_CLOSED + b"hello",
    "no_content": b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + OK,
    "odd_text": _length(3, b"Content-Type: text/plain; charset=no-such") + b"\xff\xfe\xfd",
}


class RudeUpstream:
    """The server, in a thread of its own.

    Attributes:
        port: on 127.0.0.1.
        asked: requests so far, by path.
        open: connections now.
    """

    def __init__(self, port: int = 0) -> None:
        self.asked: dict[str, int] = {}
        self.open = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._jobs: set[asyncio.Task[Any]] = set()
        self._call(self._start(port))

    def close(self) -> None:
        """Refuse connections from now on, and end those there are."""
        if self._loop.is_closed():
            return
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _start(self, port: int) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)

    async def _serve(self, reader: Any, writer: Any) -> None:
        job = asyncio.current_task()
        assert job is not None
        self._jobs.add(job)
        self.open += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the client has had enough
        finally:
            self._jobs.discard(job)
            self.open -= 1
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _answer(self, reader: Any, writer: Any) -> bool:
        """Answer one request; whether the connection stays."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ", 2)[1].partition("?")[0].split("/")[1]
        self.asked[path] = self.asked.get(path, 0) + 1
        if path in SAYINGS:
            await _read_body(reader, head)
            writer.write(SAYINGS[path])
            await writer.drain()
            return False
        return await getattr(self, f"_do_{path}")(reader, writer, head) or False

    # -- what takes more than words

    async def _do_ok(self, reader: Any, writer: Any, head: str) -> bool:
        await _read_body(reader, head)
        writer.write(OK)
        await writer.drain()
        return True

    async def _do_echo(self, reader: Any, writer: Any, head: str) -> bool:
        """What was sent: the target, and the header X-Sent."""
        await _read_body(reader, head)
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
        sent = {name.lower(): value for name, value in fields.items()}.get("x-sent", "")
        body = f"{head.split(' ', 2)[1]} {sent}".encode()
        await asyncio.sleep(random.random() / 200)
        writer.write(_length(len(body), b"Content-Type: text/plain") + body)
        await writer.drain()
        return True

    async def _do_second(self, reader: Any, writer: Any, head: str) -> bool:
        """A second to think."""
        await asyncio.sleep(1)
        return await self._do_ok(reader, writer, head)

    async def _do_silent(self, reader: Any, writer: Any, head: str) -> None:
        """Never answers."""
        while await reader.read(65536):
            pass

    async def _do_stalls(self, reader: Any, writer: Any, head: str) -> None:
        """Falls silent in the middle of the body."""
        writer.write(_length(100_000) + b"x" * 50_000)
        await self._do_silent(reader, writer, head)

    async def _do_drips(self, reader: Any, writer: Any, head: str) -> None:
        """A byte of the head now and then."""
        for byte in OK * 10_000:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0.02)

    async def _do_half_closed(self, reader: Any, writer: Any, head: str) -> None:
        """Says that it will say no more, and stays."""
        writer.write(b"HTTP/1.1 200 OK\r\n")
        writer.write_eof()
        await self._do_silent(reader, writer, head)

    async def _do_endless_head(self, reader: Any, writer: Any, head: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Header: %b\r\n" % (b"x" * 1000))
            await writer.drain()

    async def _do_endless_line(self, reader: Any, writer: Any, head: str) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Header: ")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async def _do_endless_interim(self, reader: Any, writer: Any, head: str) -> None:
        while True:
            writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 100)
            await writer.drain()

    async def _do_endless_body(self, reader: Any, writer: Any, head: str) -> None:
        writer.write(UNTIL_CLOSED)
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async def _do_endless_extension(self, reader: Any, writer: Any, head: str) -> None:
        writer.write(CHUNKED + b"5;")
        while True:
            writer.write(b"x" * 10_000)
            await writer.drain()

    async def _do_resets(self, reader: Any, writer: Any, head: str) -> None:
        writer.write(_length(100) + b"hello")
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def _do_leaves(self, reader: Any, writer: Any, head: str) -> None:
        """A good answer that promises to stay, and doesn't."""
        await self._do_ok(reader, writer, head)

    async def _do_too_much(self, reader: Any, writer: Any, head: str) -> bool:
        """More than it has announced, on a connection that stays."""
        writer.write(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen")
        await writer.drain()
        return True

    async def _do_early(self, reader: Any, writer: Any, head: str) -> None:
        """Refuses without having read the request."""
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()


async def _read_body(reader: Any, head: str) -> None:
    fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
    if "chunked" in fields.get("transfer-encoding", ""):
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    else:
        await reader.readexactly(int(fields.get("content-length", "0")))


@contextlib.contextmanager
def rude_upstream(port: int = 0) -> Iterator[RudeUpstream]:
    """A server for the time of the block."""
    server = RudeUpstream(port)
    try:
        yield server
    finally:
        server.close()
