"""Maintenance jobs of an app: what runs every so often (seed, Interval Base App Maintenancing).

``Atila`` owns one ``Maintenance``; it starts with the worker and ends before the last hooks.
"""

from __future__ import annotations

import inspect
import math
import time
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar, overload

from atila.context import AppContext
from atila.errors import ConfigError
from atila.failures import FAILURES
from atila.steps import is_async

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from atila.app import Atila

F = TypeVar("F", bound="Callable[..., Any]")

DEFAULT_INTERVAL = 60  # seconds
STOP_PATIENCE = 1.0  # seconds


class Job:
    """A function that runs in every so many rounds.

    Parameters:
        function: called with ``was``, the time of the round and its number.
        every: rounds from one run to the next.
        apart: it has a thread of its own.

    Raises ``ConfigError`` for what can't be a job.
    """

    __slots__ = ("apart", "every", "function", "name", "task", "thread", "waits")

    def __init__(self, function: Callable[..., Any], every: int, apart: bool) -> None:
        self.function = function
        self.every = every
        self.apart = apart
        self.name = str(getattr(function, "__name__", None) or repr(function))
        self.waits = is_async(function)
        self.thread: Thread | None = None
        self.task: asyncio.Task[None] | None = None
        if type(every) is not int or every < 1:
            raise ConfigError(
                f"maintain job {self.name}: it runs every so many rounds, that must be a whole "
                f"number from 1 on, not {every!r}"
            )
        if self.waits and apart:
            raise ConfigError(
                f"maintain job {self.name} is 'async def', it runs on the loop: threading=True is "
                "for plain functions"
            )
        _check_signature(function, self.name)

    @property
    def running(self) -> bool:
        """Whether its last run, if it is not one of a round's thread, goes on."""
        if self.task is not None:
            return not self.task.done()
        return self.thread is not None and self.thread.is_alive()


class Maintenance:
    """The jobs of one app and the timer that runs them.

    A round comes every ``config.MAINTAIN_INTERVAL`` seconds (default 60), whether there are
    requests or not; the first one an interval after the start. Its plain jobs run one after the
    other in a thread that no request waits for. When they are not done by the time of the next
    round, that one is left out. What a job raises is logged, and that is all.
    """

    __slots__ = ("_app", "_count", "_jobs", "_loop", "_round", "_stopping", "interval")

    def __init__(self, app: Atila) -> None:
        self._app = app
        self._jobs: dict[str, Job] = {}
        self.interval = float(DEFAULT_INTERVAL)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._round: Thread | None = None
        self._count = 0
        self._stopping = Event()

    def add(self, function: F, every: int, apart: bool) -> F:
        """Declare a job. Raises ``ConfigError`` for what can't be one, and for a name in use."""
        job = Job(function, every, apart)
        if job.name in self._jobs:
            raise ConfigError(
                f"app {self._app.name!r} has a maintain job {job.name} already: names are unique, "
                "rename one of the functions"
            )
        self._jobs[job.name] = job
        return function

    def start(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Begin to count time on the worker's loop; without one there are no rounds.

        Raises ``ConfigError`` for a wrong interval.
        """
        interval = self._app.config.get("MAINTAIN_INTERVAL", DEFAULT_INTERVAL)
        if (
            isinstance(interval, bool)
            or not isinstance(interval, (int, float))
            or not 0 < interval < math.inf
        ):
            raise ConfigError(
                f"config.MAINTAIN_INTERVAL must be seconds, more than 0, not {interval!r}: give 60"
            )
        self.interval = interval
        if loop is not None:
            self._loop = loop
            loop.call_soon_threadsafe(self._await_round)

    def stop(self) -> None:
        """End it: no more rounds and no more jobs; what runs has a moment to finish."""
        self._stopping.set()
        until = time.monotonic() + STOP_PATIENCE
        for thread in (self._round, *(job.thread for job in self._jobs.values())):
            if thread is not None:
                thread.join(max(0.0, until - time.monotonic()))
                if thread.is_alive():
                    self._app.logger.warning("%s has not ended, it is left behind", thread.name)

    def _await_round(self) -> None:
        assert self._loop is not None
        self._loop.call_later(self.interval, self._run_round)

    def _run_round(self) -> None:
        """Start the jobs that are due; called on the loop."""
        if self._stopping.is_set():
            return
        assert self._loop is not None
        self._await_round()
        if self._round is not None and self._round.is_alive():
            self._app.logger.warning("%s takes longer than the interval", self._round.name)
            return
        count, now = self._count, time.time()
        self._count += 1
        together = []
        for job in list(self._jobs.values()):
            if count % job.every:
                continue
            if not job.waits and not job.apart:
                together.append(job)
            elif job.running:
                self._app.logger.warning("maintain job %s is still running", job.name)
            elif job.waits:
                job.task = self._loop.create_task(self._wait_for(job, now, count))
            else:
                job.thread = self._thread(f"maintain job {job.name}", [job], now, count)
        if together:
            self._round = self._thread(f"maintain round {count}", together, now, count)

    def _thread(self, name: str, jobs: list[Job], now: float, count: int) -> Thread:
        # Not one of the pool's: jobs may take long, and those threads are for requests. A daemon,
        # because a job that never ends must not keep the worker.
        thread = Thread(
            target=self._run, args=(jobs, now, count), name=f"{self._app.name} {name}", daemon=True
        )
        thread.start()
        return thread

    def _run(self, jobs: list[Job], now: float, count: int) -> None:
        for job in jobs:
            if self._stopping.is_set():
                return
            try:
                job.function(AppContext(self._app), now, count)
            except FAILURES:
                self._log_failure(job)

    async def _wait_for(self, job: Job, now: float, count: int) -> None:
        try:
            await job.function(AppContext(self._app), now, count)
        except FAILURES:
            self._log_failure(job)

    def _log_failure(self, job: Job) -> None:
        self._app.logger.exception("maintain job %s failed", job.name)


class MaintainDecorators:
    """``@app.maintain``."""

    maintenance: Maintenance

    @overload
    def maintain(self, per_maintaining: F) -> F: ...

    @overload
    def maintain(self, per_maintaining: int = 1, threading: bool = False) -> Callable[[F], F]: ...

    def maintain(self, per_maintaining: Any = 1, threading: bool = False) -> Any:
        """Call ``f(was, now, count)`` in rounds, one every ``config.MAINTAIN_INTERVAL`` seconds.

        ``now`` is the time of the round in seconds since 1970, ``count`` its number from 0 on.
        Plain functions run in a thread, those of one round one after the other; ``async def`` runs
        on the loop. Each worker has rounds of its own.

        Parameters:
            per_maintaining: run in every so many rounds, beginning with the first. Default 1.
            threading: in a thread of its own, for what takes long; a run is left out while the one
                before goes on. Default: False.

        Raises ``ConfigError`` for a name that another job has, and for what can't be called so.
        """
        if callable(per_maintaining):
            return self.maintenance.add(per_maintaining, 1, False)
        return lambda function: self.maintenance.add(function, per_maintaining, threading)


def _check_signature(function: Any, name: str) -> None:
    if not callable(function):
        raise ConfigError(f"@app.maintain must decorate a function, not {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigError(f"maintain job {name} is a generator and would never run")
    try:
        inspect.signature(function).bind(None, 0.0, 0)
    except TypeError:
        raise ConfigError(f"maintain job {name} must take (was, now, count)") from None
