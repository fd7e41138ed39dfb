"""Steps: what is done around a handler, and where it may run.

Decorators such as ``@app.inspect`` leave guards on a function; the endpoints compile them, and the
app's request hooks, to steps when the worker starts.
"""

from __future__ import annotations

import inspect
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila
    from atila.routing.router import Route

_GUARDS = "__atila_guards__"


class Kind(IntEnum):
    """Where a step may run."""

    INLINE = 0  # our own code, which never blocks
    PLAIN = 1  # a function of the app, which may block: in a thread
    ASYNC = 2  # a coroutine function: on the loop


class Step:
    """One thing that is done before or after a handler.

    Attributes:
        run: called with ``was``, and with the result or failure where that is known. What it
            returns, unless None, is the response; ``HTTPError`` refuses the request.
        kind: where it may be called.
    """

    __slots__ = ("kind", "run")

    def __init__(self, run: Callable[..., Any], kind: Kind) -> None:
        self.run = run
        self.kind = kind


def step_of(function: Callable[..., Any]) -> Step:
    """A step that calls a function of the app, or an object of its that can be called."""
    return Step(function, Kind.ASYNC if is_async(function) else Kind.PLAIN)


def inline(function: Callable[..., Any]) -> Step:
    """A step of our own, which never blocks."""
    return Step(function, Kind.INLINE)


def is_async(function: Callable[..., Any]) -> bool:
    """Whether calling ``function`` gives a coroutine."""
    if inspect.iscoroutinefunction(function):
        return True
    call = getattr(type(function), "__call__", None)  # noqa: B004  # what it is, not whether
    return inspect.iscoroutinefunction(call)


class Guard(Protocol):
    """What a decorator leaves on a handler.

    Attributes:
        facts: kind and detail for the documentation of the API, e.g. ``("permission", ["staff"])``.
    """

    @property
    def facts(self) -> tuple[str, Any]: ...

    def compile(self, app: Atila, route: Route | None) -> Step | None:
        """The step for one route, or for a hook, which has none; called once, at start."""


def add_guard(function: Callable[..., Any], guard: Guard) -> None:
    """Let ``guard`` run before ``function``, outside of the guards that are there already."""
    guards = function.__dict__.setdefault(_GUARDS, [])
    guards.insert(0, guard)


def guards_of(function: Callable[..., Any]) -> list[Guard]:
    """The guards of a function in the order in which they run."""
    return list(getattr(function, _GUARDS, ()))
