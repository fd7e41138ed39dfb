"""Which protocol a new connection speaks: by ALPN on TLS, by its first bytes without.

The listener makes a ``Negotiator`` per accepted socket; it gives way to the connection that serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.server.connection import DRAIN_IDLE_SECONDS, Connection

if TYPE_CHECKING:
    from skitai.server.core import Server


class Negotiator:
    """The transport's protocol until it is known what the client speaks."""

    __slots__ = ("_since", "_transport", "server")

    def __init__(self, server: Server) -> None:
        self.server = server
        self._since = server.clock.now
        self._transport: Any = None

    # -- transport events

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if not self.server.opened(self):
            self._hand_over(b"")

    def data_received(self, data: bytes) -> None:
        self._hand_over(data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.closed(self)

    def pause_writing(self) -> None:
        """Nothing is written here."""

    def resume_writing(self) -> None:
        """Nothing is written here."""

    def _hand_over(self, data: bytes) -> None:
        connection = Connection(self.server)
        self.server.replaced(self, connection)
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        if data:
            connection.data_received(data)

    # -- for the server

    def check(self, now: float) -> None:
        """Close a connection on which nothing is said."""
        server = self.server
        waited = now - self._since
        if server.draining:
            if min(waited, now - server.draining_since) > DRAIN_IDLE_SECONDS:
                self._transport.close()
        elif waited > server.settings.keep_alive:
            self._transport.close()

    def close(self) -> None:
        """Close at once; for the end of the worker."""
        self._transport.abort()
