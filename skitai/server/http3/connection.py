"""One HTTP/3 client: drives its QUIC connection on the loop, and makes an exchange per request.

``server/http3/listener.py`` makes one per client and hands it the datagrams.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from aioquic.quic import events

from skitai.errors import HTTPError
from skitai.server.body import RequestBody
from skitai.server.connection import DRAIN_IDLE_SECONDS
from skitai.server.exchange import Exchange
from skitai.server.http3.stream import Http3Stream
from skitai.wire.http3.connection import Http3
from skitai.wire.http3.errors import Code, Http3Error
from skitai.wire.http3.quic import MAX_STREAMS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from skitai.net.udp import Address
    from skitai.server.http3.listener import Http3Listener
    from skitai.wire.errors import MalformedRequest
    from skitai.wire.http3.quic import Quic
    from skitai.wire.request import Request

MAX_CANCELLED = 200  # requests that a client may give up beyond those that were answered
PING_PART = 3  # a quiet connection with running requests is asked thrice within its timeout


class Http3Connection:
    """A connection with one client.

    Everything runs on the loop, but for ``call``.

    Parameters:
        listener: whose socket it has.
        quic: the connection below it.
        address: of the client.

    Attributes:
        answered: requests that were answered.
        ids: what its datagrams are addressed to.
    """

    http3: Http3

    def __init__(self, listener: Http3Listener, quic: Quic, address: Address) -> None:
        self.server = listener.server
        self.peer: tuple[str, int] = (address[0], address[1])
        self.quic = quic
        self.answered = 0
        self.ids: set[bytes] = set()
        self._listener = listener
        self._begun = self._since = self.server.clock.now
        self._heard = self._begun
        self._over = False
        self._dropped = False
        self._streams: dict[int, Http3Stream] = {}
        self._heads: dict[int, float] = {}  # since when a head is incomplete
        self._next = 0  # lowest stream that no request has come on
        self._refused_from: int | None = None
        self._leaving = False  # the client was told to open no more requests
        self._cancelled = 0
        self._calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._woken = False
        self._settling = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._thread = threading.get_ident()

    # -- from any thread

    def call(self, function: Callable[..., None], *args: Any) -> None:
        """Call on the loop, in order, and send what comes of it."""
        self._calls.append((function, args))
        self.wake()

    def wake(self) -> None:
        """Let the loop look at this connection soon."""
        if self._woken or (self._settling and threading.get_ident() == self._thread):
            return
        self._woken = True
        if threading.get_ident() == self._thread:
            self.server.loop.call_soon(self._wake)
        else:
            try:
                self.server.loop.call_soon_threadsafe(self._wake)
            except RuntimeError:
                pass  # the loop has ended, and with it the client

    def _wake(self) -> None:
        self._woken = False
        self.settle()

    # -- QUIC

    def own(self, connection_id: bytes) -> None:
        """Take the datagrams with this id."""
        self.ids.add(connection_id)
        self._listener.add(connection_id, self)

    def receive(self, data: bytes, address: Address) -> None:
        """Take a datagram; ``settle`` acts on what was in it."""
        self._heard = self.server.clock.now
        try:
            self.quic.receive_datagram(data, address, time.monotonic())
        except Exception as exc:  # whatever a datagram brings to light, others go on
            self._failed(exc)

    def settle(self) -> None:
        """Act on what has come, and send what has to be sent."""
        if self._settling:
            return
        self._settling = True
        try:
            self._take_events()
            self._run_calls()
            self._make_room()
            self._run_calls()
        except Http3Error as exc:
            self.quic.close(error_code=exc.code, reason_phrase=str(exc))
        except Exception as exc:
            self._failed(exc)
        finally:
            self._settling = False
        self._transmit()
        if self.quic.ended and not self._over:
            self._end()
        if self._calls:
            self.wake()

    def _failed(self, exc: Exception) -> None:
        if not self.quic.established:  # garbage that looked like the beginning of a connection
            self.drop()
            if not self._over:
                self._end()
            self._listener.forget(self)
            return
        self._listener.complain("a connection of HTTP/3 failed", exc)
        self.quic.close(error_code=Code.INTERNAL_ERROR)

    def _take_events(self) -> None:
        quic = self.quic
        while (event := _next_event(quic)) is not None:
            kind = type(event)
            if kind is events.StreamDataReceived:
                self._take_data(event)
            elif kind is events.StreamReset or kind is events.StopSendingReceived:
                self._take_end(event)
            elif kind is events.ConnectionIdIssued:
                self.own(event.connection_id)
            elif kind is events.ConnectionIdRetired:
                self.ids.discard(event.connection_id)
                self._listener.remove(event.connection_id)
            elif kind is events.ProtocolNegotiated:
                self.http3 = Http3(quic, self, self._listener.limits)
            elif kind is events.HandshakeCompleted:
                self._since = self.server.clock.now
                self._listener.established(self)
            elif kind is events.ConnectionTerminated:
                self._listener.forget(self)

    def _take_data(self, event: Any) -> None:
        stream = event.stream_id
        if self.quic.ended:
            return
        self.http3.receive(stream, event.data, event.end_stream)
        if self.http3.expecting(stream):
            self._heads.setdefault(stream, self.server.clock.now)
        # aioquic for Python 3.10 raises the limit before requests have ended.
        if len(self._streams) + len(self._heads) > 2 * MAX_STREAMS:
            raise Http3Error(Code.EXCESSIVE_LOAD, "too many requests at a time")

    def _take_end(self, event: Any) -> None:
        number = event.stream_id
        if self.quic.ended:
            return
        if isinstance(event, events.StreamReset):
            self.http3.reset(number)
        else:
            self.http3.stopped(number)
        stream = self._streams.get(number)
        if number & 2 or (stream is None and number < self._next):
            return
        if stream is not None and stream.received and isinstance(event, events.StreamReset):
            return  # it was told that the rest of its body is not wanted
        self._heads.pop(number, None)
        if stream is None:
            self.quic.break_off(number, Code.REQUEST_INCOMPLETE)
        else:
            stream.on_broken(Code.REQUEST_CANCELLED)
        self._cancelled += 1
        if self._cancelled > MAX_CANCELLED + self.answered:
            raise Http3Error(Code.EXCESSIVE_LOAD, "too many requests were given up")

    def _run_calls(self) -> None:
        calls = self._calls
        for _ in range(len(calls)):
            function, args = calls.popleft()
            function(*args)

    def _make_room(self) -> None:
        for number, stream in list(self._streams.items()):
            stream.on_room()
            if stream.on_confirmed():
                del self._streams[number]
                self._since = self.server.clock.now

    def _transmit(self) -> None:
        if self._dropped:
            return
        now = time.monotonic()
        send = self._listener.endpoint.send
        try:
            for data, address in self.quic.datagrams_to_send(now):
                send(data, address)
        except Exception as exc:
            self._failed(exc)
        self._arm(now)

    def _arm(self, now: float) -> None:
        if self._dropped:
            return
        at = self.quic.get_timer()
        timer = self._timer
        if at is None:
            if timer is not None:
                timer.cancel()
                self._timer = None
        elif timer is None or at < self._timer_at:
            # A timer that is early only looks again: cheaper than a new one for each datagram.
            if timer is not None:
                timer.cancel()
            self._timer_at = at
            self._timer = self.server.loop.call_later(max(0.0, at - now), self._ring)

    def _ring(self) -> None:
        self._timer = None
        now = time.monotonic()
        at = self.quic.get_timer()
        if at is not None and at <= now + 0.001:
            try:
                self.quic.handle_timer(max(now, at))
            except Exception as exc:
                self._failed(exc)
            self.settle()
        else:
            self._arm(now)

    # -- requests (see ``RequestSink``)

    def request_received(
        self, stream: int, request: Request, length: int | None, ended: bool
    ) -> None:
        exchange = self._open(stream, request)
        if exchange is None:
            return
        if not ended and not request.protocol:
            exchange.body = RequestBody(length)
        self._dispatch(exchange)
        if ended:
            self.request_ended(stream)

    def request_refused(self, stream: int, request: Request, error: MalformedRequest) -> None:
        exchange = self._open(stream, request)
        if exchange is not None:
            exchange.failure = HTTPError(error.status, str(error))
            self._dispatch(exchange)

    def body_received(self, stream: int, data: bytes) -> None:
        found = self._streams.get(stream)
        if found is not None:
            found.on_body(data)

    def request_ended(self, stream: int) -> None:
        found = self._streams.get(stream)
        if found is not None:
            found.on_request_ended()

    def request_broken(self, stream: int, code: Code) -> None:
        self._heads.pop(stream, None)
        found = self._streams.get(stream)
        if found is not None:
            found.on_broken(code)
        else:
            self.quic.break_off(stream, code)

    def _open(self, number: int, request: Request) -> Exchange | None:
        self._heads.pop(number, None)
        self._next = max(self._next, number + 4)
        if self._refused_from is not None and number >= self._refused_from:
            self.http3.ignore(number)
            self.quic.break_off(number, Code.REQUEST_REJECTED)
            return None
        stream = self._streams[number] = Http3Stream(self, number)
        exchange = stream.exchange = Exchange(stream, request, True)
        if self.server.access_log is not None:
            exchange.started = self.server.access_log.clock()
        return exchange

    def _dispatch(self, exchange: Exchange) -> None:
        try:
            if exchange.failure is None:
                self.server.dispatch(exchange)
            else:
                exchange.fail(exchange.failure)
        except BaseException as exc:  # an app must not end the loop
            exchange.crash(exc)

    # -- the end and the clock

    def _end(self) -> None:
        """Nothing comes or goes any more, whichever side has ended it."""
        self._over = True
        for stream in self._streams.values():
            stream.on_lost()
        self._streams.clear()
        self._listener.established(self)  # or never
        self.server.closed(self)

    def close(self) -> None:
        """Close at once; for the end of the worker."""
        self._leave(Code.NO_ERROR)

    def drop(self) -> None:
        """Forget it without a word."""
        self._dropped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self, code: Code) -> None:
        self.quic.close(error_code=code)
        self.settle()

    def check(self, now: float) -> None:
        """Act on what takes too long; called by the ticker."""
        server, settings = self.server, self.server.settings
        if self._over:
            return
        if not self.quic.established:
            if now - self._begun > settings.header_timeout:
                self._leave(Code.NO_ERROR)
            return
        for stream in list(self._streams.values()):
            stream.on_check(now)
        for number, since in list(self._heads.items()):
            if now - since > settings.header_timeout:
                self.http3.ignore(number)
                self.request_broken(number, Code.REQUEST_INCOMPLETE)
                self.wake()
        if server.draining:
            self._drain(now)
        elif not self._streams and now - self._since > settings.keep_alive:
            self.http3.go_away(self._next)
            self._leave(Code.NO_ERROR)
        elif self._streams and now - self._heard > self._listener.idle_timeout / PING_PART:
            self._heard = now
            self.quic.send_ping(0)
            self.wake()

    def go_away(self) -> None:
        """Ask the client to make no new requests here (RFC 9114, 5.2); those on the way count."""
        if not self._leaving and not self._over and self.quic.established:
            self._leaving = True
            self.http3.go_away()
            self.wake()

    def _drain(self, now: float) -> None:
        self.go_away()
        if now - max(self._since, self.server.draining_since) <= DRAIN_IDLE_SECONDS:
            return
        if not self._streams:
            self._leave(Code.NO_ERROR)
        elif self._refused_from is None:
            self._refused_from = self._next
            self.http3.go_away(self._next)
            self.wake()


def _next_event(quic: Quic) -> Any:
    return quic.next_event()
