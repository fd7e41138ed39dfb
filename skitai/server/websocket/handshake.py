"""Whether a request becomes a WebSocket, and what its answer says (RFC 6455, 4.2; RFC 8441, 5).

``WebSocket`` makes a ``Handshake`` of the request that asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.errors import HTTPError
from skitai.wire.websocket.handshake import (
    VERSION,
    accept_key,
    choose_deflate,
    parse_extensions,
    parse_subprotocols,
)

if TYPE_CHECKING:
    from skitai.server.representation import Fields
    from skitai.server.websocket.session import SocketOptions
    from skitai.wire.request import Request
    from skitai.wire.websocket.deflate import Deflate

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class HandshakeRefused(HTTPError):
    """The request can't become a WebSocket: 400, 403 or 426.

    Attributes:
        fields: header fields that belong to the answer, or None.
    """

    def __init__(self, status: int, explain: str, fields: Fields | None = None) -> None:
        super().__init__(status, explain)
        self.fields = fields


class Handshake:
    """A request that can become a WebSocket.

    Raises ``HandshakeRefused`` for one that can't.

    Attributes:
        offered: subprotocols that the client offers.
        subprotocol: the first of them that ``options`` has, or empty.
        deflate: how messages are compressed, None: not at all.
    """

    __slots__ = ("_accept", "deflate", "offered", "subprotocol")

    def __init__(self, request: Request, options: SocketOptions) -> None:
        headers = request.headers
        if request.protocol != "websocket":
            raise HandshakeRefused(*_not_asked_for(request))
        if headers.get("sec-websocket-version") != VERSION:
            version = [("Sec-WebSocket-Version", VERSION)]
            raise HandshakeRefused(426, f"WebSocket version {VERSION} is spoken here", version)
        _check_origin(request, options.origins)
        self._accept = ""
        self.offered: tuple[str, ...] = ()
        self.deflate: Deflate | None = None
        try:
            if request.version == "1.1":
                self._accept = accept_key(headers.get("sec-websocket-key", ""))
            if "sec-websocket-protocol" in headers:
                self.offered = parse_subprotocols(headers["sec-websocket-protocol"])
            if "sec-websocket-extensions" in headers:
                offers = parse_extensions(headers["sec-websocket-extensions"])
                self.deflate = choose_deflate(offers) if options.compress else None
        except ValueError as exc:
            raise HandshakeRefused(400, str(exc)) from None
        spoken = options.subprotocols
        self.subprotocol = next((name for name in self.offered if name in spoken), "")

    def fields(self, subprotocol: str) -> Fields:
        """The header fields of the answer that accepts it."""
        fields: Fields = []
        if self._accept:
            fields.append(("Sec-WebSocket-Accept", self._accept))
        if subprotocol:
            fields.append(("Sec-WebSocket-Protocol", subprotocol))
        if self.deflate is not None:
            fields.append(("Sec-WebSocket-Extensions", self.deflate.field()))
        return fields


def _not_asked_for(request: Request) -> tuple[int, str, Fields | None]:
    """What to say to an ordinary request: 426 where Upgrade exists (RFC 9110, 15.5.22)."""
    explain = "this is a WebSocket"
    if request.version == "1.1":
        return 426, explain, [("Upgrade", "websocket"), ("Connection", "Upgrade")]
    return 400, explain, None


def _check_origin(request: Request, allowed: tuple[str, ...] | None) -> None:
    origin = request.headers.get("origin")
    if origin is None or allowed is None or "*" in allowed:
        return
    origin = _without_default_port(origin)
    if origin in {_without_default_port(name) for name in allowed}:
        return
    scheme, _, place = origin.partition("://")
    host = request.headers.get("host", "").lower().removesuffix(_DEFAULT_PORTS.get(scheme, "\0"))
    if "self" in allowed and place and place == host:
        return
    raise HandshakeRefused(403, "pages of that origin may not connect")


def _without_default_port(origin: str) -> str:
    origin = origin.lower()
    scheme = origin.partition("://")[0]
    return origin.removesuffix(_DEFAULT_PORTS.get(scheme, "\0"))
