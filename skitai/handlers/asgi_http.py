"""One HTTP request of an ASGI app: its ``receive`` and ``send`` (ASGI, HTTP)."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from typing import TYPE_CHECKING, Any

from skitai.errors import HTTPError
from skitai.handlers.files import send_parts
from skitai.handlers.foreign_fields import HOP_BY_HOP, IGNORED, LENGTH, TYPE, kind_of
from skitai.handlers.whole_answers import EMPTY, answer_whole
from skitai.server.exchange import ClientGone
from skitai.server.representation import Head
from skitai.server.streaming import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from skitai.server.exchange import Exchange

log = logging.getLogger("skitai")

DISCONNECT = {"type": "http.disconnect"}
NO_BODY = {"type": "http.request", "body": b"", "more_body": False}
TURN_SIZE = 1024 * 1024
_MAX_KNOWN = 512
_MAX_NAME = 256
_known: dict[bytes, tuple[str, int]] = {}


class ClientDisconnected(OSError):
    """What an app sends can't arrive any more: the client left."""


class HTTPCall:
    """A call of the app for one request.

    Parameters:
        exchange: not answered yet; ``input`` is its body, if there is one.
        limit: bytes of the body; None where there is none.
    """

    __slots__ = (
        "_ended",
        "_exchange",
        "_head",
        "_left",
        "_length",
        "_limit",
        "_read",
        "_refused",
        "_started",
        "_trailers",
        "_turn",
        "_waiting",
    )

    def __init__(self, exchange: Exchange, limit: int | None) -> None:
        self._exchange = exchange
        self._limit = limit
        self._read = exchange.input is None  # the app has the whole body
        self._head: Head | None = None
        self._length: int | None = None  # Content-Length as the app gave it
        self._left: int | None = None  # of it, bytes to come
        self._started = False
        self._ended = False
        self._refused = False  # because of its body
        self._trailers: list[tuple[str, str]] | None = None
        self._turn = 0  # bytes sent since others had theirs
        self._waiting: asyncio.Future[None] | None = None

    @property
    def complete(self) -> bool:
        """The app has given its whole response, or failed to."""
        return self._ended

    async def run(self, app: Callable[..., Any], scope: dict[str, Any]) -> None:
        """Call the app; whatever it does, the exchange is answered."""
        exchange = self._exchange
        try:
            await app(scope, self.receive, self.send)
            if not self._ended and not exchange.gone:
                raise RuntimeError("the app returned before its response was complete")
        except ClientDisconnected:
            pass
        except asyncio.CancelledError:
            if not self._ended and not exchange.gone:
                exchange.crash(RuntimeError("the app was cancelled before it had answered"))
            raise
        except BaseException as exc:  # a SystemExit must not end the loop
            self._failed(exc)

    def _failed(self, exc: BaseException) -> None:
        exchange = self._exchange
        names = exchange.request.method, exchange.request.target
        if exchange.gone or self._refused:
            log.info("%s %s: nobody waits for the app any more: %r", *names, exc)
        elif self._ended:
            log.error("%s %s failed behind its response", *names, exc_info=exc)
        else:
            self._ended = True
            exchange.crash(exc)

    # -- what the app calls

    async def receive(self) -> dict[str, Any]:
        """The next piece of the body; then the client's end, or that of the response."""
        if not self._read:
            message = await self._next_piece()
            if message is not None:
                return message
        elif self._limit is None:
            self._limit = -1  # an empty body is told once
            return NO_BODY.copy()
        await self._over()
        return DISCONNECT.copy()

    async def send(self, message: dict[str, Any]) -> None:
        """Send a piece of the response; raises ``ClientDisconnected`` when the client left."""
        if self._exchange.gone or self._refused:
            raise ClientDisconnected("the client left")
        kind = message["type"]
        try:
            if kind == "http.response.start":
                self._take_head(message)
            elif kind == "http.response.body":
                more = message.get("more_body") or self._trailers is not None
                if more or self._started or self._ended:
                    await self._send_piece(message)
                else:
                    self._send_whole(_as_bytes(message.get("body", b"")))
            else:
                self._send_rest(kind, message)
        except ClientGone:
            raise ClientDisconnected("the client left") from None

    def _send_rest(self, kind: str, message: dict[str, Any]) -> None:
        if kind == "http.response.pathsend":
            self._send_path(message["path"])
        elif kind == "http.response.trailers":
            self._send_trailers(message)
        else:
            raise RuntimeError(f"{kind!r} can't be sent in answer to a request")

    # -- the request

    async def _next_piece(self) -> dict[str, Any] | None:
        exchange = self._exchange
        assert exchange.input is not None
        assert self._limit is not None
        try:
            piece = await exchange.input.read_some()
            self._limit -= len(piece)
            if self._limit < 0:
                raise HTTPError(413, "the body is too large")
        except HTTPError as exc:
            self._read = True
            if not self._ended and not exchange.gone:
                self._ended = self._refused = True
                if exchange.answered:
                    exchange.abort()
                else:
                    exchange.fail(exc)
            return None
        self._read = exchange.input.ended
        return {"type": "http.request", "body": piece, "more_body": not self._read}

    async def _over(self) -> None:
        """Wait until the client left or the response is complete."""
        exchange = self._exchange
        if exchange.gone or self._ended:
            return
        if self._waiting is None:
            self._waiting = exchange.channel.server.loop.create_future()
            exchange.when_gone(self._wake)
        await asyncio.shield(self._waiting)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # -- the response

    def _take_head(self, message: dict[str, Any]) -> None:
        if self._head is not None:
            raise RuntimeError("'http.response.start' was sent twice")
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 999:
            raise RuntimeError(f"the status must be a number from 200 to 999, not {status!r}")
        content_type = ""
        fields = []
        for name, value in message.get("headers", ()):
            try:
                text, kind = _known[name]
            except (KeyError, TypeError):
                text, kind = _new_name(name)
            if kind == TYPE:
                content_type = value.decode("latin-1")
            elif kind == LENGTH:
                self._length = _parse_length(value)
            elif kind == HOP_BY_HOP:
                raise RuntimeError(f"the header {text} is for the server, not for an app")
            elif kind != IGNORED:
                fields.append((text, value.decode("latin-1")))
        self._head = Head(status, content_type, fields or None)
        if message.get("trailers"):
            self._trailers = []

    async def _send_piece(self, message: dict[str, Any]) -> None:
        """Send a piece of several; the first one begins the response."""
        if self._ended:
            raise RuntimeError("the response is complete already")
        if not self._started:
            self._start()
        data = _as_bytes(message.get("body", b""))
        if self._left is not None:
            if len(data) > self._left:
                raise RuntimeError("the body is longer than its Content-Length")
            self._left -= len(data)
        if data and self._taken_head().status not in EMPTY:
            await write(self._exchange, data)
            self._turn += len(data)
            if self._turn > TURN_SIZE:
                # A client that takes everything at once would leave nothing to others.
                self._turn = 0
                await asyncio.sleep(0)
        if not message.get("more_body"):
            if self._left and self._exchange.request.method != "HEAD":
                raise RuntimeError(f"the body ended {self._left} bytes before its Content-Length")
            if self._trailers is None:
                self._exchange.end()
                self._over_now()

    def _send_whole(self, body: bytes) -> None:
        length = self._length
        if not answer_whole(self._exchange, self._taken_head(), length, body):
            raise RuntimeError(f"Content-Length is {length}, but the body has {len(body)} bytes")
        self._over_now()

    def _start(self) -> None:
        head = self._taken_head()
        if head.status not in EMPTY:
            head.length = self._left = self._length
        self._exchange.start(head)
        self._started = True

    def _send_path(self, path: str) -> None:
        """Extension Path Send: let the kernel send a file."""
        if self._started or self._ended:
            raise RuntimeError("'http.response.pathsend' was sent after a part of the body")
        exchange, head = self._exchange, self._taken_head()
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(descriptor)
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise RuntimeError(f"{path} is no regular file")
        if self._length is not None and self._length != size:
            os.close(descriptor)
            raise RuntimeError(f"Content-Length is {self._length}, but {path} has {size} bytes")
        if size == 0 or head.status in EMPTY:
            os.close(descriptor)
            exchange.respond(head, b"")
        else:
            send_parts(exchange, head, descriptor, size)
        self._over_now()

    def _send_trailers(self, message: dict[str, Any]) -> None:
        if self._trailers is None or not self._started or self._ended:
            raise RuntimeError("'http.response.trailers' were not announced, or come too early")
        self._trailers += _as_text(message.get("headers", ()))
        if not message.get("more_trailers", False):
            self._exchange.end(self._trailers)
            self._over_now()

    def _over_now(self) -> None:
        self._ended = True
        if self._waiting is not None:
            self._wake()
            self._exchange.on_gone = None  # a cycle

    def _taken_head(self) -> Head:
        if self._head is None:
            raise RuntimeError("a body was sent before 'http.response.start'")
        return self._head


def _new_name(name: bytes) -> tuple[str, int]:
    text = bytes(name).decode("latin-1")
    known = text, kind_of(text)
    if len(_known) < _MAX_KNOWN and len(text) <= _MAX_NAME:
        _known[bytes(name)] = known
    return known


def _as_bytes(data: Any) -> bytes:
    return data if type(data) is bytes else bytes(data)


def _as_text(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(bytes(n).decode("latin-1"), bytes(v).decode("latin-1")) for n, v in headers]


def _parse_length(value: bytes) -> int:
    if not value.isdigit():
        raise RuntimeError(f"Content-Length must be a number of bytes, not {value!r}")
    return int(value)
