"""``Job``: what ``submit`` of every executor returns; it ends once."""

from __future__ import annotations

import logging
import threading
from contextvars import Context
from typing import TYPE_CHECKING, Any

from skitai.executors.errors import JobExited

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger("skitai")


class Job:
    """A function that was handed over.

    Parameters:
        name: of the function, for messages.
        done: called with the result, or with None and what went wrong; once, in a thread of the
            executor, and never after a ``cancel`` that returned True.
    """

    __slots__ = ("_done", "_once", "name")

    def __init__(self, name: str, done: Callable[[Any, BaseException | None], None]) -> None:
        self.name = name
        self._done: Callable[[Any, BaseException | None], None] | None = done
        self._once = threading.Lock()  # taken by whoever ends the job

    @property
    def ended(self) -> bool:
        """Whether it was cancelled, or its outcome is known."""
        return self._once.locked()

    def finish(self, result: Any, error: BaseException | None) -> None:
        """End it, unless it was cancelled."""
        if not self._once.acquire(blocking=False):
            return
        done, self._done = self._done, None
        assert done is not None
        try:
            done(result, error)
        except Exception:
            log.exception("the outcome of %s could not be delivered", self.name)

    def cancel(self) -> bool:
        """Drop it; from any thread, without waiting. False when it has ended already."""
        if not self._once.acquire(blocking=False):
            return False
        self._done = None
        self._drop()
        return True

    def _drop(self) -> None:
        """Free what a cancelled job holds."""


def contained(error: BaseException, name: str) -> BaseException:
    """``error`` as others may raise it: ``JobExited`` instead of what ends threads and loops."""
    if isinstance(error, Exception):
        return error
    try:
        details = ", ".join(map(repr, error.args))
    except Exception:
        details = "…"
    exited = JobExited(f"{name} ended with {type(error).__name__}({details})")
    exited.__cause__ = error
    return exited


def name_of(function: Callable[..., Any], args: Sequence[Any] = ()) -> str:
    """Module and name of a function, for messages; of the one that it calls, if that is known."""
    if args and isinstance(getattr(function, "__self__", None), Context):
        function = args[0]  # of Context.run
    function = getattr(function, "func", function)  # of functools.partial
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    return f"{module}.{name}" if module and name else name or repr(function)
