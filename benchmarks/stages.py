"""What each stage of a request costs: microseconds of CPU on one core, without the network.

`python benchmarks/stages.py` runs the parts of the request path one by one in this process. The sum
is what Python adds to the bare loop; `docs/performance.md` explains the figures.
"""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atila import API, Atila
from atila.binding import compile_call
from atila.results.senders import send
from atila.was import Was
from skitai.config import Settings
from skitai.handlers.app import AppHandler
from skitai.server.connection import Connection
from skitai.server.core import Server
from skitai.server.dispatch import Dispatcher, Site
from skitai.server.exchange import Exchange
from skitai.server.representation import Head
from skitai.wire import http1
from skitai.wire.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

REPEATS = 9
CALLS = 20_000
WIRE = b"GET /items/42?q=hello HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n\r\n"
REQUEST = Request(
    "GET", "/items/42?q=hello", "/items/42", "q=hello", "1.1", {"host": "127.0.0.1:5000"}
)

app = Atila(__name__)


@app.route("/items/<int:id>")
def item(was: Any, id: int, q: str) -> Any:
    """Answer with JSON."""
    return was.API(id=id, q=q)


class NoSink:
    """Takes requests from a parser and drops them."""

    def request_received(self, request: Request, keep_alive: bool) -> None:
        """Drop it."""


class NoChannel:
    """Takes responses from an exchange and drops them."""

    peer = ("127.0.0.1", 0)
    scheme = "http"

    def __init__(self, server: Server) -> None:
        self.server = server

    def respond(self, exchange: Exchange, head: Head, body: bytes) -> None:
        """Drop it."""


class DatagramTransport:
    """A transport whose socket takes everything at once: datagrams that nobody reads."""

    def __init__(self) -> None:
        self._reader = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._reader.bind(("127.0.0.1", 0))
        self._writer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._writer.connect(self._reader.getsockname())

    def get_extra_info(self, name: str) -> Any:
        """The socket, or the peer's address."""
        return self._writer if name == "socket" else ("127.0.0.1", 0)

    def set_write_buffer_limits(self, high: int) -> None:
        """Nothing is buffered."""


def microseconds(call: Callable[[], object]) -> float:
    """The best of several averages: other processes only ever add."""
    best = float("inf")
    for _ in range(REPEATS):
        begin = time.process_time()
        for _ in range(CALLS):
            call()
        best = min(best, (time.process_time() - begin) / CALLS)
    return best * 1e6


def stages() -> list[tuple[str, Callable[[], object]]]:
    """Name and call of each stage, in the order of a request."""
    app.home = str(Path(__file__).parent)
    app.setup(None, {})
    resolve = app.freeze("/", None)
    site = Site([], [("/", AppHandler([resolve], None))])
    loop: Any = None  # nothing here waits
    server = Server(loop, Settings(), Dispatcher({"default": site}).dispatch)
    connection = Connection(server)
    connection.connection_made(DatagramTransport())
    channel: Any = connection
    sink: Any = NoSink()
    parser = http1.RequestParser(sink, 8192, 65536, 128)
    exchange = Exchange(channel, REQUEST, True)
    nowhere: Any = NoChannel(server)
    (route,) = app.routes
    was = Was(app, exchange, route)
    dropped = Was(app, Exchange(nowhere, REQUEST, True), route)
    call = compile_call(route.function, route.signature, route.rule, True)
    result, body = API(id=42, q="hello"), b'{"id":42,"q":"hello"}'
    head = Head(200, "application/json", length=len(body))

    def bind_and_call() -> object:
        exchange.arguments, exchange.params = None, {"id": 42}
        return call(was)

    def respond() -> None:
        connection._active = exchange
        connection.respond(exchange, head, body)

    return [
        ("parse the head (llhttp alone: 0.35)", lambda: parser.feed(WIRE)),
        ("make the exchange", lambda: Exchange(channel, REQUEST, True)),
        ("find the route", lambda: resolve(exchange)),
        ("make `was`", lambda: Was(app, exchange, route)),
        ("bind arguments, call the function", bind_and_call),
        ("result to JSON and head", lambda: send(dropped, result)),
        ("encode and send (a datagram: 0.9)", respond),
        ("all of it", lambda: connection.data_received(WIRE)),
    ]


def main() -> None:
    """Print the table."""
    print("| stage | us |\n| --- | ---: |")
    for name, call in stages():
        print(f"| {name} | {microseconds(call):.2f} |")


if __name__ == "__main__":
    main()
