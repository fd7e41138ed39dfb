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
    from collections.abc import Callable

log = logging.getLogger("skitai")


class PoolFull(Exception):
    """More jobs wait than the pool accepts."""


class ThreadPool:
    """A fixed number of daemon threads that take jobs in order.

    Parameters:
        size: threads, at least 1.
        max_queued: jobs that may wait; one more raises ``PoolFull``.
        name: prefix of the thread names.
    """

    def __init__(self, size: int, max_queued: int, name: str = "skitai") -> None:
        self._queue: SimpleQueue[tuple[Callable[[Any], None], Any] | None] = SimpleQueue()
        self._max_queued = max_queued
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{at}", daemon=True)
            for at in range(size)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Callable[[Any], None], argument: Any) -> None:
        """Run ``job(argument)`` in a thread. Raises ``PoolFull``."""
        if self._queue.qsize() >= self._max_queued:
            raise PoolFull
        self._queue.put((job, argument))

    def resubmit(self, job: Callable[[Any], None], argument: Any) -> None:
        """Continue work that was admitted before; never refused."""
        self._queue.put((job, argument))

    @property
    def waiting(self) -> int:
        """Jobs that no thread has taken yet."""
        return self._queue.qsize()

    def stop(self, timeout: float) -> None:
        """Let the threads finish what is queued, for at most ``timeout`` seconds."""
        until = time.monotonic() + timeout
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _work(self) -> None:
        take = self._queue.get
        while True:
            item = take()
            if item is None:
                return
            job, argument = item
            try:
                job(argument)
            except Exception:
                log.exception("a job of the thread pool failed")
            # The last request must not stay alive until the next one comes.
            del item, job, argument
