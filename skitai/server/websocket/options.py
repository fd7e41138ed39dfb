"""The limits and habits of a WebSocket, as an app wishes them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SocketOptions:
    """How a WebSocket behaves.

    Parameters:
        timeout: seconds without a message in either direction, and without a ping of the client,
            after which it is closed (1001); 0: never.
        max_message: bytes a message of the client may have, after decompression too (1009).
        subprotocols: the names that the app speaks; the first that the client offers is chosen.
        compress: agree to permessage-deflate (RFC 7692).
        origins: who may connect from a browser, such as ``"https://a.com"``, ``"self"`` for pages
            of the host itself, ``"*"``; None: everybody. A client that sends no Origin is no
            browser and always may.
        ping: seconds of silence after which the client is asked whether it is there, and again
            until it counts as gone; 0: never.
        max_backlog: bytes that may wait for a client that does not read; then it is cut off.
    """

    timeout: float = 60.0
    max_message: int = 16 * 1024 * 1024
    subprotocols: tuple[str, ...] = ()
    compress: bool = True
    origins: tuple[str, ...] | None = None
    ping: float = 20.0
    max_backlog: int = 4 * 1024 * 1024
