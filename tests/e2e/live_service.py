"""A service as its operator sees it: a launch script, its processes, its log, its port."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import psutil

import skitai

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PATIENCE = 30.0  # seconds; far more than anything here takes


def eventually(condition: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """Poll until the condition gives something true; that is the result."""
    deadline = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.01)
    return result


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files below a folder by relative path; text may be indented as a whole."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = textwrap.dedent(content).lstrip("\n").encode()
        # Renamed into place, so that a reload never finds half of it.
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_bytes(content)
        fresh.replace(path)


def running(group: int) -> list[psutil.Process]:
    """The processes of a group. Zombies count as long as somebody of us has to reap them."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) != group:
                continue
            # What a killed master leaves behind is reaped by init, if the machine has a real one.
            if process.status() != psutil.STATUS_ZOMBIE or process.ppid() != 1:
                found.append(process)
    return found


class LiveService:
    """A launch script that serves, and what can be seen of it from outside.

    Parameters:
        folder: has the script and the app; the script runs there.
        script: its name.
        options: those of the command line, see ``skitai.test_client``.
    """

    def __init__(self, folder: Path, script: str = "serve.py", **options: Any) -> None:
        self.folder = folder
        self._connections: list[socket.socket] = []
        self.client = skitai.test_client(
            folder / script, port=0, startup_timeout=PATIENCE, stop_timeout=PATIENCE, **options
        )
        assert self.client.pid is not None
        self.pid = self.client.pid
        self.port = self.client.port

    def close(self) -> None:
        """Stop it; nothing of it may be left."""
        for connection in self._connections:
            connection.close()
        self.client.stop()
        eventually(lambda: not running(self.pid), "the end of all processes of the service")

    # Processes

    def workers(self) -> list[int]:
        """The process ids of the master's children."""
        return [child.pid for child in psutil.Process(self.pid).children()]

    def send(self, signum: signal.Signals) -> None:
        """Send the master a signal."""
        os.kill(self.pid, signum)

    def wait(self) -> int:
        """Wait for the master's end; its exit code."""
        eventually(lambda: self.client.returncode is not None, "the end of the service")
        assert self.client.returncode is not None
        return self.client.returncode

    # Log

    def log(self) -> str:
        return self.client.log()

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        match: re.Match[str] = eventually(
            lambda: re.search(pattern, self.log(), re.MULTILINE), f"{pattern} in the log"
        )
        return match

    # Requests

    def get(self, path: str, **options: Any) -> Any:
        """GET over a new connection."""
        headers = {"Connection": "close", **options.pop("headers", {})}
        return self.client.get(path, headers=headers, **options)

    def connect(self) -> socket.socket:
        """A new connection; closed at the latest with the service."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        self._connections.append(connection)
        return connection

    def raw(self, request: bytes) -> http.client.HTTPResponse:
        """Send bytes over a new connection; the response has its body as ``content``."""
        connection = self.connect()
        connection.sendall(request)
        response = receive(connection)
        connection.close()
        return response

    def refuses(self) -> bool:
        """Whether nobody listens any more."""
        try:
            self.connect().close()
        except ConnectionRefusedError:
            return True
        except OSError:  # accepted by the kernel for a listener that was closed meanwhile
            return False
        return False


def receive(connection: socket.socket, method: str = "GET") -> http.client.HTTPResponse:
    """Read one response from a connection; its body is in ``content``."""
    response = http.client.HTTPResponse(connection, method=method)
    with response:
        response.begin()
        response.content = response.read()  # type: ignore[attr-defined]
    return response


def run_script(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run serve.py until it ends by itself; it and all that it started."""
    process = subprocess.Popen(
        [sys.executable, "serve.py", *words],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, errors = process.communicate(timeout=PATIENCE)
        eventually(lambda: not running(process.pid), "the end of all that the script started")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
