"""Calling a handler with what the request carries: path, query, form and JSON, by name.

Compiled once per route from the handler's signature (seed, Request Parameters); the endpoint calls
the result for every request.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from atila.errors import ConfigError, HTTPError
from atila.routing.converters import to_path, to_text
from atila.validation.hints import compile_hints
from atila.was import Was

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.routing.router import Rule
    from atila.validation.hints import Check

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Signature:
    """What a handler takes besides ``was``.

    Attributes:
        names: parameters after ``was``, in order.
        required: those without a default.
        defaults: name to default.
        takes_any: it has ``**kw``.
        keywords: the name of that, None without it.

    Raises ``ConfigError`` for a handler that can't be called by name.
    """

    __slots__ = ("defaults", "first", "keywords", "names", "required", "takes_any")

    def __init__(self, function: Callable[..., Any]) -> None:
        parameters = list(inspect.signature(function).parameters.values())
        label = getattr(function, "__qualname__", repr(function))
        if not parameters or parameters[0].kind not in _POSITIONAL:
            raise ConfigError(f"handler {label} must take 'was' as its first argument")
        self.first = parameters.pop(0).name
        self.names: list[str] = []
        self.defaults: dict[str, Any] = {}
        self.takes_any = False
        self.keywords: str | None = None
        for parameter in parameters:
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                raise ConfigError(
                    f"handler {label} takes *{parameter.name}: arguments come by name, use **kw"
                )
            if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
                raise ConfigError(f"handler {label}: {parameter.name} can't be positional-only")
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                self.takes_any, self.keywords = True, parameter.name
                continue
            self.names.append(parameter.name)
            if parameter.default is not inspect.Parameter.empty:
                self.defaults[parameter.name] = parameter.default
        self.required = frozenset(self.names) - self.defaults.keys()


def compile_call(
    function: Callable[..., Any], signature: Signature, rule: Rule, restrict: bool
) -> Callable[[Was], Any]:
    """A function that binds the arguments of a request and calls the handler.

    Parameters:
        function: the handler.
        signature: its signature.
        rule: the route's rule.
        restrict: refuse arguments that a handler without parameters of its own does not take
            (``app.restrict_parameter_count``).

    What the compiled function raises: ``HTTPError`` 400 naming the missing or surplus parameter,
    and whatever the handler raises. Raises ``ConfigError`` when the handler can't take a path
    parameter.
    """
    path_names = rule.names
    if signature.first in path_names:
        raise ConfigError(
            f"handler {function.__qualname__}: the parameter {signature.first!r} of its route has "
            "the name of its first argument"
        )
    lacking = [name for name in path_names if name not in signature.names]
    if lacking and not signature.takes_any:
        raise ConfigError(
            f"handler {function.__qualname__} must take the parameter {lacking[0]!r} of its route"
        )
    check = compile_hints(function, signature, rule)
    if set(path_names).issuperset(signature.names) and not signature.takes_any:
        if check is None or all(convert not in (to_text, to_path) for convert in rule.converters):
            return _compile_closed(function, path_names, restrict, check)
    return _compile_open(function, signature, restrict, check)


def _compile_closed(
    function: Callable[..., Any], path_names: list[str], restrict: bool, check: Check | None
) -> Callable[[Was], Any]:
    """For handlers that take nothing but path parameters, which their rule has converted."""

    def call(was: Was) -> Any:
        exchange = was.exchange
        params = exchange.params
        if exchange.arguments is not None:  # guards may have converted the values
            params = _only(was, path_names, restrict, check)
        elif restrict and (exchange.request.query or exchange.body is not None):
            params = _only(was, path_names, True, check)
        if params:
            return function(was, **params)
        return function(was)

    return call


def _compile_open(
    function: Callable[..., Any], signature: Signature, restrict: bool, check: Check | None
) -> Callable[[Was], Any]:
    allowed = frozenset(signature.names)
    required = [name for name in signature.names if name in signature.required]
    takes_any = signature.takes_any
    first = signature.first

    gather = Was.arguments if restrict or takes_any else _gather_wanted(allowed)

    def call(was: Was) -> Any:
        arguments = gather(was)
        if check is not None:
            check(was, arguments)
        for name in required:
            if name not in arguments:
                raise HTTPError(400, f"parameter {name} is required")
        if not takes_any:
            for name in arguments:
                if name not in allowed:
                    raise HTTPError(400, f"parameter {name} is not expected")
        elif first in arguments:
            raise HTTPError(400, f"parameter {first} is not expected")
        return function(was, **arguments)

    return call


def _gather_wanted(allowed: frozenset[str]) -> Callable[[Was], dict[str, Any]]:
    """Arguments without those of a body of which the handler takes nothing."""

    def gather(was: Was) -> dict[str, Any]:
        arguments = was.arguments()
        if was.exchange.body is not None and not allowed.issuperset(arguments):
            request = was.request
            data = request.DATA
            if isinstance(data, dict) and allowed.isdisjoint(data):
                kept = {*request.URL, *request.PARAMS}
                return {name: value for name, value in arguments.items() if name in kept}
        return arguments

    return gather


def _only(was: Was, path_names: list[str], restrict: bool, check: Check | None) -> dict[str, Any]:
    """The parameters of the path; with ``restrict`` there must be nothing else."""
    arguments = was.arguments()
    if check is not None:
        check(was, arguments)
    for name in arguments if restrict else ():
        if name not in path_names:
            raise HTTPError(400, f"parameter {name} is not expected")
    return {name: arguments[name] for name in path_names if name in arguments}
