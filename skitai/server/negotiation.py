"""Which protocol a new connection speaks: by ALPN on TLS, by its first bytes without.

The listener makes a ``Negotiator`` per accepted socket; it gives way to the connection that serves.
Before that come, where they are wanted, the word of a trusted proxy and the handshake of TLS.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from skitai.net.tls import TlsTransport
from skitai.server.connection import DRAIN_IDLE_SECONDS, Connection
from skitai.wire.errors import MalformedRequest
from skitai.wire.http2.frames import PREFACE
from skitai.wire.proxy_protocol import parse_proxy_header

if TYPE_CHECKING:
    from skitai.server.core import Server
    from skitai.server.http2.connection import Http2Connection

log = logging.getLogger("skitai")

ALPN = ("h2", "http/1.1")
"""What is offered on TLS, the most wanted first (RFC 7301)."""

# To a browser that was given http:// instead of https://.
_NO_TLS = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 27\r\n"
    b"Connection: close\r\n\r\nthis port is for https only"
)


class Negotiator:
    """The transport's protocol until it is known what the client speaks."""

    __slots__ = ("_first", "_header", "_peer", "_scheme", "_since", "_tls", "_transport", "server")

    def __init__(self, server: Server) -> None:
        self.server = server
        self._since = server.clock.now
        self._transport: Any = None
        self._header: bytes | None = None  # what a proxy has said so far
        self._first = b""  # what may become the preface of HTTP/2
        self._tls: TlsTransport | None = None  # while its handshake is not complete
        self._peer: tuple[str, int] | None = None
        self._scheme = "http"

    # -- transport events

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        server = self.server
        room = server.opened(self)
        if room and server.settings.proxy_protocol and self._is_trusted():
            self._header = b""
        elif server.tls is not None:
            if room:
                self._secure(b"")
            else:
                transport.abort()  # a handshake would cost more than the request
        elif not room:
            self._hand_over(b"")

    def data_received(self, data: bytes) -> None:
        if self._header is not None:
            self._read_header(data)
        else:
            self._recognize(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._tls is not None:
            self._tls.output.lost()
        self.server.closed(self)

    def pause_writing(self) -> None:
        """Nothing is written here but by TLS, whose output knows."""

    def resume_writing(self) -> None:
        if self._tls is not None:
            self._tls.output.resumed()

    # -- the word of a proxy

    def _is_trusted(self) -> bool:
        peer = self._transport.get_extra_info("peername")
        return (peer[0] if isinstance(peer, tuple) else "") in self.server.trusted

    def _read_header(self, data: bytes) -> None:
        data = (self._header or b"") + data
        try:
            header = parse_proxy_header(data)
        except MalformedRequest as exc:
            log.info("a proxy was turned away: %s", exc)
            self._transport.abort()
            return
        if header is None:
            self._header = data
            return
        self._header = None
        self._since = self.server.clock.now
        self._peer = header.source
        if header.tls:
            self._scheme = "https"
        data = data[header.size :]
        if self.server.tls is not None:
            self._secure(data)
        elif data:
            self._recognize(data)

    # -- TLS

    def _secure(self, data: bytes) -> None:
        server = self.server
        assert server.tls is not None
        self._tls = TlsTransport(self._transport, server.loop, server.tls, self)
        self._transport.set_protocol(self._tls)
        if data:
            self._tls.data_received(data)

    def secured(self) -> None:
        """Go on above TLS."""
        assert self._tls is not None
        self._transport, self._tls = self._tls, None
        self._scheme = "https"
        self._hand_over(b"", http2=self._transport.alpn == "h2")

    def refused(self, reason: str) -> None:
        """Say why where that can be understood, and close when the client has read it."""
        log.debug("a TLS handshake failed: %s", reason)
        tls = self._tls
        assert tls is not None
        if reason == "HTTP_REQUEST":
            with tls.output.lock:
                tls.output.send_clear(_NO_TLS)
            tls.write_eof()
        else:
            tls.close()

    # -- HTTP

    def _recognize(self, data: bytes) -> None:
        """Tell HTTP/2 with prior knowledge from HTTP/1, whose methods may begin like its preface
        (RFC 9113, 3.3)."""
        data = self._first + data
        if data.startswith(PREFACE):
            self._hand_over(data, http2=True)
        elif PREFACE.startswith(data):
            self._first = data
        else:
            self._hand_over(data)

    def _hand_over(self, data: bytes, http2: bool = False) -> None:
        connection: Connection | Http2Connection
        if http2:
            # Not at the top: most services never need it.
            from skitai.server.http2.connection import Http2Connection

            connection = Http2Connection(self.server)
        else:
            connection = Connection(self.server)
        self.server.replaced(self, connection)
        self._transport.set_protocol(connection)
        connection.scheme = self._scheme
        connection.connection_made(self._transport)
        if self._peer is not None:
            connection.peer = self._peer
        if data:
            connection.data_received(data)

    # -- for the server

    def check(self, now: float) -> None:
        """Close a connection on which nothing is said, or not enough."""
        server = self.server
        waited = now - self._since
        if server.draining:
            if min(waited, now - server.draining_since) > DRAIN_IDLE_SECONDS:
                self._transport.close()
        elif self._tls is not None or self._header is not None:
            if waited > server.settings.header_timeout:
                self._transport.abort()
        elif self._first:
            if waited > server.settings.header_timeout:
                self._hand_over(self._first)  # HTTP/1 has an answer for that
        elif waited > server.settings.keep_alive:
            self._transport.close()

    def close(self) -> None:
        """Close at once; for the end of the worker."""
        self._transport.abort()
