"""Which process is the service of a name: a file with its process id, locked as long as it runs.

``commands/daemon.py`` asks. The lock is the truth: it ends with its process, however that ends. So
a file of a killed service, or of one from before the machine was started again, is no obstacle, and
no other process is ever taken for the service.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import time
from typing import Any

from skitai.errors import ConfigError
from skitai.places import HOME_VARIABLE, state_directory

PAUSE = 0.02  # seconds between two looks


class RunningService:
    """The service of a name, as the current user runs it in the background.

    Parameters:
        name: of the service.

    Attributes:
        directory: where its files are.
        log: what it prints.
    """

    def __init__(self, name: str) -> None:
        self.directory = state_directory(name)
        self.log = self.directory / "output.log"
        self._path = self.directory / "service.pid"

    def pid(self) -> int | None:
        """The master's process id; None when the service does not run in the background."""
        try:
            # For reading only: a home that can't be written is no reason not to know.
            descriptor = self._open(os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._unusable(exc) from exc
        try:
            if _try_lock(descriptor, fcntl.LOCK_SH):
                return None
            return _read_facts(descriptor).get("pid") or None
        finally:
            os.close(descriptor)

    def facts(self) -> dict[str, Any]:
        """What is known of the process that runs, or was the last to."""
        with open(self._path, "rb") as file:
            return _read_facts(file.fileno())

    def claim(self) -> int | None:
        """Lock the file; its descriptor, or None when the service runs already.

        The lock lasts until the last process that has the descriptor closes it or ends.
        Raises ``ConfigError`` when the file can't be written.
        """
        while True:
            try:
                self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                descriptor = self._open(os.O_RDWR | os.O_CREAT)
            except OSError as exc:
                raise self._unusable(exc) from exc
            if _try_lock(descriptor, fcntl.LOCK_EX) and self._is_there(descriptor):
                os.ftruncate(descriptor, 0)
                return descriptor
            os.close(descriptor)
            if self.pid() is not None:
                return None
            time.sleep(PAUSE)  # somebody has only looked, or has just removed it

    def wait_until_gone(self, timeout: float) -> bool:
        """Wait until it has ended, at most ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while self.pid() is not None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(PAUSE)
        return True

    def forget(self) -> None:
        """Remove the file of a service that has ended, unless it has been started again."""
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            try:
                if _try_lock(descriptor, fcntl.LOCK_EX) and self._is_there(descriptor):
                    self._path.unlink()
            finally:
                os.close(descriptor)

    def _open(self, flags: int) -> int:
        # A pipe that somebody has put there must not hold up a command.
        descriptor = os.open(self._path, flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ConfigError(f"{str(self._path)!r} is no file: remove it")
        return descriptor

    def _is_there(self, descriptor: int) -> bool:
        """Whether an open file is still the one at the path."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _unusable(self, exc: OSError) -> ConfigError:
        fix = f"set {HOME_VARIABLE} to a directory where this user may write"
        if isinstance(exc, IsADirectoryError):
            fix = "remove it"
        elif exc.errno in (errno.ENOSPC, errno.EDQUOT):
            fix = f"make room on its disk, or {fix}"
        return ConfigError(f"{str(self._path)!r} can't be used ({exc.strerror}): {fix}")


def write_facts(descriptor: int, **facts: Any) -> None:
    """Say who has claimed the file. Raises ``OSError`` when there is no room for all of it."""
    data = json.dumps(facts).encode() + b"\n"
    if os.pwrite(descriptor, data, 0) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _read_facts(descriptor: int) -> dict[str, Any]:
    # The one who has the lock may be about to write.
    for _ in range(100):
        with contextlib.suppress(ValueError):
            facts = json.loads(os.pread(descriptor, 4096, 0))
            if isinstance(facts, dict):
                return facts
        time.sleep(PAUSE)
    return {}


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
