"""``TaskLoop``: the worker's event loop as tasks see it, from any thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class TaskLoop:
    """The loop on which tasks run. Made in the thread that runs it.

    Attributes:
        loop: the event loop.
    """

    __slots__ = ("_thread", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._thread = threading.get_ident()

    def here(self) -> bool:
        """Whether the caller is on the loop, and so must not wait."""
        return threading.get_ident() == self._thread

    def call(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function on the loop: at once when that is where the caller is.

        When the loop is closed, as the worker has ended, it is not called.
        """
        if threading.get_ident() == self._thread:
            function(*args)
            return
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            if not self.loop.is_closed():
                raise
