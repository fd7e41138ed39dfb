"""``Awaitable``: what tasks, groups and masks have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.errors import HTTPError
from skitai.tasks.then import Then

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class Awaitable:
    """What handlers wait for: a task, a group of tasks, a mask."""

    __slots__ = ("meta",)

    meta: dict[str, Any]

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        raise NotImplementedError

    def fetch(self) -> Any:
        """The data; raises what went wrong."""
        raise NotImplementedError

    def one(self) -> Any:
        """The only element; raises what went wrong, and ``HTTPError`` 410 or 409."""
        raise NotImplementedError

    def commit(self) -> None:
        """Wait for the end; raises what went wrong."""
        raise NotImplementedError

    def dispatch(self) -> Any:
        """Wait for the end, whatever it is; what can be asked for the outcome."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Break it off, if it runs; any thread."""
        raise NotImplementedError

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait on the loop; gives the object itself, which has ended then."""
        raise NotImplementedError

    def then(self, function: Callable[..., Any], was: Any = None) -> Then:
        """A response that ``f(was, task)`` makes when this has ended (seed, Coroutine).

        Parameters:
            function: a plain function runs in a thread, ``async def`` on the loop. It returns any
                response, also another that is made later.
            was: not needed; the function gets the ``was`` of its request.
        """
        return Then(self, function)


def only(fetch: Callable[..., Any], *args: Any) -> Any:
    """The only element of what ``fetch`` gives; see ``Task.one``."""
    try:
        data = fetch(*args)
    except Exception as exc:
        # Those of sqlite3 and psycopg2, DuplicateKeyError of MongoDB.
        names = {kind.__name__ for kind in type(exc).__mro__}
        if names & {"IntegrityError", "DuplicateKeyError"}:
            raise HTTPError("409 Conflict", str(exc).strip().partition("\n")[0]) from exc
        raise
    if isinstance(data, dict):
        if not data:
            raise HTTPError("410 Partial Not Found")
        return next(iter(data.values())) if len(data) == 1 else data
    if not isinstance(data, (list, tuple, set, frozenset)):
        return data
    if not data:
        raise HTTPError("410 Partial Not Found")
    if len(data) > 1:
        raise HTTPError("409 Conflict", f"{len(data)} elements where one was expected")
    return next(iter(data))
