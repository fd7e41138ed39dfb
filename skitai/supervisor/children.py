"""Worker processes as the master sees them: starting, what they report, how they ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skitai.supervisor.seats import FAILED, LEAVING, READY, SETTINGS, TRACE, WATCHED

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Container

# All in seconds.
FIRST_BACKOFF = 0.1
LONGEST_BACKOFF = 5.0
FIRST_PAUSE = 30.0
LONGEST_PAUSE = 3600.0
STEADY_AFTER = 30.0  # who ran this long starts with a clean record
START_FAILED = 2  # exit code of a worker whose app or listener could not be started


def backoff(losses: int) -> float:
    """Seconds to wait with a replacement: none after the first loss, then doubling.

    Parameters:
        losses: how many there were before this one.
    """
    if not losses:
        return 0.0
    return min(FIRST_BACKOFF * 2.0 ** min(losses - 1, 16), LONGEST_BACKOFF)


def in_words(delay: float) -> str:
    """When a replacement comes, for a log line."""
    return f"in {delay:g} s" if delay else "at once"


@dataclass(slots=True, eq=False)
class Slot:
    """One of the places of a generation; it keeps the history of the workers that had it.

    Attributes:
        child: the worker that serves, or is about to.
        successor: a worker that takes the place of ``child`` when it is ready.
        losses: workers lost one after the other; decides how long a replacement waits.
        vain: replacements in a row that did not help; decides how long the next one waits.
        respawn_at: when the replacement starts (monotonic seconds); ``None`` if none is due.
        jobs: it is that of the process which runs the jobs of the service.
        relieve_at: not before that a worker that wants to leave is relieved.
    """

    number: int
    generation: Generation
    child: Child | None = None
    successor: Child | None = None
    losses: int = 0
    vain: int = 0
    respawn_at: float | None = None
    relieve_at: float | None = None
    jobs: bool = False

    def __str__(self) -> str:
        return "the process of jobs" if self.jobs else f"worker w{self.number}"

    def absolve(self, child: Child, now: float) -> None:
        """Forget earlier losses when the worker that has ended had served for long."""
        if child.ready_at is not None and now - child.ready_at >= STEADY_AFTER:
            self.losses = 0

    def next_delay(self) -> float:
        """Seconds to wait with the next replacement."""
        self.losses += 1
        return backoff(self.losses - 1)

    def replace_later(self, now: float) -> str:
        """Decide when the next replacement starts; that in words."""
        delay = self.next_delay()
        self.respawn_at = now + delay
        return in_words(delay)

    def vacate(self, child: Child) -> None:
        """A worker that had this slot, or was about to, has ended."""
        if self.child is child:
            self.child = None
        if self.successor is child:
            self.successor = None

    def next_pause(self) -> float:
        """Seconds to wait after a replacement that did not help: 30, then doubling to an hour."""
        pause = min(FIRST_PAUSE * 2.0 ** min(self.vain, 16), LONGEST_PAUSE)
        self.vain += 1
        return pause


@dataclass(slots=True, eq=False)
class Generation:
    """The workers that run one state of the code; a reload starts the next one."""

    number: int
    slots: list[Slot] = field(default_factory=list)

    @classmethod
    def of_size(cls, number: int, workers: int) -> Generation:
        """A generation with ``workers`` empty slots."""
        generation = cls(number)
        generation.slots = [Slot(position, generation) for position in range(workers)]
        return generation

    def children(self) -> list[Child]:
        """The workers that live."""
        both = [child for slot in self.slots for child in (slot.child, slot.successor)]
        return [child for child in both if child is not None]

    def ready(self) -> int:
        """How many workers serve."""
        return sum(
            slot.child is not None and slot.child.ready_at is not None for slot in self.slots
        )

    def complete(self) -> bool:
        """Whether every worker serves."""
        return self.ready() == len(self.slots)


@dataclass(frozen=True)
class Leaving:
    """Why a worker wants to be replaced.

    Attributes:
        cause: ``MAX_REQUESTS`` or ``MAX_MEMORY``.
        reason: in words.
        vain: its replacement will soon want the same.
    """

    cause: str
    reason: str
    vain: bool


@dataclass(slots=True, eq=False)
class Child:
    """A started worker.

    Attributes:
        report_fd: read end of its report pipe, non-blocking; -1 once that is closed.
        process: set when it was started as a new program; ``None`` when it was forked.
        started_at: when it was started; like all times here in monotonic seconds.
        drain_timeout: how long it may drain, in seconds.
        ready_at: since when it serves.
        ready_by: when it is killed if it does not serve; ``None``: it has any time.
        failure: the reason it reported for not starting.
        trace: the traceback of that, under ``--devel``.
        watched: what it has mounted and the master has not seen to yet, under ``--devel``.
        late: it was killed because it was not ready in time.
        leaving: why it wants to be replaced, if it does.
        settings: what the script wants of the master, if it was started with the code of now.
        kill_at: when it is killed if it has not ended by then.
        dismissed: the master has told it to go.
        killed: the master has killed it.
        logs_outdated: it has to reopen its logs once it is ready.
        has_jobs: its state of the code has jobs, which are not for the workers.
    """

    pid: int
    slot: Slot
    report_fd: int
    process: subprocess.Popen[bytes] | None
    started_at: float
    drain_timeout: float
    reported: bytes = b""
    ready_at: float | None = None
    ready_by: float | None = None
    failure: str = ""
    trace: str = ""
    watched: dict[str, list[str]] | None = None
    late: bool = False
    leaving: Leaving | None = None
    settings: dict[str, Any] | None = None
    kill_at: float | None = None
    dismissed: bool = False
    killed: bool = False
    logs_outdated: bool = False
    has_jobs: bool = False

    def __str__(self) -> str:
        return f"{self.slot} (pid {self.pid})"

    def read_report(self, now: float) -> bool:
        """Take in what the worker has reported; false when the pipe has come to its end."""
        try:
            while chunk := os.read(self.report_fd, 4096):
                self.reported += chunk
        except BlockingIOError:
            at_end = False
        except ConnectionResetError:  # it has ended without reading what it was told
            at_end = True
        else:
            at_end = True
        *lines, self.reported = self.reported.split(b"\n")
        for line in lines:
            # What an app has written there by mistake must not end the service.
            with contextlib.suppress(ValueError, TypeError, KeyError):
                kind, value = json.loads(line)
                self._take(kind, value, now)
        return not at_end

    def _take(self, kind: str, value: Any, now: float) -> None:
        if kind == READY:
            self.ready_at, self.ready_by, self.has_jobs = now, None, bool(value)
        elif kind == FAILED:
            self.failure = value.strip()
        elif kind == TRACE:
            self.trace = value
        elif kind == WATCHED:
            self.watched = value
        elif kind == LEAVING:
            self.leaving = Leaving(*value)
        elif kind == SETTINGS and self.settings is None:
            self.settings = value
            self.drain_timeout = value["drain_timeout"]
            self.be_ready_within(value["start_timeout"])

    def be_ready_within(self, seconds: float) -> None:
        """Give it this time from its start until it serves; 0: any time."""
        if self.ready_at is None:
            self.ready_by = self.started_at + seconds if seconds else None

    def exit_code(self) -> int | None:
        """Reap it: ``None`` while it runs, negative when a signal ended it."""
        if self.process is not None:
            return self.process.poll()
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def terminate(self, kill_at: float) -> None:
        """Ask it to drain and end; it is killed at ``kill_at`` (monotonic seconds)."""
        os.kill(self.pid, signal.SIGTERM)
        self.dismissed, self.ready_by = True, None
        self.kill_at = kill_at if self.kill_at is None else min(self.kill_at, kill_at)

    def kill(self) -> None:
        """End it now."""
        os.kill(self.pid, signal.SIGKILL)
        self.killed = True
        self.kill_at = self.ready_by = None


def reap_orphans(known: Container[int]) -> None:
    """Reap what nobody else will: the first process of a container inherits all orphans.

    Parameters:
        known: ids of children, which are left alone.
    """
    if os.getpid() != 1:
        return
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid in known:  # since they were looked at: there is another signal for it
                return
            os.waitpid(ended.si_pid, 0)


def describe_end(code: int) -> str:
    """How a process ended, for a log line."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
