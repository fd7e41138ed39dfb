"""A request body while it arrives: in memory at first, in a temporary file when it grows.

The exchange fills it on the loop; an app reads it when it is complete.
"""

from __future__ import annotations

import io
import sys
import tempfile
from typing import IO

SPOOL_SIZE = 1024 * 1024


class RequestBody:
    """The body of one request.

    Parameters:
        length: announced bytes, or None for a chunked body.

    Attributes:
        size: bytes received so far.
        complete: True when the last byte is in.
        limit: bytes the handler accepts.
    """

    __slots__ = ("_file", "_pieces", "complete", "length", "limit", "size")

    def __init__(self, length: int | None) -> None:
        self.length = length
        self.size = 0
        self.complete = False
        self.limit = sys.maxsize
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None

    def append(self, data: bytes) -> None:
        """Add a piece; above 1 MiB everything moves to a temporary file."""
        self.size += len(data)
        if self._file is not None:
            self._file.write(data)
            return
        self._pieces.append(data)
        if self.size > SPOOL_SIZE:
            self._file = tempfile.TemporaryFile(prefix="skitai-")
            self._file.writelines(self._pieces)
            self._pieces.clear()

    def read(self) -> bytes:
        """The whole body."""
        if self._file is not None:
            self._file.seek(0)
            return self._file.read()
        if len(self._pieces) > 1:
            self._pieces = [b"".join(self._pieces)]
        return self._pieces[0] if self._pieces else b""

    def open(self) -> IO[bytes]:
        """The whole body as a file at its start; large bodies are not read into memory."""
        if self._file is not None:
            self._file.seek(0)
            return self._file
        return io.BytesIO(self.read())

    def close(self) -> None:
        """Drop the content."""
        self._pieces.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
