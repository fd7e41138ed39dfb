"""Starts a launch script in a process of its own and makes sure that nothing of it stays.

The test client makes a `ServerProcess` when it is given a script.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError, StartupError
from skitai.testing.output import KEPT, CapturedOutput
from skitai.testing.readiness import READY, VARIABLE, ReadinessSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHOWN = 4096  # bytes of output that an error message shows

# All in seconds.
EXIT_CHECK = 0.05  # between two looks at whether a starting server has ended
KILL_TIMEOUT = 5.0  # for the kernel to end what was killed
REAP_TIMEOUT = 1.0  # for init to reap it; until then it is dead and holds nothing


def free_port() -> int:
    """Return a TCP port that no process listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
    return port


def build_command(
    script: str | os.PathLike[str], port: int, devel: bool, options: Mapping[str, Any]
) -> list[str]:
    """Return the command line that starts a launch script with the current interpreter.

    Parameters:
        script: the path, seen from the current directory; text may go on with arguments, quoted as
            in a shell (``"serve.py --x"``).
        port: becomes ``--port``.
        devel: whether ``--devel`` is given.
        options: each becomes ``--name value``, with dashes for underscores. ``True`` means the
            option alone; ``None`` and ``False`` leave it out.

    Raises `ConfigError` when there is no such file.
    """
    words = [*_script_words(script), "--port", str(port)]
    if devel:
        words.append("--devel")
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words.append(str(value))
    return [sys.executable, *words]


def _script_words(script: str | os.PathLike[str]) -> list[str]:
    path = os.fspath(script)
    if os.path.isfile(path):
        return [path]
    words = [path]
    if isinstance(script, str):
        try:
            words = shlex.split(script)
        except ValueError as exc:
            raise ConfigError(f"script={script!r} can't be split into words: {exc}") from exc
    if not words or not os.path.isfile(words[0]):
        raise ConfigError(
            f"script={path!r}: there is no such file, seen from {os.getcwd()}: "
            "give a path from there, or an absolute one"
        )
    return words


class ServerProcess:
    """A service in a session of its own, ready to serve when the constructor returns.

    Parameters:
        command: the command line; its second word is the script.
        silent: keep the output for ``text`` and for error messages; else it goes where ours goes.
        temp_dir: where the output is kept; ``None`` means the system's temporary directory.
        startup_timeout: seconds that the service has to announce itself (man sd_notify).
        stop_timeout: seconds that it has to end after SIGTERM, before all of it is killed.

    Raises `StartupError`, with the end of the output, when the service ends or does not announce
    itself in time; then nothing of it is left.
    """

    def __init__(
        self,
        command: list[str],
        *,
        silent: bool = True,
        temp_dir: str | os.PathLike[str] | None = None,
        startup_timeout: float = 30.0,
        stop_timeout: float = 10.0,
    ) -> None:
        self.script = command[1]
        self._stop_timeout = stop_timeout
        self._owner = os.getpid()
        self._stopped = False
        with ReadinessSocket() as readiness:
            self._output = CapturedOutput(temp_dir) if silent else None
            try:
                self._process = _spawn(command, readiness.path, self._output)
            except BaseException:
                if self._output is not None:
                    self._output.close()
                raise
            try:
                self._wait_until_ready(readiness, startup_timeout)
            except BaseException:
                self.stop()
                raise

    @property
    def pid(self) -> int:
        """The process id of the script, and of the process group of all that it starts."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for the signal that killed it; ``None`` while it runs."""
        if self._process.returncode is not None:
            return self._process.returncode
        try:
            # Reaped by ``stop`` only: until then no other process can get this pid, and killing
            # the group hits nobody else.
            end = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # somebody else has reaped it
            return self._process.poll()
        if end is None:
            return None
        return end.si_status if end.si_code == os.CLD_EXITED else -end.si_status

    def text(self, limit: int = KEPT) -> str:
        """Return the last ``limit`` bytes of the output; empty when it is not ``silent``."""
        return self._output.text(limit) if self._output is not None else ""

    def describe_end(self) -> str:
        """Say how the service ended and show the end of its output."""
        code = self.returncode
        if code is not None and code < 0:
            how = f"was killed by signal {-code} ({signal.strsignal(-code)})"
        else:
            how = f"ended with exit code {code}"
        return f"{self.script} {how}{self._quote_output()}"

    def stop(self) -> None:
        """Ask the service to end, wait, and kill whatever of its group is left. Idempotent."""
        if self._stopped or os.getpid() != self._owner:
            return  # a fork has inherited this object, but not the service
        self._stopped = True
        try:
            if self.returncode is None:
                os.kill(self.pid, signal.SIGTERM)
                _wait_for(lambda: self.returncode is not None, self._stop_timeout)
        finally:
            self._signal_group(signal.SIGKILL)
            _wait_for(lambda: self.returncode is not None, KILL_TIMEOUT)
            self._process.poll()
            _wait_for(lambda: not self._signal_group(0), REAP_TIMEOUT)
            if self._output is not None:
                self._output.close()

    def _wait_until_ready(self, readiness: ReadinessSocket, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not readiness.wait(EXIT_CHECK):
            if self.returncode is not None:
                raise StartupError(f"the server never got ready: {self.describe_end()}")
            if time.monotonic() >= deadline:
                raise StartupError(
                    f"{self.script} did not get ready within {timeout:g} s: waited for the message "
                    f"{READY.decode()} on ${VARIABLE}, which skitai.run() sends when all workers "
                    "serve. If it needs more time, give startup_timeout= (seconds)"
                    f"{self._quote_output()}"
                )

    def _signal_group(self, signum: int) -> bool:
        """Send a signal to all of the group; return whether there is such a group."""
        try:
            os.killpg(self.pid, signum)
        except ProcessLookupError:
            return False
        except PermissionError:  # those that are left have taken another user's rights
            return False
        return True

    def _quote_output(self) -> str:
        if self._output is None:
            return ""
        text = self.text(SHOWN).rstrip()
        return "; its output:\n" + textwrap.indent(text, "    ") if text else "; it printed nothing"


def _spawn(
    command: list[str], notify_path: str, output: CapturedOutput | None
) -> subprocess.Popen[bytes]:
    environ = {**os.environ, VARIABLE: notify_path}
    # So that what an app prints can be read at once, and isn't written twice by a forked worker.
    environ.setdefault("PYTHONUNBUFFERED", "1")
    target = None if output is None else output.fileno()
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=target,
        stderr=target,
        env=environ,
        start_new_session=True,
    )


def _wait_for(condition: Callable[[], bool], timeout: float) -> None:
    """Look again and again until the condition holds, at most ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    pause = 0.002
    while not condition() and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 2, EXIT_CHECK)
