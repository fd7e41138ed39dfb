"""What a launched server prints, kept in an unnamed temporary file. Owned by `ServerProcess`."""

from __future__ import annotations

import os
import tempfile
import threading

from skitai.errors import ConfigError

KEPT = 1 << 20  # bytes from the end that can be read, also when the server was stopped


class CapturedOutput:
    """A file to be given to a process as its output, readable while the process writes.

    Parameters:
        directory: where the file is made; ``None`` means the system's temporary directory. It has
            no name there, so nothing is left even if this process is killed.

    Raises `ConfigError` when no file can be made there.
    """

    def __init__(self, directory: str | os.PathLike[str] | None) -> None:
        try:
            self._file = tempfile.TemporaryFile(dir=directory, buffering=0)
        except OSError as exc:
            place = directory or tempfile.gettempdir()
            raise ConfigError(
                f"temp_dir={str(place)!r} can't keep the server's output ({exc.strerror}): "
                "give a directory that can be written to"
            ) from exc
        self._lock = threading.Lock()
        self._last = b""

    def fileno(self) -> int:
        return self._file.fileno()

    def text(self, limit: int = KEPT) -> str:
        """Return the last ``limit`` bytes (at most `KEPT`) as text, without a half line if cut."""
        limit = min(limit, KEPT)
        with self._lock:
            tail = self._last if self._file.closed else self._read(limit + 1)
        if len(tail) > limit:
            tail = tail[len(tail) - limit - 1 :]  # one more, to see whether a line begins there
            tail = tail[tail.find(b"\n") + 1 or 1 :]
        return tail.decode(errors="replace")

    def close(self) -> None:
        """Give the file back; the last `KEPT` bytes stay readable."""
        with self._lock:
            if not self._file.closed:
                self._last = self._read(KEPT + 1)
                self._file.close()

    def _read(self, limit: int) -> bytes:
        size = os.fstat(self.fileno()).st_size
        # Not seek and read: the processes write where the shared file position is.
        return os.pread(self.fileno(), limit, max(0, size - limit))
