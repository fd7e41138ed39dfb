"""Work before and after a handler: always, or when a file or a cache has changed (seed, Helpers).

The decorators leave guards on handlers; ``after_steps`` gives what runs behind one.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from atila.errors import ConfigError
from atila.steps import Step, add_guard, is_async, step_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from atila.app import Atila
    from atila.routing.router import Route
    from atila.was import Was

    Stamp = Any

F = TypeVar("F", bound="Callable[..., Any]")

_AFTER = "__atila_after__"


class Before:
    """The guard of ``@app.run_before``, for one of its functions."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @property
    def facts(self) -> tuple[str, Any]:
        return "run_before", _name(self._function)

    def compile(self, app: Atila, route: Route | None) -> Step:
        """The function itself."""
        return step_of(self._function)


class Watch:
    """What is looked at from time to time, and when it was last acted upon.

    Threads that come while one acts go on; what fails is tried again at the next look.

    Parameters:
        interval: seconds between two looks, at least; 0: at every request.
        clock: monotonic seconds.
    """

    __slots__ = ("_busy", "_clock", "_due", "_interval", "_lock", "stamp")

    def __init__(self, interval: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._due = float("-inf")
        self._busy = False
        self.stamp: Stamp = None

    def begin(self) -> bool:
        """Whether the caller is the one to look; then it has to call ``end``."""
        now = self._clock()
        if now < self._due or self._busy:  # without the lock it is only a guess, but mostly right
            return False
        with self._lock:
            if now < self._due or self._busy:
                return False
            self._due = now + self._interval
            self._busy = True
            return True

    def end(self) -> None:
        """Let others look, when it is time."""
        self._busy = False


class IfModified:
    """The guard of ``@app.if_file_modified`` and ``@app.if_cache_updated``.

    Parameters:
        kind: for the documentation of the API.
        names: what is watched; ``function`` is called as ``f(was, name)``.
        function: of the app.
        stamp_of: gives, for an app, the function from a name to its state; None: it isn't there.
        interval: seconds between two looks.
    """

    def __init__(
        self,
        kind: str,
        names: list[str],
        function: Callable[..., Any],
        stamp_of: Callable[[Atila], Callable[[str], Stamp]],
        interval: float,
    ) -> None:
        self._kind = kind
        self._names = names
        self._function = function
        self._stamp_of = stamp_of
        # Here, not in the step: routes of the same handler share it.
        self._watches = [(name, Watch(interval)) for name in names]

    @property
    def facts(self) -> tuple[str, Any]:
        return self._kind, list(self._names)

    def compile(self, app: Atila, route: Route | None) -> Step:
        """The step that looks and calls the function."""
        function, stamp = self._function, self._stamp_of(app)

        if is_async(function):

            async def look_async(was: Was) -> Any:
                with closing(self._changed(stamp)) as changes:
                    for name, watch, found in changes:
                        response = await function(was, name)
                        watch.stamp = found
                        if response is not None:
                            return response
                return None

            return step_of(look_async)

        def look(was: Was) -> Any:
            with closing(self._changed(stamp)) as changes:
                for name, watch, found in changes:
                    response = function(was, name)
                    watch.stamp = found
                    if response is not None:
                        return response
            return None

        return step_of(look)

    def _changed(
        self, stamp: Callable[[str], Stamp]
    ) -> Generator[tuple[str, Watch, Stamp], None, None]:
        """What it is time to look at and has changed, with its state; nobody else looks at it."""
        for name, watch in self._watches:
            if watch.begin():
                try:
                    found = stamp(name)
                    if found is not None and found != watch.stamp:
                        yield name, watch, found
                finally:
                    watch.end()


class PreworkDecorators:
    """``@app.run_before`` and its like."""

    def run_before(self, *functions: Callable[..., Any]) -> Callable[[F], F]:
        """Call each ``f(was)`` before a handler; the first result that isn't None is the response.

        Raises ``ConfigError`` for what can't be called.
        """
        _check(functions, "run_before")

        def decorate(function: F) -> F:
            for before in reversed(functions):
                add_guard(function, Before(before))
            return function

        return decorate

    def run_after(self, *functions: Callable[..., Any]) -> Callable[[F], F]:
        """Call each ``f(was)`` when a handler has returned, not when it failed.

        What they return is ignored. Raises ``ConfigError`` for what can't be called.
        """
        _check(functions, "run_after")

        def decorate(function: F) -> F:
            function.__dict__.setdefault(_AFTER, []).extend(functions)
            return function

        return decorate

    def if_file_modified(
        self, path: str, function: Callable[..., Any], interval: float = 1
    ) -> Callable[[F], F]:
        """Call ``f(was, path)`` before a handler when a file has changed.

        Parameters:
            path: relative to the launch script's directory. While there is no file, nothing is
                called.
            function: called by the first request of each worker too. What it returns, unless None,
                is the response.
            interval: seconds between two looks at the file; 0: at every request.

        Raises ``ConfigError`` for what can't be called and for a negative interval.
        """
        _check((function,), "if_file_modified")
        _check_interval(interval, "if_file_modified")
        guard = IfModified("if_file_modified", [os.fspath(path)], function, _of_files, interval)
        return lambda handler: _guarded(handler, guard)

    def if_cache_updated(
        self, key: str | Iterable[str], function: Callable[..., Any], interval: float = 1
    ) -> Callable[[F], F]:
        """Call ``f(was, key)`` before a handler for each key that was updated.

        Parameters:
            key: one or several names of ``skitai.register_g``; ``was.setlu`` updates them, and so
                do tasks with ``rm_cache``, in any worker.
            function: called by the first request of each worker too. What it returns, unless None,
                is the response.
            interval: seconds between two looks; 0: at every request.

        ``if_updated`` and ``if_state_updated`` are the same. Raises ``ConfigError`` as
        ``if_file_modified`` does.
        """
        _check((function,), "if_cache_updated")
        _check_interval(interval, "if_cache_updated")
        names = [key] if isinstance(key, str) else list(key)
        guard = IfModified("if_cache_updated", names, function, _of_caches, interval)
        return lambda handler: _guarded(handler, guard)

    if_updated = if_state_updated = if_cache_updated


def after_steps(function: Callable[..., Any]) -> list[Step]:
    """What runs behind a handler: first what the decorator next to it names."""
    return [step_of(after) for after in getattr(function, _AFTER, ())]


def _of_files(app: Atila) -> Callable[[str], Stamp]:
    def stamp(path: str) -> Stamp:
        try:
            status = os.stat(app.abspath(path))
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino

    return stamp


def _of_caches(app: Atila) -> Callable[[str], Stamp]:
    def stamp(name: str) -> Stamp:
        upstreams = app.peers.upstreams
        return None if upstreams is None else upstreams.shared.version(name)

    return stamp


def _guarded(handler: F, guard: IfModified) -> F:
    add_guard(handler, guard)
    return handler


def _check(functions: tuple[Any, ...], decorator: str) -> None:
    wrong = [function for function in functions if not callable(function)]
    if wrong or not functions:
        raise ConfigError(f"@app.{decorator} needs functions (was), not {wrong or functions!r}")


def _check_interval(interval: Any, decorator: str) -> None:
    if not isinstance(interval, (int, float)) or interval < 0:
        raise ConfigError(f"@app.{decorator}: interval={interval!r} must be seconds, 0 or more")


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)
