"""The page of all routes of the service, and its data as JSON, under ``--devel``.

``Atila.freeze`` adds both; ``app.routes_page`` says where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from atila.debugging.editor import editor_link
from atila.debugging.matching import describe_site, find_route
from atila.debugging.rendering import CONTENT_TYPE, render_page
from atila.errors import ConfigError
from atila.routing.router import METHODS

if TYPE_CHECKING:
    from atila.app import Atila
    from atila.was import Was

DEFAULT = "/routes"
JSON_TYPE = "application/json"


def declare_routes_page(app: Atila) -> None:
    """Add the routes of the page and of its data, unless the app answers their paths itself.

    Raises ``ConfigError`` for an ``app.routes_page`` that is no path, or has a route already.
    """
    page = app.routes_page
    if page is None:
        return
    if not isinstance(page, str) or not page.startswith("/") or len(page) < 2 or "<" in page:
        raise ConfigError(f"app.routes_page={page!r}: give a path such as '/routes', or None")
    paths = (page, f"{page.rstrip('/')}.json")
    taken = next((path for path in paths if _is_taken(app, path)), None)
    if taken is not None:
        if page == DEFAULT:  # nobody has asked for it
            return
        raise ConfigError(f"app.routes_page={page!r}: there is a route for {taken!r} already")
    options: dict[str, Any] = {"methods": ["GET"], "openapi": False, "authenticate": False}

    def devel_routes(was: Was, method: str = "GET", path: str = "", host: str = "") -> Any:
        asked = path.partition("?")[0]
        if asked and not asked.startswith("/"):
            asked = f"/{asked}"
        method = method.upper() if method.upper() in METHODS else "GET"
        body, fields = render_page(
            "routes.html",
            site=describe_site(app),
            link=editor_link,
            data=was.urlfor("devel_routes_json"),
            methods=sorted(METHODS),
            asked=(method, asked, host),
            verdict=find_route(app, method, asked, host) if asked else None,
        )
        return was.response("200 OK", body, [("Content-Type", CONTENT_TYPE), *fields])

    def devel_routes_json(was: Was) -> Any:
        data = orjson.dumps(describe_site(app), option=orjson.OPT_INDENT_2)
        return was.response("200 OK", data, [("Content-Type", JSON_TYPE)])

    app.route(paths[0], **options)(devel_routes)
    app.route(paths[1], **options)(devel_routes_json)


def _is_taken(app: Atila, path: str) -> bool:
    rules = (route.rule for route in app.routes if "GET" in route.methods)
    return any(path.startswith(r.prefix) and _matches(r, path) for r in rules)


def _matches(rule: Any, path: str) -> bool:
    return rule.matcher()(path) is not None if rule.names else rule.text == path
