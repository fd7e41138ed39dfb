"""``Then``: a response that is made when a task has ended; frameworks answer with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.tasks.awaitable import Awaitable


class Then:
    """What ``task.then(f)`` gives: a handler returns it.

    Attributes:
        task: what is waited for.
        function: makes the response, as ``f(was, task)``.
    """

    __slots__ = ("function", "task")

    def __init__(self, task: Awaitable, function: Callable[..., Any]) -> None:
        self.task = task
        self.function = function
