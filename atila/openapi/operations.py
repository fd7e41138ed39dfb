"""One method of one route as an OpenAPI operation (OpenAPI 3.1, 4.8.10).

``document`` makes them for all routes of an app.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from atila.access.auth import kind_of
from atila.documenting.exposure import plain
from atila.openapi.constraints import Constraints, merged, present
from atila.openapi.schemas import FILE, NULL, has_file, nullable, path_schema
from atila.routing.converters import to_path, to_text
from atila.steps import guards_of
from atila.validation.hints import resolve_hints
from atila.validation.inspection import SCOPES, Inspection

if TYPE_CHECKING:
    from atila.app import Atila
    from atila.openapi.schemas import Schema, Schemas
    from atila.routing.router import Route

WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
JSON, FORM, MULTIPART = (
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data",
)
ERRORS = {
    "400": "BadRequest",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "NotFound",
    "406": "NotAcceptable",
    "default": "Error",
}


class Described:
    """A route and its resolved hints; made before schemas, which need the hints of all routes.

    Attributes:
        hints: by the names of parameters; ``return`` for what is returned.
    """

    __slots__ = ("hints", "route")

    def __init__(self, route: Route) -> None:
        self.route = route
        self.hints = resolve_hints(route.function, [*route.signature.names, "return"])


class Operation:
    """Collects what one method takes.

    Parameters:
        app: whose settings hold where the route has none.
        described: the route.
        method: e.g. ``"GET"``.
        names: what the parameters of the path are called in the document.
        schemas: of all hints.
    """

    def __init__(
        self, app: Atila, described: Described, method: str, names: list[str], schemas: Schemas
    ) -> None:
        self._app = app
        self._route = route = described.route
        self._hints = described.hints
        self._schemas = schemas
        self._has_body = method in WITH_BODY
        self._method = method
        self._names = names
        self._path: dict[str, Schema] = {}
        self._query: dict[str, Schema] = {}
        self._body: dict[str, Schema] = {}
        self._required = set(route.signature.required)
        self._groups: list[list[str]] = []
        self._scopes: set[str] = set()
        self._take_signature()
        for guard in guards_of(route.function):
            if isinstance(guard, Inspection) and method in SCOPES[guard.scope][0]:
                self._take_inspection(guard)

    # -- what it takes

    def _take_signature(self) -> None:
        route = self._route
        for name, convert in zip(route.rule.names, route.rule.converters, strict=True):
            schema = path_schema(convert)
            if convert in (to_text, to_path):
                schema = self._of_hint(name) or schema
            self._path[name] = schema
        place = self._body if self._has_body else self._query
        for name in route.signature.names:
            if name not in self._path:
                place[name] = self._with_default(name, self._of_hint(name))

    def _of_hint(self, name: str) -> Schema:
        return self._schemas.of(self._hints[name]) if name in self._hints else {}

    def _with_default(self, name: str, schema: Schema) -> Schema:
        defaults = self._route.signature.defaults
        if name not in defaults:
            return schema
        default = defaults[name]
        if default is None:
            return nullable(schema)
        return {**schema, "default": default} if plain(default) == default else schema

    def _take_inspection(self, guard: Inspection) -> None:
        asked = Constraints(guard.rules.options)
        _, place = SCOPES[guard.scope]
        if self._has_body and place in ("JSON", "FORM"):
            self._scopes.add(place)
        in_query = place == "URL" or not self._has_body
        mentioned = [*asked.schemas, *asked.required, *(n for names in asked.groups for n in names)]
        for name in dict.fromkeys(mentioned):
            more = asked.schemas.get(name, {})
            if name in asked.required:
                more = present(more)
            if name in self._path:
                self._path[name] = merged(self._path[name], more)
                continue
            home, other = (self._query, self._body) if in_query else (self._body, self._query)
            schema = merged(other.pop(name, {}) or home.get(name, {}), more)
            # Inspections let null pass where nothing else forbids it.
            free = home is self._body and name not in self._hints and name not in asked.required
            home[name] = nullable(schema) if free else schema
        self._required.update(asked.required)
        self._groups += asked.groups

    # -- as a document

    def render(self) -> dict[str, Any]:
        """The operation object, without its id."""
        route = self._route
        summary, _, rest = (inspect.getdoc(route.function) or "").partition("\n")
        operation: dict[str, Any] = {"summary": summary.strip() or route.name}
        description = "\n\n".join(filter(None, [rest.strip(), *self._remarks()]))
        if description:
            operation["description"] = description
        namespace = route.name.rpartition(".")[0]
        if namespace:
            operation["tags"] = [namespace]
        body = self._request_body()
        parameters = self._parameters()
        if parameters:
            operation["parameters"] = parameters
        if body:
            operation["requestBody"] = body
        operation["responses"] = self._responses(bool(parameters or body))
        kind = kind_of(self._app, route)
        if kind is not None:
            operation["security"] = [{kind: []}]
        own = route.options.get("openapi")
        return {**operation, **own} if isinstance(own, dict) else operation

    def _remarks(self) -> list[str]:
        remarks = [f"One of {', '.join(names)} is required." for names in self._groups]
        for kind, detail in (guard.facts for guard in guards_of(self._route.function)):
            if kind == "permission":
                remarks.append(f"Needs permission: {', '.join(map(str, detail)) or 'a login'}.")
            elif kind in _REMARKS:
                remarks.append(_REMARKS[kind])
        return remarks

    def _parameters(self) -> list[dict[str, Any]]:
        # The path without its last parameter has one name less.
        named = zip(self._path.values(), self._names, strict=False)
        parameters: list[dict[str, Any]] = [
            {"name": name, "in": "path", "required": True, "schema": schema}
            for schema, name in named
        ]
        for name, schema in self._query.items():
            parameter: dict[str, Any] = {"name": name, "in": "query"}
            if name in self._required:
                parameter["required"] = True
            parameters.append({**parameter, "schema": _as_text(schema)})
        return parameters

    def _request_body(self) -> dict[str, Any] | None:
        if not self._has_body:
            return None
        types = sorted(self._route.content_types())
        if self._route.options.get("input_stream"):
            return {"content": {kind: {} for kind in types or ["*/*"]}}
        open_ended = self._route.signature.takes_any
        if not self._body and not open_ended:
            return None
        schema = self._whole() or self._object(open_ended)
        files = any(map(has_file, self._body.values()))
        content = {kind: {"schema": schema} for kind in types or self._types(files)}
        required = bool(self._required & self._body.keys())
        return {"content": content, **({"required": True} if required else {})}

    def _object(self, open_ended: bool) -> Schema:
        schema: Schema = {"type": "object"}
        if self._body:
            schema["properties"] = self._body
        required = [name for name in self._body if name in self._required]
        if required:
            schema["required"] = required
        if not open_ended:
            schema["additionalProperties"] = False
        return schema

    def _whole(self) -> Schema | None:
        """The schema of the one parameter that takes the whole body; see ``validation.hints``."""
        objects = [name for name, schema in self._body.items() if self._schemas.properties(schema)]
        if len(objects) != 1:
            return None
        (name,) = objects
        for other in [other for other in self._body if other != name]:
            self._query[other] = self._body.pop(other)  # what is left comes by path and query
        return self._body[name]

    def _types(self, files: bool) -> list[str]:
        if files:
            return [MULTIPART]
        if self._scopes == {"JSON"}:
            return [JSON]
        return [FORM, MULTIPART] if self._scopes == {"FORM"} else [JSON, FORM, MULTIPART]

    def _responses(self, takes_something: bool) -> dict[str, Any]:
        responses = self._successes()
        kinds = {guard.facts[0] for guard in guards_of(self._route.function)}
        told = {
            "400": takes_something or "csrf" in kinds,
            "401": kind_of(self._app, self._route) is not None or bool(kinds & _GUARDED),
            "403": bool(kinds & _GUARDED),
            "404": bool(self._path),
            "406": bool(self._route.content_types()),
            "default": True,
        }
        for code, is_told in told.items():
            if is_told:
                responses[code] = {"$ref": f"#/components/responses/{ERRORS[code]}"}
        return responses

    def _successes(self) -> dict[str, Any]:
        hint = self._hints.get("return")
        if hint is str:
            return {"200": _answer({"text/html": {"schema": {"type": "string"}}})}
        schema = self._schemas.of(hint) if hint is not None else {}
        if "$ref" in schema or schema.get("type") in ("object", "array"):
            return {"200": _answer({JSON: {"schema": schema}})}
        return {"2XX": _answer(), "3XX": {"description": "Elsewhere, or as it was"}}


_BOUNDS = frozenset(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"))
_GUARDED = frozenset(("permission", "identification", "testpass"))
_REMARKS = {
    "csrf": "Needs the CSRF token of the browser.",
    "identification": "Needs a login.",
    "testpass": "Needs to pass a test of the app.",
}


def _answer(content: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"description": "Success", **({"content": content} if content else {})}


def _as_text(schema: Schema) -> Schema:
    """A schema for a query, where everything is text and nothing is null."""
    if not schema or schema.keys() == {"default"}:
        return {"type": "string", **{key: str(value) for key, value in schema.items()}}
    choices = schema.get("anyOf")
    if choices and NULL in choices:
        others = [choice for choice in choices if choice != NULL]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**others[0], **rest} if len(others) == 1 else {**schema, "anyOf": others}
    if not schema.keys() & {"type", "enum", "anyOf", "allOf", "$ref"}:
        # Rules compare values with a type: without one, they compare text.
        return {"type": "number" if schema.keys() & _BOUNDS else "string", **schema}
    return {"type": "string"} if schema == FILE else schema
