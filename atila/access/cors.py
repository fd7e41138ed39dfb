"""Which pages of other sites may use a route (Fetch standard, 3.2; seed, CORS and Preflight).

A route's policy is made when the app is frozen, and asked on the loop before a body is read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from atila.errors import ConfigError, HTTPError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from atila.app import Atila
    from atila.routing.router import Route
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields
    from skitai.wire.request import Request

ORIGINS = "access_control_allow_origin"
MAX_AGE = "access_control_max_age"
EXPOSED = "access_control_expose_headers"
ANY = "*"

# What a browser sends (RFC 6454, 6.2); "null", a page without an origin, is a name that anybody can
# have, so it is never one of a list.
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]+))?"
)
_NO_ORIGIN = "null"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_VARY = ("Vary", "Origin")  # an answer depends on the origin even when a request has none
_NOT_ALLOWED = "the origin of the page is not allowed"


class CorsPolicy:
    """Which origins may use a route, and what their browsers are told.

    Parameters:
        origins: ``"*"`` for all, or origins such as ``"https://example.com:5001"``.
        max_age: seconds for which a browser may keep the answer to a preflight; 0: not told.
        exposed: response headers that scripts may read beside the usual ones.
        where: whose settings these are, for messages.

    Raises ``ConfigError`` for what is no origin, no number of seconds, or no header name.
    """

    __slots__ = ("_any", "_by_origin", "_exposed", "_max_age")

    def __init__(
        self,
        origins: str | Iterable[str],
        max_age: int = 0,
        exposed: str | Iterable[str] = (),
        where: str = "app",
    ) -> None:
        allowed = _origins(origins, where)
        self._any = ANY in allowed
        self._max_age = _max_age(max_age, where)
        self._exposed = _exposed(exposed, where)
        self._by_origin = {origin: self._named(origin) for origin in allowed - {ANY}}

    @classmethod
    def of(cls, app: Atila, options: dict[str, Any]) -> CorsPolicy | None:
        """The policy of a route; None when neither it nor the app names origins.

        Parameters:
            app: its settings hold for what a route doesn't set.
            options: those of the route; ``{}`` gives the policy of the app, for its errors.
        """
        own = options.get(ORIGINS)
        where = "app" if own is None else "route option"

        def setting(name: str, default: Any) -> Any:
            value = options.get(name)
            if value is None:
                value = getattr(app, name, None)
            return default if value is None else value

        origins = setting(ORIGINS, None)
        if origins is None:
            return None
        return cls(origins, setting(MAX_AGE, 0), setting(EXPOSED, ()), where)

    def admit(self, exchange: Exchange) -> Fields:
        """The headers for every answer to a request, an error's too.

        Raises ``HTTPError`` 403 when the request comes from a page of an origin that is not
        allowed. A request without an origin, or from a page of this very host, is no business of
        CORS.
        """
        request = exchange.request
        origin = request.headers.get("origin")
        if origin is None or _is_same(origin, request.headers.get("host", "")):
            return [_VARY]
        return self._fields(origin)

    def preflight(self, request: Request, methods: Collection[str]) -> Fields:
        """The headers of the answer to a preflight; the answer has status 200 and no content.

        Parameters:
            request: one for which ``requested_method`` gives a method.
            methods: those the path is routed for.

        Raises ``HTTPError`` 403 for an origin, 405 for a method that is not allowed.
        """
        fields = self._fields(request.headers.get("origin", ""))
        if requested_method(request) not in methods:
            raise HTTPError(405, "the method is not allowed here")
        fields.append(("Access-Control-Allow-Methods", ", ".join(sorted(methods))))
        names = _tokens(request.headers.get("access-control-request-headers", ""))
        if names:
            fields.append(("Access-Control-Allow-Headers", ", ".join(names)))
        if self._max_age:
            fields.append(("Access-Control-Max-Age", str(self._max_age)))
        return fields

    def _fields(self, origin: str) -> Fields:
        """Headers for a page of ``origin``; 403 when it may not use the route."""
        known = self._by_origin.get(origin)
        if known is not None:
            return list(known)
        if not self._any or not (origin == _NO_ORIGIN or _ORIGIN.fullmatch(origin)):
            raise HTTPError(403, _NOT_ALLOWED)
        return [_VARY, ("Access-Control-Allow-Origin", origin), *self._exposed]

    def _named(self, origin: str) -> Fields:
        """A listed origin may send cookies and passwords too."""
        return [
            _VARY,
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Allow-Credentials", "true"),
            *self._exposed,
        ]


def requested_method(request: Request) -> str | None:
    """The method that a preflight asks for; None when the request is no preflight."""
    if request.method != "OPTIONS" or "origin" not in request.headers:
        return None
    return request.headers.get("access-control-request-method")


def answers_preflight(app: Atila, route: Route) -> bool:
    """Whether preflights for a route are answered: it lists OPTIONS, or all of the app has CORS."""
    return "OPTIONS" in route.methods or getattr(app, ORIGINS, None) is not None


def _is_same(origin: str, host: str) -> bool:
    """Whether a page of ``origin`` was served by ``host``.

    The scheme is not compared: behind a proxy that does TLS it is not known here.
    """
    scheme, _, authority = origin.partition("://")
    return bool(host) and _portless(scheme, authority) == _portless(scheme, host.lower())


def _portless(scheme: str, authority: str) -> str:
    port = _DEFAULT_PORTS.get(scheme)
    return authority.removesuffix(f":{port}") if port else authority


def _tokens(text: str) -> list[str]:
    """The names in a list of them; what could not be a name is left out."""
    names = (name.strip() for name in text.split(","))
    return [name for name in names if _TOKEN.fullmatch(name)]


def _origins(given: Any, where: str) -> set[str]:
    setting = f"{where} {ORIGINS}={given!r}"
    origins = [given] if isinstance(given, str) else given
    try:
        return {ANY if origin == ANY else _normal(origin) for origin in origins}
    except (TypeError, ValueError):
        raise ConfigError(
            f"{setting} must be a list of '*' or of origins such as 'https://example.com:5001', "
            "without a path"
        ) from None


def _normal(origin: Any) -> str:
    """An origin as browsers write it. Raises ``ValueError`` or ``TypeError``."""
    found = _ORIGIN.fullmatch(origin.lower() if isinstance(origin, str) else origin)
    if found is None:
        raise ValueError
    return _portless(found["scheme"], found[0])


def _max_age(given: Any, where: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise ConfigError(f"{where} {MAX_AGE}={given!r} must be a number of seconds from 0")
    return given


def _exposed(given: Any, where: str) -> Fields:
    names = [given] if isinstance(given, str) else given
    try:
        good = all(_TOKEN.fullmatch(name) for name in names)
    except TypeError:
        good = False
    if not good:
        raise ConfigError(f"{where} {EXPOSED}={given!r} must be a list of header names")
    return [("Access-Control-Expose-Headers", ", ".join(names))] if names else []
