"""Files that commands write and write anew: their first line has a checksum of the rest.

So what somebody has edited, or written himself, is known and left alone. What can't be written is
told here, too.
"""

from __future__ import annotations

import enum
import errno
import hashlib
import re
from typing import TYPE_CHECKING

from skitai.errors import StartupError

if TYPE_CHECKING:
    from pathlib import Path

MARK = "# written by skitai"

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)

_FIRST_LINE = re.compile(rf"{MARK}, sha256 ([0-9a-f]{{64}})[^\n]*\n")


class Condition(enum.Enum):
    """What is at the place of a file."""

    MISSING = "it does not exist"
    OURS = "it is as it was written"
    EDITED = "it was edited since it was written"
    FOREIGN = "it was not written by skitai"


def sealed(text: str, note: str = "") -> str:
    """Put the line with the checksum in front of a text.

    Parameters:
        note: what else a reader of that line should know.
    """
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{MARK}, sha256 {digest}{f': {note}' if note else ''}\n{text}"


def condition_of(path: Path) -> Condition:
    """Look whether a file is as it was written. Raises ``StartupError`` if it can't be read."""
    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return Condition.MISSING
    except OSError as exc:
        raise StartupError(f"{str(path)!r} can't be read: {exc.strerror}") from exc
    match = _FIRST_LINE.match(text)
    if match is None:
        return Condition.FOREIGN
    digest = hashlib.sha256(text[match.end() :].encode()).hexdigest()
    return Condition.OURS if digest == match[1] else Condition.EDITED


def refuse_changed(path: Path, *, force: bool, instead: str) -> Condition:
    """Raise ``StartupError`` for a file that is somebody else's work; else its condition.

    Parameters:
        force: one that was edited may go. One that we have never written never does.
        instead: where changes belong that shall stay; completes "put changes …".
    """
    condition = condition_of(path)
    if condition is Condition.FOREIGN:
        raise StartupError(f"{str(path)!r} was not written by skitai: it is left alone")
    if condition is Condition.EDITED and not force:
        raise StartupError(
            f"{str(path)!r} was edited: it is left alone; put changes {instead}, or give --force "
            "to lose them"
        )
    return condition


def unwritable(exc: OSError, path: Path) -> StartupError:
    """What to raise for a file that can't be written: it says which one, why, and what helps.

    Parameters:
        exc: what the system says.
        path: of the file, when ``exc`` does not name it.
    """
    fix = ""
    if exc.errno in NO_ROOM:
        fix = ": make room for it"
    elif exc.errno in _NO_RIGHT:
        fix = ": give this user the right to write there"
    place = str(exc.filename or path)
    return StartupError(f"{place!r} can't be written: {exc.strerror}{fix}")
