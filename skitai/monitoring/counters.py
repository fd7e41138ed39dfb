"""``Counters``: numbers that a worker counts in the memory that all workers share.

Each worker has a block of its own, and whoever wants sums reads all blocks. What a worker that died
has counted stays in its block, and the next one that takes it counts on: so nothing is lost, and
nothing counted twice.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import orjson

from skitai.stores.shared import BLOCK_BYTES, BLOCKS, BLOCKS_AT

if TYPE_CHECKING:
    from typing import Any

    from skitai.stores.memory import SharedMemory

log = logging.getLogger("skitai")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other")
STATUSES = ("1xx", "2xx", "3xx", "4xx", "5xx")
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram, in seconds; one more bucket is for all above."""

# Words of a block.
LENGTH = 1  # of its snapshot, in bytes
REQUESTS = 8
LATENCIES = REQUESTS + len(METHODS) * len(STATUSES)
MICROSECONDS = LATENCIES + len(BOUNDS) + 1
RECEIVED, SENT, STUCK, BLOCKED = range(MICROSECONDS + 1, MICROSECONDS + 5)
END = BLOCKED + 1
SNAPSHOT_AT = 1024  # bytes
LONGEST_SNAPSHOT = BLOCK_BYTES - SNAPSHOT_AT

PLACES = range(BLOCKS_AT + BLOCK_BYTES, BLOCKS_AT + BLOCKS * BLOCK_BYTES, BLOCK_BYTES)

# Words of the first block, which is of the service.
RELOADS = 10
TAKEN = 11  # how many blocks were ever taken: to read others would cost memory
RESTARTS = {"died": 12, "max_requests": 13, "max_memory": 14}
"""How often a worker was replaced, by the reason (see `skitai.supervisor.seats`)."""


class Counters:
    """The block of this worker, and the sums of all.

    Parameters:
        memory: of the service.

    Attributes:
        words: its memory; ``at + SENT`` is where this worker counts what it has sent.
        at: the first word of the block.
    """

    def __init__(self, memory: SharedMemory) -> None:
        self._memory = memory
        self._all = self.words = memory.words
        self.at = 0
        self._place = -1  # of the block in bytes; none: nobody else sees it

    def claim(self, cause: str) -> None:
        """Take a block that nobody has; count why the worker was started.

        Parameters:
            cause: one of `RESTARTS` if this worker replaces a single other one.
        """
        words, first = self._all, BLOCKS_AT // 8
        with self._memory.locked(BLOCKS_AT):
            for number, place in enumerate(PLACES, 1):
                if self._memory.try_lock(place):
                    self._place, self.at = place, place // 8
                    words[first + TAKEN] = max(words[first + TAKEN], number)
                    words[self.at + LENGTH] = 0
                    break
            else:
                log.warning("more than %d workers: this one is not in the figures", len(PLACES))
                self.words = memoryview(bytearray(BLOCK_BYTES)).cast("q")
            if cause in RESTARTS:
                words[first + RESTARTS[cause]] += 1

    def reloaded(self) -> None:
        """The service was reloaded."""
        with self._memory.locked(BLOCKS_AT):
            self._all[BLOCKS_AT // 8 + RELOADS] += 1

    def publish(self, snapshot: dict[str, Any]) -> None:
        """Let the others see how this worker is; on the loop."""
        if self._place < 0:
            return
        data = orjson.dumps(snapshot)
        if len(data) > LONGEST_SNAPSHOT:
            data = orjson.dumps({**snapshot, "upstreams": []})
        raw, start = self._all.cast("B"), self._place
        # The first byte of a block is locked by its owner, the second while it is written or read.
        with self._memory.locked(start + 1):
            raw[start + SNAPSHOT_AT : start + SNAPSHOT_AT + len(data)] = data
            self._all[self.at + LENGTH] = len(data)

    def snapshots(self) -> list[dict[str, Any]]:
        """How each living worker is; on the loop."""
        raw, found = self._all.cast("B"), []
        for place in self._places():
            if place != self._place and not self._memory.is_locked(place):
                continue
            with self._memory.locked(place + 1):
                length = self._all[place // 8 + LENGTH]
                data = bytes(raw[place + SNAPSHOT_AT : place + SNAPSHOT_AT + length])
            if data:
                found.append(orjson.loads(data))
        return sorted(found, key=lambda snapshot: (snapshot["worker"], snapshot["pid"]))

    def totals(self) -> list[int]:
        """What all workers have counted, by the words of a block."""
        words, sums = self._all, [0] * END
        for place in self._places():
            at = place // 8
            sums = [have + more for have, more in zip(sums, words[at : at + END], strict=True)]
        return sums

    def _places(self) -> range:
        return PLACES[: self._all[BLOCKS_AT // 8 + TAKEN]]

    @property
    def restarts(self) -> dict[str, int]:
        """How often workers were replaced, by the reason."""
        first = BLOCKS_AT // 8
        return {cause: self._all[first + word] for cause, word in RESTARTS.items()}

    @property
    def reloads(self) -> int:
        """How often the service was reloaded."""
        return self._all[BLOCKS_AT // 8 + RELOADS]

    @property
    def started(self) -> float:
        """When the service started: seconds since the epoch."""
        return self._memory.started
