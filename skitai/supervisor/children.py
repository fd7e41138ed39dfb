"""Worker processes as the master sees them: starting, what they report, how they ended."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skitai.supervisor.seats import (
    FAILED,
    MASTER_ONLY_SIGNALS,
    MASTER_SIGNALS,
    READY,
    WorkerSeat,
    flush_output,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

FIRST_BACKOFF = 0.1  # seconds
LONGEST_BACKOFF = 5.0  # seconds
START_FAILED = 2  # exit code of a worker whose app or listener could not be started


@dataclass(slots=True, eq=False)
class Slot:
    """One of the places of a generation; it keeps the history of the workers that had it.

    Attributes:
        losses: workers lost one after the other; decides how long a replacement waits.
        respawn_at: when the replacement starts (monotonic seconds); ``None`` if none is due.
    """

    number: int
    generation: Generation
    child: Child | None = None
    losses: int = 0
    respawn_at: float | None = None

    def next_delay(self) -> float:
        """Seconds to wait with the next replacement: none the first time, then doubling."""
        delay = min(FIRST_BACKOFF * 2.0 ** min(self.losses - 1, 16), LONGEST_BACKOFF)
        self.losses += 1
        return 0.0 if self.losses == 1 else delay


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
        return [slot.child for slot in self.slots if slot.child is not None]

    def ready(self) -> int:
        """How many workers serve."""
        return sum(child.ready_at is not None for child in self.children())

    def complete(self) -> bool:
        """Whether every worker serves."""
        return self.ready() == len(self.slots)


@dataclass(slots=True, eq=False)
class Child:
    """A started worker.

    Attributes:
        report_fd: read end of its report pipe, non-blocking; -1 once that is closed.
        process: set when it was started as a new program; ``None`` when it was forked.
        ready_at: since when it serves (monotonic seconds).
        failure: the reason it reported for not starting.
        kill_at: when it is killed if it has not ended by then (monotonic seconds).
        logs_outdated: it has to reopen its logs once it is ready.
    """

    pid: int
    slot: Slot
    report_fd: int
    process: subprocess.Popen[bytes] | None
    reported: bytes = b""
    ready_at: float | None = None
    failure: str = ""
    kill_at: float | None = None
    logs_outdated: bool = False

    def __str__(self) -> str:
        return f"worker w{self.slot.number} (pid {self.pid})"

    def read_report(self, now: float) -> bool:
        """Take in what the worker has reported; false when the pipe has come to its end."""
        try:
            while chunk := os.read(self.report_fd, 4096):
                self.reported += chunk
        except BlockingIOError:
            at_end = False
        else:
            at_end = True
        if self.ready_at is None and self.reported.startswith(READY):
            self.ready_at = now
            self.reported = self.reported[len(READY) :]
        if self.reported.startswith(FAILED):
            self.failure = self.reported[len(FAILED) :].decode(errors="replace").strip()
        return not at_end

    def exit_code(self) -> int | None:
        """Reap it: ``None`` while it runs, negative when a signal ended it."""
        if self.process is not None:
            return self.process.poll()
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def terminate(self, kill_at: float) -> None:
        """Ask it to drain and end; it is killed at ``kill_at`` (monotonic seconds)."""
        os.kill(self.pid, signal.SIGTERM)
        self.kill_at = kill_at if self.kill_at is None else min(self.kill_at, kill_at)

    def kill(self) -> None:
        """End it now."""
        os.kill(self.pid, signal.SIGKILL)
        self.kill_at = None


def fork_worker(become_worker: Callable[[], NoReturn]) -> int:
    """Start a worker as a copy of this process, with the code that it has; the child's pid.

    No other thread may run: its locks would stay locked in the child.
    """
    flush_output()  # or the child would write what is in the buffers a second time
    # A signal that hits the child before it has its own handlers would be recorded as the master's.
    signal.pthread_sigmask(signal.SIG_BLOCK, MASTER_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            try:
                become_worker()
            finally:
                os._exit(1)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MASTER_SIGNALS)


def exec_worker(
    command: list[str], seat: WorkerSeat, *, keep_bytecode: bool = True
) -> subprocess.Popen[bytes]:
    """Start a worker as a new program, with the code as it is on disk now; safe with threads.

    Parameters:
        command: the command line of the service; it finds its seat in the environment.
        keep_bytecode: let Python keep what it compiles. It knows a source again by its size and
            the second of its change only, so what is saved twice in a second could be missed.

    Raises ``OSError`` when the program can't be started.
    """
    environ = seat.environment(os.environ)
    if not keep_bytecode:
        environ["PYTHONDONTWRITEBYTECODE"] = "1"
    # They stay blocked in the new program until it has its handlers, see `occupy`.
    signal.pthread_sigmask(signal.SIG_BLOCK, MASTER_ONLY_SIGNALS)
    try:
        return subprocess.Popen(command, env=environ, pass_fds=seat.descriptors())
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MASTER_ONLY_SIGNALS)


def describe_end(code: int) -> str:
    """How a process ended, for a log line."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
