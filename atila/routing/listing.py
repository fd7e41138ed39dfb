"""The routes of an app as plain data: for the command ``routes`` and the page of ``--devel``.

``Atila.describe`` makes it when somebody asks; the data can be written as JSON.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

from atila.access.auth import kind_of
from atila.errors import ConfigError
from atila.steps import guards_of
from atila.tasks.coroutines import is_coroutine_route
from atila.validation.inspection import requirements_of
from atila.websockets.declaring import declaration_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila
    from atila.routing.router import Route

_GRPC = re.compile(r"/(?:[a-z_]\w*\.)+[A-Z]\w*/[A-Z]\w*")
_HOOKS = ("before_request", "finish_request", "failed_request", "teardown_request")


def describe_app(app: Atila) -> dict[str, Any]:
    """Routes, hooks and what is taken back.

    Keys: ``routes``, see ``describe_route``; ``hooks``: name to the function that is called around
    all of them; ``error_pages``: statuses that the app renders itself, ``"default"`` among them;
    ``unrouted``: pattern and status of paths that are answered with an error.
    """
    return {
        "routes": [describe_route(app, route) for route in app.routes],
        "hooks": {
            name: place_of(hook)
            for name in _HOOKS
            if (hook := app.hooks.declared(name)) is not None
        },
        "error_pages": app.error_handlers.statuses(),
        "unrouted": [{"pattern": pattern, "status": code} for pattern, code in app.unrouted],
    }


def describe_route(app: Atila, route: Route) -> dict[str, Any]:
    """One route.

    Keys: ``rule``: with the point of the app; ``methods``; ``subdomain``; ``name``: for ``urlfor``;
    ``kind``: ``plain``, ``async``, ``generator``, ``stream``, ``websocket`` or ``grpc``; ``rpc``:
    the name by which remote calls reach it, or None; ``function``, ``module``, ``file``, ``line``;
    ``about``: the first line of its docstring; ``devel``: it is a page of the framework itself;
    ``authenticate``: ``bearer``, ``basic``, ``digest`` or None; ``guards``: what
    ``@app.permission_required`` and the like ask for; ``inspect``: rules by scope;
    ``content_types``; ``options``: the others of ``@app.route``.
    """
    function = route.function
    rule = f"{app.urls.point.rstrip('/')}{route.rule.text}" or "/"
    guards = [(kind, detail) for kind, detail in (g.facts for g in guards_of(function))]
    try:
        authenticate = kind_of(app, route)
    except ConfigError:
        authenticate = None
    callable_by_name = "POST" in route.methods and not route.rule.names
    return {
        "rule": rule,
        "methods": sorted(route.methods),
        "subdomain": str(route.options.get("subdomain") or ""),
        "name": route.name,
        "kind": _kind(route),
        "rpc": route.rule.text.strip("/").replace("/", ".") or None if callable_by_name else None,
        **place_of(function),
        "devel": (getattr(function, "__module__", None) or "").startswith("atila."),
        "about": (inspect.getdoc(function) or "").partition("\n")[0],
        "authenticate": authenticate,
        "guards": [[kind, _plain(detail)] for kind, detail in guards if kind != "inspect"],
        "inspect": _plain(requirements_of(function)),
        "content_types": sorted(route.content_types()),
        "options": {
            name: _plain(value)
            for name, value in route.options.items()
            if name not in ("methods", "content_types", "subdomain", "authenticate", "openapi")
        },
    }


def place_of(function: Callable[..., Any]) -> dict[str, Any]:
    """``function``, ``module``, ``file`` and ``line`` of what was written, behind decorators."""
    inner = inspect.unwrap(function)
    inner = getattr(inner, "func", inner)  # of functools.partial
    method = getattr(type(inner), "__call__", None)  # noqa: B004  # what it is, not whether
    code = getattr(inner, "__code__", None) or getattr(method, "__code__", None)
    name = getattr(inner, "__qualname__", type(inner).__qualname__)
    return {
        "function": name.rpartition("<locals>.")[2],
        "module": getattr(inner, "__module__", "") or "",
        "file": code.co_filename if code is not None else "",
        "line": code.co_firstlineno if code is not None else 0,
    }


def _kind(route: Route) -> str:
    function = route.function
    if declaration_of(function) is not None:
        return "websocket"
    if "POST" in route.methods and _GRPC.fullmatch(route.rule.text):
        return "grpc"
    if is_coroutine_route(route):
        return "generator"
    if inspect.iscoroutinefunction(function):
        return "async"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "stream"
    return "plain"


def _plain(value: Any) -> Any:
    """A value as JSON has it; what has no form there becomes text."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return getattr(value, "__qualname__", None) or type(value).__name__
