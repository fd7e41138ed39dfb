"""What an exchange becomes when both sides go on in another protocol: bytes in both directions.

A handler asks for one with ``Exchange.tunnel``; each HTTP version has its own, ``TcpTunnel`` is
that of HTTP/1.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.net.output import TcpOutput
    from skitai.server.core import Server
    from skitai.server.exchange import Exchange


class Receiver(Protocol):
    """The handler's end of a tunnel; everything is called on the loop."""

    def received(self, data: bytes) -> None:
        """Bytes came from the client."""

    def ended(self) -> None:
        """The client will send no more, but may still read."""

    def lost(self) -> None:
        """The tunnel is gone, whoever ended it; called once, and nothing after it."""

    def check(self, now: float) -> None:
        """Called about twice a second, with the time of ``server.clock``, to act on what takes too
        long, and on ``server.draining``."""


class Tunnel(Protocol):
    """The way to the client, and to what comes from it.

    Attributes:
        backlog: the client has not taken everything that was written.
    """

    @property
    def backlog(self) -> bool: ...

    def write(self, data: bytes) -> bool:
        """Send; any thread. False when the client is slower than the app, or gone."""

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call back, on the loop, when the client has caught up or is gone; any thread."""

    def hold(self) -> None:
        """Read no more until ``resume``; on the loop."""

    def resume(self) -> None:
        """Read on; on the loop."""

    def finish(self) -> None:
        """End it in order, behind what was written; on the loop.

        What still comes from the client is dropped, and only ``lost`` is called.
        """

    def close(self) -> None:
        """End it at once; on the loop."""


LINGER_SECONDS = 2.0  # for the client to see the end


class TcpTunnel:
    """A connection that has left HTTP/1.1: the transport's protocol from then on.

    Parameters:
        server: counts and tends it like any connection.
        exchange: was answered with 101; logged when the tunnel ends.
        transport, output: of the connection.
        receiver: the handler's end.
    """

    __slots__ = (
        "_client_ended",
        "_exchange",
        "_finished",
        "_output",
        "_progress",
        "_receiver",
        "_server",
        "_since",
        "_transport",
    )

    def __init__(
        self,
        server: Server,
        exchange: Exchange,
        transport: Any,
        output: TcpOutput,
        receiver: Receiver,
    ) -> None:
        self._server = server
        self._exchange = exchange
        self._transport = transport
        self._output = output
        self._receiver = receiver
        self._client_ended = False
        self._finished = False
        self._since = 0.0  # when it was finished, or the client last took something after that
        self._progress = 0  # bytes that waited then

    def begin(self, held: bytes) -> None:
        """Read on, after what had come before the tunnel was there."""
        if self._output.fd < 0:
            return
        self.resume()  # first: the receiver may hold it at once
        if held:
            self._receiver.received(held)

    # -- transport events

    def connection_made(self, transport: Any) -> None:
        """The transport was made long ago."""

    def data_received(self, data: bytes) -> None:
        if not self._finished:
            self._receiver.received(data)

    def eof_received(self) -> bool:
        if self._finished:
            return False
        self._client_ended = True
        self._receiver.ended()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        exchange = self._exchange
        exchange.gone = True
        self._output.lost()
        self._server.closed(self)
        self._receiver.lost()
        if self._server.access_log is not None:
            self._server.access_log.record(exchange)

    def pause_writing(self) -> None:
        """The transport keeps bytes; the output knows."""

    def resume_writing(self) -> None:
        self._output.resumed()

    # -- the tunnel

    @property
    def backlog(self) -> bool:
        return self._output.backlog

    def write(self, data: bytes) -> bool:
        output = self._output
        with output.lock:
            self._exchange.bytes_sent += len(data)
            return output.send(data)

    def when_writable(self, callback: Callable[[], None]) -> None:
        self._output.when_writable(callback)

    def hold(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def finish(self) -> None:
        # What a thread has just written may still be on its way to the transport.
        self._server.loop.call_soon(self._shut)

    def close(self) -> None:
        self._transport.abort()

    def _shut(self) -> None:
        """Close our half first, if the client may be sending: a close at once would reset the
        connection, and what was written last could be lost (RFC 9112, 9.6)."""
        transport = self._transport
        if transport.is_closing():
            return
        if self._client_ended or not transport.can_write_eof():
            transport.close()
            return
        self._finished = True
        self._since = self._server.clock.now
        transport.resume_reading()
        transport.write_eof()

    # -- for the server

    def check(self, now: float) -> None:
        """Let the receiver look at its clocks."""
        if not self._finished:
            self._receiver.check(now)
            return
        pending = self._output.pending()
        if pending != self._progress:
            self._progress, self._since = pending, now
        elif now - self._since > (
            self._server.settings.network_timeout if pending else LINGER_SECONDS
        ):
            self._transport.abort()
