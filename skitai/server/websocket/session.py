"""One WebSocket of one client, over any HTTP version: handshake, messages, end (RFC 6455, 8441).

Handlers make one for an exchange whose request names the protocol, and ``accept`` it.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from skitai.server.exchange import ClientGone
from skitai.server.representation import Head
from skitai.server.websocket.handshake import Handshake, HandshakeRefused
from skitai.server.websocket.options import SocketOptions
from skitai.server.websocket.sender import FrameSender
from skitai.wire.websocket.deflate import Deflater, Inflater
from skitai.wire.websocket.messages import (
    ABNORMAL,
    BINARY,
    CLOSE,
    GOING_AWAY,
    INTERNAL_ERROR,
    NORMAL,
    PING,
    PONG,
    SERVICE_RESTART,
    TEXT,
    MessageReader,
    WebSocketError,
    close_payload,
    may_be_sent,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields
    from skitai.server.tunnel import Tunnel

__all__ = ["HandshakeRefused", "SocketOptions", "WebSocket"]

log = logging.getLogger("skitai")

CLOSE_SECONDS = 5.0  # for the client's answer to our Close frame
HELD_MESSAGES = 32  # for an app that is busy, before nothing more is read
HELD_BYTES = 64 * 1024
REST_SECONDS = 10.0  # without a message, after which nothing is kept for compressing

# PERF: glibc gives the top of its heap back behind every message of 64 KB and asks for it again,
# page by page: an echo of it took 120 us of CPU time instead of 31 us. It stops doing so once it
# has seen a larger block come and go.
bytes(4 * 1024 * 1024)


class WebSocket:
    """A socket from the handshake to the end.

    Parameters:
        exchange: not answered yet; its request should name the protocol ``"websocket"``.
        options: see ``SocketOptions``.

    Raises ``HandshakeRefused``, an ``HTTPError`` with header fields, for 400, 403 and 426; nothing
    is answered then.

    Attributes:
        exchange: the request that asked for it.
        offered: the subprotocols that the client offers, in its order.
        subprotocol: the chosen one, empty for none; may be changed before ``accept``.
    """

    __slots__ = (
        "_closed",
        "_delivering",
        "_ending",
        "_handshake",
        "_heard",
        "_held",
        "_held_bytes",
        "_holding",
        "_options",
        "_pinged",
        "_reader",
        "_receive",
        "_sender",
        "_server",
        "_tunnel",
        "_used",
        "exchange",
        "offered",
        "subprotocol",
    )

    _receive: Callable[[str | bytes], None]
    _closed: Callable[[int, str], None] | None

    def __init__(self, exchange: Exchange, options: SocketOptions) -> None:
        handshake = Handshake(exchange.request, options)
        server = exchange.channel.server
        self.exchange = exchange
        self.offered = handshake.offered
        self.subprotocol = handshake.subprotocol
        self._server = server
        self._options = options
        self._handshake: Handshake | None = handshake
        self._tunnel: Tunnel | None = None
        agreed = handshake.deflate
        deflater = inflater = None
        if agreed is not None:
            deflater, inflater = Deflater(agreed), Inflater(agreed)
        self._reader = MessageReader(self, options.max_message, inflater)
        self._sender = FrameSender(server, deflater, options.max_backlog, self._cut_unread)
        # messages for an app that is busy
        self._holding = False
        self._delivering = False
        self._held: deque[str | bytes] | None = None
        self._held_bytes = 0
        self._ending: tuple[int, str] | None = None  # nothing is received behind what is held
        # times by the server's clock
        self._used = server.clock.now  # a message went either way
        self._heard = server.clock.now  # something came from the client
        self._pinged = False

    @property
    def open(self) -> bool:
        """Whether messages can still be sent, or queued before ``accept``."""
        return not self._sender.ended

    def accept(
        self,
        receive: Callable[[str | bytes], None],
        closed: Callable[[int, str], None],
        fields: Fields | None = None,
    ) -> None:
        """Answer the handshake, then send what is queued; on the loop.

        Parameters:
            receive: called on the loop with every message, in order.
            closed: called on the loop, once, with close code and reason, behind the last message;
                1005 when the client gave no code, 1006 when there was no orderly end.
            fields: header fields for the answer, such as cookies.
        """
        handshake, self._handshake = self._handshake, None
        assert handshake is not None, "accepted twice"
        self._receive, self._closed = receive, closed
        head = Head(101, fields=[*(fields or ()), *handshake.fields(self.subprotocol)])
        try:
            tunnel = self._tunnel = self.exchange.tunnel(head, self)
        except ClientGone:
            self._server.loop.call_soon(self.lost)
            return
        self._used = self._heard = self._server.clock.now
        self._sender.begin(tunnel)

    # -- sending: any thread

    def send(self, message: str | bytes) -> bool:
        """Send a text (``str``) or binary message, behind all that was sent before.

        Returns False when the client is slower than the app: wait with ``when_writable``; when
        ``max_backlog`` is reached the socket is cut off. After the end nothing is sent, and the
        result is False, too. Raises ``TypeError`` for anything else, ``UnicodeEncodeError`` for a
        text with lone surrogates.
        """
        self._used = self._server.clock.now
        if isinstance(message, str):
            return self._sender.send(TEXT, message.encode())
        if isinstance(message, (bytes, bytearray, memoryview)):
            return self._sender.send(BINARY, bytes(message))
        raise TypeError(f"a WebSocket sends str or bytes, not {type(message).__name__}")

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say the end, behind all that was sent; nothing more is received.

        Parameters:
            code: 1000 to 1003, 1007 to 1014, or 3000 to 4999 (RFC 6455, 7.4).
            reason: for the client; cut at 123 bytes.

        Raises ``ValueError`` for any other code.
        """
        if not may_be_sent(code):
            raise ValueError(f"close code {code!r} can't be sent: take 1000, or 3000 to 4999")
        self._sender.send(CLOSE, close_payload(code, reason))

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call back on the loop when the client has caught up, or the socket has ended."""
        self._sender.when_writable(callback)

    # -- receiving: on the loop

    def hold(self) -> None:
        """Call ``receive`` no more until ``resume``; on the loop.

        A few messages are read ahead, so that pings are answered; then the client has to wait.
        """
        self._holding = True

    def resume(self) -> None:
        """Receive again; on the loop."""
        self._holding = False
        if self._delivering:
            return
        self._delivering = True
        try:
            self._deliver_held()
        finally:
            self._delivering = False

    def _deliver_held(self) -> None:
        while not self._holding:
            if self._held:
                message = self._held.popleft()
                self._held_bytes -= len(message)
                self._deliver(message)
            elif self._reader.paused:
                self._read_on()
            else:
                self._held = None
                if self._ending is not None:
                    self._report()
                return

    def _read_on(self) -> None:
        self._reader.paused = False
        self._feed(b"")
        if not self._reader.paused and self._tunnel is not None:
            self._tunnel.resume()

    def message_received(self, message: str | bytes) -> None:
        if self._sender.ended and self._ending is None:
            return  # we have closed it
        self._used = self._server.clock.now
        if not self._holding and not self._held:
            self._deliver(message)
            return
        if self._held is None:
            self._held = deque()
        self._held.append(message)
        self._held_bytes += len(message)
        if self._held_bytes > HELD_BYTES or len(self._held) > HELD_MESSAGES:
            self._reader.paused = True
            if self._tunnel is not None:
                self._tunnel.hold()

    def ping_received(self, payload: bytes) -> None:
        self._used = self._server.clock.now
        self._sender.send_control(PONG, payload)

    def pong_received(self, payload: bytes) -> None:
        """That the client lives has been noted."""

    def close_received(self, code: int, reason: str) -> None:
        self._sender.send(CLOSE, close_payload(code, ""))
        self._end(code, reason)

    def _deliver(self, message: str | bytes) -> None:
        try:
            self._receive(message)
        except BaseException as exc:  # an app must not end the loop
            log.error("%s: a WebSocket failed", self.exchange.request.target, exc_info=exc)
            self.close(INTERNAL_ERROR)

    def _feed(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
        except WebSocketError as exc:
            self._sender.send(CLOSE, close_payload(exc.code, exc.reason))
            self._end(exc.code, exc.reason)

    # -- the tunnel's receiver

    def received(self, data: bytes) -> None:
        if self._ending is None:
            self._heard = self._server.clock.now
            self._feed(data)

    def ended(self) -> None:
        self._end(ABNORMAL, "the client left without closing")

    def lost(self) -> None:
        self._tunnel = None
        self._sender.lost()
        self._end(ABNORMAL, "the connection broke off")

    def check(self, now: float) -> None:
        """Look at the clock: what takes too long, who is idle, who is gone."""
        sender, options = self._sender, self._options
        if sender.blocked:
            if now - sender.progress > self._server.settings.network_timeout:
                self._cut_unread()
        elif self._ending is not None:
            return
        elif sender.ended:
            self._check_closing(now)
        elif self._server.draining:
            self.close(SERVICE_RESTART, "the server restarts")
        elif options.timeout and now - self._used > options.timeout:
            self.close(GOING_AWAY, f"idle for {options.timeout:g} seconds")
        else:
            self._check_life(now)

    def _check_closing(self, now: float) -> None:
        if now - self._sender.progress > CLOSE_SECONDS:
            self._cut("the client does not answer the end")
        elif self._reader.paused:
            self._held = None
            self._read_on()

    def _check_life(self, now: float) -> None:
        interval, silent = self._options.ping, now - self._heard
        if self._reader.paused:
            self._heard = now  # it may have said much that we have not read
        elif not interval or silent <= interval:
            self._pinged = False
        elif silent > 2 * interval:
            self._cut("the client does not answer a ping")
        elif not self._pinged:
            self._pinged = True
            self._sender.send_control(PING, b"")
        if now - self._used > REST_SECONDS:
            self._sender.rest()

    # -- the end: on the loop

    def _end(self, code: int, reason: str) -> None:
        """Nothing more is received; the tunnel ends when everything has been sent."""
        if self._ending is None:
            self._ending = (code, reason)
            self._sender.finish()
            if not self._held and not self._reader.paused:
                self._report()

    def _cut(self, reason: str) -> None:
        """End it without a word, to a client that does not listen."""
        tunnel = self._tunnel
        self._end(ABNORMAL, reason)
        if tunnel is not None:
            tunnel.close()

    def _cut_unread(self) -> None:
        self._cut("the client does not read")

    def _report(self) -> None:
        closed, self._closed = self._closed, None
        if closed is None or self._ending is None:
            return
        try:
            closed(*self._ending)
        except BaseException as exc:  # an app must not end the loop
            target = self.exchange.request.target
            log.error("%s: the end of a WebSocket failed", target, exc_info=exc)
