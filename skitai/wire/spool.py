"""Temporary files without a name, for bodies and uploaded files that are too large for memory.

A request's body is appended to one on the loop; windows on it are what an app reads.
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# What copy_file_range() says when this kernel or these file systems can't do it.
_CANNOT_CLONE = frozenset((errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM))


class Spool:
    """A temporary file without a name that grows at its end.

    Nothing is left behind when the process is killed. Closed when nobody refers to it.

    Attributes:
        fd: its descriptor.
        size: bytes.
    """

    __slots__ = ("__weakref__", "fd", "size")

    def __init__(self) -> None:
        with tempfile.TemporaryFile(buffering=0, prefix="skitai-") as file:
            self.fd = os.dup(file.fileno())
        self.size = 0
        weakref.finalize(self, os.close, self.fd)

    def append(self, data: bytes | bytearray) -> None:
        """Write all of ``data`` at the end. Raises ``OSError`` when the disk is full."""
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self.fd, rest, self.size)
            self.size += written
            rest = rest[written:]

    def read(self, start: int, size: int) -> bytes:
        """At most ``size`` bytes from ``start`` on; less only at the end."""
        data = os.pread(self.fd, size, start)
        if len(data) == size or not data:
            return data
        pieces = [data]
        size -= len(data)
        while size > 0 and data:
            start += len(data)
            data = os.pread(self.fd, size, start)
            pieces.append(data)
            size -= len(data)
        return b"".join(pieces)

    def copy(self, start: int, size: int, target: int) -> None:
        """Write a part of the file to the descriptor ``target``, within the kernel.

        File systems that share blocks between files do so. Raises ``OSError``.
        """
        try:
            while size > 0 and (count := os.copy_file_range(self.fd, target, size, start)):
                start += count
                size -= count
        except OSError as exc:
            if exc.errno not in _CANNOT_CLONE:
                raise
        while size > 0 and (count := os.sendfile(target, self.fd, start, size)):
            start += count
            size -= count

    def open(self, start: int, size: int) -> SpooledFile:
        """A part of the file as a file of its own, read-only and with its own position."""
        return SpooledFile(SpoolWindow(self, start, size))


class SpooledFile(io.BufferedReader):
    """A buffered file on a window of a spool."""

    raw: SpoolWindow


class SpoolWindow(io.RawIOBase):
    """Some bytes within a spool, read-only and with a position of its own."""

    def __init__(self, spool: Spool, start: int, size: int) -> None:
        self._spool: Spool | None = spool
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} is before the start of the file")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")[: max(0, self._size - self._position)]
        spool = self._opened()
        count = os.preadv(spool.fd, [view], self._start + self._position) if view else 0
        self._position += count
        return count

    def readall(self) -> bytes:
        rest = max(0, self._size - self._position)
        data = self._opened().read(self._start + self._position, rest)
        self._position += len(data)
        return data

    def copy(self, target: int) -> None:
        """Write all bytes, whatever the position is, to the descriptor ``target``."""
        self._opened().copy(self._start, self._size, target)

    def close(self) -> None:
        self._spool = None
        super().close()

    def _opened(self) -> Spool:
        if self._spool is None:
            raise ValueError("the file is closed")
        return self._spool
