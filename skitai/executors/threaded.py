"""``ThreadExecutor``: runs the functions of ``was.Thread``, apart from the threads of requests.

A request thread that waits for such a job does not take the place of it.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from skitai.executors.errors import ExecutorFull, ExecutorStopped
from skitai.executors.jobs import Job, contained, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

log = logging.getLogger("skitai")

DEFAULT_WORKERS = 32
MAX_WAITING = 10_000
IDLE_SECONDS = 60.0

Call = tuple["Callable[..., Any]", "Sequence[Any]", "Mapping[str, Any]", contextvars.Context]


class ThreadJob(Job):
    """A function that waits for a thread, or runs in one."""

    __slots__ = ("_call", "_executor")

    def __init__(
        self,
        executor: ThreadExecutor,
        name: str,
        call: Call,
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        super().__init__(name, done)
        self._executor = executor
        self._call: Call | None = call

    def run(self) -> None:
        """Call the function, in a thread of the executor."""
        call, self._call = self._call, None
        if call is None or self.ended:
            return
        function, args, kwargs, context = call
        del call
        error: BaseException | None = None
        try:
            result = context.run(function, *args, **kwargs)
        except BaseException as exc:  # a SystemExit must not end the thread either
            error = contained(exc, self.name)
            self.finish(None, error)
        else:
            self.finish(result, None)
        finally:
            del error  # its traceback has this frame

    def _drop(self) -> None:
        self._call = None
        self._executor.forget(self)


class _Bench:
    """Where a thread without a job waits for the next one."""

    __slots__ = ("bell", "job")

    def __init__(self) -> None:
        self.bell = threading.Lock()
        self.bell.acquire()
        self.job: ThreadJob | None = None


class ThreadExecutor:
    """Daemon threads, started when they are needed and ended when they are not.

    Any thread may submit. Jobs begin in the order of submission. A job that runs can't be stopped:
    after ``cancel`` its outcome is dropped. A job that submits another and waits for it holds a
    thread meanwhile; when all threads do so nothing moves until a waiting side gives up, so it has
    to have a deadline, as every ``Task`` has.

    Parameters:
        workers: most threads at a time, at least 1.
        max_waiting: jobs that may wait for a thread; one more raises ``ExecutorFull``.
        name: prefix of the thread names.
        idle_seconds: after so long without a job a thread ends.
    """

    def __init__(
        self,
        workers: int = DEFAULT_WORKERS,
        max_waiting: int = MAX_WAITING,
        name: str = "skitai-task",
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._workers = workers
        self._max_waiting = max_waiting
        self._name = name
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._waiting: OrderedDict[ThreadJob, None] = OrderedDict()
        self._running: set[ThreadJob] = set()
        self._threads: set[threading.Thread] = set()
        # The last to come is the first to go on, so that a surplus of threads ends.
        self._benches: list[_Bench] = []
        self._started = 0
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Jobs that no thread has taken yet."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """Jobs that run or wait."""
        with self._lock:
            return len(self._running) + len(self._waiting)

    @property
    def threads(self) -> int:
        """Threads that exist."""
        return len(self._threads)

    def submit(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        done: Callable[[Any, BaseException | None], None],
        context: contextvars.Context | None = None,
        name: str = "",
    ) -> ThreadJob:
        """Run ``function(*args, **kwargs)`` in a thread.

        Parameters:
            done: see ``Job``.
            context: the context variables of the function. Default: a copy of those of the caller.
            name: of the job, for messages. Default: that of the function.

        Raises ``ExecutorFull`` and ``ExecutorStopped``.
        """
        context = contextvars.copy_context() if context is None else context
        call = (function, args, kwargs, context)
        job = ThreadJob(self, name or name_of(function, args), call, done)
        with self._lock:
            if self._stopped:
                raise ExecutorStopped(f"{job.name} was not started: the worker stops")
            if self._benches:
                self._running.add(job)
                bench = self._benches.pop()
                bench.job = job
                bench.bell.release()
                return job
            if len(self._threads) >= self._workers:
                self._queue(job)
                return job
            self._running.add(job)
            self._started += 1
            thread = threading.Thread(
                target=self._work, args=(job,), name=f"{self._name}-{self._started}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as exc:  # a limit of the system
                self._running.discard(job)
                if not self._threads:
                    raise ExecutorFull(f"{job.name} was not started: {exc}") from exc
                self._queue(job)
            else:
                self._threads.add(thread)
        return job

    def _queue(self, job: ThreadJob) -> None:
        if len(self._waiting) >= self._max_waiting:
            raise ExecutorFull(f"{job.name} was not started: {self._max_waiting} jobs wait already")
        self._waiting[job] = None

    def forget(self, job: ThreadJob) -> None:
        """A job was cancelled: if it still waits, it leaves the queue."""
        with self._lock:
            self._waiting.pop(job, None)

    def stop(self, timeout: float) -> None:
        """End all threads; from any thread but those. Calling it again waits once more.

        Jobs that have not begun fail with ``ExecutorStopped`` at once, those that still run after
        ``timeout`` seconds do so then.
        """
        until = time.monotonic() + timeout
        with self._lock:
            self._stopped = True
            waiting = list(self._waiting)
            self._waiting.clear()
            for bench in self._benches:
                bench.bell.release()
            self._benches.clear()
            threads = list(self._threads)
        for job in waiting:
            job.finish(None, ExecutorStopped(f"{job.name} was not started: the worker stops"))
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        with self._lock:
            running = list(self._running)
        for job in running:
            job.finish(None, ExecutorStopped(f"{job.name} was still running: the worker stops"))

    def _work(self, job: ThreadJob | None) -> None:
        bench = _Bench()
        while job is not None:
            try:
                job.run()
            except BaseException:  # raised by what was to be told of the end
                log.exception("a thread of %s had to catch an error", self._name)
            job = self._next(job, bench)

    def _next(self, finished: ThreadJob, bench: _Bench) -> ThreadJob | None:
        """Take a job or wait for one; None ends the thread."""
        with self._lock:
            self._running.discard(finished)
            if self._waiting:
                job, _ = self._waiting.popitem(last=False)
                self._running.add(job)
                return job
            if self._stopped:
                self._threads.discard(threading.current_thread())
                return None
            self._benches.append(bench)
        if not bench.bell.acquire(timeout=self._idle_seconds):
            with self._lock:
                if bench in self._benches:
                    self._benches.remove(bench)
                    self._threads.discard(threading.current_thread())
                    return None
            bench.bell.acquire()  # a job came in the last moment
        if bench.job is None:
            with self._lock:
                self._threads.discard(threading.current_thread())
            return None
        following, bench.job = bench.job, None
        return following
