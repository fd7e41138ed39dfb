"""One TCP connection that speaks HTTP/1: reads requests, writes responses, keeps the order.

The listener makes one per accepted socket. Everything runs on the loop except the methods of
``Channel``, which worker threads call too: those share state with the loop only under the output's
lock.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from skitai.errors import HTTPError
from skitai.net.output import output_of
from skitai.server.access_log import CLIENT_LEFT
from skitai.server.body import MIN_BODY_RATE, RequestBody
from skitai.server.exchange import ClientGone, Exchange
from skitai.server.files import FilePart, file_sender
from skitai.server.http2.upgrade import SPEAK_HTTP2, speak_http2
from skitai.server.tunnel import TcpTunnel
from skitai.wire import http1
from skitai.wire.errors import MalformedRequest
from skitai.wire.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.net.output import TcpOutput
    from skitai.server.core import Server
    from skitai.server.representation import Fields, Head
    from skitai.server.tunnel import Receiver
    from skitai.wire.request import UpgradeRequest

MAX_PIPELINED = 16
LINGER_SECONDS = 2.0
HALF_CLOSED_SECONDS = 1.0
DRAIN_IDLE_SECONDS = 1.0
JOIN_SIZE = 64 * 1024  # bytes; larger bodies are not copied behind their head
_CLOSE = b"Connection: close\r\n"
_KEEP = b"Connection: keep-alive\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"


class Connection:
    """An HTTP/1 connection (RFC 9112, 9).

    Requests are answered one after the other; pipelined ones wait in ``_waiting``.
    """

    __slots__ = (
        "_active",
        "_chunked",
        "_deaf",
        "_half_closed",
        "_lingering",
        "_output",
        "_parser",
        "_paused",
        "_progress",
        "_receiving",
        "_since",
        "_started",
        "_transport",
        "_waiting",
        "peer",
        "scheme",
        "server",
    )

    _output: TcpOutput

    def __init__(self, server: Server) -> None:
        settings = server.settings
        self.server = server
        self.scheme = "http"
        self.peer: tuple[str, int] = ("", 0)
        self._transport: Any = None
        self._parser = http1.RequestParser(
            self, settings.max_request_line, settings.max_header_size, settings.max_headers
        )
        self._waiting: deque[Exchange] = deque()
        self._deaf = False  # what still arrives is not for us
        self._lingering = False
        self._half_closed = False
        self._paused = False
        self._progress = 0  # at the last check: bytes that waited, or were sent
        self._since = server.clock.now  # of the phase the connection is in
        # per request
        self._active: Exchange | None = None
        self._receiving: Exchange | None = None
        self._started = 0.0  # when the client could begin to send the body
        self._chunked = False

    # -- transport events

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        peer = transport.get_extra_info("peername")
        if isinstance(peer, tuple):
            self.peer = (peer[0], peer[1])
        self._output = output_of(transport, self.server.loop)
        if not self.server.opened(self):
            self._refuse(HTTPError(503, "too many connections"))

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        parser = self._parser
        if not parser.in_message:
            self._since = self.server.clock.now
        try:
            parser.feed(data)
        except MalformedRequest as exc:
            if not self._deaf:
                self._refuse(HTTPError(exc.status, str(exc)))
        if self._receiving is not None and self._receiving in self._waiting and not self._paused:
            # How large its body may be is known when its turn comes; till then nothing piles up.
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        if (self._active is None and not self._waiting) or self._lingering:
            return False
        # A client may close only its half (RFC 9112, 9.6) or be gone: those can't be told apart,
        # so what runs gets a moment to answer.
        self._deaf = self._half_closed = True
        self._since = self.server.clock.now
        if self._receiving is not None and self._receiving.input is not None:
            self._receiving.input.lost()  # nobody would ever send the rest
        for exchange in (self._active, *self._waiting):
            if exchange is not None:
                exchange.keep_alive = exchange is not (self._waiting or [self._active])[-1]
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        output = self._output
        with output.lock:
            running, self._active = self._active, None
            waiting = list(self._waiting)
            self._waiting.clear()
            self._deaf = True
            for exchange in (running, *waiting):
                if exchange is not None:
                    exchange.gone = True
        output.lost()
        self.server.closed(self)
        if running is not None:
            running.lost()
            self._log_lost(running)
        for exchange in waiting:
            exchange.release()

    def pause_writing(self) -> None:
        """The transport keeps bytes; the output knows."""

    def resume_writing(self) -> None:
        self._since = self.server.clock.now
        self._output.resumed()

    # -- parser events

    def request_received(self, request: Request, keep_alive: bool) -> None:
        if self._deaf:
            return  # it came in one piece with a request whose answer closes the connection
        if not keep_alive:
            self._deaf = True
        self._admit(Exchange(self, request, keep_alive))

    def upgrade_received(self, request: UpgradeRequest) -> None:
        if self._deaf:
            return
        # Whatever the answer is, HTTP ends with it. What the client sends before is for the other
        # protocol.
        self._deaf = self._paused = True
        self._transport.pause_reading()
        # Not now: the parser is about to say what came behind the head.
        exchange = Exchange(self, request, False)
        if request.protocol == "h2c":
            exchange.failure = SPEAK_HTTP2
        self.server.loop.call_soon(self._admit_upgrade, exchange)

    def request_started(self, request: Request, keep_alive: bool, length: int | None) -> None:
        if self._deaf:
            return
        exchange = Exchange(self, request, keep_alive)
        exchange.body = RequestBody(length)
        self._receiving = exchange
        self._since = self._started = self.server.clock.now
        self._admit(exchange)

    def body_received(self, data: bytes) -> None:
        self._since = self.server.clock.now
        if self._receiving is not None:
            self._receiving.receive(data)

    def request_ended(self) -> None:
        exchange, self._receiving = self._receiving, None
        if exchange is None:
            return
        if not exchange.keep_alive:
            self._deaf = True
        if exchange.input is not None:
            self.resume_body(exchange)  # nobody else would, if the app does not read the rest
        exchange.received()

    def _admit(self, exchange: Exchange) -> None:
        access_log = self.server.access_log
        if access_log is not None:
            exchange.started = access_log.clock()
        # Only the loop makes an exchange active, threads only end one. So it is enough to queue
        # first and look second: whoever comes last sees the other.
        if self._active is None and not self._waiting:
            self._active = exchange
            self._begin(exchange)
            return
        self._waiting.append(exchange)
        if self._active is None:
            self._advance()
        elif len(self._waiting) >= MAX_PIPELINED and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _admit_upgrade(self, exchange: Exchange) -> None:
        if self._output.fd >= 0:
            self._admit(exchange)

    def _begin(self, exchange: Exchange) -> None:
        try:
            if exchange.failure is None:
                self.server.dispatch(exchange)
            elif exchange.failure is SPEAK_HTTP2:
                speak_http2(self, exchange, self._transport, self._output, self._parser.held or b"")
            else:
                exchange.fail(exchange.failure)
        except BaseException as exc:  # an app must not end the loop
            exchange.crash(exc)

    def _advance(self) -> None:
        if self._active is not None or not self._waiting:
            return
        exchange = self._active = self._waiting.popleft()
        self._started = self.server.clock.now
        waiting = self._waiting
        room = len(waiting) < MAX_PIPELINED and self._receiving not in waiting
        if self._paused and room and not self._deaf:
            self._paused = False
            self._transport.resume_reading()
        self._begin(exchange)

    def _refuse(self, error: HTTPError) -> None:
        """Answer what can't be served, in its turn, and close."""
        self._deaf = True
        exchange = self._receiving
        if exchange is not None and exchange is self._active:
            if exchange.input is not None:
                exchange.input.fail(error)  # whoever reads answers
            elif not exchange.answered:
                exchange.fail(error)
            return
        if exchange is not None and exchange in self._waiting:
            exchange.failure = error
            return
        exchange = Exchange(self, Request("GET", "/", "/", "", "1.1", {}), False)
        exchange.failure = error
        self._receiving = exchange
        self._admit(exchange)

    # -- the channel: any thread

    def respond(self, exchange: Exchange, head: Head, body: bytes) -> None:
        server = self.server
        # PERF: `_encode` and `release` written out: 0.4 us of 11 us a request.
        keep = exchange.keep_alive and exchange is not self._receiving and not server.draining
        if keep and head.fields is None and exchange.request.version == "1.1":
            exchange.status = head.status
            data = http1.encode_head(head, b"", server.clock.date)
        else:
            data = self._encode(exchange, head, keep, b"")
        if not keep:
            self._deaf = True  # before another request can become active
        exchange.answered = True
        output = self._output
        with output.lock:
            if self._active is not exchange:
                return  # the client left
            if len(body) < JOIN_SIZE:
                output.send(data + body)
            else:
                output.send(data)
                output.send(body)
            self._active = None
        exchange.bytes_sent = len(body)
        self._finished(exchange, keep)

    def start(self, exchange: Exchange, head: Head) -> None:
        framing = b""
        if head.length is None and head.status not in (204, 304):
            if exchange.request.version == "1.1":
                framing = _CHUNKED
            else:
                exchange.keep_alive = False
        keep = exchange.keep_alive and exchange is not self._receiving and not self.server.draining
        exchange.keep_alive = keep
        data = self._encode(exchange, head, keep, framing)
        exchange.answered = True
        exchange.bytes_sent = 0
        with self._output.lock:
            if self._active is not exchange:
                raise ClientGone
            self._chunked = bool(framing) and exchange.request.method != "HEAD"
            self._output.send(data)

    def write(self, exchange: Exchange, data: bytes) -> bool:
        output = self._output
        with output.lock:
            if self._active is not exchange:
                raise ClientGone
            exchange.bytes_sent += len(data)
            return output.send(http1.encode_chunk(data) if self._chunked else data)

    def end(self, exchange: Exchange, trailers: Fields | None) -> None:
        last = http1.encode_last_chunk(trailers) if trailers else http1.LAST_CHUNK
        with self._output.lock:
            if self._active is not exchange:
                return
            if not exchange.keep_alive:
                self._deaf = True
            if self._chunked:
                self._output.send(last)
            self._active = None
        self._finished(exchange, exchange.keep_alive)

    def abort(self, exchange: Exchange) -> None:
        exchange.gone = True
        if self._active is not exchange:
            return  # it has ended; the connection is for others now
        # A chunked body is visibly incomplete; any other ends with the connection, so that must not
        # look like an orderly end.
        abort = self._transport.abort if self._chunked else self._output.reset
        self.server.loop.call_soon_threadsafe(abort)

    def tunnel(self, exchange: Exchange, head: Head, receiver: Receiver) -> TcpTunnel:
        server = self.server
        fields = http1.encode_fields(head.fields or []) + http1.encode_upgrade(exchange.request)
        data = http1.encode_head(head, fields, server.clock.date)
        with self._output.lock:
            if self._active is not exchange:
                raise ClientGone
            self._output.send(data)
            self._active = None
        exchange.answered, exchange.status, exchange.bytes_sent = True, head.status, 0
        tunnel = TcpTunnel(server, exchange, self._transport, self._output, receiver)
        server.replaced(self, tunnel)
        self._transport.set_protocol(tunnel)
        server.loop.call_soon(tunnel.begin, self._parser.held or b"")
        del self._parser, self._waiting  # 2 KB of the 6 that an idle tunnel would take
        return tunnel

    def when_writable(self, callback: Callable[[], None]) -> None:
        self._output.when_writable(callback)

    def send_file(
        self, exchange: Exchange, head: Head, descriptor: int, parts: list[FilePart]
    ) -> None:
        file_sender(exchange, self._output, descriptor, parts).start(head)

    def expect_body(self, exchange: Exchange) -> None:
        with self._output.lock:
            self._output.send(http1.CONTINUE)

    def hold_body(self, exchange: Exchange) -> None:
        if exchange is self._receiving and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume_body(self, exchange: Exchange) -> None:
        if self._paused and exchange is self._active:
            self._paused = False
            self._transport.resume_reading()

    def _encode(self, exchange: Exchange, head: Head, keep: bool, framing: bytes) -> bytes:
        fields = framing
        if head.fields:
            fields += http1.encode_fields(head.fields)
        if not keep:
            fields += _CLOSE
        elif exchange.request.version == "1.0":
            fields += _KEEP
        exchange.status = head.status
        return http1.encode_head(head, fields, self.server.clock.date)

    def _finished(self, exchange: Exchange, keep: bool) -> None:
        server = self.server
        self._since = server.clock.now
        if exchange.body is not None:
            exchange.body.close()
        if server.access_log is not None:
            server.access_log.record(exchange)
        if not keep:
            server.loop.call_soon_threadsafe(self._shut)
        elif self._waiting:
            server.loop.call_soon_threadsafe(self._advance)
        elif self._half_closed:  # since `keep` was decided
            server.loop.call_soon_threadsafe(self._shut)

    def _log_lost(self, exchange: Exchange) -> None:
        access_log = self.server.access_log
        if access_log is None:
            return
        if not exchange.answered:
            exchange.status, exchange.bytes_sent = CLIENT_LEFT, 0
        access_log.record(exchange)

    # -- the end and the clock (on the loop)

    def _shut(self) -> None:
        """Close after the last response.

        When the client may still be sending, an immediate close would reset the connection and
        lose the response (RFC 9112, 9.6), so our half is closed first.
        """
        self._deaf = True
        receiving, self._receiving = self._receiving, None
        if receiving is not None and receiving.input is not None:
            receiving.input.lost()
        if receiving is None or self._half_closed:
            self._transport.close()
            return
        self._lingering = True
        self._since = self.server.clock.now
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()  # the client sends on, till it sees the answer
        if self._output.fd >= 0 and not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        """Close at once, whatever runs; for the end of the worker."""
        self._transport.abort()

    def check(self, now: float) -> None:
        """Act on what takes too long; called by the ticker."""
        waited = now - self._since
        settings = self.server.settings
        exchange = self._active
        if self._output.backlog:
            pending = self._output.pending()
            if pending != self._progress:
                self._progress = pending
                self._since = now
            elif waited > settings.network_timeout:
                self._transport.abort()
        elif self._lingering:
            if waited > LINGER_SECONDS:
                self._transport.abort()
        elif exchange is None:
            self._check_idle(waited)
        elif self._half_closed:
            # If the client is gone, whatever is written brings that to light; silence never would.
            sent = getattr(exchange, "bytes_sent", 0)
            if sent != self._progress:
                self._progress = sent
                self._since = now
            elif waited > HALF_CLOSED_SECONDS:
                self._transport.abort()
        elif exchange is self._receiving and not exchange.answered:
            self._check_body(exchange, now, waited)

    def _check_body(self, exchange: Exchange, now: float, waited: float) -> None:
        grace = self.server.settings.network_timeout
        if exchange.input is not None:
            # A slow app is not the client's fault.
            if waited > grace and not self._paused:
                exchange.input.fail(HTTPError(408, "the body took too long"))
        elif exchange.body is not None and exchange.body.wanted:
            late = now - self._started > grace + exchange.body.size / MIN_BODY_RATE
            if waited > grace or late:
                self._refuse(HTTPError(408, "the body took too long"))

    def _check_idle(self, waited: float) -> None:
        server = self.server
        if self._half_closed:
            # The client's end came in while a thread sent the last answer.
            if not self._waiting:
                self._transport.close()
        elif self._parser.in_message:
            if waited > server.settings.header_timeout:
                self._refuse(HTTPError(408, "the headers took too long"))
        elif server.draining:
            # Not from the last request: also a client that was idle for long may just have sent.
            if min(waited, server.clock.now - server.draining_since) > DRAIN_IDLE_SECONDS:
                self._transport.close()
        elif waited > server.settings.keep_alive:
            self._transport.close()
