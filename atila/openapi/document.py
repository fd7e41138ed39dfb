"""The OpenAPI document of an app (OpenAPI 3.1.0), made of what its routes already say.

``declaring`` serves it; ``app.openapi_document`` gives it to scripts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from atila.access.auth import kind_of
from atila.openapi.operations import ERRORS, Described, Operation
from atila.openapi.schemas import Schemas
from atila.websockets.declaring import declaration_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atila.app import Atila
    from atila.openapi.declaring import Declaration
    from atila.openapi.schemas import Schema
    from atila.routing.router import Route

VERSION = "3.1.0"
ERROR_SCHEMA = "atila.Error"  # with a dot, as no class has in its name
_METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")

_ERROR: Schema = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {
            "type": "integer",
            "description": "The status times 100, or the application's own code.",
        },
        "message": {"type": "string"},
        "more_info": {"description": "What went wrong, in plain words."},
        "debug": {},
        "traceback": {"type": "array", "items": {"type": "string"}},
    },
}
_REASONS = {
    "BadRequest": "A parameter is missing, not expected, or not what it must be",
    "Unauthorized": "Nobody, or somebody unknown, has asked",
    "Forbidden": "A permission is missing",
    "NotFound": "There is nothing at this path",
    "NotAcceptable": "The content type of the request is not taken",
    "Error": "An error",
}


def make_document(app: Atila, declaration: Declaration) -> dict[str, Any]:
    """Describe all routes of a frozen app.

    Left out are websockets, routes for sub-domains, and those with the option ``openapi=False``.

    Parameters:
        declaration: title, version and description.
    """
    described = [Described(route) for route in _shown(app)]
    schemas = Schemas(hint for found in described for hint in found.hints.values())
    paths = _Paths(app, schemas)
    for found in described:
        paths.add(found)
    components: dict[str, Any] = {
        "schemas": {**schemas.components, ERROR_SCHEMA: _ERROR},
        "responses": {name: _error_response(_REASONS[name]) for name in ERRORS.values()},
    }
    kinds = {kind_of(app, found.route) for found in described} - {None}
    if kinds:
        components["securitySchemes"] = {
            kind: _scheme(app, kind) for kind in sorted(filter(None, kinds))
        }
    name = app.name if app.name != "__main__" else "API"  # of a script that is an app itself
    info = {"title": declaration.title or name, "version": declaration.version}
    if declaration.description:
        info["description"] = declaration.description
    return {
        "openapi": VERSION,
        "info": info,
        "servers": [{"url": "/"}],
        "paths": paths.items,
        "components": components,
    }


def _shown(app: Atila) -> Iterator[Route]:
    """The routes in the order in which they win."""
    for route in sorted(app.routes, key=lambda route: -route.rank):
        hidden = route.options.get("openapi") is False or route.options.get("subdomain")
        if not hidden and declaration_of(route.function) is None:
            yield route


class _Paths:
    """Path items, in which no two paths differ by the names of their parameters alone."""

    def __init__(self, app: Atila, schemas: Schemas) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self._app = app
        self._schemas = schemas
        self._known: dict[str, tuple[str, list[str]]] = {}
        self._ids: set[str] = set()

    def add(self, described: Described) -> None:
        """Add a route, and the shorter path where its last parameter has a default."""
        route = described.route
        rule = route.rule
        self._add(described, rule.pieces, rule.names)
        short = rule.shortened()
        if short is not None and rule.names[-1] in route.signature.defaults:
            pieces = [*rule.pieces[:-2], rule.pieces[-2].rstrip("/")]
            if not "".join(pieces):
                pieces = ["/"]
            self._add(described, pieces, rule.names[:-1])

    def _add(self, described: Described, pieces: list[str], names: list[str]) -> None:
        base = self._app.basepath.rstrip("/")
        shape = base + "{}".join(pieces) or "/"
        path = pieces[0] + "".join(
            f"{{{name}}}{piece}" for name, piece in zip(names, pieces[1:], strict=True)
        )
        path, names = self._known.setdefault(shape, (base + path or "/", names))
        item = self.items.setdefault(path, {})
        methods = described.route.methods
        for method in _METHODS:
            # Listing OPTIONS beside other methods asks for the usual answer, not for the function.
            if method not in methods or (method == "OPTIONS" and len(methods) > 1):
                continue
            if method.lower() in item:
                continue
            operation = Operation(self._app, described, method, names, self._schemas).render()
            operation["operationId"] = self._id(f"{method.lower()}_{described.route.name}")
            item[method.lower()] = operation

    def _id(self, name: str) -> str:
        name = re.sub(r"\W", "_", name)
        found, number = name, 2
        while found in self._ids:
            found, number = f"{name}_{number}", number + 1
        self._ids.add(found)
        return found


def _error_response(description: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{ERROR_SCHEMA}"}
    return {"description": description, "content": {"application/json": {"schema": reference}}}


def _scheme(app: Atila, kind: str) -> dict[str, Any]:
    scheme = {"type": "http", "scheme": kind}
    if kind == "bearer" and app.auth.bearer_handler is None:
        scheme["bearerFormat"] = "JWT"
    return scheme
