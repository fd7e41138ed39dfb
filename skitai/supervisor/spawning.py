"""``Spawner``: starts worker processes, as forks of the master or as new programs."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from skitai.supervisor.children import Child
from skitai.supervisor.seats import (
    MASTER_ONLY_SIGNALS,
    MASTER_SIGNALS,
    STDERR_VARIABLE,
    WorkerSeat,
    flush_output,
    occupy,
)
from skitai.supervisor.takeover import held

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import NoReturn

    from skitai.config import Settings
    from skitai.net.udp import UdpPort
    from skitai.supervisor.children import Slot
    from skitai.supervisor.development import Development


class Spawner:
    """What workers have from their master, and how they get it.

    Parameters:
        settings, listeners, serve_worker, exec_argv, memory_fd, udp: those of the supervisor.
        leave: called in a fork, to let go of what is the master's own.
        development: what there is under ``--devel``; ``None`` without.

    Attributes:
        settings: as they are now.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: list[socket.socket],
        serve_worker: Callable[[WorkerSeat], int],
        exec_argv: list[str] | None,
        leave: Callable[[], None],
        *,
        development: Development | None,
        memory_fd: int | None,
        udp: UdpPort | None,
    ) -> None:
        self.settings = settings
        self._listeners = listeners
        self._serve_worker = serve_worker
        self._exec_argv = exec_argv
        self._leave = leave
        self._development = development
        self._memory_fd = memory_fd
        self._udp = udp
        self._held = held(settings)
        self._alive_read, self._alive_write = os.pipe()

    def close(self) -> None:
        """Close the pipe whose end tells all workers that are left to end."""
        os.close(self._alive_read)
        os.close(self._alive_write)

    def spawn(self, slot: Slot, cause: str) -> Child:
        """Start one worker process: as a fork with the master's code, or as a new program.

        The first generation is forked, it shares the memory of what is loaded. Later ones run code
        that the master doesn't have. A process with threads must not fork if it can help it.
        Raises ``OSError`` when the system refuses.
        """
        devel, generation = self._development, slot.generation
        report_read, report_write = os.pipe() if devel is None else devel.channel(generation)
        os.set_blocking(report_read, False)
        seat = WorkerSeat(
            slot.number, [] if slot.jobs else self._listeners, self._alive_read, report_write,
            len(generation.slots), cause=cause, memory_fd=self._memory_fd,
            udp=None if self._udp is None or slot.jobs else self._udp.seat(slot.number),
            held=self._held, jobs=slot.jobs,
        )  # fmt: skip
        forks = generation.number == 0 and threading.active_count() == 1
        process = None
        try:
            if self._exec_argv is None or forks:
                pid = fork_worker(lambda: self._become_worker(seat, report_read))
            else:
                execute = exec_worker if devel is None else devel.exec_worker
                process = execute(self._exec_argv, seat)
                pid = process.pid
        except OSError:
            os.close(report_read)
            raise
        finally:
            os.close(report_write)
        drain_timeout = self.settings.drain_timeout
        child = Child(pid, slot, report_read, process, time.monotonic(), drain_timeout)
        child.be_ready_within(self.settings.start_timeout)
        return child

    def _become_worker(self, seat: WorkerSeat, report_read: int) -> NoReturn:
        """In a forked child: let go of what belongs to the master."""
        self._leave()
        os.close(report_read)
        os.close(self._alive_write)
        if seat.jobs:  # it serves nobody, and would keep the port open
            for port in (*self._listeners, *(() if self._udp is None else (self._udp,))):
                port.close()
        occupy(seat, self._serve_worker, self.settings.name)


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
    command: list[str], seat: WorkerSeat, heard_on: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a worker as a new program, with the code as it is on disk now; safe with threads.

    Parameters:
        command: the command line of the service; it finds its seat in the environment.
        heard_on: takes what it writes to standard error until it has its seat, under ``--devel``.
            Python keeps nothing then of what it compiles: it knows a source again by its size and
            the second of its change only, so what is saved twice in a second could be missed.

    Raises ``OSError`` when the program can't be started.
    """
    environ = seat.environment(os.environ)
    descriptors = seat.descriptors()
    if heard_on is not None:
        environ["PYTHONDONTWRITEBYTECODE"] = "1"
        kept = _own_stderr()
        environ[STDERR_VARIABLE] = str(kept)
        descriptors += (kept,)
    # They stay blocked in the new program until it has its handlers, see `occupy`.
    signal.pthread_sigmask(signal.SIG_BLOCK, MASTER_ONLY_SIGNALS)
    try:
        return subprocess.Popen(command, env=environ, pass_fds=descriptors, stderr=heard_on)
    finally:
        if heard_on is not None:
            os.close(kept)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MASTER_ONLY_SIGNALS)


def _own_stderr() -> int:
    """Another descriptor of standard error, or of nothing when that was closed."""
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
