"""``HttpClient``: backends for URLs, beside those of aliases; one for each worker."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from skitai.upstream.http.backend import MAX_CONNECTIONS, HttpBackend
from skitai.upstream.http.target import quote_target
from skitai.upstream.interface import Member

MAX_ORIGINS = 64
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


class HttpClient:
    """Keeps the backends of the origins that were used last, each with its connections.

    Parameters:
        max_conns: connections to one origin, 0 for no limit.
        verify: see ``HttpBackend``.
        max_origins: how many are kept; requests that run at a forgotten one go on.
    """

    def __init__(
        self,
        max_conns: int = MAX_CONNECTIONS,
        verify: bool | str = True,
        max_origins: int = MAX_ORIGINS,
    ) -> None:
        self._max_conns = max_conns
        self._verify = verify
        self._max_origins = max_origins
        self._backends: OrderedDict[Member, HttpBackend] = OrderedDict()

    def backend_for(self, url: str | Url) -> HttpBackend:
        """The backend of the origin of a URL; on the loop.

        Raises ``ValueError`` for what is no URL, ``ConfigError`` for one without a proper host.
        """
        member = (parse_url(url) if isinstance(url, str) else url).member
        backend = self._backends.get(member)
        if backend is None:
            backend = HttpBackend(member, self._max_conns, self._verify)
            self._make_room()
            self._backends[member] = backend
        else:
            self._backends.move_to_end(member)
        return backend

    def __len__(self) -> int:
        return len(self._backends)

    async def close(self) -> None:
        """Close all connections; what still runs fails."""
        while self._backends:
            _, backend = self._backends.popitem()
            await backend.close()

    def _make_room(self) -> None:
        """Forget who was not used for longest, at best one that nobody uses."""
        if len(self._backends) < self._max_origins:
            return
        unused = (member for member, backend in self._backends.items() if not backend.busy)
        member = next(unused, None) or next(iter(self._backends))
        self._backends.pop(member).retire()
