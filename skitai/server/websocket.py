"""One WebSocket of one client, over any HTTP version: handshake, messages, end (RFC 6455, 8441).

Handlers make one for an exchange whose request names the protocol, and ``accept`` it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from skitai.server.exchange import ClientGone
from skitai.server.representation import Head
from skitai.server.websocket_handshake import Handshake, HandshakeRefused
from skitai.server.websocket_options import SocketOptions
from skitai.wire.websocket import (
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
    encode_frame,
    may_be_sent,
)
from skitai.wire.websocket_deflate import Deflater, Inflater

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
PIECE = 128 * 1024  # bytes of a frame that are written at once, so that progress can be seen
QUEUED_BYTES = 64 * 1024  # that wait behind other threads before these are asked to wait, too
QUEUED_COST = 128  # bytes that a queued message takes besides its own
TURNS = 64  # frames that a thread sends for others before it hands over
MIN_DEFLATED = 64  # bytes; shorter messages are sent as they are
REST_SECONDS = 10.0  # without a message, after which nothing is kept for compressing

_CONNECTING, _OPEN, _CLOSING, _ENDING, _CLOSED = range(5)


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
        "_blocked",
        "_busy",
        "_closed",
        "_deflater",
        "_delivering",
        "_drained",
        "_ending",
        "_handshake",
        "_heard",
        "_held",
        "_held_bytes",
        "_holding",
        "_lock",
        "_options",
        "_pinged",
        "_pong",
        "_progress",
        "_queue",
        "_reader",
        "_receive",
        "_rest",
        "_server",
        "_state",
        "_tunnel",
        "_used",
        "_waiting",
        "exchange",
        "offered",
        "subprotocol",
    )

    _tunnel: Tunnel
    _receive: Callable[[str | bytes], None]
    _closed: Callable[[int, str], None] | None

    def __init__(self, exchange: Exchange, options: SocketOptions) -> None:
        handshake = Handshake(exchange.request, options)
        self.exchange = exchange
        self.offered = handshake.offered
        self.subprotocol = handshake.subprotocol
        self._server = exchange.channel.server
        self._options = options
        self._handshake: Handshake | None = handshake
        agreed = handshake.deflate
        inflater = None if agreed is None else Inflater(agreed)
        self._reader = MessageReader(self, options.max_message, inflater)
        self._deflater = None if agreed is None else Deflater(agreed)
        # what is sent: the lock guards it
        self._lock = threading.Lock()
        self._state = _CONNECTING
        self._busy = True  # somebody is sending, or nobody can
        self._blocked = False  # the client is slower than the app
        self._queue: deque[tuple[int, bytes]] | None = None
        self._waiting = 0  # bytes that the queue takes
        self._pong: bytes | None = None
        self._rest: memoryview | None = None  # of a frame that was written in part
        self._drained: list[Callable[[], object]] = []
        # what is received: on the loop
        self._holding = False
        self._delivering = False
        self._held: deque[str | bytes] | None = None  # messages for an app that is busy
        self._held_bytes = 0
        self._ending: tuple[int, str] | None = None  # to be reported behind what is held
        # times by the server's clock
        now = self._server.clock.now
        self._used = now  # a message went either way
        self._heard = now  # something came from the client
        self._progress = now  # the client took something, or our Close frame was sent
        self._pinged = False

    @property
    def open(self) -> bool:
        """Whether messages can still be sent, or queued before ``accept``."""
        return self._state <= _OPEN

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
            self._tunnel = self.exchange.tunnel(head, self)
        except ClientGone:
            self._server.loop.call_soon(self.lost)
            return
        self._used = self._heard = self._progress = self._server.clock.now
        with self._lock:
            if self._state == _CONNECTING:
                self._state = _OPEN
        self._go_on()

    # -- sending: any thread

    def send(self, message: str | bytes) -> bool:
        """Send a text (``str``) or binary message, behind all that was sent before.

        Returns False when the client is slower than the app: wait with ``when_writable``, or the
        socket is cut off when ``max_backlog`` is reached. After the end nothing is sent, and the
        result is False, too. Raises ``TypeError`` for anything else, ``UnicodeEncodeError`` for a
        text with lone surrogates.
        """
        if isinstance(message, str):
            return self._transmit(TEXT, message.encode())
        if isinstance(message, (bytes, bytearray, memoryview)):
            return self._transmit(BINARY, bytes(message))
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
        self._transmit(CLOSE, close_payload(code, reason))

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call back on the loop when the client has caught up, or the socket has ended."""
        with self._lock:
            if self._state < _CLOSED and (self._blocked or self._waiting > QUEUED_BYTES):
                self._drained.append(callback)
                return
        self._server.loop.call_soon_threadsafe(callback)

    def _transmit(self, opcode: int, payload: bytes) -> bool:
        with self._lock:
            if self._state > _OPEN:
                return False
            self._used = self._server.clock.now
            if opcode == CLOSE:
                self._progress = self._used
                self._state = _CLOSING
            if self._busy:
                return self._enqueue(opcode, payload)
            self._busy = True
        return self._write(opcode, payload)

    def _enqueue(self, opcode: int, payload: bytes) -> bool:
        if self._queue is None:
            self._queue = deque()
        self._queue.append((opcode, payload))
        self._waiting += len(payload) + QUEUED_COST
        if not self._blocked:
            return self._waiting <= QUEUED_BYTES
        if self._waiting > self._options.max_backlog:
            self._state = _CLOSING
            self._server.loop.call_soon_threadsafe(self._cut, "the client does not read")
        return False

    def _write(self, opcode: int, payload: bytes) -> bool:
        """Send a frame and what is queued by then; who calls it has made the socket busy."""
        turns = TURNS
        while True:
            deflater = self._deflater
            deflates = deflater is not None and opcode <= BINARY and len(payload) >= MIN_DEFLATED
            if deflater is not None and deflates:
                payload = deflater.deflate(payload)
            frame = encode_frame(opcode, payload, deflates)
            if not (self._tunnel.write(frame) if len(frame) <= PIECE else self._write_long(frame)):
                return self._block()
            turns -= 1
            if not turns:
                self._server.loop.call_soon_threadsafe(self._go_on)
                return True
            following = self._next()
            if following is None:
                return True
            opcode, payload = following

    def _write_long(self, data: bytes | memoryview) -> bool:
        """Write in pieces, keep the rest when the client can't take more."""
        view = memoryview(data)
        while view:
            piece, view = view[:PIECE], view[PIECE:]
            if not self._tunnel.write(bytes(piece)):
                self._rest = view or None
                return False
        self._rest = None
        return True

    def _block(self) -> bool:
        with self._lock:
            self._blocked = True
            self._progress = self._server.clock.now
        self._tunnel.when_writable(self._go_on)
        return False

    def _next(self) -> tuple[int, bytes] | None:
        """What is to be sent next; if that is nothing, the socket is not busy any more."""
        with self._lock:
            if self._pong is not None:
                payload, self._pong = self._pong, None
                return PONG, payload
            if self._queue:
                following = self._queue.popleft()
                self._waiting -= len(following[1]) + QUEUED_COST
                return following
            self._queue = None
            self._busy = False
            if self._drained or self._state == _ENDING:
                self._server.loop.call_soon_threadsafe(self._caught_up)
            return None

    # -- sending: on the loop

    def _go_on(self) -> None:
        """The client can take more."""
        with self._lock:
            if self._state == _CLOSED:
                return
            self._blocked = False
            self._progress = self._server.clock.now
        if self._rest is not None and not self._write_long(self._rest):
            self._block()
            return
        following = self._next()
        if following is not None:
            self._write(*following)

    def _caught_up(self) -> None:
        with self._lock:
            callbacks, self._drained = self._drained, []
            ending = self._state == _ENDING
        if ending:
            self._tunnel.finish()
        for callback in callbacks:
            callback()

    # -- receiving

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
                self._reader.paused = False
                self._feed(b"")
                if not self._reader.paused and self._state < _CLOSED:
                    self._tunnel.resume()
            else:
                self._held = None
                if self._ending is not None:
                    self._report(*self._ending)
                return

    def message_received(self, message: str | bytes) -> None:
        if self._state != _OPEN and self._ending is None:
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
            if self._state < _CLOSED:
                self._tunnel.hold()

    def ping_received(self, payload: bytes) -> None:
        with self._lock:
            if self._state > _OPEN:
                return
            self._used = self._server.clock.now
            if self._busy:
                self._pong = payload  # answers those before it, too (RFC 6455, 5.5.3)
                return
            self._busy = True
        self._write(PONG, payload)

    def pong_received(self, payload: bytes) -> None:
        """That the client lives has been noted."""

    def close_received(self, code: int, reason: str) -> None:
        self._transmit(CLOSE, close_payload(code, ""))
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
            self._transmit(CLOSE, close_payload(exc.code, exc.reason))
            self._end(exc.code, exc.reason)

    # -- the end: on the loop

    def _end(self, code: int, reason: str) -> None:
        """Nothing more is received; the tunnel ends when everything has been sent."""
        with self._lock:
            if self._state >= _ENDING:
                return
            self._state = _ENDING
            finish = not self._busy
        if finish:
            self._tunnel.finish()
        self._report_in_turn(code, reason)

    def _cut(self, reason: str) -> None:
        """End it without a word to a client that does not listen."""
        self._report_in_turn(ABNORMAL, reason)
        self._tunnel.close()

    def _report_in_turn(self, code: int, reason: str) -> None:
        if self._ending is not None:
            return
        self._ending = (code, reason)
        if not self._held and not self._reader.paused:
            self._report(code, reason)

    def _report(self, code: int, reason: str) -> None:
        closed, self._closed = self._closed, None
        if closed is None:
            return
        try:
            closed(code, reason)
        except BaseException as exc:  # an app must not end the loop
            log.error(
                "%s: the end of a WebSocket failed", self.exchange.request.target, exc_info=exc
            )

    # -- the tunnel's receiver

    def received(self, data: bytes) -> None:
        if self._state < _ENDING:
            self._heard = self._server.clock.now
            self._feed(data)

    def ended(self) -> None:
        self._end(ABNORMAL, "the client left without closing")

    def lost(self) -> None:
        with self._lock:
            self._state = _CLOSED
            self._queue = self._rest = self._pong = None
            callbacks, self._drained = self._drained, []
        self._report_in_turn(ABNORMAL, "the connection broke off")
        for callback in callbacks:
            callback()

    def check(self, now: float) -> None:
        """Look at the clock: what takes too long, who is idle, who is gone."""
        state, options = self._state, self._options
        if self._blocked:
            if now - self._progress > self._server.settings.network_timeout:
                self._cut("the client does not read")
        elif state == _CLOSING:
            self._check_closing(now)
        elif state != _OPEN:
            return
        elif self._server.draining:
            self.close(SERVICE_RESTART, "the server restarts")
        elif options.timeout and now - self._used > options.timeout:
            self.close(GOING_AWAY, f"idle for {options.timeout:g} seconds")
        else:
            self._check_life(now)

    def _check_closing(self, now: float) -> None:
        if now - self._progress > CLOSE_SECONDS:
            self._cut("the client does not answer the end")
        elif self._reader.paused:
            self._held = None
            self._reader.paused = False
            self._feed(b"")
            self._tunnel.resume()

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
            self._ping()
        if self._deflater is not None and now - self._used > REST_SECONDS:
            with self._lock:
                if not self._busy:
                    self._deflater.rest()

    def _ping(self) -> None:
        with self._lock:
            if self._busy:
                return
            self._busy = True
        self._write(PING, b"")
