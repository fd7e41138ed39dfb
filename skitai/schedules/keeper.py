"""The process of jobs: it keeps background tasks running, and starts the others when they are due.

A service with jobs has one, beside its workers; the master starts it in a seat as it starts them.
It has one thread, so it can fork.
"""

from __future__ import annotations

import logging
import os
import random
import selectors
import signal
import time
from collections import deque
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from skitai.log import reopen
from skitai.schedules.declarations import ALLOW, QUEUE, Job, Moment
from skitai.schedules.runs import LOOK_SECONDS, Run
from skitai.supervisor.children import STEADY_AFTER, backoff, describe_end, in_words
from skitai.supervisor.signals import SignalInbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from skitai.schedules.triggers import Trigger
    from skitai.stores.job_board import JobBoard
    from skitai.supervisor.seats import WorkerSeat

log = logging.getLogger("skitai")

SIGNALS = (signal.SIGTERM, signal.SIGUSR2, signal.SIGUSR1, signal.SIGCHLD)
# All in seconds.
LONGEST_SLEEP = 15.0  # nobody tells when the clock is set, so it is looked at
LOOK_AGAIN = 0.5  # at a job that the process before still runs
KILL_MARGIN = 2.5  # the master's STOP_MARGIN is more: it must not kill what kills the others
MOST_AT_ONCE = 10  # runs of one job that may overlap


@dataclass(slots=True, eq=False)
class Keeping:
    """What is known of one job.

    Attributes:
        trigger: when it is due; None for a background task.
        starts: when runs that were due begin, monotonic.
        losses: how often a background task has ended, one soon after the other.
        news: for the board, since it was told last: see `skitai.stores.job_board.FIELDS`.
        owned: whether this process has claimed it.
        left_out: runs that were left out since the last one began.
    """

    job: Job
    trigger: Trigger | None
    number: int
    news: dict[str, Any] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    starts: deque[float] = field(default_factory=deque)
    losses: int = 0
    owned: bool = False
    left_out: int = 0


class Keeper:
    """Runs the jobs of a service until it is told to stop.

    TERM ends everything that runs. USR2 comes at a reload: background tasks end, then the report
    pipe is closed, which lets the next keeper begin; what else runs may finish. USR1 reopens logs.

    Parameters:
        jobs: of the service.
        seat: from the master.
        board: in the memory of the service.
        run_function: in a forked child: runs the function of a job, and returns its exit code.
        drain_timeout: of the service; when it stops, what runs is killed `KILL_MARGIN` later.
        wall, monotonic: the clocks, in seconds.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        seat: WorkerSeat,
        board: JobBoard,
        run_function: Callable[[Job, int], int],
        drain_timeout: float,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seat = seat
        self._board = board
        self._run_function = run_function
        self._drain_timeout = drain_timeout
        self._wall = wall
        self._monotonic = monotonic
        self._inbox = SignalInbox(SIGNALS)
        self._selector = selectors.DefaultSelector()
        self._stopping = False
        self._retired = False
        self._changed = True
        self._keepings = self._begin(jobs)

    def _begin(self, jobs: Iterable[Job]) -> list[Keeping]:
        wall, monotonic = self._wall(), self._monotonic()
        known = self._board.began()
        started, since_wall, since = known or (monotonic, wall, monotonic)
        now = Moment(wall, monotonic, started, since_wall, since, known is None)
        return [_keeping(job, now) for job in jobs]

    def run(self) -> int:
        """Work until everything has ended; the exit code."""
        self._inbox.open()
        self._selector.register(self._inbox, selectors.EVENT_READ)
        self._selector.register(self._seat.alive_fd, selectors.EVENT_READ)
        if self._board.began() is None:
            self._board.begin(self._wall(), self._monotonic())
        for keeping in self._keepings:
            if keeping.trigger is None:
                keeping.starts.append(self._monotonic())
        self._seat.report_ready()
        try:
            while not self._finished():
                self._look_at_jobs()
                if not self._finished():
                    self._wait()
        finally:
            self._inbox.close()
            self._selector.close()
        return 0

    def _finished(self) -> bool:
        if not (self._stopping or self._retired):
            return False
        return not any(keeping.runs or keeping.starts for keeping in self._keepings)

    # What happens

    def _wait(self) -> None:
        for key, _ in self._selector.select(self._time_left()):
            if isinstance(key.data, Run) and not key.data.read():
                self._selector.unregister(key.data)
            elif key.fileobj == self._seat.alive_fd:
                self._selector.unregister(self._seat.alive_fd)
                log.warning("the master is gone: jobs are ended")
                self._stop()
        for signum in self._inbox.take():
            self._handle_signal(signum)

    def _handle_signal(self, signum: int) -> None:
        if signum == signal.SIGTERM:
            self._stop()
        elif signum == signal.SIGUSR2:
            self._retire()
        elif signum == signal.SIGUSR1:
            reopen()

    def _stop(self) -> None:
        """End all that runs."""
        self._stopping = True
        for keeping in self._keepings:
            keeping.starts.clear()
            for run in keeping.runs:
                run.terminate(self._monotonic(), self._drain_timeout + KILL_MARGIN)

    def _retire(self) -> None:
        """Leave the jobs to a successor, and end what runs of them."""
        self._retired = True
        now = self._monotonic()
        for keeping in self._keepings:
            if keeping.trigger is None:
                keeping.starts.clear()
                for run in keeping.runs:
                    run.terminate(now)
            else:  # what was due is not lost
                keeping.starts = deque(min(at, now) for at in keeping.starts)

    def _let_go(self) -> None:
        """Tell the master that the successor may begin."""
        if self._seat.report_fd >= 0 and not any(
            keeping.runs for keeping in self._keepings if keeping.trigger is None
        ):
            os.close(self._seat.report_fd)
            self._seat.report_fd = -1

    def _time_left(self) -> float:
        wall, now = self._wall(), self._monotonic()
        left = LONGEST_SLEEP
        for keeping in self._keepings:
            if keeping.trigger is not None and not (self._stopping or self._retired):
                left = min(left, keeping.trigger.time_left(wall, now))
            if keeping.starts and not (keeping.runs and keeping.job.overlap == QUEUE):
                # What is due and has not begun waits for the keeper before.
                left = min(left, max(keeping.starts[0] - now, 0.0) or LOOK_AGAIN)
            for run in keeping.runs:
                for at in (run.timeout_at, run.kill_at):
                    left = left if at is None else min(left, at - now)
                if run.stopping:
                    left = min(left, LOOK_SECONDS)
        return max(0.0, left)

    # Jobs

    def _look_at_jobs(self) -> None:
        wall, now = self._wall(), self._monotonic()
        for keeping in self._keepings:
            for run in list(keeping.runs):
                self._look_at_run(keeping, run, now)
            if not (self._stopping or self._retired):
                self._look_at_trigger(keeping, wall, now)
            self._start_what_is_due(keeping, now)
        if self._retired:
            self._let_go()
        elif not self._stopping:
            self._board.reached(wall, now)
        if self._changed:
            self._changed = False
            self._publish()

    def _publish(self) -> None:
        """Tell the board; what a retired keeper still runs is counted, but shown by nobody."""
        news = []
        for keeping in self._keepings:
            job, more = keeping.job, keeping.news
            if not self._retired:
                more = {"when": job.when, "running": len(keeping.runs), **more}
            if more:
                news.append({"name": job.name, **more})
            keeping.news = {}
        self._board.publish(news, whole=not self._retired)

    def _look_at_trigger(self, keeping: Keeping, wall: float, now: float) -> None:
        if keeping.trigger is None or not keeping.trigger.due(wall, now):
            return
        job = keeping.job
        if job.overlap == ALLOW:
            skipped = len(keeping.runs) + len(keeping.starts) >= MOST_AT_ONCE
        elif job.overlap == QUEUE:
            skipped = bool(keeping.starts)
        else:
            skipped = bool(keeping.runs or keeping.starts) or not self._claim(keeping)
        if skipped:
            self._count(keeping, "skipped")
            if not keeping.left_out:  # the others are told when it runs again
                log.warning("job %s still runs: this time (%s) it is left out", job.name, job.when)
            keeping.left_out += 1
        else:
            keeping.starts.append(now + (random.uniform(0, job.jitter) if job.jitter else 0.0))

    def _start_what_is_due(self, keeping: Keeping, now: float) -> None:
        job = keeping.job
        while keeping.starts and keeping.starts[0] <= now:
            if job.overlap != ALLOW and (keeping.runs or not self._claim(keeping)):
                return
            keeping.starts.popleft()
            self._start(keeping, now)

    def _claim(self, keeping: Keeping) -> bool:
        """Whether no keeper of an older state of the code runs the job."""
        if not keeping.owned:
            keeping.owned = self._board.take(keeping.number)
        return keeping.owned

    def _give_back(self, keeping: Keeping) -> None:
        """Let another keeper run the job, if this one has no more to do for it."""
        if keeping.owned and not keeping.runs and not keeping.starts:
            keeping.owned = False
            self._board.give_back(keeping.number)

    def _start(self, keeping: Keeping, now: float) -> None:
        job = keeping.job
        try:
            run = Run(job, lambda log_fd: self._become_job(job, log_fd), _teller(job), now)
        except OSError as exc:
            self._count(keeping, "failures")
            log.error("job %s can't be started: %s", job.name, exc)
            self._rest(keeping, now)
            self._give_back(keeping)
            return
        keeping.runs.append(run)
        self._selector.register(run, selectors.EVENT_READ, run)
        self._count(keeping, "runs")
        keeping.news["last_start"] = round(self._wall(), 3)
        more = f", {keeping.left_out} runs were left out" if keeping.left_out > 1 else ""
        keeping.left_out = 0
        log.info("job %s begins, pid %d%s", job.name, run.pid, more)

    def _become_job(self, job: Job, log_fd: int) -> int:
        """In a forked child: let go of what belongs to the keeper, and run the function."""
        self._inbox.close_descriptors()
        self._selector.close()
        for descriptor in (self._seat.alive_fd, self._seat.report_fd):
            if descriptor >= 0:
                os.close(descriptor)
        for keeping in self._keepings:
            for run in keeping.runs:
                run.drop()
        return self._run_function(job, log_fd)

    def _look_at_run(self, keeping: Keeping, run: Run, now: float) -> None:
        if run.timeout_at is not None and run.timeout_at <= now:
            run.timed_out = True
            run.terminate(now)
        code = run.collect(now)
        if code is None:
            return
        keeping.runs.remove(run)
        if run in self._selector.get_map():
            self._selector.unregister(run)
        run.close()
        self._ended(keeping, run, code, now)
        self._give_back(keeping)

    def _ended(self, keeping: Keeping, run: Run, code: int, now: float) -> None:
        job, took = run.job, now - run.began
        keeping.news["last_seconds"] = round(took, 3)
        self._changed = True
        end = f"{describe_end(code)} after {took:.2f} s"
        if keeping.trigger is None and not run.stopping:
            if took >= STEADY_AFTER:
                keeping.losses = 0
            again = in_words(self._rest(keeping, now))
            log.error("job %s %s: it is started again %s%s", job.name, end, again, _tail(run))
            self._count(keeping, "restarts")
        elif run.timed_out:
            self._count(keeping, "timeouts")
            log.error(
                "job %s has not ended within %g s, and was ended%s",
                job.name, job.timeout, _tail(run),
            )  # fmt: skip
        elif run.stopping:
            log.info("job %s was stopped, it %s", job.name, end)
        elif code:
            self._count(keeping, "failures")
            log.error("job %s failed, it %s%s", job.name, end, _tail(run))
        else:
            keeping.news["last_success"] = round(self._wall(), 3)
            log.info("job %s ended after %.2f s", job.name, took)

    def _rest(self, keeping: Keeping, now: float) -> float:
        """Let a background task begin again; seconds until then."""
        if keeping.trigger is not None or self._stopping or self._retired:
            return 0.0
        delay = backoff(keeping.losses)
        keeping.losses += 1
        keeping.starts.append(now + delay)
        return delay

    def _count(self, keeping: Keeping, what: str) -> None:
        keeping.news[what] = keeping.news.get(what, 0) + 1
        self._changed = True


def _keeping(job: Job, now: Moment) -> Keeping:
    number = int.from_bytes(blake2b(job.name.encode(), digest_size=6).digest(), "big")
    trigger = None if job.trigger is None else job.trigger(now)
    return Keeping(job, trigger, number)


def _teller(job: Job) -> Callable[[str], None]:
    return lambda line: log.info("%s: %s", job.name, line)


def _tail(run: Run) -> str:
    """The last lines of output, for a report."""
    if not run.last_lines:
        return ""
    return "; its last output was\n" + "\n".join(f"  {line}" for line in run.last_lines)
