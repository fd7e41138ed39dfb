"""A request body while it arrives: in memory at first, in a temporary file when it grows.

The exchange fills it on the loop; an app reads it when it is complete.
"""

from __future__ import annotations

import io
import sys
from typing import IO

from skitai.wire.spool import Spool

SPOOL_SIZE = 1024 * 1024
MIN_BODY_RATE = 240  # bytes a second that a client must keep up on average


class RequestBody:
    """The body of one request.

    Parameters:
        length: announced bytes, or None for a chunked body.

    Attributes:
        size: bytes received so far.
        complete: True when the last byte is in.
        limit: bytes the handler accepts.
        wanted: False when nobody will read it: no more of it is kept.
        spool: where the body is when it is larger than 1 MiB, else None.
    """

    __slots__ = ("_data", "complete", "length", "limit", "size", "spool", "wanted")

    def __init__(self, length: int | None) -> None:
        self.length = length
        self.size = 0
        self.complete = False
        self.limit = sys.maxsize
        self.wanted = True
        self.spool: Spool | None = None
        self._data: bytes | bytearray = b""

    def append(self, data: bytes) -> None:
        """Add a piece; above 1 MiB everything moves to a temporary file.

        Raises ``OSError`` when the disk is full.
        """
        self.size += len(data)
        if self.spool is not None:
            self.spool.append(data)
        elif self.size > SPOOL_SIZE:
            self.spool = Spool()
            self.spool.append(self._data)
            self.spool.append(data)
            self._data = b""
        elif not self._data:
            self._data = data  # most bodies come in one piece
        else:
            # Not a list of pieces: a client may send them byte by byte.
            if isinstance(self._data, bytes):
                self._data = bytearray(self._data)
            self._data += data

    def read(self) -> bytes:
        """The whole body."""
        if self.spool is not None:
            return self.spool.read(0, self.size)
        if not isinstance(self._data, bytes):
            self._data = bytes(self._data)
        return self._data

    def open(self) -> IO[bytes]:
        """The whole body as a file at its start; large bodies are not read into memory."""
        if self.spool is not None:
            return self.spool.open(0, self.size)
        return io.BytesIO(self.read())

    def close(self) -> None:
        """Drop the content. Files that were opened keep theirs."""
        self._data = b""
        self.spool = None
