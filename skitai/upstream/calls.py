"""``Calls``: starts tasks for one upstream, with the options that the app gave for it.

The facades of databases and services make one each time an app asks for an upstream.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from skitai.tasks.reply import Reply
from skitai.tasks.task import TIMEOUT, Task
from skitai.upstream.several import several

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable, Sequence

    from skitai.sql import SqlTemplates
    from skitai.stores.result_cache import ResultCache
    from skitai.stores.shared import SharedSlots
    from skitai.tasks.loops import TaskLoop
    from skitai.upstream.aliases import Aliases
    from skitai.upstream.place import Place


class Owner:
    """Who wants the tasks: a request, whose client may leave, or nobody.

    Parameters:
        aliases: of the app alone; they hide those of the service.
        own: called with each task that is started.
        updated: called with names of the result cache, after what they stand for was changed.
        templates: named SQL statements of the app.
        trace: gives headers that tell services which request they work for.
        request_type: media types of what services get and give; see ``Options``.
    """

    __slots__ = ("aliases", "own", "request_type", "templates", "trace", "updated")

    def __init__(
        self,
        aliases: Aliases | None = None,
        own: Callable[[Any], object] | None = None,
        updated: Callable[[list[str]], object] | None = None,
        templates: SqlTemplates | None = None,
        trace: Callable[[], list[tuple[str, str]]] | None = None,
        request_type: tuple[str, str] | None = None,
    ) -> None:
        self.templates = templates
        self.trace = trace
        self.request_type = request_type
        self.aliases = aliases
        self.own = own
        self.updated = updated


class Options:
    """What an app may say of the tasks of an upstream (seed, Task; Cache Control).

    Parameters:
        meta: a dictionary, kept on each task.
        filter: gets the data of a task and returns what ``fetch`` gives.
        timeout: seconds, 10 by default.
        use_cache: True takes data from the result cache that is not too old; a name, or several,
            also stores it there until one of the names is updated.
        rm_cache: names that are updated when a task has succeeded, with ``.map`` at any member.
        cache: seconds for which data is stored.
        callback: called with each task when it has ended; it must not block, and what it raises is
            logged.
        headers: a dictionary or pairs, of HTTP requests.
        auth: user and password, of HTTP requests.
        caller: whatever; nothing looks at it.
        request_type: media types of what is sent and what is wanted, of HTTP requests.

    Raises ``ValueError`` for what can't be meant.
    """

    __slots__ = (
        "auth",
        "cache",
        "callback",
        "filter",
        "headers",
        "meta",
        "names",
        "removed",
        "request_type",
        "timeout",
        "use_cache",
    )

    def __init__(
        self,
        meta: dict[str, Any] | None = None,
        filter: Callable[[Any], Any] | None = None,
        timeout: float = TIMEOUT,
        use_cache: bool | str | Sequence[str] = False,
        rm_cache: str | Sequence[str] | None = None,
        cache: float | None = None,
        callback: Callable[[Any], object] | None = None,
        headers: Any = None,
        auth: Any = None,
        caller: Any = None,
        request_type: tuple[str, str] | None = None,
    ) -> None:
        if not isinstance(timeout, (int, float)) or not timeout > 0:
            raise ValueError(f"timeout={timeout!r} must be a number of seconds above 0")
        self.meta = meta
        self.filter = filter
        self.timeout = timeout
        self.names = [] if isinstance(use_cache, bool) else _names("use_cache", use_cache)
        self.removed = [] if rm_cache is None else _names("rm_cache", rm_cache)
        self.use_cache = bool(use_cache) and not self.removed
        self.cache = cache
        self.callback = callback
        self.headers = headers
        self.auth = auth
        self.request_type = request_type


PLAIN = Options()


def _names(option: str, names: Any) -> list[str]:
    given = [names] if isinstance(names, str) else names
    if not isinstance(given, (list, tuple, set)) or not all(isinstance(n, str) for n in given):
        raise ValueError(f"{option}={names!r} must be a name or a list of names")
    return list(given)


class Calls:
    """Starts the tasks of one upstream.

    Parameters:
        loop: of the worker.
        place: the upstream.
        options: for all tasks.
        owner: who wants them.
        cache, shared: where results and the times of updates are.
        several: ask every member, for ``.map``.
    """

    __slots__ = ("_cache", "_several", "_shared", "loop", "options", "owner", "place")

    def __init__(
        self,
        loop: TaskLoop,
        place: Place,
        options: Options,
        owner: Owner,
        cache: ResultCache,
        shared: SharedSlots,
        several: bool = False,
    ) -> None:
        self.loop = loop
        self.place = place
        self.options = options
        self.owner = owner
        self._cache = cache
        self._shared = shared
        self._several = several

    def start(
        self,
        request: Any,
        repeatable: bool,
        identity: Callable[[], Hashable] | None = None,
        kind: type[Task] = Task,
    ) -> Task:
        """Start a task.

        Parameters:
            request: for the driver.
            repeatable: it may be sent to another member, when one has failed in the middle of it.
            identity: gives what tells it from others in the result cache, None if nothing does;
                without it the result is never kept.
            kind: class of the task.
        """
        options, task, keep = self.options, None, None
        if options.removed:
            self._cache.stamp(options.removed)  # refuses unknown names before anything is changed
        elif identity is not None and not self._several:
            if options.use_cache:
                task = self._known(identity, kind)
            keep = self._keeper(identity)
        if task is None:
            task = (several(kind) if self._several else kind)(
                self.loop,
                partial(self._work, request, repeatable),
                options.timeout,
                options.meta,
                options.filter,
                keep,
            )
            if self.owner.own is not None:
                self.owner.own(task)
        if options.callback is not None:
            task.when_done(partial(options.callback, task))
        return task

    def _known(self, identity: Callable[[], Hashable], kind: type[Task]) -> Task | None:
        """A task that has ended with what is in the result cache, if it counts."""
        key = identity()
        found = None if key is None else self._cache.get((self.place, key), self.options.names)
        if found is None:
            return None
        key, cache, stamp = (self.place, key), self._cache, self._cache.stamp()

        def keep(reply: Reply, seconds: float | None) -> None:
            # It is no younger for having been asked for; but it can be thrown away.
            if seconds is not None and seconds <= 0:
                cache.put(key, reply, stamp, seconds)

        return kind.ended(self.loop, found, self.options.meta, self.options.filter, keep)

    def _work(self, request: Any, repeatable: bool) -> Coroutine[Any, Any, Reply]:
        """What a task does; called on the loop."""
        if self.options.removed:
            return self._change(request, repeatable)
        return self._ask(request, repeatable)

    def _ask(self, request: Any, repeatable: bool) -> Coroutine[Any, Any, Reply]:
        cluster = self.place.cluster
        return cluster.ask_all(request) if self._several else cluster.call(request, repeatable)

    async def _change(self, request: Any, repeatable: bool) -> Reply:
        reply = await self._ask(request, repeatable)
        removed = self.options.removed
        if any(map(_succeeded, reply.data if self._several else [reply])):
            for name in removed:
                self._shared.touch(name)
            if self.owner.updated is not None:
                self.owner.updated(removed)
        return reply

    def _keeper(self, identity: Callable[[], Hashable]) -> Callable[[Reply, float | None], None]:
        """Stores a reply, for some seconds or for those of the options."""
        options, cache, place = self.options, self._cache, self.place
        stamp = cache.stamp(options.names)

        def keep(reply: Reply, seconds: float | None) -> None:
            age = options.cache if seconds is None else seconds
            if age is None and (seconds is not None or not options.names):
                return
            key = identity()
            if key is not None:
                cache.put((place, key), reply, stamp, age)  # two places may have one name

        return keep


def _succeeded(answer: object) -> bool:
    return isinstance(answer, Reply) and answer.error is None
