"""``Lane``: a thread with a connection to SQLite, and the jobs that it does for the loop.

Readers and the writer are lanes. Jobs go to the thread by a C queue, and their outcome comes back
to the loop by ``call_soon_threadsafe``.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import traceback
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from skitai.tasks.errors import (
    Failure,
    NetworkError,
    PoolExhausted,
    RequestFailed,
    network_failure,
    request_failure,
    timeout_failure,
)
from skitai.upstream.slots import EXPIRED
from skitai.upstream.sqlite.connection import Dropped

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from skitai.upstream.sqlite.connection import Connection

    Function = Callable[..., Any]

# An interrupt that comes between two statements is lost, so it is repeated.
INTERRUPT_SECONDS = 0.02


class Job:
    """Something to do on a connection; made on the loop.

    Parameters:
        function: called as ``function(connection, *args, job)`` in a thread.

    Attributes:
        dropped: nobody waits; a job that has not begun is passed over.
        lane: who does it; None until it begins.
        shared: it was not given to a lane, one took it.
    """

    __slots__ = ("_future", "args", "dropped", "function", "lane", "shared")

    def __init__(self, loop: asyncio.AbstractEventLoop, function: Function, args: Any) -> None:
        self.function = function
        self.args = args
        self._future: asyncio.Future[Any] | None = loop.create_future()
        self.dropped = False
        self.lane: Lane | None = None
        self.shared = False

    async def outcome(self, busy: str) -> Any:
        """Wait for what the function returns.

        When that is cancelled, the statement that runs is broken off, and the caller doesn't wait
        until it is. Raises what the function raises as ``Failure``; for a job that has not begun
        when the deadline passes it has ``PoolExhausted`` with the text ``busy``.
        """
        assert self._future is not None
        try:
            return await self._future
        except Failure:
            self._future = None  # the traceback of the error leads here: no circle
            raise
        except asyncio.CancelledError as exc:
            self.drop()
            if self.lane is None and exc.args == (EXPIRED,):
                raise timeout_failure(PoolExhausted(busy)) from None
            raise

    def settle(self, result: Any, error: BaseException | None) -> None:
        """Tell who waits, if anybody does still."""
        future = self._future
        if future is None or future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def unattended(self, then: Callable[[], None]) -> None:
        """Nobody waits for its outcome; call ``then()`` when it has ended."""

        def ended(future: asyncio.Future[Any]) -> None:
            future.exception()  # looked at, so that nothing complains
            then()

        assert self._future is not None
        self._future.add_done_callback(ended)

    def drop(self) -> None:
        """Break it off, if it has begun."""
        self.dropped = True
        # A thread that begins with it now sees the line above, or is seen by the next one.
        if self.lane is not None:
            self.lane.interrupt(self)

    def fail(self, name: str) -> None:
        """Break it off, as the backend of a file is closed; who waits is told so."""
        self.settle(None, closed_failure(name, sent=self.lane is not None))
        self.drop()


class Lane:
    """A thread and its connection, which is opened by the first job.

    Parameters:
        open: makes the connection, in the thread.
        waiting: jobs that any of several lanes may take.
        rest: called on the loop when it has nothing to do.

    Attributes:
        alone: it only does what it is given.
        moved_at: when a job was given to it or ended, in time of the loop.
        ended: done when the thread has closed its connection and ends.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        name: str,
        open: Callable[[], Connection],
        waiting: deque[Job],
        rest: Callable[[Lane], None],
    ) -> None:
        self.alone = False
        self.moved_at = loop.time()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._open = open
        self._waiting = waiting
        self._rest = rest
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._pending = 0
        self._aborted = ""
        # Held while a job begins, ends or is interrupted, so that no other one is hit.
        self._lock = threading.Lock()
        self._current: Job | None = None
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def idle(self) -> bool:
        """Whether all jobs that it was given have ended."""
        return not self._pending

    # -- on the loop

    def do(self, job: Job) -> None:
        """Queue a job, behind those that the lane has."""
        if self._aborted:
            job.fail(self._aborted)
            return
        self._pending += 1
        self.moved_at = self._loop.time()
        self._queue.put(job)

    async def run(self, function: Function, *args: Any) -> Any:
        """Do ``function(connection, *args, job)``, for who has the lane alone."""
        job = Job(self._loop, function, args)
        self.do(job)
        return await job.outcome("what was broken off before did not end")

    def interrupt(self, job: Job) -> None:
        """Break off a job if it still runs, and see to it that it ends."""
        with self._lock:
            if self._current is not job:
                return
            if self._connection is not None:
                self._connection.interrupt()
        self._loop.call_later(INTERRUPT_SECONDS, self.interrupt, job)

    def stop(self) -> None:
        """End the thread, after the jobs that it has."""
        self._queue.put(None)

    def abort(self, name: str) -> None:
        """End the thread; the jobs that it has, or is given later, fail."""
        with self._lock:
            self._aborted = name
            current = self._current
        with suppress(Empty):
            while (job := self._queue.get_nowait()) is not None:
                job.fail(name)
        if current is not None:
            current.fail(name)
        self.stop()

    def join(self) -> None:
        """Wait for the thread, which has said that it ends."""
        self._thread.join(1.0)

    def _finished(self, job: Job, result: Any, error: BaseException | None, more: bool) -> None:
        self._pending -= not job.shared
        job.settle(result, error)
        self.moved_at = self._loop.time()
        if not more and not self._pending:
            self._rest(self)

    # -- in the thread

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            while job is not None:
                result, error = self._do(job)
                following = self._take()
                if not self._tell(self._finished, job, result, error, following is not None):
                    return
                # What it returned must not stay alive until the next job comes.
                job = following
                del result, error, following
        self._hang_up()
        self._tell(self.ended.set_result, None)

    def _take(self) -> Job | None:
        """A job that any lane may take, without a way over the loop."""
        # In this order: a lane that was just given back has its last job in the queue.
        if self.alone or not self._queue.empty():
            return None
        try:
            job = self._waiting.popleft()
        except IndexError:
            return None
        job.shared = True
        return job

    def _do(self, job: Job) -> tuple[Any, BaseException | None]:
        with self._lock:
            job.lane = self
            if job.dropped:
                return None, None
            if self._aborted:
                return None, closed_failure(self._aborted, sent=False)
            self._current = job
        error: BaseException | None = None
        try:
            if self._connection is None:
                self._connection = self._open()
            return job.function(self._connection, *job.args, job), None
        except Dropped:
            return None, None
        except BaseException as exc:
            error = exc
            traceback.clear_frames(exc.__traceback__)  # nothing of sqlite3 leaves this thread
            return None, failure_of(exc)
        finally:
            with self._lock:
                self._current = None
            if error is not None and self._connection and self._connection.broken_by(error):
                self._hang_up()
            del error

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _tell(self, function: Callable[..., Any], *args: Any) -> bool:
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop was closed without closing the backend
            self._hang_up()
            return False
        return True


def closed_failure(name: str, sent: bool) -> Failure:
    """The backend was closed, as the worker ends."""
    return network_failure(NetworkError(f"{name} was closed"), sent)


def failure_of(error: BaseException) -> BaseException:
    """What the app gets for an exception of a job."""
    if isinstance(error, (sqlite3.Error, sqlite3.Warning)):
        # The frames of this thread tell nobody anything, and hold what the job was about.
        return Failure(error.with_traceback(None), code=500, reason="Database Error")
    if isinstance(error, (OverflowError, ValueError)):  # e.g. integers of more than 64 bits
        return request_failure(RequestFailed(str(error)))
    return error
