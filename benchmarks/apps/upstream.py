"""What proxies ask: 1 KB, 1 GiB, or an answer after a second; started by `benchmarks.services`.

uvloop + httptools with hand-written answers, as in `bare`.
"""

from __future__ import annotations

import argparse
import asyncio

import httptools
import uvloop

from benchmarks.rows import KILOBYTE

BLOCK, BLOCKS = bytes(64 * 1024), 16 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
SMALL = HEAD % len(KILOBYTE) + KILOBYTE
WAITED = HEAD % 6 + b"waited"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client connection; httptools calls `on_url` and `on_message_complete`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and give the connection its parser."""
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.left, self.paused = 0, False

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls back."""
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Remember the target of the request being read."""
        self.url = url

    def on_message_complete(self) -> None:
        """Answer, or begin to."""
        if self.url == b"/kilobyte":
            self.transport.write(SMALL)
        elif self.url == b"/gigabyte":
            self.transport.write(HEAD % (len(BLOCK) * BLOCKS))
            self.left = BLOCKS
            self.resume_writing()
        elif self.url == b"/waiting":
            asyncio.get_running_loop().call_later(1.0, self.transport.write, WAITED)
        else:
            self.transport.write(NOT_FOUND)

    def pause_writing(self) -> None:
        """The client is slower: keep what is left."""
        self.paused = True

    def resume_writing(self) -> None:
        """Go on until the client is slower."""
        self.paused = False
        while self.left and not self.paused:
            self.left -= 1
            self.transport.write(BLOCK)


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))
