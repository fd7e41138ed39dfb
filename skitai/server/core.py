"""What all connections of a worker share: settings, clock, dispatch, the set of connections.

The worker makes one; the listener hands it every accepted connection.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from socket import AF_UNIX
from typing import TYPE_CHECKING, Any, Protocol

from skitai.server.clock import Clock
from skitai.server.negotiation import Negotiator
from skitai.server.origin import TrustedProxies

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable

    from skitai.config import Settings
    from skitai.server.access_log import Recorder
    from skitai.server.exchange import Exchange

log = logging.getLogger("skitai")

TICK_SECONDS = 0.5
# After a pause (a blocked loop, a suspended process) timers are due before anything is read. So the
# loop gets round once more before clients are judged by what they have sent.
READ_FIRST_SECONDS = 0.001


class Server:
    """The serving side of a worker; lives on its loop.

    Parameters:
        loop: the worker's event loop.
        settings: limits and timeouts.
        dispatch: hands an exchange to the handler of its mount.
        access_log: told of each request; None when nobody is.
        tls: certificates and rules; with it every connection speaks TLS.

    Attributes:
        clock: coarse time for everybody.
        trusted: proxies whose word about clients is believed.
        common_fields: header fields of every response, whatever the HTTP version; HTTP/1 has them
            behind ``clock.date``.
        draining: no more requests after the running ones.
        draining_since: when that began, by ``clock``.
        event_streams: responses that don't end by themselves; any thread adds and discards.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: Settings,
        dispatch: Callable[[Exchange], None],
        access_log: Recorder | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.loop = loop
        self.settings = settings
        self.dispatch = dispatch
        self.access_log = access_log
        self.tls = tls
        self.clock = Clock()
        self.trusted = TrustedProxies(settings)
        self.common_fields: list[tuple[str, str]] = []
        self.draining = False
        self.draining_since = 0.0
        self.event_streams: set[Exchange] = set()
        self._connections: set[Tended] = set()
        self._listeners: list[asyncio.AbstractServer] = []
        self._ticker: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None

    def add_common_field(self, name: str, value: str) -> None:
        """Send a header field with every response, such as Alt-Svc; on the loop."""
        self.common_fields.append((name, value))
        self.clock.attach(f"{name}: {value}\r\n".encode("ascii"))

    async def listen(self, sockets: list[socket.socket]) -> None:
        """Accept on bound sockets; an ``OSError`` says why one of them can't be used."""
        for sock in sockets:
            create: Any = self.loop.create_server
            options: dict[str, Any] = {"sock": sock, "backlog": self.settings.backlog}
            if sock.family == AF_UNIX:
                create = self.loop.create_unix_server
                if sys.version_info >= (3, 13):
                    options["cleanup_socket"] = False  # others may go on with it
            self._listeners.append(await create(self._accept, **options))
        self._tick()

    def _accept(self) -> asyncio.BaseProtocol:
        return Negotiator(self)  # type: ignore[return-value]  # a duck-typed Protocol, with slots

    @property
    def open(self) -> set[Tended]:
        """The connections; on the loop."""
        return self._connections

    def opened(self, connection: Tended) -> bool:
        """Register a connection; False when there are too many."""
        self._connections.add(connection)
        return len(self._connections) <= self.settings.max_connections

    def replaced(self, connection: Tended, successor: Tended) -> None:
        """Go on with another one on the same transport."""
        self._connections.discard(connection)
        self._connections.add(successor)

    def closed(self, connection: Tended) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        if self._emptied is not None and not self._connections:
            self._emptied.set()

    async def drain(self, timeout: float) -> bool:
        """Stop accepting, let running requests finish; True when all did within ``timeout`` s.

        An idle connection is kept a moment: a request that is already on its way is answered, with
        ``Connection: close``, so that a rolling restart loses none.
        """
        for listener in self._listeners:
            listener.close()
        self.draining = True
        self.clock.tick()
        self.draining_since = self.clock.now
        self._emptied = asyncio.Event()
        await asyncio.sleep(0)  # what was accepted a moment ago becomes a connection
        for exchange in list(self.event_streams):
            exchange.conclude()
        if self._connections:
            try:
                await asyncio.wait_for(self._emptied.wait(), timeout)
            except asyncio.TimeoutError:
                pass
        done = not self._connections
        for connection in list(self._connections):
            connection.close()
        if self._ticker is not None:
            self._ticker.cancel()
        return done

    def _tick(self) -> None:
        self.clock.tick()
        self._ticker = self.loop.call_later(READ_FIRST_SECONDS, self._check)

    def _check(self) -> None:
        now = self.clock.now
        for connection in list(self._connections):
            _check_time(connection, now)
        self._ticker = self.loop.call_later(TICK_SECONDS, self._tick)


def _check_time(connection: Tended, now: float) -> None:
    try:
        connection.check(now)
    except Exception:  # the others have their time limits, too
        log.exception("a connection failed: closed")
        connection.close()


class Tended(Protocol):
    """A connection as the server sees it."""

    def check(self, now: float) -> None:
        """Act on what takes too long."""

    def close(self) -> None:
        """Close at once."""
