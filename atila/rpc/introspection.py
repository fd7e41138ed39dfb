"""``system.listMethods`` and its like: what can be called, for developers (``app.expose_spec``).

``remote_calls`` asks here for methods that the app doesn't have itself.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from atila.rpc.calls import INVALID_PARAMS, UNKNOWN_METHOD, RpcError

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila
    from atila.rpc.calls import Call

LIST, HELP, SIGNATURE = "system.listMethods", "system.methodHelp", "system.methodSignature"
MULTICALL = "system.multicall"


class Introspection:
    """Says what the routes of one mounted app are as methods.

    Parameters:
        app: with all its routes.
        point: where it is mounted; starts and ends with ``/``.
    """

    def __init__(self, app: Atila, point: str) -> None:
        prefix = point.rstrip("/")
        self._functions = {
            prefix + route.rule.text: route.function
            for route in app.routes
            if "POST" in route.methods and not route.rule.names
        }

    def find(self, path: str, call: Call) -> Callable[[], Any] | None:
        """What answers a call of one of the methods above; None for any other.

        Parameters:
            path: of the request.
        """
        methods = self._methods(path)
        if call.method == LIST:
            return lambda: sorted([*methods, LIST, HELP, SIGNATURE, MULTICALL])
        if call.method == SIGNATURE:
            return lambda: "undef"  # parameters have no types that the protocol knows
        if call.method == HELP:
            return lambda: _help(methods, call)
        return None

    def _methods(self, path: str) -> dict[str, Any]:
        base = path.rstrip("/") + "/"
        return {
            path[len(base) :].replace("/", "."): function
            for path, function in self._functions.items()
            if path.startswith(base) and path != base and not path.endswith("/")
        }


def _help(methods: dict[str, Any], call: Call) -> str:
    params = call.params
    name = params[0] if isinstance(params, list) and len(params) == 1 else None
    if not isinstance(name, str):
        raise RpcError(INVALID_PARAMS, f"{HELP} takes the name of a method")
    if name not in methods:
        raise RpcError(UNKNOWN_METHOD, f"there is no method {name[:80]!r}")
    return inspect.getdoc(methods[name]) or ""
