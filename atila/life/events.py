"""The event bus of an app (seed, Event Bus): who handles what, and how events reach other apps.

``Atila`` owns one ``EventBus`` and inherits the decorators; its life cycle, its request hooks and
the app's own code emit.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from concurrent import futures
from typing import TYPE_CHECKING, Any, TypeVar

from atila.context import AppContext, current
from atila.errors import ConfigError
from atila.failures import FAILURES
from atila.steps import Kind, Step, is_async, step_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from atila.app import Atila
    from skitai.handlers.peers import Peers

    Call = Callable[[], Coroutine[Any, Any, Any]]

F = TypeVar("F", bound="Callable[..., Any]")

EVT_BEFORE_MOUNT = "before_mount"
EVT_MOUNTED = "mounted"
EVT_MOUNTED_RELOADED = "mounted_or_reloaded"
EVT_BEFORE_RELOAD = "before_reload"
EVT_RELOADED = "reloaded"
EVT_BEFORE_UMOUNT = "before_umount"
EVT_UMOUNTED = "umounted"
EVT_REQ_STARTED = "before_request"
EVT_REQ_SUCCESS = "finish_request"
EVT_REQ_FAILED = "failed_request"
EVT_REQ_TEARDOWN = "teardown_request"
EVT_REQ_FINISHED = "request:finished"
EVT_SPEC_CREATED = "spec:exposed"

REQUEST_EVENTS = frozenset(
    (EVT_REQ_STARTED, EVT_REQ_SUCCESS, EVT_REQ_FAILED, EVT_REQ_TEARDOWN, EVT_REQ_FINISHED)
)
LIFE_CYCLE = frozenset(
    (EVT_BEFORE_MOUNT, EVT_MOUNTED, EVT_MOUNTED_RELOADED, EVT_BEFORE_RELOAD, EVT_RELOADED)
    + (EVT_BEFORE_UMOUNT, EVT_UMOUNTED)
)
# What the framework emits itself. Subscribers hear these as "provider:name".
BUILT_IN = REQUEST_EVENTS | LIFE_CYCLE | {EVT_SPEC_CREATED}
OLD_SUCCESS = "success_request"
END_SECONDS = 5.0


class EventBus:
    """The events of one app in one worker.

    Plain handlers run where the event is emitted, one after the other as they were declared;
    ``async def`` handlers are started on the worker's loop and nobody waits for them. What a
    handler raises is logged, and that is all.

    A handler gets ``was`` first: that of the request in which the event was emitted, if it is one
    of this app, else one without a request.
    """

    __slots__ = (
        "_app",
        "_broadcasts",
        "_ending",
        "_followers",
        "_frozen",
        "_handlers",
        "_tasks",
        "_waiting",
    )

    def __init__(self, app: Atila) -> None:
        self._app = app
        # Tuples, so that declaring a handler doesn't disturb an emit in another thread.
        self._handlers: dict[str, tuple[Step, ...]] = {}
        self._broadcasts: dict[str, tuple[Step, ...]] = {}
        self._followers: list[tuple[str, EventBus]] = []
        self._frozen = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False
        self._waiting: list[tuple[str, Call]] = []

    # Declaring

    def declare(self, names: tuple[str, ...], function: F, broadcasts: bool = False) -> F:
        """Let a function handle events.

        Parameters:
            names: of the events.
            broadcasts: those that are broadcast, else those of this app's bus.

        Raises ``ConfigError`` for a function that can't be a handler, and for events of requests
        when the app serves already.
        """
        _check_handler(names, function)
        table = self._broadcasts if broadcasts else self._handlers
        for name in map(_today, names):
            if self._frozen and _provided(name) in REQUEST_EVENTS:
                raise ConfigError(
                    f"event {name!r}: its handlers are compiled when the app starts, declare "
                    f"{_label(function)} in __setup__ or __mount__"
                )
            steps = table.get(name, ())
            if all(step.run is not function for step in steps):
                table[name] = (*steps, step_of(function))
        return function

    def add_follower(self, name: str, bus: EventBus) -> None:
        """Let the bus of a subscriber hear all that is emitted here.

        Parameters:
            name: of this app, as the subscriber knows it.
        """
        self._followers.append((name, bus))

    def freeze(self) -> None:
        """The events of requests are compiled now: no more handlers for them."""
        self._frozen = True

    # Emitting

    def has(self, name: str) -> bool:
        """Whether anybody handles an event, here or in a subscriber."""
        return bool(self._all_steps(_today(name)))

    def watches_requests(self) -> bool:
        """Whether handlers may get the ``was`` of a request: of its own or of any custom event."""
        names = {*self._handlers, *(n for _, bus in self._followers for n in bus._handlers)}
        return bool(self._broadcasts) or any(name not in LIFE_CYCLE for name in names)

    def steps(self, name: str) -> list[Step]:
        """An event of requests as the one step it is, called with ``was`` and arguments, or none.

        For the compiler of requests: ask when all apps of the worker are set up.
        """
        steps = self._all_steps(name)
        if not steps:
            return []

        def emit(was: AppContext, *args: Any) -> None:
            self.run(was, name, *args)

        blocking = any(step.kind is Kind.PLAIN for step in steps)
        return [Step(emit, Kind.PLAIN if blocking else Kind.INLINE)]

    def emit(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """Run the handlers of an event, then those of the subscribers of this app."""
        name = _today(name)
        if self._followers or name in self._handlers:
            self.run(self._context(), name, *args, **kwargs)

    def run(self, was: AppContext, name: str, /, *args: Any, **kwargs: Any) -> None:
        """``emit`` with a given ``was``."""
        self._call(self._handlers, was, name, args, kwargs)
        for provider, bus in self._followers:
            heard = f"{provider}:{name}" if name in BUILT_IN else name
            if heard in bus._handlers:
                bus._call(bus._handlers, bus._context(), heard, args, kwargs)

    def hear(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """Run the handlers of a broadcast event."""
        if name in self._broadcasts:
            self._call(self._broadcasts, self._context(), name, args, kwargs)

    def ending(self) -> None:
        """The app ends: from now on coroutines are waited for. Called in a thread."""
        self._ending = True

    def started(self) -> None:
        """There is a loop now: start the coroutines that had to wait for one."""
        waiting, self._waiting = self._waiting, []
        for what, call in waiting:
            self._start(what, call)

    def _all_steps(self, name: str) -> list[Step]:
        steps = list(self._handlers.get(name, ()))
        for provider, bus in self._followers:
            heard = f"{provider}:{name}" if name in BUILT_IN else name
            steps += bus._handlers.get(heard, ())
        return steps

    def _context(self) -> AppContext:
        was = current.get()
        return was if was is not None and was.app is self._app else AppContext(self._app)

    def _call(
        self,
        table: dict[str, tuple[Step, ...]],
        was: AppContext,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        for step in table.get(name, ()):
            if step.kind is Kind.ASYNC:
                what = f"{_label(step.run)} for event {name!r}"
                self._start(what, functools.partial(step.run, was, *args, **kwargs))
                continue
            try:
                step.run(was, *args, **kwargs)
            except FAILURES:
                self._app.logger.exception("%s for event %r failed", _label(step.run), name)

    # Coroutines

    def _start(self, what: str, call: Call) -> None:
        loop = self._app.loop
        if loop is None:
            self._waiting.append((what, call))
        elif not loop.is_running():
            self._app.logger.warning("%s doesn't run: the worker has ended", what)
        elif self._ending and asyncio._get_running_loop() is None:
            # What is started now would be cancelled in a moment.
            ended = asyncio.run_coroutine_threadsafe(self._finish(what, call), loop)
            try:
                ended.result(END_SECONDS)
            except futures.TimeoutError:
                self._app.logger.warning("%s takes too long, it is cancelled", what)
        else:
            loop.call_soon_threadsafe(self._spawn, what, call)

    def _spawn(self, what: str, call: Call) -> None:
        assert self._app.loop is not None
        task = self._app.loop.create_task(self._finish(what, call))
        self._tasks.add(task)  # the loop itself would forget it
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, what: str, call: Call) -> None:
        try:
            await call()
        except FAILURES:
            self._app.logger.exception("%s failed", what)


class EventDecorators:
    """What an app has for events and for other apps (seed, Event Bus, Event Subscription)."""

    events: EventBus
    loop: asyncio.AbstractEventLoop | None
    peers: Peers

    def on(self, *names: str) -> Callable[[F], F]:
        """Handle events: ``f(was, …)`` with the arguments of the emit.

        Parameters:
            names: events of this app, or of an app it subscribes to; those that the framework
                itself emits there are named ``"provider:mounted"``.
        """
        _check_names(names)
        return lambda function: self.events.declare(names, function)

    def emit(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """Emit an event: plain handlers have run when this returns, whatever they raised."""
        self.events.emit(name, *args, **kwargs)

    def emit_after(self, name: str) -> Callable[[F], F]:
        """Emit an event, without arguments, each time the function has ended without an error."""
        return lambda function: _then(function, lambda: self.events.emit(name))

    def on_broadcast(self, *names: str) -> Callable[[F], F]:
        """Handle events that any app of the worker broadcasts."""
        _check_names(names)
        return lambda function: self.events.declare(names, function, broadcasts=True)

    def broadcast(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """Emit an event to all apps of the worker: to handlers with ``@app.on_broadcast``."""
        self.peers.broadcast(name, *args, **kwargs)

    def broadcast_after(self, name: str) -> Callable[[F], F]:
        """Broadcast an event each time the function has ended without an error."""
        return lambda function: _then(function, lambda: self.peers.broadcast(name))

    # Life cycle

    def before_mount(self, function: F) -> F:
        """Call ``f(was)`` when all modules are set up, before they are mounted."""
        return self.events.declare((EVT_BEFORE_MOUNT,), function)

    start_up = startup = before_mount

    def mounted(self, function: F) -> F:
        """Call ``f(was)`` when the app is complete, before its first request."""
        return self.events.declare((EVT_MOUNTED,), function)

    def mounted_or_reloaded(self, function: F) -> F:
        """Call ``f(was)`` after ``mounted`` and ``reloaded``."""
        return self.events.declare((EVT_MOUNTED_RELOADED,), function)

    def before_reload(self, function: F) -> F:
        """Call ``f(was)`` before ``before_mount`` in a worker that replaces one with older code."""
        return self.events.declare((EVT_BEFORE_RELOAD,), function)

    onreload = reload = before_reload

    def reloaded(self, function: F) -> F:
        """Call ``f(was)`` after ``mounted`` in a worker that replaces one with older code."""
        return self.events.declare((EVT_RELOADED,), function)

    def before_umount(self, function: F) -> F:
        """Call ``f(was)`` after the last request, before the ``__umount__`` hooks."""
        return self.events.declare((EVT_BEFORE_UMOUNT,), function)

    def umounted(self, function: F) -> F:
        """Call ``f(was)`` as the last thing of all."""
        return self.events.declare((EVT_UMOUNTED,), function)

    shutdown = umounted

    # The worker's side

    def join(self, peers: Peers) -> None:
        """Learn who else is there; called by the worker before any hook."""
        self.peers = peers
        self.loop = peers.loop

    def follow(self, name: str, provider: Any) -> None:
        """Subscribe to the events of another app, which is mounted as ``name``.

        Raises ``ConfigError`` when it has no events.
        """
        bus = getattr(provider, "events", None)
        if not isinstance(bus, EventBus):
            raise ConfigError(f"app {name!r} has no events to subscribe to: it is {provider!r}")
        bus.add_follower(name, self.events)

    def hear(self, name: str, /, *args: Any, **kwargs: Any) -> None:
        """Handle a broadcast event."""
        self.events.hear(name, *args, **kwargs)


def _provided(name: str) -> str:
    """The event's own name in that of a provider's: ``mounted`` of ``shop:mounted``."""
    return name if name in BUILT_IN else name.partition(":")[2]


def _today(name: str) -> str:
    """The name of today for ``success_request``, also of a provider."""
    if name.endswith(OLD_SUCCESS) and (name == OLD_SUCCESS or name[-len(OLD_SUCCESS) - 1] == ":"):
        return name.removesuffix(OLD_SUCCESS) + EVT_REQ_SUCCESS
    return name


def _label(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))


def _check_names(names: tuple[Any, ...]) -> None:
    """Raise ``ConfigError`` unless there are names, as for ``@app.on`` without any."""
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ConfigError(
            f"event names must be text, not {names!r}: write @app.on('name') above the handler"
        )


def _check_handler(names: tuple[Any, ...], function: Any) -> None:
    if not callable(function):
        raise ConfigError(f"event {names[0]!r} must have a function as its handler: {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(
            f"event {names[0]!r}: handler {_label(function)} is a generator and would never run, "
            "make it a plain or an async function"
        )
    try:
        inspect.signature(function).bind_partial(None)
    except TypeError:
        raise ConfigError(
            f"event {names[0]!r}: handler {_label(function)} must take 'was' as its first argument"
        ) from None
    except ValueError:  # a function in C, which has no signature to look at
        return


def _then(function: F, emit: Callable[[], None]) -> F:
    """A function of the same kind that emits at its end."""
    wrapper: Any
    if inspect.isgeneratorfunction(function):

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = yield from function(*args, **kwargs)
            emit()
            return result

    elif inspect.isasyncgenfunction(function):

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            async with contextlib.aclosing(function(*args, **kwargs)) as items:
                async for item in items:
                    yield item
            emit()

    elif is_async(function):

        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = await function(*args, **kwargs)
            emit()
            return result

    else:

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            emit()
            return result

    return functools.wraps(function)(wrapper)  # type: ignore[return-value]  # the same signature
