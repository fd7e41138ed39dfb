"""The thread pool that runs plain functions of apps; one per worker.

Handlers submit to it from the loop. The hand-over is a C queue without a lock of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

log = logging.getLogger("skitai")

WATCH_SECONDS = 0.002
BEARABLE = 4  # a queue that empties within so many looks needs no more threads
RELAX_SECONDS = 1.0

Job = tuple["Callable[[Any], None]", Any]


class PoolFull(Exception):
    """More jobs wait than the pool accepts."""


class ThreadPool:
    """Daemon threads that take jobs in order; as many of them as the jobs need.

    PERF: threads that take turns with short jobs cost more than they give: one awake thread answers
    100k requests/s where four answer 91k (plain function, 64 connections, one core). So one thread
    is awake at first. While jobs wait, the loop looks every 2 ms how fast they are taken; when they
    block or take long, more threads are woken, up to ``size``. They go back to sleep, one every
    second, when none was missing.

    Parameters:
        size: threads, at least 1.
        max_queued: jobs that may wait; one more raises ``PoolFull``.
        name: prefix of the thread names.
        loop: the loop that submits; None keeps all threads awake.
    """

    def __init__(
        self,
        size: int,
        max_queued: int,
        name: str = "skitai",
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._max_queued = max_queued
        self._size = size
        self._loop = loop
        self._asleep = threading.Semaphore(0)
        self._awake = size if loop is None else 1
        self._submitted = 0
        self._taken = 0  # at the last look
        self._looked_at = 0.0
        self._watching = False
        self._needed = False  # a job had to wait since the last `_relax`
        self._stopping = False
        self._running: list[Job | None] = [None] * size
        self._threads = [
            threading.Thread(
                target=self._work, args=(at, at >= self._awake), name=f"{name}-{at}", daemon=True
            )
            for at in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[Any], None], argument: Any) -> None:
        """Run ``job(argument)`` in a thread; called on the loop. Raises ``PoolFull``."""
        if self._queue.qsize() >= self._max_queued:
            raise PoolFull
        self._submitted += 1
        self._queue.put((job, argument))
        # Also for a job that finds the queue empty: the threads that are awake may all be blocked.
        if not self._watching and self._awake < self._size:
            self._look_later()

    def resubmit(self, job: Callable[[Any], None], argument: Any) -> None:
        """Continue work that was admitted before; called on the loop, never refused."""
        self._submitted += 1
        self._queue.put((job, argument))
        if not self._watching and self._awake < self._size:
            self._look_later()

    @property
    def waiting(self) -> int:
        """Jobs that no thread has taken yet."""
        return self._queue.qsize()

    @property
    def size(self) -> int:
        """Threads, awake or not."""
        return self._size

    def running(self) -> list[tuple[int, Job | None]]:
        """The identifier of each thread, and what it does; any thread."""
        return [
            (thread.ident or 0, job)
            for thread, job in zip(self._threads, self._running, strict=True)
        ]

    @property
    def awake(self) -> int:
        """Threads that take jobs at present."""
        return self._awake

    def stop(self, timeout: float) -> None:
        """Let the threads finish what is queued, for at most ``timeout`` seconds."""
        until = time.monotonic() + timeout
        self._stopping = True
        for _ in self._threads:
            self._queue.put(None)
            self._asleep.release()
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _look_later(self) -> None:
        assert self._loop is not None
        self._watching = True
        self._taken = self._submitted - self._queue.qsize()
        self._looked_at = self._loop.time()
        self._loop.call_later(WATCH_SECONDS, self._watch)

    def _watch(self) -> None:
        """Wake threads if the jobs that wait are not taken soon."""
        assert self._loop is not None
        self._watching = False
        waiting = self._queue.qsize()
        speed = self._submitted - waiting - self._taken
        if waiting == 0 or self._stopping:
            return
        # A look that comes late says nothing: the process did not get the processor.
        late = self._loop.time() - self._looked_at > 2 * WATCH_SECONDS
        if waiting > speed * BEARABLE and not late:
            if self._awake == 1:
                self._loop.call_later(RELAX_SECONDS, self._relax)
            self._needed = True
            # Jobs that don't move at all block: the number doubles. Slow ones get one more thread.
            more = min(self._awake if speed <= 0 else 1, self._size - self._awake)
            self._awake += more
            self._asleep.release(more)
        if self._awake < self._size:
            self._look_later()

    def _relax(self) -> None:
        """Put a thread to sleep if none was missing lately; `_watch` wakes it when it is."""
        assert self._loop is not None
        if self._stopping:
            return
        if not self._needed:
            self._awake -= 1
            self._queue.put(None)
        self._needed = False
        if self._awake > 1:
            self._loop.call_later(RELAX_SECONDS, self._relax)

    def _work(self, at: int, sleep: bool) -> None:
        take, running = self._queue.get, self._running
        while True:
            if sleep:
                self._asleep.acquire()
            item = take()
            sleep = item is None
            if item is None:
                if self._stopping:
                    return
                continue
            running[at] = item
            job, argument = item
            try:
                job(argument)
            except BaseException:  # a SystemExit must not end the thread either
                log.exception("a job of the thread pool failed")
            # The last request must not stay alive until the next one comes.
            running[at] = None
            del item, job, argument
