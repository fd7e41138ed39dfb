"""One contender's processes: start pinned to a core, wait for the first answer, measure, stop.

Used by `benchmarks.suite`; leaves no process behind, whatever ends the `with` block.
"""

from __future__ import annotations

import http.client
import os
import re
import select
import signal
import socket
import ssl
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from benchmarks.rows import Request

START_SECONDS = 20.0
STOP_SECONDS = 5.0
# Between two attempts to connect; the end of the process ends the wait at once.
PAUSE_SECONDS = 0.002


class LaunchError(Exception):
    """The server did not come up; the message is the reason shown in the report."""


@dataclass(frozen=True)
class Answer:
    """What a server said to one request; `cookies` are those it set, as they came."""

    status: int
    content_type: str
    body: bytes
    cookies: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Memory:
    """Bytes over a process tree: `unique` belongs to one process alone (USS), `proportional`
    adds each shared page once over its users (PSS)."""

    unique: int
    proportional: int


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ask(port: int, request: Request, timeout: float = 5.0) -> Answer:
    """Send `request` to 127.0.0.1, `timeout` in seconds; raises OSError or HTTPException."""
    if request.secure:
        # Certificates of a benchmark are signed by themselves.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=timeout, context=context
        )
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        body, headers = request.body.encode() or None, dict(request.headers)
        connection.request(request.method, request.target, body, headers)
        response = connection.getresponse()
        content_type = response.getheader("Content-Type", "").partition(";")[0].strip().lower()
        cookies = _cookies(response.headers.get_all("Set-Cookie", []))
        return Answer(response.status, content_type, response.read(), cookies)
    finally:
        connection.close()


def _cookies(headers: Sequence[str]) -> dict[str, str]:
    """Return name and value of each Set-Cookie header, the value as it is to be sent back."""
    pairs = (header.partition(";")[0].partition("=") for header in headers)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _kill(process: psutil.Process) -> None:
    """KILL a process and wait for its end, which for a killed one is a matter of microseconds.

    The descriptor reports the end at once, also while the dead process waits for a slow parent.
    """
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        ended = os.pidfd_open(process.pid)
        try:
            process.kill()
            select.select([ended], [], [], STOP_SECONDS)
        finally:
            os.close(ended)


class Server:
    """A started server with all its processes, as a context manager.

    `command` runs under `taskset` on `core`, in `folder`, with `environment` added to this process'
    own; its output goes to the file `log`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        core: int,
        folder: Path,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self._log = log
        self._began = time.perf_counter()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        self._exit = os.pidfd_open(self._process.pid)
        self._stopped = False

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process at the top of the tree."""
        return self._process.pid

    def wait(self, request: Request, timeout: float = START_SECONDS) -> float:
        """Send `request` until there is an answer; return the seconds since the start.

        Raises LaunchError with the last line of the output if the server ends or stays silent.
        """
        deadline = self._began + timeout
        while True:
            left = deadline - time.perf_counter()
            if left <= 0:
                raise LaunchError(f"no answer within {timeout:g} s{self._last_words()}")
            try:
                ask(self.port, request, timeout=left)
            except (OSError, http.client.HTTPException):
                if self._ended(PAUSE_SECONDS):
                    code = self._process.wait()
                    raise LaunchError(f"ended with code {code}{self._last_words()}") from None
            else:
                return time.perf_counter() - self._began

    def cpu_seconds(self) -> float:
        """Return the CPU time that the process tree has used so far, user and system."""
        total = 0.0
        for process in self._tree():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory(self) -> Memory:
        """Return what the process tree holds now."""
        unique = proportional = 0
        for process in self._tree():
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                info = process.memory_full_info()
                unique += info.uss
                proportional += info.pss
        return Memory(unique, proportional)

    def resident(self) -> int:
        """Return the resident bytes of the process tree; `peak` begins anew from here."""
        for process in self._tree():
            # 5 sets the peak to what is resident now (proc(5)).
            with suppress(FileNotFoundError, ProcessLookupError):
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        return self._resident("VmRSS")

    def peak(self) -> int:
        """Return the most bytes that each process of the tree had resident, added up."""
        return self._resident("VmHWM")

    def _resident(self, field: str) -> int:
        total = 0
        for process in self._tree():
            with suppress(FileNotFoundError, ProcessLookupError):
                status = Path(f"/proc/{process.pid}/status").read_text()
                found = re.search(rf"^{field}:\s+(\d+) kB$", status, re.MULTILINE)
                # A process that has just ended has no memory.
                total += int(found[1]) * 1024 if found else 0
        return total

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        """End the tree: TERM to its top and `timeout` seconds for that, then KILL to all.

        Does nothing the second time.
        """
        if self._stopped:
            return
        tree = self._tree()
        try:
            self._process.terminate()
            self._ended(timeout)
        finally:
            self._stopped = True
            # The group catches what was started meanwhile, the tree what left the group.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            for process in tree:
                _kill(process)
            self._process.wait()
            os.close(self._exit)

    def _tree(self) -> list[psutil.Process]:
        try:
            top = psutil.Process(self._process.pid)
            return [top, *top.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _ended(self, seconds: float) -> bool:
        """Wait at most `seconds` for the end of the top process; tell whether it ended."""
        readable, _, _ = select.select([self._exit], [], [], seconds)
        return bool(readable)

    def _last_words(self) -> str:
        """Return the last line of the output that names an error, or else the last one."""
        lines = self._log.read_text(errors="replace").splitlines()
        words = [line.strip() for line in lines if line.strip()]
        telling = [line for line in words if "error" in line.lower()] or words
        return f": {telling[-1][:200]}" if telling else ""
