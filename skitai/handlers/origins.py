"""What apps of other frameworks are told of the client and the server, for WSGI and ASGI alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange

_MAX_KNOWN = 512
_PORTS = {"http": "80", "https": "443"}
_FORWARDED = frozenset(("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"))
_names: dict[tuple[str, str], tuple[str, str]] = {}


def origin_of(exchange: Exchange) -> tuple[str, str, str]:
    """Address of the client, scheme and host of the URL, as trusted proxies say."""
    headers = exchange.request.headers
    if _FORWARDED.isdisjoint(headers):
        # PERF: without a proxy nothing is to be weighed: 0.3 us instead of 2.
        channel = exchange.channel
        return channel.peer[0], channel.scheme, headers.get("host", "")
    return exchange.origin


def server_name(host: str, scheme: str) -> tuple[str, str]:
    """Name and port of the server from a Host field, which may be empty (RFC 3875, 4.1.14)."""
    known = _names.get((host, scheme))
    if known is not None:
        return known
    name, _, port = host.rpartition(":")
    if not name or port.endswith("]"):
        name, port = host, ""
    parts = name or "localhost", port or _PORTS[scheme]
    if len(_names) < _MAX_KNOWN:
        _names[host, scheme] = parts
    return parts
