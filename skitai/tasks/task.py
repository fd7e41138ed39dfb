"""``Task``: one piece of work that runs elsewhere (seed, Task).

It starts when it is made and ends once: with data, or with an error. A thread fetches it, a
generator yields it, a coroutine awaits it. The facades of databases and services make tasks; the
coroutine in a task runs on the worker's loop.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from threading import TIMEOUT_MAX
from time import monotonic
from typing import TYPE_CHECKING, Any

from skitai.tasks.awaitable import Awaitable, only
from skitai.tasks.errors import (
    Failure,
    OperationTimeout,
    TaskCancelled,
    mark_gateway,
    timeout_failure,
)
from skitai.tasks.reply import Reply
from skitai.tasks.status import STA_NETERR, STA_NORMAL, STA_TIMEOUT, STA_UNSENT

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from skitai.tasks.loops import TaskLoop

    Work = Callable[[], Coroutine[Any, Any, Reply]]
    Filter = Callable[[Any], Any]
    Keep = Callable[[Reply, float | None], None]

log = logging.getLogger("skitai")

TIMEOUT = 10.0  # seconds
EXPIRED = "the deadline passed"  # the message of a cancellation
# How long work that was broken off has to say why, and a waiting thread bears a loop that is late.
GRACE_SECONDS = 0.25
LATE_SECONDS = 2.0
EARLY_SECONDS = 0.002  # timers of uvloop count milliseconds

_UNFILTERED = object()


class Task(Awaitable):
    """A piece of work on the loop (seed, Using Task).

    Parameters:
        loop: where it runs.
        work: makes the coroutine; called once, on the loop. It raises ``Failure`` for what an
            upstream did wrong; any other exception is a crash of the app.
        timeout: seconds until it is broken off, counted from now.
        meta: anything of the app's, kept as ``meta``.
        filter: gets the data and returns what ``fetch`` gives; called once, by whoever asks first.
        keep: called with the reply to store it in the result cache, and for how many seconds.

    Attributes:
        status: one of the ``STA_`` constants; STA_UNSENT until it ends.
        status_code, reason: of the answer.
        node: the member that answered, where there are several.
    """

    __slots__ = (
        "__weakref__",
        "_broken_off",
        "_deadline",
        "_error",
        "_filter",
        "_filtered",
        "_filtering",
        "_job",
        "_keep",
        "_loop",
        "_once",
        "_reply",
        "_timer",
        "_waiting",
        "_work",
        "status",
    )

    def __init__(
        self,
        loop: TaskLoop,
        work: Work,
        timeout: float = TIMEOUT,
        meta: dict[str, Any] | None = None,
        filter: Filter | None = None,
        keep: Keep | None = None,
    ) -> None:
        self._prepare(loop, timeout, meta, filter, keep)
        self._work = work
        loop.call(self._begin)

    def _prepare(
        self,
        loop: TaskLoop,
        timeout: float,
        meta: dict[str, Any] | None,
        filter: Filter | None,
        keep: Keep | None,
    ) -> None:
        self.meta = {} if meta is None else meta
        self.status = STA_UNSENT
        self._loop = loop
        self._deadline = monotonic() + timeout
        self._filter = filter
        self._filtered: Any = _UNFILTERED
        self._filtering = threading.Lock() if filter is not None else None
        self._keep = keep
        self._reply: Reply | None = None
        self._error: BaseException | None = None
        self._job: asyncio.Task[Reply] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._broken_off = False
        # Taken once, by whoever ends the task.
        self._once = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()

    @classmethod
    def ended(
        cls,
        loop: TaskLoop,
        reply: Reply,
        meta: dict[str, Any] | None = None,
        filter: Filter | None = None,
        keep: Keep | None = None,
    ) -> Task:
        """A task whose answer is known already, e.g. from the result cache."""
        task = cls.__new__(cls)
        task._prepare(loop, TIMEOUT, meta, filter, keep)
        task._settle(reply, reply.error, STA_NORMAL)
        return task

    @classmethod
    def failed(cls, loop: TaskLoop, failure: Failure, meta: dict[str, Any] | None = None) -> Task:
        """A task that has ended with a failure already."""
        task = cls.__new__(cls)
        task._prepare(loop, TIMEOUT, meta, None, None)
        task._fail(failure)
        return task

    # -- its life, on the loop

    def _begin(self) -> None:
        work = self._work
        del self._work
        if self.done:
            return  # cancelled before the loop got to it
        try:
            self._job = self._loop.loop.create_task(work())
        except Exception as exc:
            self._fail(exc)
            return
        self._job.add_done_callback(self._finished)
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        left = max(0.0, self._deadline - monotonic())
        self._timer = self._loop.loop.call_later(left, self._expire)

    def _expire(self) -> None:
        now = monotonic()
        if self._deadline - now > EARLY_SECONDS:
            self._arm()  # a thread has just given it more time
            return
        self._deadline = min(self._deadline, now)
        self._break_off(EXPIRED, self._time_out)

    def _break_off(self, why: str | None, give_up: Callable[[], None]) -> None:
        """Cancel the work; if it has nothing to say about that, it has ended with ``give_up``."""
        job = self._job
        if job is None:
            give_up()
            return
        if job.done():
            return  # `_finished` is about to be called
        job.cancel(why)
        if self.done:
            return  # a thread that waited has given up before
        self._broken_off = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.loop.call_later(GRACE_SECONDS, give_up)

    def _finished(self, job: asyncio.Task[Reply]) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._job = None
        if job.cancelled():
            if monotonic() >= self._deadline:
                self._time_out()
            else:
                self._give_up()
            return
        error = job.exception()
        if error is None:
            reply = job.result()
            if reply.error is not None:
                mark_gateway(reply.error, 502)
            elif self._keep is not None:
                self._store(self._keep, reply)
            self._settle(reply, reply.error, STA_NORMAL)
        else:
            self._fail(error)

    def _store(self, keep: Keep, reply: Reply) -> None:
        try:
            keep(reply, None)
        except Exception:
            log.exception("what a task brought could not be kept")

    def _fail(self, error: BaseException) -> None:
        """End with what the work raised: the failure of an upstream, or a crash of the app."""
        if not isinstance(error, Failure):
            self._settle(Reply(None, 500, type(error).__name__), error, STA_NORMAL)
            return
        code = error.code if error.status == STA_TIMEOUT else 502
        mark_gateway(error.error, code)
        self._settle(Reply(None, error.code, error.reason), error.error, error.status)

    def _time_out(self) -> None:
        self._fail(timeout_failure(OperationTimeout("Operation Timeout")))

    def _give_up(self) -> None:
        self._fail(Failure(TaskCancelled("the task was cancelled"), STA_NETERR, code=502))

    def _settle(self, reply: Reply, error: BaseException | None, status: int) -> None:
        if not self._once.acquire(blocking=False):
            return
        self._error = error
        self.status = status
        self._reply = reply  # last: this is what says that the task has ended
        self._wake()

    def _wake(self) -> None:
        waiting = self._waiting
        while waiting:
            try:
                wake = waiting.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                wake()
            except BaseException:  # a SystemExit must not end the loop either
                log.exception("a callback of a task failed")

    # -- for everybody

    @property
    def done(self) -> bool:
        """Whether it has ended, however it did."""
        return self._reply is not None

    def cancel(self) -> None:
        """Break it off, if it runs; any thread. ``fetch`` raises ``TaskCancelled`` then."""
        if not self.done:
            self._loop.call(self._break_off, None, self._give_up)

    kill = terminate = cancel

    def set_timeout(self, timeout: float) -> None:
        """Set the deadline to ``timeout`` seconds from now."""
        self._deadline = monotonic() + timeout
        if not self.done:
            self._loop.call(self._rearm)

    @property
    def on_loop(self) -> bool:
        """Whether the caller is on the loop, where nothing may wait in a thread's way."""
        return self._loop.here()

    def get_timeout(self) -> float:
        """Seconds that are left, 0 when the deadline has passed."""
        return max(0.0, self._deadline - monotonic())

    def _rearm(self) -> None:
        if self._job is not None and not self._broken_off:
            self._arm()

    def when_done(self, wake: Callable[[], object]) -> None:
        """Call ``wake()`` once when the task ends, in the thread where it does; or now.

        What it raises is logged.
        """
        self._waiting.append(wake)
        if self.done:
            self._wake()

    def __await__(self) -> Generator[Any, None, Task]:
        if self._reply is None:
            loop = asyncio.get_running_loop()
            future = loop.create_future()

            def wake() -> None:
                if asyncio._get_running_loop() is loop:
                    _resolve(future)
                elif not loop.is_closed():
                    loop.call_soon_threadsafe(_resolve, future)

            self.when_done(wake)
            try:
                yield from future
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self

    def _wait(self, timeout: float | None) -> Reply:
        """Wait in a thread until the task has ended."""
        if self._reply is None:
            if self._loop.here():
                raise RuntimeError(
                    "a task can't be waited for on the event loop, everybody else would wait too: "
                    "yield it or await it first"
                )
            if timeout is not None:
                self.set_timeout(timeout)
            ended = threading.Lock()
            ended.acquire()
            self.when_done(ended.release)
            while not ended.acquire(timeout=min(self.get_timeout() + LATE_SECONDS, TIMEOUT_MAX)):
                if self.get_timeout() == 0.0:
                    self._time_out()  # the loop is stuck, or has gone
        assert self._reply is not None
        return self._reply

    # -- outcomes (seed, Task)

    def dispatch(
        self,
        cache: float | None = None,
        cache_if: tuple[int, ...] = (200,),
        timeout: float | None = None,
        wait: bool = True,
        reraise: bool = False,
    ) -> Task:
        """Wait for the end, whatever it is; return the task, whose ``status`` tells.

        Parameters:
            cache: keep the data in the result cache for so many seconds.
            cache_if: only if the status code is one of these.
            timeout: seconds from now on; default: those the task was made with.
            wait: False returns at once.
            reraise: raise what went wrong, as ``fetch`` does.
        """
        if wait:
            self._wait(timeout)
            if cache is not None:
                self.cache(cache, cache_if)
            if reraise:
                self.reraise()
        return self

    def wait(self, timeout: float | None = None, reraise: bool = False) -> Task:
        """``dispatch`` without the cache."""
        return self.dispatch(timeout=timeout, reraise=reraise)

    def fetch(
        self,
        cache: float | None = None,
        cache_if: tuple[int, ...] = (200,),
        timeout: float | None = None,
    ) -> Any:
        """The data, when the task has ended; raises what went wrong. Parameters: ``dispatch``."""
        self._wait(timeout)
        if self._error is not None:
            raise self._error
        if cache is not None:
            self.cache(cache, cache_if)
        return self.data

    def one(
        self,
        cache: float | None = None,
        cache_if: tuple[int, ...] = (200,),
        timeout: float | None = None,
    ) -> Any:
        """The only element of the data.

        Of a list, tuple or set the one in it; of a dictionary with one key its value; anything else
        is an element itself. Raises ``HTTPError`` 410 when there is none, 409 when there are more,
        and 409 for a violated constraint; else as ``fetch``. Parameters: ``dispatch``.
        """
        self._wait(timeout)
        return only(self.fetch, cache, cache_if)

    def commit(self, timeout: float | None = None) -> None:
        """Wait for the end; raises what went wrong."""
        self._wait(timeout)
        self.reraise()

    def reraise(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._error is not None:
            raise self._error

    def cache(self, timeout: float = 60, cache_if: tuple[int, ...] = (200,)) -> Task:
        """Keep the data in the result cache for ``timeout`` seconds; at once or never if 0.

        Raises ``ValueError`` while the task runs.
        """
        if self._reply is None:
            raise ValueError("only what a task brought can be kept: fetch it first")
        if self._keep is not None and self._error is None and self._reply.status_code in cache_if:
            self._keep(self._reply, timeout)
        return self

    def returning(self, value: Any) -> Any:
        """``value``: starts the task and answers in one line."""
        return value

    @property
    def data(self) -> Any:
        """The data, after the filter; None until the task has ended, and if it failed."""
        reply = self._reply
        if reply is None:
            return None
        if self._filter is None or self._error is not None:
            return reply.data
        assert self._filtering is not None
        with self._filtering:
            if self._filtered is _UNFILTERED:
                self._filtered = self._filter(reply.data)
            return self._filtered

    result = fetch

    @property
    def error(self) -> BaseException | None:
        """What ``fetch`` raises; None when nothing went wrong."""
        return self._error

    @property
    def reply(self) -> Reply | None:
        """The answer as the driver gave it; None until the task has ended."""
        return self._reply

    @property
    def status_code(self) -> int:
        """The status that the upstream answered with, 0 when there is none."""
        return self._reply.status_code if self._reply is not None else 0

    @property
    def reason(self) -> str:
        """The text beside that status, or why the task failed."""
        return self._reply.reason if self._reply is not None else ""

    @property
    def node(self) -> str:
        """The member of the alias that was asked, "" until the task has ended."""
        return self._reply.node if self._reply is not None else ""


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
