"""``Slots``: how many connections a backend may use at once, and who waits for one."""

from __future__ import annotations

import asyncio
from collections import deque

from skitai.tasks.errors import PoolExhausted, timeout_failure
from skitai.tasks.task import EXPIRED

__all__ = ["EXPIRED", "Slots"]


class Slots:
    """A limit with a queue; first come, first served. Used on the loop only.

    Parameters:
        limit: 0 for none.
        name: of the member, for the error.

    Attributes:
        held: slots in use.
    """

    __slots__ = ("_limit", "_name", "_waiting", "held")

    def __init__(self, limit: int, name: str) -> None:
        self._limit = limit
        self._name = name
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.held = 0

    @property
    def busy(self) -> int:
        """Calls that hold or wait for a slot."""
        return self.held + len(self._waiting)

    @property
    def free(self) -> bool:
        """``acquire`` would not wait."""
        return not self._limit or self.held < self._limit

    async def acquire(self) -> None:
        """Wait for a slot.

        Raises ``Failure`` with ``PoolExhausted`` when the deadline of the task passes first.
        """
        if self.free:
            self.held += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError as exc:
            if turn.done() and not turn.cancelled():
                self.release()  # the slot was handed over in the same moment
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if exc.args == (EXPIRED,):
                text = f"all {self._limit} connections to {self._name} were in use"
                raise timeout_failure(PoolExhausted(text)) from None
            raise

    def release(self) -> None:
        """Give a slot back: to who waits longest, if anybody does."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.held -= 1
