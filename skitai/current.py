"""``skitai.was``: the ``was`` of the request that the running code works for.

For code that has no ``was`` at hand. A framework provides it; requests of services that never look
at ``skitai.was`` don't pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class CurrentWas:
    """Stands for the ``was`` of the request that is answered here, in this thread or coroutine.

    Raises ``RuntimeError`` when it is used where no request is.
    """

    __slots__ = ("_find", "wanted")

    def __init__(self) -> None:
        object.__setattr__(self, "_find", lambda: None)
        object.__setattr__(self, "wanted", False)

    def _was(self) -> Any:
        found = self._find()
        if found is None:
            raise RuntimeError(
                "skitai.was: there is no request here. Import it at the top of a module of the "
                "app, as in 'from skitai import was', and use it while a request is answered"
            )
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._was(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._was(), name, value)

    def __repr__(self) -> str:
        found = self._find()
        return "<skitai.was, no request>" if found is None else f"<skitai.was {found!r}>"


was = CurrentWas()


def provide(find: Callable[[], Any]) -> None:
    """Let a framework say what ``skitai.was`` is.

    Parameters:
        find: returns the ``was`` of the running code, None when there is none.
    """
    object.__setattr__(was, "_find", find)


def want() -> CurrentWas:
    """``skitai.was``, for an app that is about to use it."""
    object.__setattr__(was, "wanted", True)
    return was
