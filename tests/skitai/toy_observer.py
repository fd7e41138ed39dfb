"""Starts a toy service from a script and watches it from outside: sockets, log, processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

# A start hook for scripts: workers make a file "waiting" and wait while a file "gate" exists.
GATE = (
    "def gate(seat):\n"
    "    open('waiting', 'w').close()\n"
    "    while os.path.exists('gate'): time.sleep(0.01)"
)
PATIENCE = 30.0  # seconds; far more than anything here takes
HERE = Path(__file__).parent


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Poll until the condition gives something true; that is the result."""
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.01)
    return result


class Toy:
    """A toy service run from a script (or from standard input), and what can be seen of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "toy.py"
        self.log = folder / "log"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.settimeout(PATIENCE)
        self.manager.bind(str(folder / "notify"))
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.seen: set[int] = set()

    def write(self, arguments: str, before: str = "") -> None:
        self.script.write_text(
            f"import os, sys, time, toy_service\n{before}\ntoy_service.run({arguments})\n"
        )

    def launch(self, *, stdin: bool = False, wrapper: tuple[str, ...] = ()) -> None:
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent.parent)]),
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        source = self.script if stdin else Path(os.devnull)
        with self.log.open("wb") as log, source.open("rb") as script:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-" if stdin else str(self.script)],
                stdin=script, stdout=log, stderr=log,
                env=environ, cwd=self.folder, start_new_session=True,
            )  # fmt: skip

    def start(self, arguments: str, before: str = "", *, stdin: bool = False) -> None:
        """Launch and wait until the service says that it is ready."""
        self.write(arguments, before)
        self.launch(stdin=stdin)
        message = self.notified()
        assert message.startswith(f"READY=1\nMAINPID={self.pid}\nSTATUS=serving on http://"), (
            message, self.log.read_text(),
        )  # fmt: skip
        self.port = int(message.rpartition(":")[2])

    def notified(self) -> str:
        return self.manager.recv(1000).decode()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def send(self, signum: signal.Signals) -> None:
        os.kill(self.pid, signum)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def workers(self) -> list[int]:
        pids = [child.pid for child in psutil.Process(self.pid).children()]
        self.seen.update(pids)
        return pids

    def connect(self, line: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        connection.sendall(line)
        return connection

    def who(self) -> dict[str, Any]:
        with self.connect(b"who\n") as connection:
            answer: dict[str, Any] = read_answer(connection)
            return answer

    def wait_for_answer(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask until a worker answers what is wanted."""

        def ask() -> dict[str, Any] | None:
            answer = self.who()
            return answer if condition(answer) else None

        answer: dict[str, Any] = eventually(ask, "an answer that fits")
        return answer

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        match: re.Match[str] = eventually(
            lambda: re.search(pattern, self.log.read_text(), re.MULTILINE), f"{pattern} in the log"
        )
        return match

    def close(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
        self.manager.close()


def read_answer(connection: socket.socket) -> Any:
    with connection.makefile("rb") as stream:
        return json.loads(stream.readline())


def held(toy: Toy) -> tuple[socket.socket, int]:
    """A connection that a worker has accepted and will answer later, and that worker's pid."""
    toy.workers()
    connection = toy.connect(b"wait\n")
    return connection, read_answer(connection)


def finish(connection: socket.socket) -> dict[str, Any]:
    with connection:
        connection.sendall(b"go\n")
        answer: dict[str, Any] = read_answer(connection)
        return answer


def is_gone(pid: int) -> bool:
    """Ended; nobody may be left to reap what a killed master leaves behind."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
