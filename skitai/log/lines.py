"""The engine's logging, on the standard library: logger ``skitai`` and those below it.

Every room logs through it; only ``Service`` installs where lines go, in each of its processes.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any, TextIO

from skitai.errors import ConfigError
from skitai.log.files import LogFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skitai.config import Settings

engine = logging.getLogger("skitai")
app = logging.getLogger("skitai.app")  # what apps write by `was.log`

APP, REQUEST, SERVER = "app", "request", "server"
MONTHLY = (SERVER,)


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


class JsonFormatter(LineFormatter):
    """Formats a JSON object in one line: time, level, process, message and, if any, exception."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "process": self._process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class FileHandler(logging.Handler):
    """Writes log records to a file that is rotated."""

    def __init__(self, file: LogFile) -> None:
        super().__init__()
        self.file = file

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        self.file.write(f"{text}\n".encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        super().close()
        self.file.close()


def timestamp(moment: float) -> str:
    """Local time with milliseconds and zone (RFC 3339), from seconds since the epoch."""
    local = time.localtime(moment)
    zone = time.strftime("%z", local)
    milliseconds = int(moment * 1000) % 1000
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{milliseconds:03}{zone[:3]}:{zone[3:]}"


def install(process: str, stream: TextIO | None = None, settings: Settings | None = None) -> None:
    """Send the log lines of this process where they belong; replaces an earlier installation.

    Parameters:
        process: short name of the process for each line, e.g. ``w0``.
        stream: default: standard error.
        settings: says which logs go to files, and how lines look. Default: to the stream, as text.
    """
    as_json = settings is not None and settings.log_format == "json"
    formatter = (JsonFormatter if as_json else LineFormatter)(process)
    for logger, kind in ((engine, SERVER), (app, APP)):
        for old in logger.handlers:
            old.close()
        file = None if settings is None else file_of(settings, kind)
        handler = FileHandler(file) if file else logging.StreamHandler(stream or sys.stderr)
        handler.setFormatter(formatter)
        logger.handlers[:] = [handler]
        logger.propagate = False
    engine.setLevel(logging.INFO)


def file_of(settings: Settings, kind: str) -> LogFile | None:
    """The file of a log; None when it goes to the screen."""
    if not settings.log_path or kind not in settings.file_loggings:
        return None
    return LogFile(settings.log_path, kind, settings.log_keep, monthly=kind in MONTHLY)


def prepare(settings: Settings) -> None:
    """Make the directory and the files of logs for whoever the workers run as.

    Raises ``ConfigError`` when they can't be written.
    """
    if not settings.log_path:
        return
    directory = settings.log_path
    try:
        fresh = not os.path.isdir(directory)
        os.makedirs(directory, exist_ok=True)
        paths = [os.path.join(directory, f"{kind}.log") for kind in settings.file_loggings]
        for path in paths:
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640))
        if os.geteuid() == 0:
            _hand_over([directory] * fresh + paths, settings)
    except OSError as exc:
        raise ConfigError(
            f"log_path: {exc.filename or directory} can't be written ({exc.strerror}): give the "
            "user of the service the right to, or another directory as "
            "skitai.run(log_path='/var/log/myapp')"
        ) from exc


def _hand_over(paths: Iterable[str], settings: Settings) -> None:
    for path in paths:
        if settings.user:
            shutil.chown(path, settings.user)
        if settings.group:
            shutil.chown(path, group=settings.group)


def reopen() -> None:
    """Open the files anew that others may have moved."""
    for handler in (*engine.handlers, *app.handlers):
        if isinstance(handler, FileHandler):
            handler.file.reopen()
