"""A MongoDB server for tests: ``mongod`` if there is one, else the stand-in of ``mongo_wire``."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from skitai.testing.launcher import free_port
from skitai.upstream.interface import Member

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 60.0
REAL = shutil.which("mongod")


class MongoProcess:
    """A running server, on a free port that stays when it is started again.

    Parameters:
        credentials: user and password that are asked for; of the stand-in only.

    Attributes:
        real: whether this is ``mongod``; otherwise the data is gone after each start.
    """

    def __init__(self, *credentials: str) -> None:
        self.real = REAL is not None and not credentials
        self._directory = Path(tempfile.mkdtemp(prefix="mongo-"))
        self._credentials = credentials
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Start, and wait until it is ready."""
        if self.real:
            command = [
                str(REAL), "--bind_ip", "127.0.0.1", "--port", str(self.port),
                "--dbpath", str(self._directory), "--quiet", "--logpath", os.devnull,
            ]  # fmt: skip
        else:
            script = Path(__file__).with_name("mongo_wire.py")
            command = [sys.executable, str(script), str(self.port), *self._credentials]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if not self.real and self._process.stdout.readline() != "ready\n":
            pytest.fail("the stand-in of MongoDB ended before it was ready")
        deadline = time.monotonic() + PATIENCE
        while self.real and not self._listens():
            assert time.monotonic() < deadline, "mongod does not listen"
            time.sleep(0.05)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        """End it at once, as a crash does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process.wait(20)

    def freeze(self) -> None:
        """Let it answer nothing until ``thaw``."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it for ever."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def member(
        self, path: str = "test", user: str | None = None, password: str | None = None
    ) -> Member:
        """The server as a member of an alias."""
        return Member("127.0.0.1", self.port, path, user, password)


@contextlib.contextmanager
def running_mongodb(*credentials: str) -> Iterator[MongoProcess]:
    server = MongoProcess(*credentials)
    try:
        yield server
    finally:
        server.close()
