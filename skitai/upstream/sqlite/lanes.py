"""``Readers`` and ``Writer``: who gets which lane to a file. Used on the loop by the backend."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from skitai.tasks.errors import Failure, PoolExhausted, network_failure, timeout_failure
from skitai.upstream.slots import EXPIRED, Slots
from skitai.upstream.sqlite.connection import Connection, Location
from skitai.upstream.sqlite.lane import Job, Lane, closed_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    Function = Callable[..., Any]


WATCH_SECONDS = 0.002
BEARABLE = 4  # what is taken within so many looks needs no more lanes


class Readers:
    """Lanes that only read. Short reads share some; each result that is read slowly has its own.

    PERF: threads that take turns with short reads cost more than they give: one lane does a select
    by key in 20 us, four need 27 to 40 us (two cores, 8 to 64 at once). So another lane is woken
    when those that work have not ended a job for 2 ms, or don't get the better of what waits.

    Parameters:
        place: the file.
        limit: lanes for short reads, and as many for slow ones; 0 for no limit.
    """

    def __init__(self, place: Location, limit: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._place = place
        self._limit = limit
        self._busy = f"all {limit} connections to {place.path} were in use"
        self._lanes: set[Lane] = set()
        self._idle: list[Lane] = []  # the last one is taken first: its caches are warm
        self._working: set[Lane] = set()
        self._waiting: deque[Job] = deque()
        self._submitted = 0  # to `_waiting`
        self._taken = 0  # of those, at the last look
        self._watching = False
        self._slow = Slots(limit, place.path)
        self._closed = False

    async def run(self, function: Function, *args: Any) -> Any:
        """Run ``function(connection, *args, job)`` on a lane that is free, or the first to be."""
        job = Job(self._loop, function, args)
        if self._is_lively() or not self._may_wake():
            self._submitted += 1
            self._waiting.append(job)
            if not self._watching and self._may_wake():
                self._look_later()
        else:
            self._wake().do(job)
        return await job.outcome(self._busy)

    def _is_lively(self) -> bool:
        """Whether a lane works that ended a job just now, and will soon take another one."""
        lately = self._loop.time() - WATCH_SECONDS
        return any(lane.moved_at > lately for lane in self._working)

    def _may_wake(self) -> bool:
        return bool(self._idle) or not self._limit or self._shared < self._limit

    @property
    def _shared(self) -> int:
        return len(self._lanes) - self._slow.held

    def _wake(self) -> Lane:
        lane = self._idle.pop() if self._idle else self._start()
        self._working.add(lane)
        return lane

    def _look_later(self) -> None:
        self._watching = True
        self._taken = self._submitted - len(self._waiting)
        self._loop.call_later(WATCH_SECONDS, self._watch)

    def _watch(self) -> None:
        """Wake a lane if the jobs that wait are not taken soon."""
        self._watching = False
        waiting = len(self._waiting)
        if not waiting or not self._may_wake():
            return
        if waiting > (self._submitted - waiting - self._taken) * BEARABLE:
            with suppress(Failure):  # no thread can be made: they wait for those there are
                self._give(self._wake())
        self._look_later()

    async def hold(self) -> Lane:
        """A lane that is the caller's until ``release``. Raises ``Failure`` at the deadline."""
        await self._slow.acquire()
        try:
            lane = self._idle.pop() if self._idle else self._start()
        except Failure:
            self._slow.release()
            raise
        lane.alone = True
        return lane

    def release(self, lane: Lane, function: Function | None) -> None:
        """Take a lane back: now, or when it has done ``function(connection, job)``."""
        if function is None:
            lane.alone = False
            self._slow.release()
            self._rest(lane)
            return
        job = Job(self._loop, function, ())
        job.unattended(self._slow.release)
        lane.do(job)
        lane.alone = False  # only now: see `Lane._take`

    def _start(self) -> Lane:
        if self._closed:
            raise closed_failure(self._place.path, sent=False)

        def connect() -> Connection:
            return Connection(self._place, reading=True)

        lane = _start_lane(self._loop, "sqlite-reader", connect, self._waiting, self._rest)
        self._lanes.add(lane)
        return lane

    def _rest(self, lane: Lane) -> None:
        """A lane has nothing to do."""
        if not lane.alone and lane in self._lanes:
            self._give(lane)

    def _give(self, lane: Lane) -> None:
        """Give a lane the job that waits longest, or let it rest."""
        try:
            job = self._waiting.popleft()
        except IndexError:
            self._working.discard(lane)
            self._idle.append(lane)
        else:
            self._working.add(lane)
            lane.do(job)

    def reap(self, before: float) -> list[Lane]:
        """End the lanes that have been idle since ``before``, a time of the loop."""
        ending = [lane for lane in self._idle if lane.moved_at <= before]
        for lane in ending:
            self._idle.remove(lane)
            self._lanes.remove(lane)
            lane.stop()
        return ending

    def abort(self) -> list[Lane]:
        """End all lanes at once, for ever; what runs or waits fails."""
        self._closed = True
        with suppress(IndexError):  # the lanes take jobs too
            while True:
                self._waiting.popleft().fail(self._place.path)
        lanes = list(self._lanes)
        self._lanes.clear()
        self._working.clear()
        self._idle.clear()
        for lane in lanes:
            lane.abort(self._place.path)
        return lanes


class Writer:
    """The lane that writes; one statement after the other, or one transaction at a time.

    Parameters:
        place: the file.
    """

    def __init__(self, place: Location) -> None:
        self._loop = asyncio.get_running_loop()
        self._place = place
        self._busy = (
            f"others were writing to {place.path} all the time: a transaction is open, "
            "or a statement takes long"
        )
        self._lane: Lane | None = None
        self._held = False
        self._closed = False
        # Who waits for the end of a transaction: statements, and others that want to begin one.
        self._line: deque[Job | asyncio.Future[None]] = deque()

    async def run(self, function: Function, *args: Any) -> Any:
        """Run ``function(connection, *args, job)`` when no transaction is open."""
        job = Job(self._loop, function, args)
        if self._held or self._line:
            self._line.append(job)
        else:
            self._lane_of_now().do(job)
        return await job.outcome(self._busy)

    async def acquire(self) -> None:
        """Keep all others out until ``release``. Raises ``Failure`` at the deadline."""
        if not self._held and not self._line:
            self._held = True
            return
        turn: asyncio.Future[None] = self._loop.create_future()
        self._line.append(turn)
        try:
            await turn
        except asyncio.CancelledError as exc:
            if turn.done() and not turn.cancelled():
                self.release()  # the turn came in the same moment
            if exc.args == (EXPIRED,):
                raise timeout_failure(PoolExhausted(self._busy)) from None
            raise

    async def run_inside(self, function: Function, *args: Any) -> Any:
        """Run ``function(connection, *args, job)`` for who keeps the others out."""
        job = Job(self._loop, function, args)
        self._lane_of_now().do(job)
        return await job.outcome(self._busy)

    def finish(self, function: Function) -> None:
        """Run ``function(connection, job)`` last, without waiting for it, and let others in."""
        if self._lane is not None:
            job = Job(self._loop, function, ())
            job.unattended(_nothing)
            self._lane.do(job)
        self.release()

    def release(self) -> None:
        """Let in who waits: statements up to the next that keeps the others out."""
        self._held = False
        while self._line:
            item = self._line.popleft()
            if isinstance(item, Job):
                if not item.dropped:
                    self._lane_of_now().do(item)
            elif not item.done():
                self._held = True
                item.set_result(None)
                return

    def _lane_of_now(self) -> Lane:
        if self._closed:
            raise closed_failure(self._place.path, sent=False)
        if self._lane is None:

            def connect() -> Connection:
                return Connection(self._place, reading=False)

            self._lane = _start_lane(self._loop, "sqlite-writer", connect, deque(), _nothing)
        return self._lane

    def reap(self, before: float) -> list[Lane]:
        """End the lane if it has been idle since ``before``, a time of the loop."""
        lane = self._lane
        if lane is None or self._held or not lane.idle or lane.moved_at > before:
            return []
        self._lane = None
        lane.stop()
        return [lane]

    def abort(self) -> list[Lane]:
        """End the lane at once, for ever; what runs or waits fails."""
        self._closed = True
        while self._line:
            item = self._line.popleft()
            if isinstance(item, Job):
                item.fail(self._place.path)
            elif not item.done():
                item.set_exception(closed_failure(self._place.path, sent=False))
        if self._lane is None:
            return []
        self._lane.abort(self._place.path)
        return [self._lane]


def _start_lane(loop: asyncio.AbstractEventLoop, *args: Any) -> Lane:
    try:
        return Lane(loop, *args)
    except RuntimeError as exc:  # no more threads
        raise network_failure(exc, sent=False) from None


def _nothing(*_: object) -> None:
    pass
