"""A service of WebSockets that tests look into: ``with Sockets() as sockets: ...``."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from serving import PATIENCE, Serving, Toy, happens, until
from websocket_driving import SocketClient

from skitai.server.websocket.session import HandshakeRefused, SocketOptions, WebSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.server.exchange import Exchange


class Peer:
    """The server's end of one socket.

    Attributes:
        socket: the WebSocket itself.
        messages: what it has received.
        ends: what ``closed`` was called with, in the order of ``messages``.
    """

    def __init__(self, socket: WebSocket, receive: Callable[[Peer, Any], Any]) -> None:
        self.socket = socket
        self.messages: list[str | bytes] = []
        self.ends: list[tuple[int, str]] = []
        self.gone = threading.Event()
        self._receive = receive

    def receive(self, message: str | bytes) -> None:
        self.messages.append(message)
        self._receive(self, message)

    def closed(self, code: int, reason: str) -> None:
        self.ends.append((code, reason))
        self.gone.set()

    def end(self) -> tuple[int, str]:
        """Code and reason of the end, which must have come once."""
        assert happens(self.gone), "the end was not reported"
        (end,) = self.ends
        return end


def echo(peer: Peer, message: str | bytes) -> None:
    """Send back what comes."""
    peer.socket.send(message)


class Sockets(Serving):
    """Serves WebSockets at every path.

    Parameters:
        receive: called on the loop with peer and message.
        prepare: called with the peer before the socket is accepted.
        options: of the sockets; other keywords are settings of the service.

    Attributes:
        peers: the server's ends, in the order they were accepted.
    """

    def __init__(
        self,
        receive: Callable[[Peer, Any], Any] = echo,
        options: SocketOptions | None = None,
        prepare: Callable[[Peer], Any] | None = None,
        **settings: Any,
    ) -> None:
        self.peers: list[Peer] = []
        self._receive = receive
        self._options = options or SocketOptions()
        self._prepare = prepare
        app = Toy()
        app.loop("/", self._serve)
        super().__init__(app, threads=0, **settings)

    def _serve(self, exchange: Exchange) -> None:
        try:
            socket = WebSocket(exchange, self._options)
        except HandshakeRefused as exc:
            exchange.fail(exc, exc.fields)
            return
        peer = Peer(socket, self._receive)
        if self._prepare is not None:
            self._prepare(peer)
        socket.accept(peer.receive, peer.closed)
        self.peers.append(peer)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"ws://{self.address[0]}:{self.address[1]}/"

    def open(self, *headers: str, **options: Any) -> tuple[SocketClient, Peer]:
        """A client and its peer; the keywords are those of ``SocketClient``."""
        count = len(self.peers)
        client = SocketClient(self, "/", *headers, **options)
        until(lambda: len(self.peers) > count, "the peer")
        return client, self.peers[count]

    def drain(self) -> None:
        """Drain the server, as at the end of a worker."""
        drained = asyncio.run_coroutine_threadsafe(self.server.drain(PATIENCE), self.loop)
        assert drained.result(2 * PATIENCE)

    def on_loop(self, call: Callable[[], Any]) -> None:
        """Run it on the loop of the service, and wait for that."""
        done = threading.Event()

        def run() -> None:
            call()
            done.set()

        self.loop.call_soon_threadsafe(run)
        assert happens(done)
