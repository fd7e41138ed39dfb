"""Paths for temporary files: ``was.tempfile``, ``was.gentemp`` and ``was.flashfile``."""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from functools import cache

from atila.uploads import FlashFile


class TemporaryFiles:
    """Temporary files on ``was``.

    They are in a directory that only the user of the service can read.
    """

    __slots__ = ()

    def gentemp(self) -> str:
        """A path where nothing is yet; who makes a file there has to delete it."""
        return unused_path()

    @property
    def tempfile(self) -> str:
        """``gentemp()``, another one each time."""
        return unused_path()

    @property
    def flashfile(self) -> FlashFile:
        """``gentemp()``; a file that is made there is deleted at the end of a ``with`` block.

        Without one it is deleted when nobody refers to the path any more.
        """
        return FlashFile(unused_path())


def unused_path() -> str:
    """A path that nobody else can guess or use."""
    return os.path.join(_directory(os.getuid()), secrets.token_hex(10))


@cache
def _directory(user: int) -> str:
    path = os.path.join(tempfile.gettempdir(), f"atila-{user}")
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        # In a directory of everybody, somebody else may have been first, or have put a link there.
        found = os.lstat(path)
        private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
        if not private or found.st_uid != user:
            return tempfile.mkdtemp(prefix="atila-")
    return path
