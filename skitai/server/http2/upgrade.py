"""From HTTP/1.1 to HTTP/2 on the same connection: ``Upgrade: h2c`` (RFC 7540, 3.2).

``Connection`` calls it when it is the turn of the request that asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.errors import HTTPError
from skitai.wire.http1 import encode_upgrade
from skitai.wire.http2.requests import RequestHead
from skitai.wire.http2.settings import read_upgrade_settings

if TYPE_CHECKING:
    from skitai.net.output import TcpOutput
    from skitai.server.core import Tended
    from skitai.server.exchange import Exchange

SPEAK_HTTP2 = HTTPError(426)
"""The ``failure`` of an exchange that no handler sees: its connection goes on in HTTP/2."""

_OF_UPGRADE = frozenset(("connection", "upgrade", "http2-settings"))


def speak_http2(
    connection: Tended, exchange: Exchange, transport: Any, output: TcpOutput, held: bytes
) -> None:
    """Answer a request as the first stream of an HTTP/2 connection.

    Parameters:
        connection: gives way to it.
        exchange: the request; its ``HTTP2-Settings`` have been looked at.
        transport, output: of the connection.
        held: what came behind the request.
    """
    # Not at the top: most services never need it.
    from skitai.server.http2.connection import Http2Connection

    if output.fd < 0:
        return
    server, request = exchange.channel.server, exchange.request
    with output.lock:
        output.send(b"HTTP/1.1 101 Switching Protocols\r\n" + encode_upgrade(request) + b"\r\n")
    headers = {key: text for key, text in request.headers.items() if key not in _OF_UPGRADE}
    head = RequestHead("GET", request.target, request.path, request.query, headers)
    settings = read_upgrade_settings(request.headers.get("http2-settings")) or {}
    successor = Http2Connection(server, exchange.channel.scheme)
    server.replaced(connection, successor)
    transport.set_protocol(successor)
    successor.connection_made(transport, output)
    successor.peer = exchange.channel.peer
    successor.upgraded(head, settings)
    if held:
        successor.data_received(held)
    if not transport.is_closing():
        transport.resume_reading()
