"""Files as results of WSGI apps: ``wsgi.file_wrapper`` (PEP 3333, Optional Platform-Specific File
Handling). Those of the operating system are sent by the kernel."""

from __future__ import annotations

import io
import os
import stat
from typing import Any

BLOCK_SIZE = 64 * 1024


class FileWrapper:
    """Iterates over a file-like object in blocks.

    Parameters:
        filelike: has ``read``; ``close`` is called if there is one.
        block_size: bytes; smaller blocks than 64 KiB only cost time.
    """

    def __init__(self, filelike: Any, block_size: int = BLOCK_SIZE) -> None:
        self.filelike = filelike
        self.block_size = max(block_size, BLOCK_SIZE)
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> Any:
        data = self.filelike.read(self.block_size)
        if not data:
            raise StopIteration
        return data


def open_part(filelike: Any) -> tuple[int, int, int] | None:
    """A descriptor of its own on what is left of a file: descriptor, start and stop in bytes.

    None for anything but a regular file that is read as it is; a gzip file, too, has a descriptor.
    """
    while hasattr(filelike, "file") and hasattr(filelike, "delete"):  # of the module tempfile
        filelike = filelike.file
    if not isinstance(getattr(filelike, "raw", filelike), io.FileIO):
        return None
    descriptor = os.dup(filelike.fileno())
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            start = filelike.tell()
            return descriptor, start, max(start, status.st_size)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None
