"""``LogFile``: a log that several processes append to, and that is rotated by its date.

The handlers of the engine's loggers and the request log write to it.
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY, MONTH = len("20240501"), len("202405")


class LogFile:
    """``<kind>.log`` in a directory; what a day or a month ago was written is in
    ``<kind>-YYYYMMDD.log``.

    Every process has its own, and whoever writes first in a new period renames the file. Nothing
    that happens to the disk is raised: it is told on standard error, once, and again when writing
    works; lines meanwhile are lost and counted.

    Parameters:
        directory: where it is.
        kind: ``"request"``, ``"app"`` or ``"server"``.
        keep: how many rotated ones are kept, at least 1.
        monthly: it is rotated once a month instead of once a day.
    """

    def __init__(self, directory: str, kind: str, keep: int, *, monthly: bool = False) -> None:
        self.path = os.path.join(directory, f"{kind}.log")
        self._directory = directory
        self._kind = kind
        self._keep = keep
        self._period = MONTH if monthly else DAY
        self._rotated = re.compile(rf"{re.escape(kind)}-\d{{8}}(-\d+)*\.log")
        self._lock = threading.Lock()
        self._descriptor = -1
        self._day = ""  # of what is in the file
        self._torn = False  # its last line is not complete
        self._failing = False
        self._lost = 0

    def write(self, lines: bytes) -> None:
        """Append whole lines; any thread."""
        with self._lock:
            try:
                self._prepare()
                rest = self._append(lines)
            except OSError as exc:
                self._failed(exc, lines)
            else:
                if rest is not None:
                    self._failed(*rest)
                elif self._failing:
                    self._failing = False
                    self._tell("info", f"is written again, {self._lost} lines are lost")
                    self._lost = 0

    def reopen(self) -> None:
        """Let go of the file, which may have been moved; the next line opens it anew."""
        with self._lock:
            self._close()

    close = reopen

    def _append(self, lines: bytes) -> tuple[OSError, bytes] | None:
        """Write; what could not be written, and why."""
        data = memoryview(b"\n" + lines if self._torn else lines)
        begun = False
        while data:
            try:
                # One call for all: what several processes append doesn't get mixed up.
                written = os.write(self._descriptor, data)
            except OSError as exc:
                self._torn = self._torn or begun
                return exc, bytes(data) if begun else lines
            data, begun = data[written:], True
        self._torn = False
        return None

    def _failed(self, error: OSError, lines: bytes) -> None:
        self._lost += lines.count(b"\n")
        if not self._failing:
            self._failing = True
            self._tell(
                "error", f"can't be written ({error.strerror}): lines are lost until that works"
            )

    def _tell(self, level: str, text: str) -> None:
        """Say something where an operator sees it: this log may be the one that has no place."""
        date = time.strftime("%Y-%m-%d %H:%M:%S")
        with suppress(OSError, ValueError, AttributeError):
            print(f"{date} [{level}] {self.path} {text}", file=sys.stderr, flush=True)

    # -- the file and its period

    def _prepare(self) -> None:
        today = time.strftime("%Y%m%d")
        if self._descriptor < 0:
            self._open(today)
        for _ in range(2):  # another process may have begun a file that is old by now, too
            if self._day[: self._period] != today[: self._period]:
                self._rotate(today)
        self._day = today

    def _open(self, today: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o640)
        status = os.fstat(self._descriptor)
        written = time.strftime("%Y%m%d", time.localtime(status.st_mtime))
        self._day = written if status.st_size else today

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _rotate(self, today: str) -> None:
        """Rename the file, unless another process has, and go on in a new one."""
        try:
            with _alone(self._directory):
                if self._is_current():
                    os.rename(self.path, self._free_name())
                    self._prune()
        except OSError as exc:
            self._tell("error", f"can't be rotated ({exc.strerror}): it goes on in the same file")
        self._close()
        self._open(today)

    def _is_current(self) -> bool:
        """Whether the file that is open here still has its name."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))

    def _free_name(self) -> str:
        base = os.path.join(self._directory, f"{self._kind}-{self._day}")
        names = [base, f"{base}-{time.strftime('%H%M%S')}"]
        names += [f"{names[1]}-{number}" for number in range(2, 100)]
        return next(
            (f"{name}.log" for name in names if not os.path.exists(f"{name}.log")),
            f"{names[-1]}.log",
        )

    def _prune(self) -> None:
        rotated = sorted(name for name in os.listdir(self._directory) if self._is_rotated(name))
        for name in rotated[: -self._keep]:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(self._directory, name))

    def _is_rotated(self, name: str) -> bool:
        return self._rotated.fullmatch(name) is not None


@contextmanager
def _alone(directory: str) -> Iterator[None]:
    """No other process is here at the same time; the system ends it with the process."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
