"""``JobBoard``: what the process of jobs leaves for its successor, and for who shows figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from skitai.stores.shared import BLOCK_BYTES, BLOCKS_AT

if TYPE_CHECKING:
    from skitai.stores.memory import SharedMemory

# Words of the first block, which is of the service: `skitai.monitoring.counters` has others.
LENGTH = 1  # of the figures, in bytes
STARTED, SINCE_WALL, SINCE_MONOTONIC = 16, 17, 18  # in microseconds
FIGURES_AT = 1024  # bytes
LONGEST_FIGURES = BLOCK_BYTES - FIGURES_AT
WRITING = BLOCKS_AT + 1  # the place to lock while figures are written or read
RUNNING = 1 << 59  # the first place that stands for a job, far behind those of memory
MICROSECONDS = 1_000_000

# What is known of a job, in this order.
FIELDS = (
    "name", "when", "runs", "failures", "timeouts", "skipped", "restarts", "running",
    "last_start", "last_seconds", "last_success",
)  # fmt: skip


class JobBoard:
    """Facts of the jobs of a service in the memory that its processes share.

    Parameters:
        memory: of the service.
    """

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self._first = BLOCKS_AT // 8

    def began(self) -> tuple[float, float, float] | None:
        """When jobs began, monotonic, and up to when runs were started, on both clocks.

        None in the first process of jobs.
        """
        words, at = self._memory.words, self._first
        if not words[at + STARTED]:
            return None
        started, wall, monotonic = (
            words[at + word] / MICROSECONDS for word in (STARTED, SINCE_WALL, SINCE_MONOTONIC)
        )
        return started, wall, monotonic

    def begin(self, wall: float, monotonic: float) -> None:
        """Jobs begin now."""
        self.reached(wall, monotonic)
        self._memory.words[self._first + STARTED] = int(monotonic * MICROSECONDS) or 1

    def reached(self, wall: float, monotonic: float) -> None:
        """All runs up to now have been started."""
        words, at = self._memory.words, self._first
        words[at + SINCE_WALL] = int(wall * MICROSECONDS)
        words[at + SINCE_MONOTONIC] = int(monotonic * MICROSECONDS)

    def take(self, number: int) -> bool:
        """Claim a job for this process; false while another one runs it.

        Parameters:
            number: of the job, less than 2 ** 48.
        """
        return self._memory.try_lock(RUNNING + number)

    def give_back(self, number: int) -> None:
        """Let others run a job."""
        self._memory.unlock(RUNNING + number)

    def publish(self, jobs: list[dict[str, Any]]) -> None:
        """Let others see the figures: dicts of ``FIELDS``. What has no room is left out."""
        rows = [[job[name] for name in FIELDS] for job in jobs]
        data = orjson.dumps(rows)
        while len(data) > LONGEST_FIGURES:
            rows.pop()
            data = orjson.dumps(rows)
        place = BLOCKS_AT + FIGURES_AT
        with self._memory.locked(WRITING):
            self._memory.words.cast("B")[place : place + len(data)] = data
            self._memory.words[self._first + LENGTH] = len(data)

    def figures(self) -> list[dict[str, Any]]:
        """What was published last."""
        place = BLOCKS_AT + FIGURES_AT
        with self._memory.locked(WRITING):
            length = self._memory.words[self._first + LENGTH]
            data = bytes(self._memory.words.cast("B")[place : place + length])
        return [dict(zip(FIELDS, row, strict=True)) for row in orjson.loads(data)] if data else []
