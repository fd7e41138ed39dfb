"""``JobBoard``: what the process of jobs leaves for its successor, and for who shows figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from skitai.stores.shared import BLOCK_BYTES, BLOCKS_AT

if TYPE_CHECKING:
    from collections.abc import Iterable

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
COUNTED = ("runs", "failures", "timeouts", "skipped", "restarts")
SHORT = 20  # characters of ``when``, if there are so many jobs that there is no room for more


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

    def publish(self, jobs: Iterable[dict[str, Any]], *, whole: bool) -> None:
        """Let others see what has happened.

        Parameters:
            jobs: of each its name, and those of ``FIELDS`` that have changed. Counts are added to
                what is known, as the process of jobs before may have some that end late.
            whole: there are no others; if not, those that nobody knows any more are left out.
        """
        with self._memory.locked(WRITING):
            known = {figures["name"]: figures for figures in self._read()}
            changed = {job["name"]: job for job in jobs if whole or job["name"] in known}
            self._write(
                [
                    _with_changes(known.get(name, {}), changed.get(name, {}))
                    for name in (changed if whole else known)
                ]
            )

    def figures(self) -> list[dict[str, Any]]:
        """What was published last."""
        with self._memory.locked(WRITING):
            return self._read()

    def _read(self) -> list[dict[str, Any]]:
        place = BLOCKS_AT + FIGURES_AT
        length = self._memory.words[self._first + LENGTH]
        data = bytes(self._memory.words.cast("B")[place : place + length])
        return [dict(zip(FIELDS, row, strict=True)) for row in orjson.loads(data)] if data else []

    def _write(self, jobs: list[dict[str, Any]]) -> None:
        """Write what has room: first of all numbers, then when they run."""
        for most in (None, SHORT, 0):
            rows = [[job["name"], job["when"][:most], *_numbers(job)] for job in jobs]
            data = orjson.dumps(rows)
            if len(data) <= LONGEST_FIGURES:
                break
        while len(data) > LONGEST_FIGURES:
            rows.pop()
            data = orjson.dumps(rows)
        place = BLOCKS_AT + FIGURES_AT
        # Whoever is killed between these lines leaves nothing, not half of it.
        self._memory.words[self._first + LENGTH] = 0
        self._memory.words.cast("B")[place : place + len(data)] = data
        self._memory.words[self._first + LENGTH] = len(data)


def _with_changes(known: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    figures = {**dict.fromkeys(FIELDS, 0), **known, **changes}
    for name in COUNTED:
        figures[name] = known.get(name, 0) + changes.get(name, 0)
    return figures


def _numbers(job: dict[str, Any]) -> list[float]:
    return [job[name] for name in FIELDS[2:]]
