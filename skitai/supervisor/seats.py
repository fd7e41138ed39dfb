"""A worker's seat: what a worker process has from its master, and the way into it.

A forked worker is handed its seat; one started as a new program finds it in the environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import stat
import sys
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from setproctitle import setproctitle

from skitai.errors import ConfigError, SkitaiError
from skitai.net.listeners import adopt_listeners
from skitai.supervisor import notify

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from types import FrameType

    from skitai.net.udp import UdpSeat

SEAT_VARIABLE = "SKITAI_SEAT"
SEAT_FACTS = (
    "master", "slot", "workers", "alive", "report", "memory", "listeners", "udp", "cause", "held",
    "jobs",
)  # fmt: skip
# Why a worker is started. All but the first two replace a single one.
START, RELOAD, DIED, MAX_REQUESTS, MAX_MEMORY = CAUSES = (
    "start", "reload", "died", "max_requests", "max_memory"
)  # fmt: skip
REPLACING = CAUSES[2:]
# What a worker reports: lines of JSON, each an array of one of these and a value.
SETTINGS, READY, FAILED, LEAVING = "settings", "ready", "failed", "leaving"
TRACE, WATCHED = "trace", "watched"  # under --devel
STDERR_VARIABLE = "SKITAI_STDERR"
LONGEST_REPORT = 2000  # characters of a reason
LOOK_SECONDS = 0.5  # how often a worker that starts looks whether it still has a master
# A terminal or an operator sends these to the whole process group, and by default they kill. The
# master acts on them; a worker that wants one (USR1: reopen logs) installs its own handler.
MASTER_ONLY_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)
MASTER_SIGNALS = (*MASTER_ONLY_SIGNALS, signal.SIGTERM, signal.SIGCHLD)


@dataclass(slots=True)
class WorkerSeat:
    """What connects one worker with its master.

    Attributes:
        slot: number of the worker from 0; a replacement takes the slot of the worker it replaces.
        sockets: bound, not yet listening sockets, shared by all workers.
        alive_fd: read end of a pipe that nobody writes to; end of file means the master is gone.
        report_fd: write end of the pipe on which the worker tells that it is ready or has failed.
        workers: how many workers the service has.
        cause: why it is started, one of `CAUSES`.
        held: settings of the master that only a restart of the service changes.
        memory_fd: the memory that all workers share, if they do.
        udp: its part of the port of HTTP/3, if that is on.
        jobs: it is no worker: it runs the jobs of the service.
    """

    slot: int
    sockets: list[socket.socket]
    alive_fd: int
    report_fd: int
    workers: int = 1
    cause: str = START
    memory_fd: int | None = None
    udp: UdpSeat | None = None
    held: dict[str, Any] = field(default_factory=dict)
    jobs: bool = False
    _started: threading.Event = field(default_factory=threading.Event)

    @property
    def title(self) -> str:
        """What the process is called: ``w0`` is the first worker."""
        return "jobs" if self.jobs else f"w{self.slot}"

    @property
    def reloading(self) -> bool:
        """Whether it is started by a reload, to replace a worker with older code."""
        return self.cause == RELOAD

    def report_settings(self, settings: dict[str, Any]) -> None:
        """Tell the master what the script of now wants of it, see `takeover`."""
        self._report(SETTINGS, settings)

    def report_ready(self, has_jobs: bool = False) -> None:
        """Tell the master that this worker serves.

        Parameters:
            has_jobs: the code of the service has jobs, for which the master starts a process.
        """
        self._started.set()
        self._report(READY, has_jobs)

    def report_failed(self, reason: str, trace: str = "") -> None:
        """Tell the master why this worker can't start; the worker then ends with exit code 2.

        Parameters:
            reason: a line, more may follow.
            trace: the whole traceback, for the page that shows it.
        """
        self._started.set()
        if trace:
            self._report(TRACE, trace)
        self._report(FAILED, reason[:LONGEST_REPORT])

    def report_watched(self, watched: dict[str, list[str]]) -> None:
        """Tell the master what it has to watch, too: the arguments of ``FileWatcher.watch``."""
        self._report(WATCHED, watched)

    def report_leaving(self, cause: str, reason: str, *, vain: bool = False) -> None:
        """Ask the master for a replacement; this worker serves until it is told to stop.

        Parameters:
            cause: ``MAX_REQUESTS`` or ``MAX_MEMORY``.
            reason: in words, for the log.
            vain: the replacement will want the same as soon as it serves.
        """
        self._report(LEAVING, [cause, reason, vain])

    def _report(self, kind: str, value: object) -> None:
        line = json.dumps([kind, value]).encode() + b"\n"
        # Without a master nobody has to be told; alive_fd says the same to the worker's loop.
        with contextlib.suppress(BrokenPipeError):
            while line:  # a signal may come when the pipe has taken half of a long one
                line = line[os.write(self.report_fd, line) :]

    def end_with_master(self) -> None:
        """End this process at once if the master goes while it starts.

        Once it serves, its loop sees to that. An app that hangs must not live on without anybody
        who knows it.
        """
        while not self._started.wait(LOOK_SECONDS):
            if select.select([self.alive_fd], [], [], 0)[0]:
                flush_output()
                os._exit(1)

    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that a new program needs under the same numbers."""
        memory = () if self.memory_fd is None else (self.memory_fd,)
        udp = () if self.udp is None else self.udp.descriptors()
        listeners = (listener.fileno() for listener in self.sockets)
        return (*listeners, *udp, self.alive_fd, self.report_fd, *memory)

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """A copy of ``base`` in which ``seat_from_environment`` finds this seat."""
        seat = {
            "master": os.getpid(),
            "slot": self.slot,
            "workers": self.workers,
            "cause": self.cause,
            "held": self.held,
            "jobs": self.jobs,
            "listeners": [listener.fileno() for listener in self.sockets],
            "alive": self.alive_fd,
            "report": self.report_fd,
            "memory": self.memory_fd,
            "udp": [] if self.udp is None else list(self.udp.descriptors()),
        }
        return {**base, SEAT_VARIABLE: json.dumps(seat)}


NO_SEAT = WorkerSeat(slot=0, sockets=[], alive_fd=-1, report_fd=-1)
"""For a process that starts the apps like a worker, and serves nobody."""


def seat_from_environment() -> WorkerSeat | None:
    """Take the seat that this process was started for; ``None`` in any other process.

    The variable is removed, so that programs started by the app aren't taken for workers.
    Raises ``ConfigError`` when it was not made by the parent of this process for this process.
    """
    text = os.environ.pop(SEAT_VARIABLE, None)
    if text is None:
        return None
    _take_stderr_back()
    try:
        return _parse_seat(text)
    except (ValueError, TypeError, OverflowError, OSError, ConfigError) as exc:
        raise ConfigError(
            f"{SEAT_VARIABLE}={text!r} is not the seat of a worker ({exc}): "
            "unset it, the master sets it for the workers that it starts"
        ) from exc


def _take_stderr_back() -> None:
    """Under ``--devel`` the master hears what a program says until it has its seat."""
    kept = os.environ.pop(STDERR_VARIABLE, "")
    if kept:
        flush_output()
        os.dup2(int(kept), 2)
        os.close(int(kept))


def _parse_seat(text: str) -> WorkerSeat:
    facts = json.loads(text)
    if not isinstance(facts, dict) or sorted(facts) != sorted(SEAT_FACTS):
        raise ValueError(f"not a JSON object of {', '.join(SEAT_FACTS)}")
    *numbers, memory_fd, listeners, udp, cause, held, jobs = (facts[name] for name in SEAT_FACTS)
    master, slot, workers, alive_fd, report_fd = numbers
    if cause not in CAUSES or not isinstance(held, dict):
        raise ValueError("its cause is none, or no settings are held")
    for descriptors in (listeners, udp):
        numbers += descriptors if isinstance(descriptors, list) else [None]
    numbers += [] if memory_fd is None else [memory_fd]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("not all values are numbers")
    if master != os.getppid():
        raise ValueError(f"process {master} is not the parent of this one or has ended")
    for descriptor in (alive_fd, report_fd):
        mode = os.fstat(descriptor).st_mode
        answered = descriptor == report_fd and stat.S_ISSOCK(mode)  # under --devel
        if not stat.S_ISFIFO(mode) and not answered:
            raise ValueError(f"descriptor {descriptor} is not a pipe")
        os.set_inheritable(descriptor, False)
    sockets = adopt_listeners(listeners)
    if udp:
        from skitai.net.udp import adopt_seat  # only services with HTTP/3 have what it needs

        udp = adopt_seat(udp)
    return WorkerSeat(
        slot,
        sockets,
        alive_fd,
        report_fd,
        workers,
        cause,
        memory_fd,
        udp or None,
        held,
        jobs is True,
    )


def occupy(seat: WorkerSeat, serve_worker: Callable[[WorkerSeat], int], name: str) -> NoReturn:
    """Turn this process into a worker and end it with the exit code of ``serve_worker``.

    Parameters:
        name: ``Settings.name``; the process is titled ``<name>:w<slot>`` or ``<name>:jobs``.

    Sets ``SKITAI_WORKERS`` and ``SKITAI_WORKER_ID`` for the app. ``atexit`` functions don't run:
    in a forked worker they belong to the master.
    """
    code = 1
    try:
        setproctitle(f"{service_name(name)}:{seat.title}")
        os.environ["SKITAI_WORKERS"] = str(seat.workers)
        if not seat.jobs:
            os.environ["SKITAI_WORKER_ID"] = str(seat.slot)
        os.environ.pop(notify.SOCKET_VARIABLE, None)  # the master speaks for the service
        _leave_signals_to_master()
        threading.Thread(target=seat.end_with_master, name="skitai-start", daemon=True).start()
        code = serve_worker(seat)
    except SystemExit as exc:
        code = _exit_code(exc)
    except SkitaiError as exc:
        seat.report_failed(str(exc))
        code = 2
    except BaseException:
        traceback.print_exc()
    finally:
        flush_output()
        os._exit(code)


def service_name(name: str) -> str:
    """``name``, or when it is empty that of the running script or package."""
    script = Path(sys.argv[0] if sys.argv else "")
    found = script.parent.name if script.stem == "__main__" else script.stem
    # `python -c` and `python -` leave only their option in place of a script.
    return name or ("skitai" if found in ("", "-", "-c") else found)


def flush_output() -> None:
    """Empty the buffers of standard output and error, which may be closed or gone."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _leave_signals_to_master() -> None:
    """Undo the master's handlers, then let signals in; they were blocked when the process began."""
    signal.set_wakeup_fd(-1)
    for signum in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    for signum in MASTER_ONLY_SIGNALS:
        # Not SIG_IGN: that would be inherited by programs that the app starts.
        signal.signal(signum, _disregard)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, MASTER_SIGNALS)


def _disregard(signum: int, frame: FrameType | None) -> None:
    """A signal that only the master acts on."""


def _exit_code(exc: SystemExit) -> int:
    if exc.code is None or isinstance(exc.code, int):
        return exc.code or 0
    print(exc.code, file=sys.stderr)
    return 1
