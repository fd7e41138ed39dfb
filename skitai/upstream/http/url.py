"""URLs of upstreams: to whom, and what for. Pure; ``Upstreams`` and stubs ask."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from skitai.upstream.http.target import quote_target
from skitai.upstream.interface import Member

_PORTS = {"http": 80, "https": 443}


class Url(NamedTuple):
    """What a URL says: to whom, and what for.

    Attributes:
        member: server, and credentials if the URL has some; its path is empty.
        target: path and query, percent-encoded.
    """

    member: Member
    target: str


def parse_url(url: str) -> Url:
    """Read an absolute URL (RFC 3986) of ``http`` or ``https``; its fragment is dropped.

    Raises ``ValueError``.
    """
    if not url.isprintable():
        raise ValueError(f"the URL {url!r} has characters that can't be printed")
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is neither an @alias nor an URL of http:// or https://")
    port = parts.port or _PORTS[parts.scheme]
    user = unquote(parts.username) if parts.username is not None else None
    password = unquote(parts.password) if parts.password is not None else None
    tls = parts.scheme == "https"
    member = Member(parts.hostname, port, "", user, password, tls=tls)
    target = quote_target(parts.path or "/")
    if parts.query:
        target += "?" + quote_target(parts.query)
    return Url(member, target)
