"""``Run``: one process of a job, from its start to the end of all that it has started.

The keeper makes it. Nothing here waits: the keeper's loop looks at it when something happened.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import time
import traceback
from collections import deque
from typing import TYPE_CHECKING, NoReturn

from skitai.executors.process_tree import Leash, kill_tree, look
from skitai.supervisor.seats import MASTER_SIGNALS, flush_output

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.executors.process_tree import Leader
    from skitai.schedules.declarations import Job

LONGEST_LINE = 8192  # bytes; what is longer becomes several lines
READ_BYTES = 65536
WAIT_STEP = 0.005  # seconds
MOST_READS = 64  # of what is left when it has ended
REMEMBERED = 20  # lines for the report of a failure
KILL_AGAIN = 60.0  # seconds after which what could not be killed is tried again
LOOK_SECONDS = 0.05  # between looks at what a program has left behind when it was to end


class Run:
    """A process that works for a job. It leads a session of its own, with all that it starts.

    Its output comes by a pipe. It is killed by the system when this process ends, whatever ends it.

    Parameters:
        job: what to run.
        become: in the child of a job that is a function: runs it, and returns its exit code.
        say: takes each line of output.
        now: monotonic seconds.

    Raises ``OSError`` when it can't be started.

    Attributes:
        kill_at, timeout_at: monotonic seconds; None when that is not to be.
        timed_out: it was ended as it took too long.
        last_lines: of its output.
    """

    def __init__(
        self, job: Job, become: Callable[[int], int], say: Callable[[str], None], now: float
    ) -> None:
        self.job = job
        self.began = now
        self.timeout_at: float | None = now + job.timeout
        self.kill_at: float | None = None
        self.timed_out = False
        self.last_lines: deque[str] = deque(maxlen=REMEMBERED)
        self._say = say
        self._partial = b""
        self._leash = Leash()
        try:
            self._output, writer = os.pipe()
        except OSError:
            self._leash.release()
            raise
        os.set_blocking(self._output, False)
        self._process: Leader
        try:
            if job.function is not None:
                self._process = _fork(become, writer, (self._output, self._leash))
            else:
                self._process = _start(job, writer, self._leash)
        except BaseException:
            os.close(self._output)
            self._leash.release()
            raise
        finally:
            os.close(writer)
        self._leash.fasten(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self.kill_at is not None

    def fileno(self) -> int:
        return self._output

    def read(self) -> bool:
        """Take what it has written; false when that was all for ever."""
        try:
            data = os.read(self._output, READ_BYTES)
        except BlockingIOError:
            return True
        self._take(data)
        return bool(data)

    def _take(self, data: bytes) -> None:
        """Say the lines that are complete; all of them when there is no more data."""
        *lines, self._partial = (self._partial + data).split(b"\n")
        if not data or len(self._partial) > LONGEST_LINE:
            lines, self._partial = [*lines, self._partial], b""
        for line in lines:
            for at in range(0, len(line), LONGEST_LINE):
                text = line[at : at + LONGEST_LINE].decode(errors="replace").rstrip()
                if text:
                    self.last_lines.append(text)
                    self._say(text)

    def terminate(self, now: float, most: float = math.inf) -> None:
        """Ask all of it to end; after the job's time it is to be killed.

        Parameters:
            most: seconds after which it is killed even if the job has more time.
        """
        asked = self.stopping
        until = self.kill_at if self.kill_at is not None else now + self.job.stop_timeout
        self.kill_at = min(until, now + most)
        if not asked:
            self.timeout_at = None
            # It may have become somebody whom this process may not signal, by sudo perhaps.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGTERM)

    def collect(self, now: float) -> int | None:
        """The exit code when it has ended, with all that it had started; None before.

        Its end is the end of the others, too. If it was asked to end they have their time.
        """
        if self.kill_at is None or now < self.kill_at:
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or (self.kill_at is not None and look(self.pid).alive()):
                return None
        kill_tree(self._process)  # nobody has reaped it yet, so nobody else has its number
        if self._process.returncode is None:  # that takes seconds, which others wait
            self.kill_at = now + KILL_AGAIN
        return self._process.returncode

    def close(self) -> None:
        """Take the rest of its output. To be called once, when it was collected."""
        for _ in range(MOST_READS):
            try:
                data = os.read(self._output, READ_BYTES)
            except BlockingIOError:  # somebody who has left the session may still write
                data = b""
            self._take(data)
            if not data:
                break
        os.close(self._output)
        self._leash.release()

    def drop(self) -> None:
        """In a forked child: let go of it, so that it ends with the process it belongs to."""
        os.close(self._output)
        self._leash.drop()


class Forked:
    """A child that was forked, as `kill_tree` wants it.

    Attributes:
        returncode: negative for a signal; None while nobody has reaped it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises ``TimeoutExpired``; without a time it has come already."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        while self.returncode is None:
            pid, status = os.waitpid(self.pid, 0 if timeout is None else os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            else:
                time.sleep(WAIT_STEP)
        return self.returncode


def _start(job: Job, output: int, leash: Leash) -> subprocess.Popen[bytes]:
    assert job.command is not None
    return subprocess.Popen(
        job.command,
        shell=isinstance(job.command, str),
        cwd=job.cwd,
        env={"PYTHONUNBUFFERED": "1", **os.environ, **job.env},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(leash.descriptor,),
        start_new_session=True,
    )


def _fork(become: Callable[[int], int], output: int, own: tuple[int, Leash]) -> Forked:
    """A copy of this process, which has one thread, goes on with a function."""
    flush_output()
    started, starting = os.pipe()
    # A signal that hits the child before it is somebody else would be recorded as this process's.
    signal.pthread_sigmask(signal.SIG_BLOCK, MASTER_SIGNALS)
    try:
        pid = os.fork()
        if pid == 0:
            _go_on(become, output, own, starting)
    except OSError:
        os.close(started)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MASTER_SIGNALS)
        os.close(starting)
    os.read(started, 1)  # from now on it leads a group that signals can be sent to
    os.close(started)
    return Forked(pid)


def _go_on(
    become: Callable[[int], int], output: int, own: tuple[int, Leash], starting: int
) -> NoReturn:
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for signum in (*MASTER_SIGNALS, signal.SIGUSR2):
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, MASTER_SIGNALS)
        os.write(starting, b"\0")
        log = os.dup(2)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, target)
        reader, leash = own
        for descriptor in (starting, nothing, output, reader):
            os.close(descriptor)
        leash.drop()
        code = become(log)
    except BaseException:
        traceback.print_exc()
    finally:
        flush_output()
        os._exit(code)
