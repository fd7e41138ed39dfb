"""Ways to an upstream that ``was`` offers: ``was.db``, ``was.stub``, ``was.get`` and so on.

Each can be called, and has ``lb`` (the same) and ``map``, which asks every member of an alias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.tasks.methods import TaskMethods


class Family:
    """An attribute of ``was``.

    Parameters:
        method: of ``skitai.upstream.upstreams.Upstreams``, which gets who asks, whether all members
            are meant, ``first``, and then what the app says.
        first: arguments of its own.
    """

    __slots__ = ("_first", "_method")

    def __init__(self, method: str, *first: Any) -> None:
        self._method = method
        self._first = first

    def __get__(self, was: TaskMethods, owner: Any = None) -> Way:
        return Way(was, self._method, self._first)


class Way:
    """A way to upstreams, for one ``was``.

    Parameters: see ``Family``.
    """

    __slots__ = ("_first", "_method", "_was")

    def __init__(self, was: TaskMethods, method: str, first: tuple[Any, ...]) -> None:
        self._was = was
        self._method = method
        self._first = first

    def __call__(self, *args: Any, **options: Any) -> Any:
        was = self._was
        make: Callable[..., Any] = getattr(was.upstreams, self._method)
        return make(was.task_owner, False, *self._first, *args, **options)

    lb = __call__

    def map(self, *args: Any, **options: Any) -> Any:
        """Ask every member of an alias (seed, Map / Load-Balancing)."""
        was = self._was
        make: Callable[..., Any] = getattr(was.upstreams, self._method)
        return make(was.task_owner, True, *self._first, *args, **options)
