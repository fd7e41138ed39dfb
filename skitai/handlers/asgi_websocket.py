"""One websocket of an ASGI app: its ``receive`` and ``send`` (ASGI, WebSocket)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

from skitai.errors import HTTPError
from skitai.handlers.asgi_http import ClientDisconnected, HTTPCall
from skitai.server.exchange import ClientGone
from skitai.server.websocket.session import SocketOptions, WebSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.handlers.asgi_scope import ScopeMaker
    from skitai.server.exchange import Exchange

log = logging.getLogger("skitai")

# Silence is the app's business; pings find clients that are gone.
OPTIONS = SocketOptions(timeout=0)
# Kept for a busy app before the client has to wait.
HELD_MESSAGES = 32
HELD_BYTES = 64 * 1024
NO_STATUS, ABNORMAL, INTERNAL_ERROR = 1005, 1006, 1011


class WebSocketCall:
    """A call of the app for one websocket.

    Parameters:
        exchange: not answered yet; asks for a websocket.
    """

    __slots__ = (
        "_closed",
        "_denial",
        "_exchange",
        "_held",
        "_messages",
        "_news",
        "_size",
        "_socket",
        "_stage",
    )

    _socket: WebSocket

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._stage = "connecting"  # then open, closed, or denied
        self._messages: deque[dict[str, Any]] = deque(({"type": "websocket.connect"},))
        self._news: asyncio.Future[None] | None = None
        self._held = False
        self._size = 0
        self._closed: dict[str, Any] | None = None  # the message that says so
        self._denial: HTTPCall | None = None

    async def run(self, app: Callable[..., Any], scopes: ScopeMaker) -> None:
        """Call the app; whatever it does, the socket ends with it."""
        exchange = self._exchange
        try:
            self._socket = WebSocket(exchange, OPTIONS)
        except HTTPError as exc:
            exchange.fail(exc, getattr(exc, "fields", None))
            return
        exchange.when_gone(self._left)
        try:
            await app(scopes.websocket(exchange), self.receive, self.send)
            self._finish()
        except ClientDisconnected:
            pass
        except asyncio.CancelledError:
            self._finish()
            raise
        except BaseException as exc:  # a SystemExit must not end the loop
            self._failed(exc)

    def _finish(self) -> None:
        """End what the app has left open."""
        if self._stage == "open":
            self._socket.close()
        elif not self._exchange.answered and not self._exchange.gone:
            self._exchange.crash(RuntimeError("the app returned without an answer to the client"))

    def _failed(self, exc: BaseException) -> None:
        exchange = self._exchange
        if not exchange.answered and not exchange.gone:
            exchange.crash(exc)
            return
        names = exchange.request.method, exchange.request.target
        if self._stage == "open":
            log.error("%s %s failed", *names, exc_info=exc)
            self._socket.close(INTERNAL_ERROR)
        elif self._stage == "denied":
            exchange.crash(exc)
        else:
            log.info("%s %s: the socket is closed: %r", *names, exc)

    # -- what the app calls

    async def receive(self) -> dict[str, Any]:
        """The next message; behind the last one, and then always, the end."""
        while not self._messages:
            if self._closed is not None:
                return self._closed.copy()
            if self._news is None:
                self._news = self._exchange.channel.server.loop.create_future()
            await asyncio.shield(self._news)  # for all who wait; one may be cancelled
        message = self._messages.popleft()
        if self._held and not self._messages:
            self._held = False
            self._size = 0
            self._socket.resume()
        return message

    async def send(self, message: dict[str, Any]) -> None:
        """Accept, send, close or deny; raises ``ClientDisconnected`` when the socket is closed."""
        kind = message["type"]
        if self._denial is not None:
            await self._deny(message)
        elif self._stage == "connecting":
            await self._answer(kind, message)
        elif self._stage != "open":
            raise ClientDisconnected("the socket is closed")
        elif kind == "websocket.send":
            await self._send(message)
        elif kind == "websocket.close":
            self._socket.close(message.get("code", 1000), message.get("reason") or "")
            self._stage = "closed"
        else:
            raise RuntimeError(f"{kind!r} can't be sent on an open socket")

    async def _answer(self, kind: str, message: dict[str, Any]) -> None:
        if self._exchange.gone:
            raise ClientDisconnected("the client left")
        if kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self._exchange.fail(HTTPError(403))
            self._ended(ABNORMAL, "")
        elif kind == "websocket.http.response.start":
            self._stage = "denied"
            self._denial = HTTPCall(self._exchange, None)
            await self._deny(message)
        else:
            raise RuntimeError(f"{kind!r} can't be sent before 'websocket.accept'")

    def _accept(self, message: dict[str, Any]) -> None:
        socket = self._socket
        chosen = message.get("subprotocol") or ""
        if chosen and chosen not in socket.offered:
            raise RuntimeError(f"the client does not offer the subprotocol {chosen!r}")
        socket.subprotocol = chosen
        fields = [
            (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
            for name, value in message.get("headers") or ()
        ]
        if any(name.lower() == "sec-websocket-protocol" for name, _ in fields):
            raise RuntimeError("the subprotocol is for 'subprotocol', not for the headers")
        try:
            socket.accept(self._received, self._ended, fields)
        except ClientGone:
            raise ClientDisconnected("the client left") from None
        self._stage = "open"

    async def _send(self, message: dict[str, Any]) -> None:
        text, data = message.get("text"), message.get("bytes")
        if text is None and data is None:
            raise RuntimeError("'websocket.send' needs text or bytes")
        if not self._socket.send(text if text is not None else bytes(data or b"")):
            writable = asyncio.Event()
            self._socket.when_writable(writable.set)
            await writable.wait()

    async def _deny(self, message: dict[str, Any]) -> None:
        """Extension WebSocket Denial Response."""
        assert self._denial is not None
        kind = message["type"]
        if not kind.startswith("websocket.http."):
            raise RuntimeError(f"{kind!r} can't be sent in a denial response")
        await self._denial.send({**message, "type": kind.removeprefix("websocket.")})
        if self._denial.complete:
            self._ended(ABNORMAL, "")

    # -- what happens, on the loop

    def _received(self, message: str | bytes) -> None:
        kind = "text" if isinstance(message, str) else "bytes"
        self._messages.append({"type": "websocket.receive", kind: message})
        self._size = self._size + len(message) if len(self._messages) > 1 else len(message)
        if (self._size > HELD_BYTES or len(self._messages) >= HELD_MESSAGES) and not self._held:
            self._held = True
            self._socket.hold()
        self._tell()

    def _ended(self, code: int, reason: str) -> None:
        self._stage = "closed"
        self._closed = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self._tell()

    def _left(self) -> None:
        """The client left before its socket was accepted."""
        if self._closed is None and self._stage in ("connecting", "denied"):
            self._ended(ABNORMAL, "")

    def _tell(self) -> None:
        news, self._news = self._news, None
        if news is not None:
            news.set_result(None)
