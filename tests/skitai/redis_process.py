"""A real Redis server for tests, on a free port, that can be stopped, killed and frozen."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from skitai.testing.launcher import free_port
from skitai.upstream.interface import Member

if TYPE_CHECKING:
    from collections.abc import Iterator


class RedisProcess:
    """A running server, empty after each start.

    Parameters:
        options: more options of the server, such as ``--requirepass``.

    Attributes:
        port: on 127.0.0.1; stays when it is started again.
    """

    def __init__(self, *options: str) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="redis-"))
        self._options = options
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Start, and wait until it is ready."""
        self._process = subprocess.Popen(
            [
                find_program(), "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
                "--dir", str(self._directory), *self._options,
            ],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if "ready to accept connections" in line.lower():
                return
        pytest.fail(f"redis-server ended before it was ready:\n{''.join(lines)}")

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it answer nothing until ``thaw``."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it for ever."""
        self._end(signal.SIGKILL)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _end(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait(20)

    def member(
        self, path: str = "0", user: str | None = None, password: str | None = None
    ) -> Member:
        """The server as a member of an alias."""
        return Member("127.0.0.1", self.port, path, user, password)

    def client(self, **options: str) -> redis.Redis:
        """The driver itself, for what tests look at beside the backend."""
        return redis.Redis(port=self.port, decode_responses=True, **options)  # type: ignore[arg-type]


def find_program() -> str:
    path = os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", "")))
    program = shutil.which("redis-server", path=path)
    if program is None:
        pytest.fail("these tests need a Redis server: install the package 'redis-server'")
    return program


@contextlib.contextmanager
def running_redis(*options: str) -> Iterator[RedisProcess]:
    server = RedisProcess(*options)
    try:
        yield server
    finally:
        server.close()
