"""Which headers a proxy passes on (RFC 9110, 7.6): those of requests, and those of answers.

``was.ProxyPass`` and mounted aliases call it. Framing is not passed on: each side makes its own.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

Field: TypeAlias = tuple[str, str]

# RFC 9110, 7.6.1 and 11.7; RFC 9112, 9.3 and 9.8. Trailers end here, so their announcement does.
HOP_BY_HOP = frozenset(
    (
        "connection",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
# A client must not take these away from the upstream by naming them in Connection.
_PROTECTED = frozenset(
    (
        "authorization",
        "cache-control",
        "content-encoding",
        "content-type",
        "cookie",
        "forwarded",
        "host",
        "origin",
        "range",
        "set-cookie",
        "via",
    )
)
# What a request does not get from the client as it is, beside what belongs to its connection.
_REPLACED = HOP_BY_HOP | {
    "content-length", "expect", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
}  # fmt: skip
_UNTRUSTED = _REPLACED | {"forwarded"}
_PSEUDONYM = "skitai"


def request_headers(
    headers: dict[str, str],
    peer: str,
    scheme: str,
    version: str = "1.1",
    keep_host: bool = False,
    trusted: bool = False,
) -> list[Field]:
    """The headers of a request as the upstream gets them.

    Dropped are those of the client's connection, ``Content-Length`` and ``Expect``: the client of
    upstreams makes its own framing, and 100 (Continue) was answered to the client. ``Via`` and
    ``X-Forwarded-For`` are continued.

    Parameters:
        headers: of the client, by names in lower case.
        peer: address that the client connected from; empty when it has none.
        scheme: ``http`` or ``https``, as the client connected.
        version: of HTTP that the client speaks, for ``Via``.
        keep_host: send the client's ``Host`` instead of the member's.
        trusted: the peer is a proxy of ours: the scheme and host that it saw are passed on
            instead of those that we see. ``Forwarded`` (RFC 7239) is only taken from one.
    """
    get = headers.get
    dropped = _REPLACED if trusted else _UNTRUSTED
    connection = get("connection")
    if connection is not None:
        dropped |= _named(connection)
    kept = [field for field in headers.items() if field[0] not in dropped]
    host = get("host", "")
    if host and not keep_host:
        kept.remove(("host", host))
    via, before = get("via"), get("x-forwarded-for")
    own = f"{version} {_PSEUDONYM}"
    kept.append(("Via", f"{via}, {own}" if via else own))
    peer = peer or "unknown"
    kept.append(("X-Forwarded-For", f"{before}, {peer}" if before else peer))
    if trusted:
        scheme = get("x-forwarded-proto") or scheme
        host = get("x-forwarded-host") or host
    kept.append(("X-Forwarded-Proto", scheme))
    if host:
        kept.append(("X-Forwarded-Host", host))
    return kept


def response_headers(fields: list[Field]) -> tuple[list[Field], int | None]:
    """The headers of an answer as the client gets them, and the length of its body.

    Order and duplicates stay. The length is None when the upstream did not say it; that of an
    answer to HEAD, or of a 304, is the one that GET would have.
    """
    dropped = HOP_BY_HOP
    kept: list[Field] = []
    length = None
    for field in fields:
        key = _lower(field[0])
        if key == "content-length":
            length = int(field[1])  # digits: the parser of answers refuses others
        elif key not in HOP_BY_HOP:
            kept.append(field)
        elif key == "connection":
            dropped |= _named(field[1])
    if dropped is not HOP_BY_HOP and len(dropped) > len(HOP_BY_HOP):
        kept = [field for field in kept if field[0].lower() not in dropped]
    return kept, length


@lru_cache(maxsize=256)
def _lower(name: str) -> str:
    return name.lower()


@lru_cache(maxsize=256)
def _named(options: str) -> frozenset[str]:
    """What a value of Connection says to belong to the connection."""
    named = {option.strip().lower() for option in options.split(",")}
    named = {name for name in named if not name.startswith("x-forwarded-")}
    return frozenset(named - _PROTECTED - {"close", "keep-alive", ""})
