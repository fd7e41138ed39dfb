"""One request over HTTP/3: its stream is the channel of its exchange.

``server/http3/connection.py`` makes one per request. Methods of ``Channel`` are called from any
thread and leave what they want to the loop; what begins with ``on_`` runs there.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from skitai.errors import HTTPError
from skitai.server.access_log import CLIENT_LEFT
from skitai.server.body import MIN_BODY_RATE
from skitai.server.exchange import ClientGone, Exchange
from skitai.server.files import FileReader
from skitai.server.http3.tunnel import Http3Tunnel
from skitai.wire.http3.errors import Code
from skitai.wire.http3.fields import encode_fields, encode_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.server.files import FilePart
    from skitai.server.http3.connection import Http3Connection
    from skitai.server.representation import Fields, Head
    from skitai.server.tunnel import Receiver
    from skitai.wire.http3.fields import Section

HIGH_WATER = 512 * 1024  # bytes of a response that wait for the client before the app has to
LOW_WATER = 128 * 1024
QUIC_SIZE = 256 * 1024  # bytes of it that QUIC keeps, till they are confirmed
PIECE_SIZE = 64 * 1024  # bytes of a DATA frame


class Http3Stream:
    """The channel of one exchange.

    Parameters:
        connection: of the client.
        number: of the QUIC stream.
    """

    __slots__ = (
        "_accepted",
        "_begun",
        "_connection",
        "_early",
        "_fed",
        "_finished",
        "_number",
        "_progress",
        "_queue",
        "_since",
        "_started",
        "_trailers",
        "_tunnel",
        "_waiting",
        "exchange",
        "over",
        "peer",
        "received",
        "scheme",
        "server",
    )

    exchange: Exchange

    def __init__(self, connection: Http3Connection, number: int) -> None:
        self.server = connection.server
        self.scheme = "https"
        self.peer = connection.peer
        self.over = False  # nothing can be sent any more
        self._connection = connection
        self._number = number
        self._started = self._since = self.server.clock.now
        self.received = False  # the request is complete, or no more of it is wanted
        # the response
        self._begun = False
        self._finished = False  # the app has given everything
        self._queue: deque[bytes | memoryview] = deque()
        self._trailers: Section | None = None
        self._accepted = 0  # bytes that the app has given
        self._fed = 0  # bytes of them that QUIC has
        self._progress = 0  # unconfirmed bytes at the last check
        self._waiting: list[Callable[[], None]] = []
        # another protocol
        self._tunnel: Http3Tunnel | None = None
        self._early: list[bytes] = []

    # -- the channel: any thread

    def respond(self, exchange: Exchange, head: Head, body: bytes) -> None:
        if self._promises_a_tunnel(head):
            self._decline()
            return
        section = self._section(head, head.status)
        exchange.answered = True
        exchange.status, exchange.bytes_sent = head.status, len(body)
        self._accepted += len(body)
        self._connection.call(self._respond, section, body)

    def start(self, exchange: Exchange, head: Head) -> None:
        if self._promises_a_tunnel(head):
            self._decline()
            raise ClientGone
        section = self._section(head, head.status)
        exchange.answered = True
        exchange.status, exchange.bytes_sent = head.status, 0
        if self.over:
            raise ClientGone
        self._connection.call(self._begin, section)

    def write(self, exchange: Exchange, data: bytes) -> bool:
        if self.over:
            raise ClientGone
        exchange.bytes_sent += len(data)
        return self.send(data)

    def end(self, exchange: Exchange, trailers: Fields | None) -> None:
        self._connection.call(self._finish, encode_fields(trailers) if trailers else None)

    def abort(self, exchange: Exchange) -> None:
        exchange.gone = True
        self._connection.call(self.on_broken, Code.INTERNAL_ERROR)

    def when_writable(self, callback: Callable[[], None]) -> None:
        self._connection.call(self._await_room, callback)

    def send_file(
        self, exchange: Exchange, head: Head, descriptor: int, parts: list[FilePart]
    ) -> None:
        FileReader(exchange, descriptor, parts).start(head)

    def tunnel(self, exchange: Exchange, head: Head, receiver: Receiver) -> Http3Tunnel:
        if self.over:
            raise ClientGone
        head.length = None
        section = self._section(head, 200)
        exchange.answered = True
        exchange.status, exchange.bytes_sent = 200, 0
        self._tunnel = Http3Tunnel(self, receiver)
        self._connection.call(self._begin, section)
        self._connection.call(self._begin_tunnel)
        return self._tunnel

    def expect_body(self, exchange: Exchange) -> None:
        self._connection.call(self._continue)

    def hold_body(self, exchange: Exchange) -> None:
        self.hold()

    def resume_body(self, exchange: Exchange) -> None:
        self.resume()

    # -- for the tunnel, too

    @property
    def backlog(self) -> bool:
        """The client has not taken what was written."""
        return self._accepted - self._fed + self._unconfirmed() >= LOW_WATER

    def send(self, data: bytes) -> bool:
        """Send a piece of the body; any thread. False when the client is slow."""
        self._accepted += len(data)
        self._connection.call(self._write, data)
        return self._accepted - self._fed + self._unconfirmed() < HIGH_WATER

    def finish(self) -> None:
        """End the body."""
        self._connection.call(self._finish, None)

    def hold(self) -> None:
        """Give the client no more room on this stream; on the loop."""
        self._connection.quic.held.add(self._number)

    def resume(self) -> None:
        """Give it room again; on the loop."""
        self._connection.quic.held.discard(self._number)
        self._since = self.server.clock.now
        self._connection.wake()

    def _promises_a_tunnel(self, head: Head) -> bool:
        """Whether a handler that knows nothing of other protocols answers with success: to the
        client that would mean that it speaks them (RFC 9220, 3)."""
        return bool(self.exchange.request.protocol) and head.status < 300

    def _decline(self) -> None:
        self.exchange.fail(HTTPError(501, "this resource speaks no other protocol"))

    # -- the response, on the loop

    def _section(self, head: Head, status: int) -> Section:
        server = self.server
        return encode_head(head, head.fields, server.common_fields, status)

    def _continue(self) -> None:
        if self._can_send() and not self._begun:
            self._connection.http3.send_head(self._number, [(b":status", b"100")], False)

    def _respond(self, section: Section, body: bytes) -> None:
        if self._begun or not self._can_send():
            return
        self._begun = self._finished = True
        self._connection.http3.send_head(self._number, section, not body)
        if body:
            self._queue.append(body)
            self.on_room()
        self._answered()

    def _begin(self, section: Section) -> None:
        if not self._begun and self._can_send():
            self._begun = True
            self._connection.http3.send_head(self._number, section, False)

    def _write(self, data: bytes) -> None:
        if not self._finished and not self.over:
            self._queue.append(data)
            self.on_room()

    def _finish(self, trailers: Section | None) -> None:
        if self._finished or not self._can_send():
            return
        self._finished = True
        self._trailers = trailers
        if not self._queue:
            self._send_end()
        self._answered()

    def _send_end(self) -> None:
        http3 = self._connection.http3
        if self._trailers:
            http3.send_head(self._number, self._trailers, True)
        else:
            http3.send_data(self._number, b"", True)

    def _answered(self) -> None:
        """The app is done with it: log, and take nothing more of the request."""
        exchange = self.exchange
        self._since = self.server.clock.now
        self._connection.answered += 1
        if exchange.body is not None:
            exchange.body.close()
        self._connection.quic.held.discard(self._number)
        if not self.received:
            self.received = True
            self._connection.http3.ignore(self._number)
            self._connection.quic.stop_receiving(self._number, Code.NO_ERROR)
            if exchange.input is not None:
                exchange.input.lost()
        if self._tunnel is None and self.server.access_log is not None:
            self.server.access_log.record(exchange)

    def _can_send(self) -> bool:
        return not self.over and self._connection.quic.can_send(self._number)

    def _unconfirmed(self) -> int:
        return self._connection.quic.unconfirmed(self._number)

    def on_room(self) -> None:
        """Give QUIC as much as it should keep; tell those who wait for room."""
        queue, quic = self._queue, self._connection.quic
        while queue and quic.unconfirmed(self._number) < QUIC_SIZE:
            if not self._can_send():
                queue.clear()  # the client has just said that it wants no more
                return
            piece = queue.popleft()
            if len(piece) > PIECE_SIZE:
                view = memoryview(piece)
                piece = view[:PIECE_SIZE]
                queue.appendleft(view[PIECE_SIZE:])
            last = self._finished and not queue and not self._trailers
            self._connection.http3.send_data(self._number, piece, last)
            self._fed += len(piece)
            if self._finished and not queue and self._trailers:
                self._send_end()
        if self._waiting and not self.backlog:
            self._tell()

    def _await_room(self, callback: Callable[[], None]) -> None:
        self._waiting.append(callback)
        if self.over or not self.backlog:
            self._tell()

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    def on_confirmed(self) -> bool:
        """Whether the client has everything, and the exchange is over."""
        if self.over:
            return True
        if not self._finished or self._queue or not self._connection.quic.confirmed(self._number):
            return False
        self.over = True
        self._end_tunnel()
        self._tell()
        return True

    # -- the request, on the loop

    def on_body(self, data: bytes) -> None:
        """A piece of the body, or of the other protocol."""
        self._since = self.server.clock.now
        if self._tunnel is not None and not self._early:
            self._tunnel.receiver.received(data)
        elif self._tunnel is not None or self.exchange.request.protocol:
            self._early.append(data)
            self.hold()
        else:
            self.exchange.receive(data)

    def on_request_ended(self) -> None:
        """The client has sent everything."""
        self.received = True
        if self._tunnel is not None:
            if not self._early:
                self._tunnel.receiver.ended()
        elif not self.exchange.request.protocol:
            self.exchange.received()

    def _begin_tunnel(self) -> None:
        """What came before there was a receiver."""
        early, self._early = self._early, []
        tunnel = self._tunnel
        if tunnel is None or self.over:
            return
        if early:
            self.resume()  # first: the receiver may hold it at once
        for data in early:
            tunnel.receiver.received(data)
        if self.received and not self._finished:
            tunnel.receiver.ended()

    def on_broken(self, code: Code) -> None:
        """End it in both directions with an error."""
        if not self.over:
            self._connection.quic.break_off(self._number, code)
            self._connection.http3.ignore(self._number)
            self.on_lost()
            self._connection.wake()

    def on_lost(self) -> None:
        """The client is gone, or wants no answer."""
        if self.over:
            return
        self.over = True
        self._queue.clear()
        self._connection.quic.held.discard(self._number)
        exchange = self.exchange
        if not self._finished:
            exchange.lost()
            if self.server.access_log is not None:
                if not exchange.answered:
                    exchange.status, exchange.bytes_sent = CLIENT_LEFT, 0
                if self._tunnel is None:
                    self.server.access_log.record(exchange)
        self._end_tunnel()
        self._tell()

    def _end_tunnel(self) -> None:
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            self.exchange.gone = True
            tunnel.receiver.lost()
            if self.server.access_log is not None:
                self.server.access_log.record(self.exchange)

    # -- the clock, on the loop

    def on_check(self, now: float) -> None:
        """Act on what takes too long."""
        exchange, grace = self.exchange, self.server.settings.network_timeout
        waited = now - self._since
        unconfirmed = self._accepted - self._fed + self._unconfirmed()
        if unconfirmed:
            if unconfirmed != self._progress:
                self._progress, self._since = unconfirmed, now
            elif waited > grace:
                self.on_broken(Code.REQUEST_CANCELLED)
        elif self._tunnel is not None:
            self._tunnel.receiver.check(now)
        elif self.received or exchange.answered or exchange.request.protocol:
            return
        elif exchange.input is not None:
            if waited > grace and self._number not in self._connection.quic.held:
                exchange.input.fail(HTTPError(408, "the body took too long"))
        elif exchange.body is not None and exchange.body.wanted:
            late = now - self._started > grace + exchange.body.size / MIN_BODY_RATE
            if waited > grace or late:
                exchange.fail(HTTPError(408, "the body took too long"))
