"""Which header fields of apps of other frameworks the server reads, drops or refuses."""

from __future__ import annotations

_MAX_KNOWN = 512
_MAX_NAME = 256

PLAIN, TYPE, LENGTH, IGNORED, HOP_BY_HOP = range(5)
_KINDS = {
    "content-type": TYPE,
    "content-length": LENGTH,
    # What the connection needs the server says itself; many apps set these out of habit.
    "connection": IGNORED,
    "keep-alive": IGNORED,
    **dict.fromkeys(
        ("proxy-authenticate", "proxy-authorization", "te", "trailers", "transfer-encoding",
         "upgrade"),
        HOP_BY_HOP,
    ),
}  # fmt: skip
_known: dict[str, int] = {}


def kind_of(name: str) -> int:
    """What a field is for the server, by its name in any case."""
    kind = _known.get(name)
    if kind is None:
        kind = _KINDS.get(name.lower(), PLAIN)
        if len(_known) < _MAX_KNOWN and len(name) <= _MAX_NAME:
            _known[name] = kind
    return kind
