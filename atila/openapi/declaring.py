"""``app.openapi``: where the description of an app is served, and when.

``Atila.freeze`` adds the routes; the document itself is made when somebody asks for it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from atila.errors import ConfigError

if TYPE_CHECKING:
    from atila.app import Atila
    from atila.was import Was

PAGE = Path(__file__).with_name("page.html")
_POLICY = (
    "default-src 'none'; connect-src 'self'; img-src data: blob:; style-src 'nonce-{nonce}'; "
    "script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Declaration:
    """What ``app.openapi`` was called with; see there."""

    title: str = ""
    version: str = "1.0.0"
    description: str = ""
    path: str | None = "/openapi.json"
    page: str | None = "/openapi"
    production: bool = False
    own: bool = False  # the app has called it


class OpenApiMethods:
    """How an app describes itself to programs."""

    document: Declaration

    def openapi(
        self,
        title: str = "",
        version: str = "1.0.0",
        description: str = "",
        path: str | None = "/openapi.json",
        page: str | None = "/openapi",
        production: bool = False,
    ) -> None:
        """Say how the app is described in OpenAPI 3.1; call it in ``__setup__`` or before.

        Without it an app has a document and a page under ``--devel``, where no route of its own has
        their paths.

        Parameters:
            title: of the API. Default: the name of the app, ``"API"`` for ``"__main__"``.
            version: of the API, not of OpenAPI. Default: ``"1.0.0"``.
            description: more about it, may be Markdown.
            path: of the document, below the point of the app; None: it isn't served.
            page: of the page that shows the document, under ``--devel`` only; None: there is none.
            production: serve the document without ``--devel`` too, to those whom the app's
                ``authenticate`` lets in. Default: False.

        Raises ``ConfigError`` for paths that are none, are the same, or have a route already.
        """
        for name, value in (("path", path), ("page", page)):
            if value is not None and (not isinstance(value, str) or not value.startswith("/")):
                raise ConfigError(f"app.openapi({name}={value!r}): give a path such as '/{name}'")
        if path is not None and path == page:
            raise ConfigError(f"app.openapi(path={path!r}, page={page!r}): give different paths")
        if page is not None and path is None:
            page = None
        self.document = Declaration(title, version, description, path, page, production, own=True)

    def openapi_document(self) -> dict[str, Any]:
        """The document of a mounted app, whether it is served or not; see ``atila.load``."""
        from atila.openapi.document import make_document  # of no use to most workers

        return make_document(self, self.document)  # type: ignore[arg-type]  # Atila has these


def declare_routes(app: Atila) -> None:
    """Add the routes of the document and of its page where they are wanted; called once."""
    declaration, devel = app.document, app.debug and app.expose_spec
    if declaration.path is None or not (devel or declaration.production):
        return
    if not _is_free(app, declaration.path):
        return
    made: list[bytes] = []

    def openapi_json(was: Was) -> Any:
        if not made:
            made.append(orjson.dumps(app.openapi_document()))
        return was.response("200 OK", made[0], [("Content-Type", "application/json")])

    # Whoever develops needs no credentials; elsewhere the app says who may read it.
    options: dict[str, Any] = {"methods": ["GET"], "openapi": False}
    if devel:
        options["authenticate"] = False
    app.route(declaration.path, **options)(openapi_json)
    if declaration.page is None or not devel or not _is_free(app, declaration.page):
        return
    template = PAGE.read_text(encoding="utf-8")

    def openapi_page(was: Was) -> Any:
        nonce = secrets.token_urlsafe(16)
        place = was.urlfor("openapi_json")
        page = template.replace("{nonce}", nonce).replace("{document}", escape(place))
        policy = _POLICY.format(nonce=nonce)
        return was.response("200 OK", page, [("Content-Security-Policy", policy)])

    app.route(declaration.page, **options)(openapi_page)


def _is_free(app: Atila, path: str) -> bool:
    """Whether the path is for a route of ours.

    What an app has asked for must not be hidden by a route of its own: raises ``ConfigError``. What
    it has not asked for never takes a path that it answers.
    """
    for route in app.routes:
        rule = route.rule
        if app.document.own:
            if rule.text == path:
                raise ConfigError(
                    f"app.openapi: there is a route {path!r} already, give another path"
                )
        elif path.startswith(rule.prefix) and rule.matcher()(path) is not None:
            return False
    return True
