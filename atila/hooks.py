"""The request hooks of an app (seed, Request Life Cycle Hooks); ``pipeline`` runs them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from atila.errors import ConfigError
from atila.steps import Step, guards_of, step_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila
    from atila.routing.router import Route
    from atila.was import Was

F = TypeVar("F", bound="Callable[..., Any]")


class Hooks:
    """The four request hooks of an app; a later declaration takes the place of an earlier one."""

    __slots__ = ("_functions",)

    def __init__(self) -> None:
        self._functions: dict[str, Callable[..., Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._functions)

    def declare(self, name: str, function: F) -> F:
        """Set a hook. Raises ``ConfigError`` for what can't be called."""
        if not callable(function):
            raise ConfigError(f"@app.{name} must decorate a function, not {function!r}")
        self._functions[name] = function
        return function

    def declared(self, name: str) -> Callable[..., Any] | None:
        """The function of a hook; None when it isn't declared."""
        return self._functions.get(name)

    def compile(self, app: Atila, name: str) -> list[Step]:
        """The steps of a hook, behind those of its own guards; none when it isn't declared."""
        function = self._functions.get(name)
        if function is None:
            return []
        return [*compile_guards(app, function, None), _of_arity(function, name)]


def compile_guards(app: Atila, function: Callable[..., Any], route: Route | None) -> list[Step]:
    """The steps of a function's guards in their order; hooks have no route."""
    steps = (guard.compile(app, route) for guard in guards_of(function))
    return [step for step in steps if step is not None]


def _of_arity(function: Callable[..., Any], name: str) -> Step:
    """finish_request may also be written ``f(was)``, as in old versions."""
    if name != "finish_request" or len(inspect.signature(function).parameters) > 1:
        return step_of(function)

    def finish(was: Was, response: Any) -> Any:
        return function(was)

    return Step(finish, step_of(function).kind)


class HookDecorators:
    """``@app.before_request`` and its like."""

    hooks: Hooks

    def before_request(self, function: F) -> F:
        """Call ``f(was)`` before every handler; what it returns is the response."""
        return self.hooks.declare("before_request", function)

    def finish_request(self, function: F) -> F:
        """Call ``f(was, response)`` when a handler succeeded; it may return a new response.

        ``response`` is what the handler returned. For a stream it is called when the last piece has
        been made; what it returns is then ignored.
        """
        return self.hooks.declare("finish_request", function)

    def failed_request(self, function: F) -> F:
        """Call ``f(was, exc_info)`` when a handler failed; what it returns is the response."""
        return self.hooks.declare("failed_request", function)

    def teardown_request(self, function: F) -> F:
        """Call ``f(was)`` when the response is complete, whatever it was."""
        return self.hooks.declare("teardown_request", function)
