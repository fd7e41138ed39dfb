"""What went wrong with saved code, as the overlay in the browser shows it."""

from __future__ import annotations

import os
import re
from typing import Any

from skitai.importer import display, is_library

CONTEXT = 4  # lines before and behind the one that failed
_FRAME = re.compile(r'^ *File "(.+?)", line (\d+)', re.MULTILINE)
_PLACE = re.compile(r"\(([^()\n]+), line (\d+)\)")


def picture(reason: str, trace: str) -> dict[str, Any]:
    """The failure with the line of the user's code that it is about.

    Parameters:
        reason: one line, and more below it.
        trace: a traceback as Python prints it, may be empty.
    """
    file, line = _find_place(reason, trace)
    return {
        "title": reason.partition("\n")[0],
        "file": display(file),
        "line": line,
        "excerpt": _excerpt(file, line),
        "trace": trace or reason,
    }


def _find_place(reason: str, trace: str) -> tuple[str, int]:
    frames = [(file, int(line)) for file, line in _FRAME.findall(trace) if os.path.isfile(file)]
    own = [frame for frame in frames if not is_library(frame[0])]
    named = [
        (os.path.abspath(file), int(line))
        for file, line in _PLACE.findall(reason.partition("\n")[0])
        if os.path.isfile(file)
    ]
    return (named or own or frames or [("", 0)])[-1]


def _excerpt(file: str, line: int) -> list[tuple[int, str]]:
    if not file or not line:
        return []
    try:
        with open(file, encoding="utf-8", errors="replace") as source:
            lines = source.read().splitlines()
    except OSError:
        return []
    first = max(0, line - 1 - CONTEXT)
    shown = lines[first : line + CONTEXT]
    return list(enumerate((text[:400] for text in shown), first + 1))
