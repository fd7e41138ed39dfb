"""``Child``: one process of `ProcessExecutor` as the worker sees it. What it runs is `remote`."""

from __future__ import annotations

import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys

from skitai.executors import remote
from skitai.executors.process_tree import Leash, kill_tree, watch_process


class Child:
    """A fresh interpreter that runs one job after the other.

    It gets standard output and error of the worker, its environment, module path, arguments and
    directory, and none of its sockets and files. It leads a session, so a terminal's signals don't
    reach it; it disregards those that are sent to all processes of a service; and it is killed with
    all that it started when the worker ends in any way.

    Raises ``OSError`` when it can't be started.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        leash = Leash()
        try:
            with theirs:
                self._process = _start(theirs.fileno(), leash.descriptor)
            leash.fasten(self._process.pid)
        except BaseException:
            ours.close()
            leash.release()
            raise
        self._connection = ours
        self._leash = leash
        self._watch = select.poll()
        self._watch.register(ours, select.POLLIN)
        self._death = watch_process(self._process.pid)
        if self._death >= 0:
            self._watch.register(self._death, select.POLLIN)
        self._interrupted = False
        self._greeted = False

    @property
    def pid(self) -> int:
        """Its process id, which is that of its group and session too."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether it can be given a job: it lives, and nothing was broken off."""
        if self._interrupted:
            return False
        # Without reaping: as long as it isn't, its group can be killed.
        with contextlib.suppress(ChildProcessError):
            how = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._process.pid, how) is None
        return False

    def converse(self, message: bytes) -> tuple[bytes, bytearray] | None:
        """Send a job and wait for the answer; None when the child died or was interrupted."""
        try:
            if not self._greeted:
                remote.send(self._connection, remote.JOB, _hello())
                self._greeted = True
            remote.send(self._connection, remote.JOB, message)
            # A program that the job started may have a copy of the other end, so its closing alone
            # does not tell that the child died.
            ready = {descriptor for descriptor, _ in self._watch.poll()}
            if self._connection.fileno() not in ready:
                return None
            return remote.receive(self._connection)
        except OSError:
            return None

    def interrupt(self) -> None:
        """Let ``converse`` return at once; from any thread. The child is of no use after that."""
        self._interrupted = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def end(self, seconds: float = 0.0) -> int | None:
        """Kill it and all that it started.

        Parameters:
            seconds: how long an idle child may take to end by itself before.

        Returns its exit code, negative for the signal that ended it; None when it does not end.
        """
        self.interrupt()
        if seconds and self._death >= 0:
            death = select.poll()
            death.register(self._death, select.POLLIN)
            death.poll(int(seconds * 1000))
        kill_tree(self._process)
        self._connection.close()
        self._leash.release()
        if self._death >= 0:
            os.close(self._death)
        return self._process.returncode


def _start(connection: int, leash: int) -> subprocess.Popen[bytes]:
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as the stdlib
    command = [sys.executable, *flags, remote.__file__, str(connection)]
    # A worker without standard output may have anything else under these numbers.
    streams = [
        None if stream is not None else subprocess.DEVNULL
        for stream in (sys.__stdout__, sys.__stderr__)
    ]
    # They stay blocked in the child until it has its handlers.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, remote.SIGNALS)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=streams[0],
            stderr=streams[1],
            pass_fds=(connection, leash),
            start_new_session=True,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hello() -> bytes:
    """Where a child finds what the worker finds."""
    return pickle.dumps((sys.path, sys.argv, main_script()), remote.PROTOCOL)


def main_script() -> tuple[str | None, str | None]:
    """Name of the running script if it was started by name, else its path; None: it has neither."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return spec.name, None
    path = getattr(main, "__file__", None)
    return None, os.path.abspath(path) if path and os.path.isfile(path) else None
