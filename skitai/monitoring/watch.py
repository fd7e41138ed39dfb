"""``Watch``: a thread that reports functions which take too long, and what blocks the loop.

The worker makes one when ``report_stuck`` or ``report_blocked`` is set. It only looks, from time to
time: requests don't pay for it.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    from skitai.executors.threads import ThreadPool

log = logging.getLogger("skitai")

LOOKS = 4  # within the time after which something is reported
LONGEST_PAUSE = 1.0  # seconds
FRAMES = 15  # of a stack that are shown: the innermost


class Watch:
    """Looks at the threads of a worker.

    Parameters:
        loop: of the worker; the watch is made in its thread.
        pool: its threads for requests.
        stuck: seconds after which a function in one of them is reported; 0: never.
        blocked: seconds after which what the loop does is reported; 0: never.
        count: called with ``"stuck"`` or ``"blocked"`` for each report, in the watch's thread.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pool: ThreadPool | None,
        stuck: float,
        blocked: float,
        count: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._pool = pool if stuck else None
        self._stuck = stuck
        self._blocked = blocked
        self._count = count
        self._loop_thread = threading.get_ident()
        self._pause = min([LONGEST_PAUSE, *(limit / LOOKS for limit in (stuck, blocked) if limit)])
        self._beat = time.monotonic()
        self._seen: dict[int, tuple[Any, float, bool]] = {}
        self._told = 0.0  # when the loop began to be blocked, as it was reported
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name="skitai-watch", daemon=True)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look; on the loop."""
        if self._blocked:
            self._tick()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _tick(self) -> None:
        self._beat = time.monotonic()
        if not self._end.is_set():
            self._timer = self._loop.call_later(self._pause, self._tick)

    def _work(self) -> None:
        before = time.monotonic()
        while not self._end.wait(self._pause):
            now = time.monotonic()
            # Whoever was suspended has not seen that others were at work.
            if now - before > 3 * self._pause + 0.1:
                self._seen.clear()
            else:
                self._look_at_loop(now)
                self._look_at_threads(now)
            before = now

    def _look_at_loop(self, now: float) -> None:
        if not self._blocked:
            return
        beat = self._beat
        if self._told:
            if beat > self._told + self._pause:
                log.warning("the loop goes on, it was blocked for %.1f s", beat - self._told)
                self._told = 0.0
        elif now - beat > self._blocked + self._pause:
            self._told = beat
            self._count("blocked")
            stack = _stack(self._loop_thread)
            log.warning("the loop is blocked for %.1f s by\n%s", now - beat, stack)

    def _look_at_threads(self, now: float) -> None:
        if self._pool is None:
            return
        for ident, job in self._pool.running():
            known = self._seen.get(ident)
            if job is None or known is None or known[0] is not job:
                self._seen[ident] = (job, now, False)
                continue
            _, since, told = known
            if not told and now - since >= self._stuck:
                self._seen[ident] = (job, since, True)
                self._count("stuck")
                request = getattr(job[1], "request", None)
                what = f"{request.method} {request.target}" if request else "a function"
                log.warning(
                    "%s has run for more than %g s, and is in\n%s", what, self._stuck, _stack(ident)
                )


def _stack(ident: int) -> str:
    """What a thread does now."""
    frame = sys._current_frames().get(ident)
    if frame is None:
        return "  nothing"
    return "".join(traceback.format_list(traceback.extract_stack(frame)[-FRAMES:])).rstrip()
