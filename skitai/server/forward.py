"""Redirects to where a service is meant to be reached: over https, under its one domain.

The worker has a second server for the port that only redirects, and guards the main one with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.errors import HTTPError
from skitai.server.representation import Head
from skitai.wire.request import origin_form

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.server.exchange import Exchange

HTTPS_PORT = 443


class Forward:
    """Where clients are sent.

    Parameters:
        port: of the https address, as clients see it.
        domain: its host; empty: the one that was asked for.
    """

    def __init__(self, port: int, domain: str) -> None:
        self._port = "" if port == HTTPS_PORT else f":{port}"
        self._domain = domain

    def dispatch(self, exchange: Exchange) -> None:
        """Redirect, with 301; without a host to go to: 400."""
        request = exchange.request
        host = self._domain or _host_of(exchange)
        if not host or request.target == "*":
            exchange.fail(HTTPError(400, "there is no host to redirect to"))
            return
        location = f"https://{host}{self._port}{origin_form(request.target)}"
        exchange.pass_over_body(
            lambda exchange: exchange.respond(Head(301, fields=[("Location", location)]), b"")
        )

    def guard(self, dispatch: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
        """Redirect requests for any other host than the domain, if there is one."""
        domain = self._domain
        if not domain:
            return dispatch

        def guarded(exchange: Exchange) -> None:
            (dispatch if _host_of(exchange) == domain else self.dispatch)(exchange)

        return guarded


def _host_of(exchange: Exchange) -> str:
    """The host that was asked for, without its port."""
    host = exchange.origin.host.lower()
    name = host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return name.rstrip(".")
