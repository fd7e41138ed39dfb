"""A stream of HTTP/2 that goes on in another protocol (RFC 8441): DATA frames in both directions.

A stream makes one for each extended CONNECT; it comes to life when a handler accepts the protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.server.representation import Head
from skitai.wire.http2 import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.server.http2.stream import Http2Stream
    from skitai.server.tunnel import Receiver

LINGER_SECONDS = 2.0  # for the client's end behind ours


class Http2Tunnel:
    """The way to the client over one stream; see ``server/tunnel.py:Tunnel``."""

    __slots__ = ("_begun", "_early", "_ended", "_finished_at", "_receiver", "_stream")

    def __init__(self, stream: Http2Stream) -> None:
        self._stream = stream
        self._receiver: Receiver | None = None
        self._begun = False
        self._early = bytearray()  # what came before the handler could take it
        self._ended = False
        self._finished_at: float | None = None

    # -- for the stream (on the loop)

    @property
    def accepted(self) -> bool:
        """Whether a handler has taken it over."""
        return self._receiver is not None

    def accept(self, head: Head, receiver: Receiver) -> None:
        """Answer the request with 200 and the fields of ``head``."""
        stream = self._stream
        stream.send_head(Head(200, fields=head.fields))
        self._receiver = receiver
        stream.server.loop.call_soon(self._begin)

    def _begin(self) -> None:
        stream, receiver = self._stream, self._receiver
        assert receiver is not None
        if stream.exchange.gone:
            return
        self._begun = True
        early, self._early = bytes(self._early), bytearray()
        if early:
            self.resume()  # first: the receiver may hold it at once
            receiver.received(early)
        if self._ended and not stream.exchange.gone:
            self.ended()

    def received(self, data: bytes) -> None:
        """Bytes came from the client."""
        if self._begun:
            assert self._receiver is not None
            self._receiver.received(data)
            return
        self._early += data
        self._stream.held = True

    def ended(self) -> None:
        """The client has ended its side."""
        self._ended = True
        if self._begun:
            assert self._receiver is not None
            self._receiver.ended()
            if self._finished_at is not None:
                self.finished()

    def finished(self) -> None:
        """Our side has been sent to its end."""
        stream = self._stream
        self._finished_at = stream.server.clock.now
        if not stream.receiving:
            # Not now: the handler may be in the middle of something.
            stream.server.loop.call_soon(stream.connection.dropped, stream)

    def lost(self) -> None:
        """The stream is over."""
        if self._receiver is not None:
            self._receiver.lost()

    def check(self, now: float) -> None:
        """Let the receiver look at its clocks."""
        if self._begun:
            assert self._receiver is not None
            self._receiver.check(now)
        if self._finished_at is not None and now - self._finished_at > LINGER_SECONDS:
            self._stream.connection.break_off(self._stream, frames.NO_ERROR)

    # -- the tunnel

    @property
    def backlog(self) -> bool:
        return self._stream.queued > 0 or self._stream.connection.sender.blocked

    def write(self, data: bytes) -> bool:
        return self._stream.send(data)

    def when_writable(self, callback: Callable[[], None]) -> None:
        self._stream.when_writable(callback)

    def hold(self) -> None:
        self._stream.hold_body(self._stream.exchange)

    def resume(self) -> None:
        self._stream.resume_body(self._stream.exchange)

    def finish(self) -> None:
        stream = self._stream
        with stream.connection.lock:
            ended = stream.closed or stream.tail is not None
            complete = not ended and stream.connection.sender.finish(stream, b"")
            stream.connection.flush()
        if complete:
            self.finished()

    def close(self) -> None:
        self._stream.connection.break_off(self._stream, frames.CANCEL)
