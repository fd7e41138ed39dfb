"""Tokens against forged requests from other sites (seed, Cross Site Request Forgery Token).

A page gets a random token in a cookie and sends it back in a header or a field; another site can
make a browser send the cookie, but can't read it.
"""

from __future__ import annotations

import hmac
import re
import secrets
from typing import TYPE_CHECKING, Any, TypeVar

from markupsafe import Markup

from atila.errors import HTTPError
from atila.steps import Step, add_guard, inline

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila
    from atila.request import Request
    from atila.routing.router import Route
    from atila.was import Was
    from skitai.server.exchange import Exchange

F = TypeVar("F", bound="Callable[..., Any]")

NAME = "XSRF_TOKEN"  # of the cookie and of the field
HEADER = "x-xsrf-token"
_SIZE = 32  # bytes
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_READING = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))  # RFC 9110, 9.2.1


class CsrfMethods:
    """The part of ``was`` that makes and checks tokens."""

    __slots__ = ()

    if TYPE_CHECKING:
        exchange: Exchange
        route: Route | None
        arguments: Callable[[], dict[str, Any]]

        @property
        def request(self) -> Request: ...

        @property
        def cookie(self) -> Any: ...

    @property
    def csrf_token(self) -> str:
        """The token of this browser, made when it has none; it lives as long as the browser."""
        return _kept(self.cookie) or self.generate_csrf()

    @property
    def csrf_token_input(self) -> Markup:
        """A hidden field with the token, for a form."""
        return Markup('<input type="hidden" name="{}" value="{}">').format(NAME, self.csrf_token)

    def generate_csrf(self) -> str:
        """Give the browser a new token, in place of the one it has."""
        token = secrets.token_urlsafe(_SIZE)
        # Scripts of the page read it to send it in a header, so it can't be HttpOnly.
        self.cookie.set(
            NAME,
            token,
            secure=self.request.scheme == "https",
            http_only=False,
            same_site="Lax",
        )
        return token

    def remove_csrf(self) -> None:
        """Take the browser's token away."""
        self.cookie.remove(NAME)

    def verify_csrf(self, keep: bool = True) -> bool:
        """Whether the request has the token of its browser, in a header or as an argument.

        Parameters:
            keep: False takes the token away when it was right, so that it is good for one request.

        The field is then no argument any more, unless the handler has a parameter of its name.
        ``csrf_verify`` is the same.
        """
        kept = _kept(self.cookie)
        sent = self.request.get_header(HEADER)
        in_field = sent is None
        if in_field:
            sent = self._field()
        if kept is None or not isinstance(sent, str):
            return False
        if not hmac.compare_digest(sent.encode("utf-8", "surrogatepass"), kept.encode()):
            return False
        if in_field and (self.route is None or NAME not in self.route.signature.names):
            self.arguments().pop(NAME, None)
        if not keep:
            self.remove_csrf()
        return True

    csrf_verify = verify_csrf

    def _field(self) -> Any:
        """The argument; after the first check it is only where the client put it."""
        arguments = self.arguments()
        if NAME in arguments:
            return arguments[NAME]
        data = self.request.DATA
        return data.get(NAME) if isinstance(data, dict) else None


def _kept(cookie: Any) -> str | None:
    """The token that the browser has; None when it has none that we could have made."""
    token = cookie.get(NAME)
    return token if isinstance(token, str) and _TOKEN.fullmatch(token) else None


class CsrfVerification:
    """The guard of ``@app.csrf_verification_required``."""

    __slots__ = ()

    facts = ("csrf", True)

    def compile(self, app: Atila, route: Route | None) -> Step:
        """The step; before a hook it lets reading requests pass, as they are how tokens are got."""
        return inline(_verify if route is not None else _verify_writing)


def _verify(was: Was) -> None:
    if not was.verify_csrf():
        raise HTTPError(400, f"the {NAME} of the request is missing or wrong")


def _verify_writing(was: Was) -> None:
    if was.exchange.request.method not in _READING:
        _verify(was)


class CsrfDecorators:
    """``@app.csrf_verification_required``."""

    def csrf_verification_required(self, function: F) -> F:
        """Answer 400 to requests without the token of their browser.

        Above a handler this holds for all its methods; above a ``before_request`` hook, for all
        requests that aren't GET, HEAD, OPTIONS or TRACE.
        """
        add_guard(function, CsrfVerification())
        return function
