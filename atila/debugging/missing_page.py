"""The page for a path or method that has no route: which ones there are, and what was meant.

``ErrorEndpoint`` answers with it under ``--devel``, for clients that read HTML.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from atila.debugging.editor import editor_link
from atila.debugging.masking import Masker, secrets_of
from atila.debugging.matching import allowed_routes, describe_site, nearest, routes_page_of
from atila.debugging.rendering import CONTENT_TYPE, render_page
from atila.debugging.requests import shown_target
from skitai.server.representation import Head

if TYPE_CHECKING:
    from atila.app import Atila
    from atila.errors import HTTPError
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields


def answer_missing(app: Atila, exchange: Exchange, error: HTTPError, fields: Fields | None) -> None:
    """Answer with the page; status and fields are those of the error."""
    request = exchange.request
    host, masker = exchange.origin.host, Masker(secrets_of(app))
    allowed = allowed_routes(app, request.path, host) if error.code == 405 else []
    body, added = render_page(
        "missing.html",
        error=error,
        method=request.method,
        target=shown_target(exchange, masker),
        allowed=allowed,
        near=nearest(app, request.path) if error.code == 404 else [],
        taken_back=_taken_back(app, request.path),
        site=describe_site(app),
        link=editor_link,
        routes_page=routes_page_of(app),
    )
    everything = [*(fields or ()), *added]
    exchange.respond(Head(error.code, CONTENT_TYPE, everything, reason=error.reason), body)


def _taken_back(app: Atila, path: str) -> str:
    """The pattern of ``app.unroute`` that a path has, if there is one."""
    below = path[len(app.urls.point) - 1 :]
    return next((pattern for pattern, _ in app.unrouted if fnmatchcase(below, pattern)), "")
