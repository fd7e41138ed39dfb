"""An in-process server on a real socket, a toy app for it, and a client that speaks raw bytes.

    app = Toy()
    app.thread("/", lambda exchange: answer(exchange, b"hello"))
    with Serving(app, keep_alive=5) as serving, serving.connect() as client:
        client.send("GET / HTTP/1.1", "Host: a")
        assert client.read().body == b"hello"

Everything behind the socket is real: loop, server, dispatcher, app handler, threads. Any object
with ``freeze`` (an Atila app, too) can stand in for ``Toy``. Leaving the block ends it all; it
fails if a connection or a thread is left over, or if a callback of the loop has raised.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from unittest import mock

import uvloop

from skitai.config import Settings
from skitai.executors.threads import ThreadPool
from skitai.handlers.app import AppHandler
from skitai.handlers.interface import Mode
from skitai.net.listeners import bind_listeners
from skitai.server import core
from skitai.server.dispatch import Dispatcher, Site
from skitai.server.exchange import ClientGone, Exchange
from skitai.server.representation import Head

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from skitai.server.access_log import AccessLog

PATIENCE = 10.0  # seconds; far more than anything here takes
TICK = 0.02  # seconds between two looks at the timeouts, instead of half a second
_numbers = itertools.count(1)


def until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until the condition gives something true; that is the result."""
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.001)
    return result


def happens(event: threading.Event) -> bool:
    """Wait for an event; False when it does not come in time."""
    return event.wait(PATIENCE)


# -- the app


@dataclass
class ToyEndpoint:
    """What a path of the toy app leads to; see ``skitai.handlers.interface``."""

    run: Callable[[Exchange], Any]
    mode: Mode
    max_body: int = 1_000_000
    takes_body: bool = True
    streams_body: bool = False
    missing: bool = False


class Toy:
    """Functions that take an exchange, by exact path; any other path is 404."""

    def __init__(self) -> None:
        self.endpoints: dict[str, ToyEndpoint] = {}
        self.pool: ThreadPool | None = None

    def thread(self, path: str, run: Callable[[Exchange], Any], **options: Any) -> None:
        """Run it in a thread."""
        self.endpoints[path] = ToyEndpoint(_ignoring_absence(run), Mode.THREAD, **options)

    def loop(self, path: str, run: Callable[[Exchange], Any], **options: Any) -> None:
        """Run it on the loop; it must not block."""
        self.endpoints[path] = ToyEndpoint(run, Mode.LOOP, **options)

    def coroutine(self, path: str, run: Callable[[Exchange], Any], **options: Any) -> None:
        """Run it as a coroutine."""
        self.endpoints[path] = ToyEndpoint(_never_raising(run), Mode.COROUTINE, **options)

    def freeze(self, point: str, pool: ThreadPool | None) -> Callable[[Exchange], ToyEndpoint]:
        self.pool = pool
        missing = ToyEndpoint(lambda exchange: answer(exchange, b"", 404), Mode.LOOP, missing=True)
        return lambda exchange: self.endpoints.get(exchange.request.path, missing)


def _ignoring_absence(run: Callable[[Exchange], Any]) -> Callable[[Exchange], Any]:
    """Frameworks take a client that left for the normal end of a request."""

    def guarded(exchange: Exchange) -> None:
        try:
            run(exchange)
        except ClientGone:
            pass

    return guarded


def _never_raising(run: Callable[[Exchange], Any]) -> Callable[[Exchange], Any]:
    """What the engine asks of a coroutine."""

    async def guarded(exchange: Exchange) -> None:
        try:
            await run(exchange)
        except ClientGone:
            pass
        except Exception as exc:
            exchange.crash(exc)

    return guarded


class Gate:
    """A handler that waits in its thread until ``opened`` is set, then answers with its name.

    Attributes:
        entered: set when it runs.
        calls: how often it ran.
    """

    def __init__(self, name: str = "gate") -> None:
        self.name = name
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.calls = 0

    def __call__(self, exchange: Exchange) -> None:
        self.calls += 1
        self.entered.set()
        assert happens(self.opened), f"nobody opened {self.name}"
        answer(exchange, self.name.encode())


def answer(
    exchange: Exchange, body: bytes, status: int = 200, kind: str = "text/plain", **fields: str
) -> None:
    """Respond; keywords are headers, with ``_`` for ``-``."""
    pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
    exchange.respond(Head(status, kind, pairs or None), body)


# -- the server


class Serving:
    """Serves an app from a thread of this process, on 127.0.0.1 at a free port.

    Parameters:
        app: has ``freeze``.
        threads: size of the thread pool; 0 for none.
        log: an access log.
        tls: what connections are encrypted with.
        settings: any other setting, e.g. ``keep_alive=1``.

    Attributes:
        server, pool, loop: the parts, to look at.
        address: where it listens.
    """

    def __init__(
        self,
        app: Any,
        *,
        threads: int = 4,
        log: AccessLog | None = None,
        tls: ssl.SSLContext | None = None,
        **settings: Any,
    ) -> None:
        self.settings = Settings(
            address="127.0.0.1", port=0, threads=threads, access_log=False, **settings
        )
        self._app = app
        self._log = log
        self._tls = tls
        self._clients: list[Client] = []
        self._failures: list[dict[str, Any]] = []
        self._ready = threading.Event()
        self._name = f"serving-{next(_numbers)}"
        self._thread = threading.Thread(target=self._run, name=self._name)
        self._patch = mock.patch.object(core, "TICK_SECONDS", TICK)

    def __enter__(self) -> Serving:
        self._patch.start()
        (self._listener,) = bind_listeners(self.settings.address, 0)
        self.address: tuple[str, int] = self._listener.getsockname()
        self.pool = None
        if self.settings.threads:
            self.pool = ThreadPool(self.settings.threads, self.settings.max_queued, self._name)
        handler = AppHandler([self._app.freeze("/", self.pool)], self.pool)
        self._dispatcher = Dispatcher({"default": Site([], [("/", handler)])})
        self._thread.start()
        assert happens(self._ready), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        drained = asyncio.run_coroutine_threadsafe(self.server.drain(PATIENCE), self.loop)
        try:
            assert drained.result(2 * PATIENCE), "connections were left over"
        finally:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(PATIENCE)
            if self.pool is not None:
                self.pool.stop(PATIENCE)
            self._patch.stop()
        names = [thread.name for thread in threading.enumerate()]
        left = [name for name in names if name.startswith(self._name)]
        assert not left, f"threads were left over: {left}"
        assert not self._failures, f"callbacks of the loop failed: {self._failures}"

    def _run(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self._failures.append(context))
        self.server = core.Server(
            self.loop, self.settings, self._dispatcher.dispatch, self._log, self._tls
        )
        self.loop.run_until_complete(self.server.listen([self._listener]))
        self.loop.call_soon(self._ready.set)
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        finally:
            self.loop.close()

    def connect(self, receive_buffer: int = 0) -> Client:
        """A new connection, closed at the end at the latest.

        Parameters:
            receive_buffer: bytes the kernel may hold for the client, for slow readers; 0: default.
        """
        client = Client(self.address, receive_buffer)
        self._clients.append(client)
        return client

    def get(self, target: str, *headers: str) -> Response:
        """Answer to one GET on a connection of its own."""
        with self.connect() as client:
            return client.get(target, *headers)

    @property
    def connections(self) -> int:
        """Connections that the server has open."""
        return len(self.server._connections)


# -- the client


@dataclass
class Response:
    """A response as it came; ``framing`` is ``length``, ``chunked``, ``close`` or ``none``."""

    status: int
    reason: str
    version: str
    fields: list[tuple[str, str]]
    framing: str = "none"
    body: bytes = b""
    chunks: list[bytes] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        """The header of that name; it must not be there twice."""
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} is there {len(values)} times: {values}"
        return values[0] if values else None

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        assert value is not None, f"no header {name} in {self.fields}"
        return value


class Client:
    """A socket that writes what it is told and reads responses strictly."""

    def __init__(self, address: tuple[str, int], receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(address)
        self.received = bytearray()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def secure(self, context: ssl.SSLContext) -> Client:
        """Go on over TLS."""
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        return self

    # -- sending

    def send(self, *lines: str, body: bytes = b"") -> None:
        """Send a head, given as its lines, and a body."""
        self.write("\r\n".join((*lines, "", "")).encode("latin-1") + body)

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def get(self, target: str, *headers: str) -> Response:
        """GET on this connection."""
        self.send(f"GET {target} HTTP/1.1", "Host: a", *headers)
        return self.read()

    def half_close(self) -> None:
        """Say that nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave at once, so that the server sees it at once."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        """Leave."""
        self.socket.close()

    # -- receiving

    def read(self, method: str = "GET") -> Response:
        """The next response with its body; interim responses (1xx) are responses of their own.

        Raises ``ConnectionError`` when the connection ends before the response does.
        """
        response = self.read_head()
        if response.status < 200 or response.status in (204, 304) or method == "HEAD":
            return response
        coding, length = response.get("transfer-encoding"), response.get("content-length")
        assert coding is None or length is None, "both Transfer-Encoding and Content-Length"
        if coding is not None:
            assert coding == "chunked"
            response.framing = "chunked"
            while chunk := self.read_chunk():
                response.chunks.append(chunk)
            response.body = b"".join(response.chunks)
        elif length is not None:
            response.framing = "length"
            response.body = self.take(int(length))
        else:
            response.framing = "close"
            response.body = self.read_rest()
        return response

    def read_head(self) -> Response:
        """The head of the next response; its body is left to ``read_chunk`` or ``take``."""
        head = self.take_until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        found = re.fullmatch(r"HTTP/(1\.[01]) ([1-9][0-9]{2}) ([^\r\n]*)", first)
        assert found, f"no status line: {first!r}"
        fields = []
        for line in lines:
            pair = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([^\r\n\0]*)", line)
            assert pair, f"no header: {line!r}"
            fields.append((pair[1], pair[2]))
        return Response(int(found[2]), found[3], found[1], fields)

    def read_chunk(self) -> bytes:
        """The next chunk of a chunked body; empty for the last."""
        size = int(self.take_until(b"\r\n"), 16)
        data = self.take(size)
        assert self.take(2) == b"\r\n"
        return data

    def read_rest(self) -> bytes:
        """Everything until the server closes; ``ConnectionResetError`` when it breaks off."""
        while self._receive():
            pass
        return self.take(len(self.received))

    def take(self, size: int) -> bytes:
        """Exactly that many bytes."""
        while len(self.received) < size:
            self._need()
        data = bytes(self.received[:size])
        del self.received[:size]
        return data

    def take_until(self, mark: bytes) -> bytes:
        """What comes before a mark; the mark is dropped."""
        while (at := self.received.find(mark)) < 0:
            self._need()
        return self.take(at + len(mark))[:at]

    def is_closed(self) -> bool:
        """True when the server closes now, in order and without another byte."""
        return not self.received and not self._receive()

    def _need(self) -> None:
        if not self._receive():
            raise ConnectionError(f"the connection ended after {bytes(self.received[:200])!r}")

    def _receive(self) -> bool:
        data = self.socket.recv(1 << 20)
        self.received += data
        return bool(data)
