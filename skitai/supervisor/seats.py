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
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

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
    "master", "slot", "workers", "reloading", "alive", "report", "memory", "listeners", "udp"
)  # fmt: skip
READY = b"READY\n"
FAILED = b"FAILED "
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
        reloading: it is started by a reload, to replace a worker with older code.
        memory_fd: the memory that all workers share, if they do.
        udp: its part of the port of HTTP/3, if that is on.
    """

    slot: int
    sockets: list[socket.socket]
    alive_fd: int
    report_fd: int
    workers: int = 1
    reloading: bool = False
    memory_fd: int | None = None
    udp: UdpSeat | None = None

    def report_ready(self) -> None:
        """Tell the master that this worker serves."""
        self._report(READY)

    def report_failed(self, reason: str) -> None:
        """Tell the master why this worker can't start; the worker then ends with exit code 2."""
        # One write of up to PIPE_BUF bytes arrives in one piece.
        room = select.PIPE_BUF - len(FAILED) - 1
        self._report(FAILED + reason.encode(errors="replace")[:room] + b"\n")

    def _report(self, message: bytes) -> None:
        # Without a master nobody has to be told; alive_fd says the same to the worker's loop.
        with contextlib.suppress(BrokenPipeError):
            os.write(self.report_fd, message)

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
            "reloading": int(self.reloading),
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
    try:
        return _parse_seat(text)
    except (ValueError, TypeError, OverflowError, OSError, ConfigError) as exc:
        raise ConfigError(
            f"{SEAT_VARIABLE}={text!r} is not the seat of a worker ({exc}): "
            "unset it, the master sets it for the workers that it starts"
        ) from exc


def _parse_seat(text: str) -> WorkerSeat:
    facts = json.loads(text)
    if not isinstance(facts, dict) or sorted(facts) != sorted(SEAT_FACTS):
        raise ValueError(f"not a JSON object of {', '.join(SEAT_FACTS)}")
    *numbers, memory_fd, listeners, udp = (facts[name] for name in SEAT_FACTS)
    master, slot, workers, reloading, alive_fd, report_fd = numbers
    for descriptors in (listeners, udp):
        numbers += descriptors if isinstance(descriptors, list) else [None]
    numbers += [] if memory_fd is None else [memory_fd]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ValueError("not all values are numbers")
    if master != os.getppid():
        raise ValueError(f"process {master} is not the parent of this one or has ended")
    for descriptor in (alive_fd, report_fd):
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            raise ValueError(f"descriptor {descriptor} is not a pipe")
        os.set_inheritable(descriptor, False)
    sockets = adopt_listeners(listeners)
    if udp:
        from skitai.net.udp import adopt_seat  # only services with HTTP/3 have what it needs

        udp = adopt_seat(udp)
    return WorkerSeat(
        slot, sockets, alive_fd, report_fd, workers, bool(reloading), memory_fd, udp or None
    )


def occupy(seat: WorkerSeat, serve_worker: Callable[[WorkerSeat], int], name: str) -> NoReturn:
    """Turn this process into a worker and end it with the exit code of ``serve_worker``.

    Parameters:
        name: ``Settings.name``; the process is titled ``<name>:w<slot>``.

    Sets ``SKITAI_WORKERS`` and ``SKITAI_WORKER_ID`` for the app. ``atexit`` functions don't run:
    in a forked worker they belong to the master.
    """
    code = 1
    try:
        setproctitle(f"{service_name(name)}:w{seat.slot}")
        os.environ["SKITAI_WORKERS"] = str(seat.workers)
        os.environ["SKITAI_WORKER_ID"] = str(seat.slot)
        os.environ.pop(notify.SOCKET_VARIABLE, None)  # the master speaks for the service
        _leave_signals_to_master()
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
