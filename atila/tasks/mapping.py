"""``was.Map`` and its like: the results of tasks as JSON, or as a page (seed, Map and Mapped)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from atila.results.api import API
from atila.tasks.deferred import Deferred, call
from skitai.tasks.awaitable import Awaitable
from skitai.tasks.group import Tasks
from skitai.tasks.naming import collect

if TYPE_CHECKING:
    from atila.was import Was

OPTIONS = ("__timeout", "__maxage", "__etag", "__mtime")


class Map(Deferred):
    """Named results as an answer of ``was.API``.

    Parameters:
        args: a status line first, if any, then tasks that are only waited for.
        named: tasks by name, see ``skitai.tasks.naming.collect``; other values are constants.
            ``__timeout``: seconds for all of them; ``__maxage``: seconds for caches; ``__etag``,
            ``__mtime``: where the validators are in the data, as ``"result.0.version"``.
    """

    __slots__ = ("_awaited", "_named", "_options", "_status")

    def __init__(self, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._status: str | int | None = None
        if args and isinstance(args[0], (str, int)):
            self._status, args = args[0], args[1:]
        self._options = {name: named.pop(name) for name in OPTIONS if name in named}
        wrong = [name for name in named if name.startswith("__")]
        if wrong:
            raise TypeError(f"{wrong[0]!r} is no option of was.Map, there are {', '.join(OPTIONS)}")
        self._awaited = [task for arg in args for task in _tasks_of(arg)]
        self._named = named

    async def resolve(self, was: Was) -> Any:
        data = await self._collect(was)
        self._validate(was, data)
        return API(self._status, data) if self._status is not None else API(data)

    async def _collect(self, was: Was) -> dict[str, Any]:
        """All results by name; ``filter`` functions of the app are called in a thread."""
        timeout = self._options.get("__timeout")
        everything = [
            *self._awaited,
            *(value for value in self._named.values() if isinstance(value, Awaitable)),
        ]
        if timeout is not None:
            Tasks(everything, timeout=timeout)
        for task in everything:
            if not task.done:
                await task
        return await self._fetched(was, everything)

    async def _fetched(self, was: Was, everything: list[Any]) -> dict[str, Any]:
        if any(filters(task) for task in everything):
            data: dict[str, Any] = await call(was, self._fetch)
            return data
        return self._fetch()

    def _fetch(self) -> dict[str, Any]:
        for task in self._awaited:
            task.commit()
        return collect(self._named)

    def _validate(self, was: Was, data: dict[str, Any]) -> None:
        options = self._options
        if "__maxage" in options:
            was.response.set_max_age(options["__maxage"])
        etag, mtime = (
            _find(data, options[name]) if name in options else None
            for name in ("__etag", "__mtime")
        )
        if etag is not None and mtime is not None:
            was.response.set_etag_mtime(etag, mtime)
        elif etag is not None:
            was.response.set_etag(etag)
        elif mtime is not None:
            was.response.set_mtime(mtime)


class PageOfMap(Map):
    """Named results in a template: ``was.render_or_Map`` for a browser."""

    __slots__ = ("_template",)

    def __init__(self, template: str, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        super().__init__(args, named)
        self._template = template

    async def resolve(self, was: Was) -> Any:
        data = await self._collect(was)
        self._validate(was, data)
        if self._status is not None:
            was.response.set_status(self._status)
        # A template may block: it can make tasks of its own and wait for them.
        return await call(was, was.render, self._template, data)


def mapped(args: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of ``Map`` for one group: ``was.Mapped (tasks)``.

    Raises ``TypeError`` for anything but a group or something like it that has names.
    """
    *status, tasks = args
    if isinstance(tasks, Tasks):
        return (*status, *tasks.unnamed), dict(tasks.named)
    if isinstance(tasks, Mapping):
        return tuple(status), dict(tasks)
    raise TypeError(f"was.Mapped() takes one group of tasks, not {tasks!r}")


def filters(task: Any) -> bool:
    """Whether fetching a task calls a function of the app."""
    if isinstance(task, Tasks):
        return any(filters(member) for member in task)
    return getattr(task, "_filter", None) is not None


def _tasks_of(arg: Any) -> list[Any]:
    tasks = list(arg) if isinstance(arg, (list, tuple)) else [arg]
    for task in tasks:
        if not isinstance(task, Awaitable):
            raise TypeError(f"{task!r} is no task: results need a name, as was.Map(name=task)")
    return tasks


def _find(data: Any, path: str) -> Any:
    """What is at a dotted path, as ``"result.0.version"``."""
    for key in path.split("."):
        data = data[int(key)] if isinstance(data, list) else data[key]
    return data
