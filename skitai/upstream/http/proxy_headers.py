"""Which headers a proxy passes on (RFC 9110, 7.6): those of requests, and those of answers.

``was.ProxyPass`` and mounted aliases call it. Framing is not passed on: each side makes its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    Field = tuple[str, str]

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
_PSEUDONYM = "skitai"


def request_headers(
    fields: Iterable[Field],
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
        fields: of the client, in their order.
        peer: address that the client connected from; empty when it has none.
        scheme: ``http`` or ``https``, as the client connected.
        version: of HTTP that the client speaks, for ``Via``.
        keep_host: send the client's ``Host`` instead of the member's.
        trusted: the peer is a proxy of ours: the scheme and host that it saw are passed on
            instead of those that we see. ``Forwarded`` (RFC 7239) is only taken from one.
    """
    fields = list(fields)
    dropped = _named_by(fields) | {"content-length", "expect", "via", "x-forwarded-for"}
    known = _joined(fields)
    host = known.get("host", "")
    if not keep_host:
        dropped.add("host")
    seen = {"x-forwarded-proto": scheme, "x-forwarded-host": host}
    if not trusted:
        dropped.add("forwarded")
    else:
        seen = {name: known.get(name) or value for name, value in seen.items()}
    dropped.update(seen)
    kept = [field for field in fields if field[0].lower() not in dropped]
    kept.append(("Via", _continued(known.get("via"), f"{version} {_PSEUDONYM}")))
    kept.append(("X-Forwarded-For", _continued(known.get("x-forwarded-for"), peer or "unknown")))
    kept.append(("X-Forwarded-Proto", seen["x-forwarded-proto"]))
    if seen["x-forwarded-host"]:
        kept.append(("X-Forwarded-Host", seen["x-forwarded-host"]))
    return kept


def response_headers(fields: Iterable[Field]) -> tuple[list[Field], int | None]:
    """The headers of an answer as the client gets them, and the length of its body.

    Order and duplicates stay. The length is None when the upstream did not say it; that of an
    answer to HEAD, or of a 304, is the one that GET would have.
    """
    fields = list(fields)
    dropped = _named_by(fields)
    kept: list[Field] = []
    length = None
    for field in fields:
        key = field[0].lower()
        if key == "content-length":
            length = int(field[1])  # digits: the parser of answers refuses others
        elif key not in dropped:
            kept.append(field)
    return kept, length


def _named_by(fields: list[Field]) -> set[str]:
    """What belongs to the connection: known names, and those that Connection lists."""
    named = {
        option.strip().lower()
        for name, value in fields
        if name.lower() == "connection"
        for option in value.split(",")
    }
    named = {name for name in named if not name.startswith("x-forwarded-")}
    return (named - _PROTECTED) | HOP_BY_HOP


def _joined(fields: list[Field]) -> dict[str, str]:
    """Values of what is looked at, repeated ones joined."""
    known: dict[str, str] = {}
    for name, value in fields:
        key = name.lower()
        if key in ("host", "via") or key.startswith("x-forwarded-"):
            known[key] = f"{known[key]}, {value}" if key in known else value
    return known


def _continued(before: str | None, value: str) -> str:
    return f"{before}, {value}" if before else value
