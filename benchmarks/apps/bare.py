"""The limit: uvloop + httptools with hand-written answers; started by `benchmarks.contenders`.

No routing, no percent-decoding, no checks, no limits: what no framework may leave out.
"""

from __future__ import annotations

import argparse
import asyncio

import httptools
import orjson
import uvloop

HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def answer(url: bytes) -> bytes:
    """Return the whole response for one request target."""
    path, _, query = url.partition(b"?")
    path = path.removeprefix(b"/async")
    if path == b"/plaintext":
        return HELLO
    if path.startswith(b"/items/"):
        body = orjson.dumps({"id": int(path[7:]), "q": query.partition(b"=")[2].decode()})
        return JSON_HEAD % (len(body), body)
    return NOT_FOUND


class Connection(asyncio.Protocol):
    """One client connection; httptools calls `on_url` and `on_message_complete`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport and give the connection its parser."""
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls back."""
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Remember the target of the request being read."""
        self.url = url

    def on_message_complete(self) -> None:
        """Answer at once."""
        self.transport.write(answer(self.url))


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))
