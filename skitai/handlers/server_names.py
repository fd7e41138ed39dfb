"""The server's name in the environments of WSGI apps and the scopes of ASGI apps."""

from __future__ import annotations

_MAX_KNOWN = 512
_PORTS = {"http": "80", "https": "443"}
_names: dict[tuple[str, str], tuple[str, str]] = {}


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
