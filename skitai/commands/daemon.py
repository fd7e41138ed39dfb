"""A service in the background: ``start``, ``stop``, ``restart``, ``status`` and ``reload``.

``Service.run`` calls ``run_command`` in place of serving.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from typing import IO, TYPE_CHECKING

from skitai.commands.running import RunningService, write_facts
from skitai.commands.systemd import UNITS, systemd_pid
from skitai.commands.written_files import NO_ROOM, unwritable
from skitai.errors import ConfigError, StartupError
from skitai.supervisor.master import STOP_MARGIN
from skitai.supervisor.notify import SOCKET_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skitai.config import Settings

DAEMON_VARIABLE = "SKITAI_DAEMON"
"""Descriptor of the locked file that the background process holds as long as it lives."""

STOPPED = 3
"""Exit code of ``status`` for a service that does not run (LSB, init script actions)."""

SCRIPT_SECONDS = 60.0  # for the script itself, before and after the start of its workers
LOOK_SECONDS = 0.05
SHOWN = 4096  # bytes of output that an error message shows
UMASK = 0o022
KEPT = 1024 * 1024  # bytes of older output that a start leaves in the file


class Daemon:
    """A service that can be sent to the background.

    Parameters:
        settings: ``name``, ``drain_timeout`` and ``start_timeout`` are used.
        command: starts the script again, in the foreground.
        directory: of the launch script.
    """

    def __init__(self, settings: Settings, command: list[str], directory: Path) -> None:
        self.name = settings.name
        self._running = RunningService(settings.name)
        self._command = command
        self._directory = directory
        self._patience = settings.drain_timeout + 2 * STOP_MARGIN
        # The master ends itself when its workers take longer, and knows why.
        self._start_patience = (settings.start_timeout or math.inf) + SCRIPT_SECONDS

    def start(self) -> int:
        """Start it and wait until it serves; exit code 0.

        Raises ``StartupError`` with the end of its output when it does not, or when it runs.
        """
        self._leave_to_systemd("start")
        lock = self._running.claim()
        if lock is None:
            pid = self._running.pid()
            raise StartupError(f"{self.name} runs already, pid {pid}{self._elsewhere()}")
        try:
            pid = self._launch(lock)
        except OSError as exc:
            why = unwritable(exc, self._running.directory) if exc.errno in NO_ROOM else exc
            raise StartupError(f"{self.name} can't be started: {why}") from exc
        finally:
            os.close(lock)
        print(f"{self.name} [running:{pid}]")
        return 0

    def stop(self) -> int:
        """Let it finish what it serves and end; exit code 0, also when it does not run.

        Raises ``StartupError`` when systemd runs it, as ``restart`` and ``reload`` do: it would
        start it again.
        """
        pid = self._running.pid()
        if pid is None:
            self._leave_to_systemd("stop")
            print(f"{self.name} [stopped]")
            return 0
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if not self._running.wait_until_gone(self._patience):
            print(f"{self.name} has not ended in time: killed", file=sys.stderr)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            self._running.wait_until_gone(self._patience)
        self._running.forget()
        print(f"{self.name} [stopped]")
        return 0

    def restart(self) -> int:
        """Stop it, if it runs, and start it."""
        if self._running.pid() is None:
            self._leave_to_systemd("restart")
        self.stop()
        return self.start()

    def status(self) -> int:
        """Tell whether it runs; exit code 0, or 3 when it does not."""
        where, pid = "", self._running.pid()
        if pid is None:
            where, pid = " under systemd", systemd_pid(self.name, self._directory, UNITS)
        if pid is None:
            print(f"{self.name} [stopped]")
            return STOPPED
        print(f"{self.name} [running:{pid}]{where}")
        return 0

    def reload(self) -> int:
        """Let new workers, with the code as it is now, take over; no request fails.

        Raises ``StartupError`` when it does not run.
        """
        pid = self._running.pid()
        if pid is None:
            self._leave_to_systemd("reload")
            raise StartupError(f"{self.name} does not run: start it")
        os.kill(pid, signal.SIGHUP)
        print(f"{self.name} [running:{pid}] reloads")
        return 0

    def _elsewhere(self) -> str:
        """Where the one that runs is from, if not from here, and what to do."""
        with contextlib.suppress(OSError):  # it has just ended
            other = self._running.facts().get("directory")
            if other and other != str(self._directory):
                return f", from {other!r}: stop it there, or give this one another --name"
        return ": stop it first"

    def _leave_to_systemd(self, verb: str) -> None:
        """Raise ``StartupError`` when systemd runs it, with the command that is wanted then."""
        pid = systemd_pid(self.name, self._directory, UNITS)
        if pid is not None:
            instead = f"sudo systemctl {'restart' if verb == 'start' else verb} {self.name}"
            raise StartupError(f"{self.name} runs under systemd, pid {pid}: {instead}")

    # -- starting

    def _launch(self, lock: int) -> int:
        from skitai.testing.readiness import ReadinessSocket

        with ReadinessSocket() as readiness, self._open_log() as log:
            began = os.fstat(log.fileno()).st_size
            environ = {
                **os.environ,
                SOCKET_VARIABLE: readiness.path,
                DAEMON_VARIABLE: str(lock),
                "PYTHONUNBUFFERED": "1",
            }
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environ,
                pass_fds=[lock],
                start_new_session=True,
                umask=UMASK,
            )
            try:
                write_facts(lock, pid=process.pid, directory=os.getcwd())
                self._wait(process, readiness.wait, began)
            except BaseException:  # also when whoever types this gives up
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise
            # It outlives this process, so nobody waits for it.
            process.returncode = 0
            return process.pid

    def _wait(
        self, process: subprocess.Popen[bytes], ready: Callable[[float], bool], began: int
    ) -> None:
        deadline = time.monotonic() + self._start_patience
        while not ready(LOOK_SECONDS):
            ended = process.poll() is not None
            if ended or time.monotonic() >= deadline:
                how = "ended" if ended else f"did not serve within {self._start_patience:g} s"
                raise StartupError(f"{self.name} {how}; its output:\n{self._output(began)}")

    def _open_log(self) -> IO[bytes]:
        """The file for what it prints; what is old goes when there is much of it."""
        log = open(self._running.log, "a+b")
        if log.tell() > KEPT:
            log.seek(-KEPT, os.SEEK_END)
            kept = log.read()
            log.truncate(0)
            log.write(kept[kept.find(b"\n") + 1 :])
            log.flush()
        return log

    def _output(self, began: int) -> str:
        text = self._running.log.read_bytes()[began:][-SHOWN:].decode(errors="replace").rstrip()
        return textwrap.indent(text or "nothing", "    ")


def refuse_second(name: str, directory: Path) -> None:
    """Raise ``StartupError`` when the same script serves in the background already.

    Parameters:
        name: of the service.
        directory: of the script; another one may have a service of the same name.
    """
    running = RunningService(name)
    try:
        pid = running.pid()
    except ConfigError:
        return  # nothing can have been started in the background from there
    if pid is not None and running.facts().get("directory") == str(directory):
        raise StartupError(f"{name} runs in the background, pid {pid}: stop it first")


def hold_lock() -> int | None:
    """In the background process: take over the locked file; its descriptor, None elsewhere.

    Only the master keeps it: programs that it starts don't get it, and so the lock ends with it.
    """
    text = os.environ.pop(DAEMON_VARIABLE, None)
    if text is None:
        return None
    descriptor = int(text)
    os.set_inheritable(descriptor, False)
    return descriptor
