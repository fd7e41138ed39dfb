"""A client and an upstream that go on in another protocol: their bytes pass in both directions.

``relay`` begins one when the upstream has answered 101. What the bytes mean is not looked at.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from skitai.server.representation import Head

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields
    from skitai.server.tunnel import Tunnel
    from skitai.upstream.http.exchange import HttpStream
    from skitai.wire.request import Request

IDLE_SECONDS = 600.0  # nothing came from either side
DRAIN_IDLE_SECONDS = 1.0  # the same while the worker drains, so that no message is cut
_KEY, _ACCEPT = "sec-websocket-key", "sec-websocket-accept"


def handshake_fields(request: Request, fields: Fields) -> Fields:
    """The headers of a request for another protocol.

    HTTP/2 and 3 have no key for a websocket (RFC 8441, 5), HTTP/1.1 needs one (RFC 6455, 4.1).
    """
    if request.protocol != "websocket" or request.version < "2":
        return fields
    kept = [field for field in fields if field[0].lower() != _KEY]
    return [*kept, ("Sec-WebSocket-Key", b64encode(os.urandom(16)).decode("ascii"))]


def splice(exchange: Exchange, stream: HttpStream, fields: Fields) -> None:
    """Join a client with the upstream that has answered its request with 101.

    Parameters:
        exchange: asked for the other protocol.
        stream: the answer; its connection is taken over.
        fields: of the answer, for the client.

    Raises ``Failure`` when the upstream has gone, ``ClientGone`` when the client has.
    """
    request = exchange.request
    if request.protocol == "websocket" and request.version >= "2":
        fields = [field for field in fields if field[0].lower() != _ACCEPT]
    both = Splice(exchange, stream)
    try:
        both.begin(exchange.tunnel(Head(101, "", fields), both))
    except BaseException:
        both.lost()
        raise


class Splice(asyncio.Protocol):
    """Both ends: the receiver of the client's tunnel, and the protocol of the upstream.

    Parameters:
        exchange: of the client.
        stream: of the upstream.
    """

    __slots__ = ("_early", "_ended", "_last", "_server", "_transport", "_tunnel", "_waiting")

    def __init__(self, exchange: Exchange, stream: HttpStream) -> None:
        self._server = exchange.channel.server
        self._last = self._server.clock.now
        self._tunnel: Tunnel | None = None
        self._waiting = False  # for the client to take what was sent
        self._ended = False  # by the upstream, or as nothing came
        self._transport: Any
        self._transport, self._early = stream.hand_over(self)
        self._transport.set_write_buffer_limits(high=64 * 1024)

    def begin(self, tunnel: Tunnel) -> None:
        """The client has its answer."""
        self._tunnel = tunnel
        if self._early:
            self.data_received(self._early)
            self._early = b""
        if not self._waiting:
            self._resume()

    # -- from the client: skitai.server.tunnel.Receiver

    def received(self, data: bytes) -> None:
        self._last = self._server.clock.now
        if not self._transport.is_closing():
            self._transport.write(data)

    def ended(self) -> None:
        self._last = self._server.clock.now
        if self._transport.can_write_eof() and not self._transport.is_closing():
            self._transport.write_eof()
        else:
            self._transport.close()

    def lost(self) -> None:
        self._tunnel = None
        transport = self._transport
        transport.close()
        if transport.get_write_buffer_size():  # it does not close before that is sent
            self._server.loop.call_later(self._server.settings.network_timeout, transport.abort)

    def check(self, now: float) -> None:
        tunnel = self._tunnel
        if tunnel is None:
            return
        idle = now - self._last
        if self._ended:
            if idle > self._server.settings.network_timeout:
                tunnel.close()  # the client does not take the rest
        elif idle > (DRAIN_IDLE_SECONDS if self._server.draining else IDLE_SECONDS):
            self._finish()

    # -- from the upstream: asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self._last = self._server.clock.now
        tunnel = self._tunnel
        if tunnel is not None and not tunnel.write(data) and not self._waiting:
            self._waiting = True
            if not self._transport.is_closing():
                self._transport.pause_reading()
            tunnel.when_writable(self._resume)

    def eof_received(self) -> bool:
        return False  # the transport closes when it has sent what waits

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._finish()
        elif self._tunnel is not None:
            self._tunnel.close()

    def _finish(self) -> None:
        self._ended = True
        self._last = self._server.clock.now
        if self._tunnel is not None:
            self._tunnel.finish()

    def pause_writing(self) -> None:
        if self._tunnel is not None:
            self._tunnel.hold()

    def resume_writing(self) -> None:
        if self._tunnel is not None:
            self._tunnel.resume()

    def _resume(self) -> None:
        self._waiting = False
        if not self._transport.is_closing():
            self._transport.resume_reading()
