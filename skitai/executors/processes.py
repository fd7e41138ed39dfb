"""``ProcessExecutor``: runs the functions of ``was.Process`` in processes of their own.

Own processes and not those of ``concurrent.futures``, whose pool breaks as a whole when one process
is killed; but a job that nobody waits for any more has to be killed, with what it started.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
import threading
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError
from skitai.executors import remote
from skitai.executors.child import Child, main_script
from skitai.executors.errors import (
    ExecutorStopped,
    NotPicklable,
    ProcessDied,
    RemoteError,
    RemoteTraceback,
)
from skitai.executors.jobs import Job, contained, name_of
from skitai.executors.threaded import MAX_WAITING, ThreadExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from skitai.executors.threaded import ThreadJob

START_METHOD = "spawn"
END_SECONDS = 1.0
KILL_SECONDS = 2.0


class ProcessJob(Job):
    """A function that waits for a process, or runs in one."""

    __slots__ = ("_call", "_child", "_lock", "queued")

    def __init__(
        self,
        call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]],
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        super().__init__(name_of(call[0]), done)
        self._call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None = call
        self._child: Child | None = None
        self._lock = threading.Lock()
        self.queued: ThreadJob | None = None

    def pack(self) -> bytes:
        """The job as bytes for another process. Raises ``NotPicklable``."""
        call, self._call = self._call, None
        if call is None:  # it was cancelled
            return b""
        try:
            file = io.BytesIO()
            pickler = pickle.Pickler(file, remote.PROTOCOL)
            pickler.dump(_origin(call[0]))
            pickler.dump(call)
        except Exception as exc:
            raise NotPicklable(self._complain(call[0], exc)) from exc
        return file.getvalue()

    def _complain(self, function: Callable[..., Any], exc: Exception) -> str:
        try:
            pickle.dumps(function, remote.PROTOCOL)
        except Exception:
            return (
                f"{self.name} can't run in another process, which finds it by its name: make it a "
                f"module-level function, or use was.Thread ({exc})"
            )
        return f"an argument of {self.name} can't be sent to another process: {exc}"

    def lend(self, child: Child) -> bool:
        """The job is about to run in this process; False when it was cancelled."""
        with self._lock:
            if self.ended:
                return False
            self._child = child
            return True

    def give_back(self) -> None:
        """The process has answered, or died; it is no business of the job any more."""
        with self._lock:
            self._child = None

    def _drop(self) -> None:
        self._call = None
        if self.queued is not None:
            self.queued.cancel()
        with self._lock:
            if self._child is not None:
                self._child.interrupt()


class ProcessExecutor:
    """Fresh interpreters, not copies of the worker, that run one function after the other.

    They are started when they are needed and stay. Any thread may submit; jobs begin in the order
    of submission. Function and arguments must be picklable; the function is found by its module
    and name, with the module path of the worker. The launch script is only loaded, as
    ``__mp_main__``, if the function lives there. A job that is cancelled while it runs is killed
    with all that it started, and another process takes the place. A process that dies takes only
    its own job along.

    PERF: ``math.sqrt`` and back takes 60 us at the median, with ``ProcessPoolExecutor`` 145 us and
    with ``pebble.ProcessPool`` 140 us; the first call 30 ms instead of 115 ms (two cores).

    Parameters:
        workers: most processes at a time; default: one for each processor that may be used.
        start_method: ``"spawn"``, the only one.
        max_waiting: jobs that may wait; one more raises ``ExecutorFull``.
        name: prefix of the names of the threads that talk to the processes.

    Raises ``ConfigError`` for another start method.
    """

    def __init__(
        self,
        workers: int | None = None,
        start_method: str = START_METHOD,
        max_waiting: int = MAX_WAITING,
        name: str = "skitai-process",
    ) -> None:
        check_start_method(start_method)
        self._threads = ThreadExecutor(workers or usable_processors(), max_waiting, name)
        self._lock = threading.Lock()
        self._idle: list[Child] = []  # the last one to work is the first to go on
        self._busy: set[Child] = set()
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Jobs that have no process yet."""
        return self._threads.waiting

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that exist."""
        with self._lock:
            return [child.pid for child in (*self._busy, *self._idle)]

    def submit(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        done: Callable[[Any, BaseException | None], None],
    ) -> ProcessJob:
        """Run ``function(*args, **kwargs)`` in a process.

        Parameters:
            done: see ``Job``. It gets what the function raises, with the remote traceback as
                ``__cause__``, or an ``ExecutorError``.

        Raises ``ExecutorFull`` and ``ExecutorStopped``.
        """
        job = ProcessJob((function, tuple(args), dict(kwargs)), done)

        def ended(_: Any, error: BaseException | None) -> None:
            if error is not None:
                job.finish(None, error)

        job.queued = self._threads.submit(self._converse, (job,), {}, ended, name=job.name)
        return job

    def stop(self, timeout: float) -> None:
        """End all processes.

        Jobs that have not begun fail with ``ExecutorStopped`` at once; those that still run after
        ``timeout`` seconds do so then, and are killed.
        """
        self._threads.stop(timeout)
        with self._lock:
            self._stopped = True
            for child in self._busy:
                child.interrupt()
            idle, self._idle = self._idle, []
        for child in idle:
            child.interrupt()
        for child in idle:
            child.end(END_SECONDS)
        self._threads.stop(KILL_SECONDS)

    def _converse(self, job: ProcessJob) -> None:
        """Bring a job to a process and its outcome back; in a thread."""
        try:
            message = job.pack()
        except NotPicklable as exc:
            job.finish(None, exc)
            return
        if job.ended:
            return
        try:
            child = self._take()
        except OSError as exc:
            job.finish(None, ProcessDied(f"{job.name} was not started: no process for it ({exc})"))
            return
        if not job.lend(child):
            self._put_back(child)
            return
        try:
            answer = child.converse(message)
        except BaseException:  # no memory for the answer
            job.give_back()
            self._end(child)
            raise
        del message
        job.give_back()
        if answer is not None:
            self._put_back(child)
            if not job.ended:
                job.finish(*unpack(job.name, *answer))
            return
        code = self._end(child)
        job.finish(None, ProcessDied(f"the process of {job.name} {describe_end(code)}"))

    def _take(self) -> Child:
        """A process that does nothing, or a new one. Raises ``OSError``."""
        while True:
            with self._lock:
                if self._stopped:
                    raise ExecutorStopped("the worker stops")
                child = self._idle.pop() if self._idle else None
                if child is not None:
                    self._busy.add(child)
            if child is None:
                child = Child()
                with self._lock:
                    self._busy.add(child)
                    if self._stopped:
                        child.interrupt()
                return child
            if child.usable:
                return child
            self._end(child)

    def _put_back(self, child: Child) -> None:
        """Keep a process for the next job, unless it is of no use any more."""
        with self._lock:
            keep = child.usable and not self._stopped
            if keep:
                self._busy.discard(child)
                self._idle.append(child)
        if not keep:
            self._end(child)

    def _end(self, child: Child) -> int | None:
        try:
            return child.end()
        finally:
            with self._lock:
                self._busy.discard(child)


class _Unpickler(pickle.Unpickler):
    """Knows that what the script defines is called differently in the process of a job."""

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class("__main__" if module == remote.MAIN else module, name)


def unpack(name: str, kind: bytes, body: bytearray) -> tuple[Any, BaseException | None]:
    """Result and error of an answer."""
    if kind == remote.RESULT:
        try:
            return _Unpickler(io.BytesIO(body)).load(), None
        except Exception as exc:
            error = NotPicklable(f"the result of {name} can't be loaded: {exc!r}")
            error.__cause__ = exc
            return None, error
    packed, line, text = pickle.loads(body)
    failure: BaseException | None
    if kind == remote.NOT_LOADED:
        failure = NotPicklable(f"{name} or an argument can't be loaded in another process: {line}")
    elif kind == remote.NOT_SENT:
        failure = NotPicklable(f"the result of {name} can't be sent from its process: {line}")
    else:
        failure = (packed and _unpack_exception(packed)) or RemoteError(f"{name} raised {line}")
    failure.__cause__ = RemoteTraceback(text)
    return None, contained(failure, name)


def _unpack_exception(packed: bytes) -> BaseException | None:
    """The exception that the function raised; None if it can't be made again here."""
    try:
        form = _Unpickler(io.BytesIO(packed)).load()
        if isinstance(form, BaseException):
            return form
        kind, args, attributes = form
        # Without its constructor, which may want other arguments than it passed on.
        error: BaseException = kind.__new__(kind, *args)
        error.args = args
        error.__dict__.update(attributes)
    except Exception:
        return None
    return error


def _origin(function: Callable[..., Any]) -> tuple[str, str] | None:
    """Name and file of the function's module; None if both processes know it by its name."""
    inner = getattr(function, "func", function)  # of functools.partial
    name = getattr(inner, "__module__", None)
    if name == "__main__" and main_script() == (None, None):
        raise ImportError("the launch script is no file: move the function to a module")
    if name in (None, "__main__"):
        return None
    path = getattr(sys.modules.get(name), "__file__", None)
    return (name, os.path.abspath(path)) if path and path.endswith(".py") else None


def describe_end(code: int | None) -> str:
    """How a process ended, for a message."""
    if code is None:
        return "does not end"
    return f"ended with exit code {code}" if code >= 0 else f"was killed by signal {-code}"


def usable_processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def check_start_method(method: str) -> None:
    """Raises ``ConfigError`` for a start method that is not ``"spawn"``."""
    if method != START_METHOD:
        raise ConfigError(
            f"process_start_method={method!r} can't be used: a process must not have the sockets "
            "and locks of a worker: give 'spawn' or leave it out"
        )
