"""What an ASGI app is told of a connection: the scope (ASGI, Connection Scope). The endpoint of an
app makes one for each request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.handlers.server_names import server_name
from skitai.wire.request import origin_form

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange
    from skitai.wire.request import Request

SPEC_VERSION = "2.4"
EXTENSIONS: dict[str, dict[str, object]] = {
    "http.response.pathsend": {},
    "http.response.trailers": {},
}
_MAX_KNOWN = 512
_MAX_NAME = 256
_VERSIONS = {"1.1": "1.1", "1.0": "1.0", "2.0": "2", "3.0": "3"}
_names: dict[str, bytes] = {}
_servers: dict[tuple[str, str], tuple[str, int]] = {}


class ScopeMaker:
    """Makes the scopes of an app's requests.

    Parameters:
        point: of the mount, starts and ends with a slash.

    Attributes:
        state: what the app kept in its lifespan; None when it has none. Each scope has a copy.
    """

    __slots__ = ("_root", "state")

    def __init__(self, point: str) -> None:
        self._root = point[:-1]
        self.state: dict[str, Any] | None = None

    def http(self, exchange: Exchange) -> dict[str, Any]:
        """The scope of a request. ``path`` has ``root_path`` in it, as ASGI says since 2.3."""
        request = exchange.request
        address, scheme, host = exchange.origin
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": SPEC_VERSION},
            "http_version": _VERSIONS[request.version],
            "method": request.method,
            "scheme": scheme,
            "path": request.path,
            "raw_path": _raw_path(request),
            "query_string": request.query.encode("latin-1"),
            "root_path": self._root,
            "headers": _headers(request.headers),
            "client": (address, exchange.channel.peer[1]) if address else None,
            "server": _server(host, scheme),
            "extensions": EXTENSIONS.copy(),
        }
        if self.state is not None:
            scope["state"] = self.state.copy()
        return scope

    def websocket(self, exchange: Exchange) -> dict[str, Any]:
        """The scope of a websocket."""
        scope = self.http(exchange)
        del scope["method"]
        scope["type"] = "websocket"
        scope["scheme"] = "wss" if scope["scheme"] == "https" else "ws"
        offered = exchange.request.headers.get("sec-websocket-protocol", "")
        scope["subprotocols"] = [name.strip() for name in offered.split(",") if name.strip()]
        scope["extensions"] = {"websocket.http.response": {}}
        return scope


def _headers(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    names = _names
    fields = []
    for name, value in headers.items():
        try:
            key = names[name]
        except KeyError:
            key = name.encode("latin-1")
            if len(names) < _MAX_KNOWN and len(name) <= _MAX_NAME:
                names[name] = key
        fields.append((key, value.encode("latin-1")))
    return fields


def _raw_path(request: Request) -> bytes:
    target = request.target
    if target[0] != "/":
        target = origin_form(target)
    return target.partition("?")[0].encode("latin-1")


def _server(host: str, scheme: str) -> tuple[str, int]:
    known = _servers.get((host, scheme))
    if known is None:
        name, port = server_name(host, scheme)
        known = name.strip("[]"), int(port)
        if len(_servers) < _MAX_KNOWN:
            _servers[host, scheme] = known
    return known
