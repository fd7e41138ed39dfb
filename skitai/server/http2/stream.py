"""One request on an HTTP/2 connection, and its answer: the channel of one exchange.

``server/http2/connection.py`` makes one per stream. The methods of ``Channel`` may be called from
any thread; they share state with the loop only under the connection's lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.errors import HTTPError
from skitai.server.access_log import CLIENT_LEFT
from skitai.server.body import MIN_BODY_RATE, RequestBody
from skitai.server.exchange import ClientGone, Exchange
from skitai.server.files import FilePart, FileReader
from skitai.server.http2.tunnel import LINGER_SECONDS, Http2Tunnel
from skitai.wire.hpack.encoder import CONTINUE_BLOCK, encode_common, encode_fields, encode_head
from skitai.wire.http1 import UPGRADES
from skitai.wire.http2 import frames
from skitai.wire.http2.connection import STREAM_WINDOW
from skitai.wire.http2.sending import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.server.core import Server
    from skitai.server.http2.connection import Http2Connection
    from skitai.server.representation import Fields, Head
    from skitai.server.tunnel import Receiver
    from skitai.wire.http2.requests import RequestHead


class Http2Stream(Stream):
    """A stream of a client (RFC 9113, 5), and the channel of its exchange.

    Attributes:
        connection: whose stream it is.
        exchange: the request being answered.
    """

    __slots__ = (
        "_arrived",
        "_began",
        "_finished_at",
        "_over",
        "_progress",
        "_since",
        "_tunnel",
        "_writable",
        "connection",
        "exchange",
        "peer",
        "scheme",
        "server",
    )

    def __init__(
        self, connection: Http2Connection, stream_id: int, head: RequestHead, receiving: bool
    ) -> None:
        super().__init__(stream_id, receiving, head.length, STREAM_WINDOW)
        server = connection.server
        self.connection = connection
        self.server: Server = server
        self.peer = connection.peer
        self.scheme = connection.scheme
        self.exchange = Exchange(self, head.request("2.0"), True)
        self._tunnel: Http2Tunnel | None = None
        self._writable: list[Callable[[], None]] = []
        self._over = False  # complete or lost, and everybody told; under the lock
        # for `check`
        self._began = self._since = server.clock.now
        self._finished_at = self._began
        self._arrived = 0
        self._progress = 0

    # -- what the client sends (on the loop)

    def begin(self, head: RequestHead) -> None:
        """Hand the request on."""
        exchange = self.exchange
        server = self.server
        if server.access_log is not None:
            exchange.started = server.access_log.clock()
        if head.protocol:
            self._tunnel = Http2Tunnel(self)
        elif self.receiving:
            exchange.body = RequestBody(head.length)
        try:
            if head.refusal is not None:
                exchange.fail(HTTPError(head.refusal.status, str(head.refusal)))
            elif head.protocol and head.protocol not in UPGRADES:
                exchange.fail(HTTPError(501, "this protocol is not spoken here"))
            else:
                server.dispatch(exchange)
        except BaseException as exc:  # an app must not end the loop
            exchange.crash(exc)

    def body_received(self, data: bytes) -> None:
        """A piece of the body, or of what goes through a tunnel."""
        if self._tunnel is None:
            self.exchange.receive(data)
        else:
            self._tunnel.received(data)

    def request_ended(self) -> None:
        """The client has ended its side of the stream."""
        with self.connection.lock:
            over = self._over
        if over:
            self.connection.finished(self)
        elif self._tunnel is None:
            self.exchange.received()
        else:
            self._tunnel.ended()

    def half_closed(self) -> None:
        """The client will send nothing more on the connection."""
        if not self.receiving:
            return
        self.receiving = False
        with self.connection.lock:
            over = self._over
        if over:
            self.connection.finished(self)
        elif self._tunnel is not None:
            self._tunnel.ended()
        elif self.exchange.input is not None:
            self.exchange.input.lost()

    def lost(self) -> None:
        """The stream was reset, or the connection is gone. Nothing happens when it had ended."""
        exchange = self.exchange
        connection = self.connection
        with connection.lock:
            if self._over:
                return
            self._over = exchange.gone = True
            if not exchange.answered:
                connection.unanswered -= 1
                exchange.status, exchange.bytes_sent = CLIENT_LEFT, 0
        if self._tunnel is None or not self._tunnel.accepted:
            exchange.lost()
        else:
            self._tunnel.lost()
        if self.server.access_log is not None:
            self.server.access_log.record(exchange)
        self._call_back()

    # -- the channel: any thread

    def respond(self, exchange: Exchange, head: Head, body: bytes) -> None:
        if self._tunnel is not None and head.status < 300:
            self._decline()
            return
        connection = self.connection
        block = encode_head(head, encode_common(self.server.clock.date), head.fields)
        with connection.lock:
            if self.closed or self.tail is not None:
                return  # the client left, or there is an answer that waits
            exchange.answered = True
            exchange.status = head.status
            exchange.bytes_sent = len(body)
            connection.unanswered -= 1
            complete = connection.sender.respond(self, block, body)
            self._over = complete
            connection.flush()
        if complete:
            self._finished()

    def start(self, exchange: Exchange, head: Head) -> None:
        if self._tunnel is not None and head.status < 300:
            self._decline()
            raise ClientGone
        self.send_head(head)

    def send_head(self, head: Head) -> None:
        """Begin a response, or what a tunnel sends. Raises ``ClientGone``."""
        exchange = self.exchange
        block = encode_head(head, encode_common(self.server.clock.date), head.fields)
        connection = self.connection
        with connection.lock:
            if self.closed:
                raise ClientGone
            exchange.answered = True
            exchange.status = head.status
            exchange.bytes_sent = 0
            connection.unanswered -= 1
            connection.sender.headers(self, block)
            connection.flush()

    def write(self, exchange: Exchange, data: bytes) -> bool:
        if self.closed:
            raise ClientGone
        return self.send(data)

    def send(self, data: bytes) -> bool:
        """Send a piece; False when the client is slower than the app, or gone."""
        connection = self.connection
        with connection.lock:
            if self.closed or self.tail is not None:
                return False
            self.exchange.bytes_sent += len(data)
            connection.sender.write(self, data)
            connection.flush()
            return not self.queued and not connection.sender.blocked

    def end(self, exchange: Exchange, trailers: Fields | None) -> None:
        block = encode_fields(trailers) if trailers else b""
        connection = self.connection
        with connection.lock:
            if self.closed or self.tail is not None:
                return
            complete = connection.sender.finish(self, block)
            self._over = complete
            connection.flush()
        if complete:
            self._finished()

    def abort(self, exchange: Exchange) -> None:
        exchange.gone = True
        connection = self.connection
        with connection.lock:
            if self.closed:
                return  # it has ended
            connection.reset(self, frames.INTERNAL_ERROR)
            connection.flush()
        self.server.loop.call_soon_threadsafe(connection.dropped, self)

    def tunnel(self, exchange: Exchange, head: Head, receiver: Receiver) -> Http2Tunnel:
        tunnel = self._tunnel
        assert tunnel is not None, "the client has not asked for another protocol"
        tunnel.accept(head, receiver)
        return tunnel

    def when_writable(self, callback: Callable[[], None]) -> None:
        with self.connection.lock:
            waits = self.queued > 0
            if waits:
                self._writable.append(callback)
        if not waits:
            self.connection.when_writable(callback)

    def send_file(
        self, exchange: Exchange, head: Head, descriptor: int, parts: list[FilePart]
    ) -> None:
        FileReader(exchange, descriptor, parts).start(head)

    def expect_body(self, exchange: Exchange) -> None:
        with self.connection.lock:
            if not self.closed:
                self.connection.sender.headers(self, CONTINUE_BLOCK)
                self.connection.flush()

    def hold_body(self, exchange: Exchange) -> None:
        self.held = True

    def resume_body(self, exchange: Exchange) -> None:
        if self.held:
            connection = self.connection
            connection.receiver.resume(self)
            with connection.lock:
                connection.flush()  # nothing else may happen here until the client can send

    # -- the end

    def _decline(self) -> None:
        """Answer for a handler that knows nothing of other protocols: a success would mean to the
        client that it speaks them (RFC 8441, 5)."""
        self.exchange.fail(HTTPError(501, "this resource speaks no other protocol"))

    def _finished(self) -> None:
        """The response has been sent, and the lock is free; any thread."""
        exchange = self.exchange
        server = self.server
        if exchange.input is not None:
            server.loop.call_soon_threadsafe(exchange.input.lost)  # if it is not complete
        if exchange.body is not None:
            exchange.body.close()
        if server.access_log is not None:
            server.access_log.record(exchange)
        if self.receiving:
            # The client is not cut off in the middle of its body: some look at the answer only
            # behind it, or take a reset for a failure (RFC 9113, 8.1).
            self._finished_at = server.clock.now
            server.loop.call_soon_threadsafe(self.connection.receiver.resume, self)
        else:
            self.connection.finished(self)

    def emptied(self) -> None:
        """What waited has been sent (on the loop)."""
        tunnel = self._tunnel
        with self.connection.lock:
            complete = self.closed and not self._over
            if complete and (tunnel is None or not tunnel.accepted):
                tunnel = None
                self._over = True
        if complete and tunnel is not None:
            tunnel.finished()
        elif complete:
            self._finished()
        self._call_back()

    def _call_back(self) -> None:
        with self.connection.lock:
            if self.queued:
                return
            callbacks, self._writable = self._writable, []
        for callback in callbacks:
            callback()

    # -- the clock (on the loop)

    def check(self, now: float) -> None:
        """Act on what takes too long."""
        if self._over:
            if self.receiving and now - self._finished_at > LINGER_SECONDS:
                self.connection.break_off(self, frames.NO_ERROR)
            return
        waited = now - self._since
        timeout = self.server.settings.network_timeout
        if self._tunnel is not None:
            self._tunnel.check(now)
        if self.queued:
            if self.queued != self._progress:
                self._progress = self.queued
                self._since = now
            elif waited > timeout:
                self.connection.break_off(self, frames.CANCEL)  # the client does not read
        elif self.receiving and self._tunnel is None and not self.exchange.answered:
            self._check_body(now, timeout)

    def _check_body(self, now: float, timeout: float) -> None:
        stream_id, unread = self.connection.receiver.unread
        arrived = self.received + (unread if stream_id == self.id else 0)
        if arrived != self._arrived or self.held:
            self._arrived = arrived
            self._since = now
        idle = now - self._since > timeout
        exchange = self.exchange
        if exchange.input is not None:
            if idle:
                exchange.input.fail(HTTPError(408, "the body took too long"))
        elif exchange.body is None or not exchange.body.wanted:
            return  # the answer does not wait for it
        elif idle or now - self._began > timeout + arrived / MIN_BODY_RATE:
            exchange.fail(HTTPError(408, "the body took too long"))
