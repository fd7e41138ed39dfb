"""Names of results: ``count__one=task`` gives ``count`` the only element (seed, Map)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skitai.tasks.awaitable import Awaitable


class Results(dict[str, Any]):
    """Results by name, which are attributes too."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no result named {name!r}") from None


def collect(named: Mapping[str, Any]) -> Results:
    """Fetch what has a name; values that are no tasks are taken as they are.

    What follows a name says what of the result is taken:

    - ``x__one``: the only element; ``x__one__field`` a field of it;
    - ``x__fetch``: all, as without it; ``x__fetch__2`` one of a list by its number;
    - ``x__dict``: a group's results by name; ``x__dict__key`` one of them;
    - ``x__2``: one of a list; ``x__field``: one of what has names.

    Raises what the tasks raise, and ``ValueError`` for a suffix with another meaning.
    """
    results = Results()
    for name, value in named.items():
        short, _, path = name.partition("__")
        if isinstance(value, Awaitable):
            results[short or name] = _take(name, value, path) if path else value.fetch()
        else:
            results[name] = value
    return results


def _take(name: str, task: Awaitable, path: str) -> Any:
    first, _, rest = path.partition("__")
    if first == "one":
        data = task.one()
    elif first in ("fetch", "dict"):
        data = task.fetch()
    elif rest:
        raise ValueError(f"{name}: {first!r} can't stand there, it is one, fetch or dict")
    else:
        data, rest = task.fetch(), first
    return _item(data, rest) if rest else data


def _item(data: Any, key: str) -> Any:
    if key.isdecimal() and not isinstance(data, Mapping):
        return data[int(key)]
    return data[key]
