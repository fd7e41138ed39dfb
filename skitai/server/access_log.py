"""The request log: one line for every response.

Lines are written in batches by a thread of their own, so that a slow disk or terminal never holds
up the loop.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING, Protocol

from skitai.log.files import LogFile
from skitai.log.lines import REQUEST, file_of, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.config import Settings
    from skitai.server.exchange import Exchange

log = logging.getLogger("skitai")

CLIENT_LEFT = 499  # a status in the log only: nobody was there to get an answer
FLUSH_SECONDS = 0.25
LONGEST = 1024  # characters of a field; a request has at most three that a client can make longer
MAX_WAITING = 20_000  # lines that are kept for a reader who doesn't read


class Recorder(Protocol):
    """What is told of each request; a server has one or none."""

    @property
    def clock(self) -> Callable[[], float]:
        """Gives ``Exchange.started`` when a request begins."""

    def record(self, exchange: Exchange) -> None:
        """An exchange has ended; any thread."""


class AccessLog:
    """Writes request lines to a file.

    A line has: time, worker, client address, method, target, version, request body bytes, status,
    response bytes, milliseconds, user agent, host and referer; ``-`` where there is none. Behind
    them is the transaction id, or else the trace id of ``traceparent``, if there is one.

    Parameters:
        sink: where lines go: a descriptor, e.g. 1 for standard output, or a file that is rotated.
        worker: name of the worker in the lines, e.g. ``"w0"``.
        as_json: lines are JSON objects.
        off: patterns of paths that get no line; see ``Settings.log_off``.
    """

    clock = staticmethod(time.perf_counter)

    def __init__(
        self,
        sink: int | LogFile,
        worker: str,
        *,
        as_json: bool = False,
        off: tuple[str, ...] = (),
    ) -> None:
        self._sink = sink
        self._worker = worker
        self._form = self._format_json if as_json else self._format
        self._muted = _matcher(off) if off else None
        # Wall time is computed from one clock, so that a record reads only that.
        self._epoch = time.time() - time.perf_counter()
        self._second = -1
        self._stamp = ""
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._reopening = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="skitai-log", daemon=True)
        self._thread.start()

    def record(self, exchange: Exchange) -> None:
        """Add the line of a finished exchange; any thread."""
        if self._muted is not None and self._muted(exchange.request.path):
            return
        if len(self._lines) >= MAX_WAITING:
            self._dropped += 1
            return
        # Formatted at once: the handler of a lost exchange may still go on and change it.
        self._lines.append(self._form(exchange, time.perf_counter()))

    def reopen(self) -> None:
        """Open the file anew that others may have moved; what was recorded goes to the old one."""
        if isinstance(self._sink, LogFile):
            self._reopening = True

    def close(self) -> None:
        """Write what is left and end."""
        self._stop.set()
        self._thread.join(5)
        self._flush()
        if isinstance(self._sink, LogFile):
            self._sink.close()

    def _work(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self._epoch = time.time() - time.perf_counter()  # somebody may have set the clock
            self._flush()

    def _flush(self) -> None:
        lines = self._lines
        while lines:
            batch = [lines.popleft() for _ in range(min(len(lines), 1000))]
            data = "".join(batch).encode("utf-8", "backslashreplace")
            if isinstance(self._sink, LogFile):
                self._sink.write(data)
            elif not _write(self._sink, data):
                lines.clear()
        if self._reopening and isinstance(self._sink, LogFile):
            self._reopening = False
            self._sink.reopen()
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            log.warning("%d lines of the access log are lost: nobody reads it", dropped)

    def _format(self, exchange: Exchange, finished: float) -> str:
        request = exchange.request
        headers = request.headers
        second = int(self._epoch + finished)
        if second != self._second:
            self._stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
            self._second = second
        client = exchange.channel.peer[0]
        if "x-forwarded-for" in headers or "forwarded" in headers:
            client = exchange.origin.address
        body = exchange.body.size if exchange.body is not None else 0
        traced = exchange.transaction or "x-gtxn-id" in headers or "traceparent" in headers
        trace = _trace(exchange) if traced else ""
        return (
            f"{self._stamp} [request:{self._worker}] {client or '-'} "
            f"{request.method} {_printable(request.target)} HTTP/{request.version} {body} "
            f"{exchange.status} {exchange.bytes_sent} {(finished - exchange.started) * 1000:.2f}ms "
            f'"{_printable(headers.get("user-agent", "-"))}" '
            f'{_printable(headers.get("host", "-"))} "{_printable(headers.get("referer", "-"))}"'
            f"{trace}\n"
        )

    def _format_json(self, exchange: Exchange, finished: float) -> str:
        request = exchange.request
        headers = request.headers
        moment = self._epoch + finished
        second = int(moment)
        if second != self._second:
            self._stamp = timestamp(second)
            self._second = second
        client = exchange.channel.peer[0]
        if "x-forwarded-for" in headers or "forwarded" in headers:
            client = exchange.origin.address
        # PERF: 1.8 us a line; 7.7 with a dictionary for `json.dumps` (CPython 3.11).
        line = (
            f'{{"time": "{self._stamp[:20]}{int((moment - second) * 1000):03}{self._stamp[23:]}", '
            f'"level": "request", "process": "{self._worker}", "client": "{client}", '
            f'"method": {_quoted(request.method)}, "target": {_quoted(request.target[:LONGEST])}, '
            f'"version": "{request.version}", '
            f'"received": {exchange.body.size if exchange.body is not None else 0}, '
            f'"status": {exchange.status}, "sent": {exchange.bytes_sent}, '
            f'"milliseconds": {(finished - exchange.started) * 1000:.2f}'
        )
        for field, name in _JSON_FIELDS:
            if field in headers:
                line += f"{name}{_quoted(headers[field][:LONGEST])}"
        if exchange.transaction or "x-gtxn-id" in headers or "traceparent" in headers:
            line += f', "transaction": {_quoted(_trace(exchange)[1:])}'
        return f"{line}}}\n"


def open_access_log(settings: Settings, worker: str) -> AccessLog | None:
    """The request log that the settings ask for.

    Parameters:
        worker: name of the worker in the lines.
    """
    if not settings.access_log:
        return None
    sink: LogFile | int | None = file_of(settings, REQUEST)
    if sink is None:
        if sys.stdout is None:  # closed by whoever started us
            return None
        sink = sys.stdout.fileno()
    as_json = settings.log_format == "json"
    return AccessLog(sink, worker, as_json=as_json, off=settings.log_off)


_JSON_FIELDS = (
    ("user-agent", ', "agent": '),
    ("host", ', "host": '),
    ("referer", ', "referer": '),
    ("traceparent", ', "traceparent": '),
)


def _trace(exchange: Exchange) -> str:
    """A blank and what tells the request's lines from others; empty when nothing does."""
    if exchange.transaction:
        return f" {exchange.transaction}"
    headers = exchange.request.headers
    if "x-gtxn-id" in headers:
        return " " + _printable(headers["x-gtxn-id"] + "/" + headers.get("x-ltxn-id", "-"))
    if "traceparent" in headers:
        return " " + (_printable(headers["traceparent"]).split("-") + ["", ""])[1]
    return ""


def _write(descriptor: int, data: bytes) -> bool:
    """Write it all; False when that fails: nobody can be told then, and requests go on."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except OSError:
        return False
    return True


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Tells whether a path is one of those that are not logged."""
    ends = tuple(pattern[1:] for pattern in patterns if pattern.startswith("*"))
    begins = tuple(pattern.rstrip("*") for pattern in patterns if not pattern.startswith("*"))
    return lambda path: path != "/" and (path.endswith(ends) or path.startswith(begins))


def _printable(text: str) -> str:
    """Escape what could forge a line or a field of the log, and cut what would only fill it."""
    return _escape(text) if len(text) <= LONGEST else _escape.__wrapped__(text[:LONGEST]) + "..."


@lru_cache(1024)
def _escape(text: str) -> str:
    if text.isprintable() and '"' not in text:
        return text
    return text.encode("unicode_escape").decode("ascii").replace('"', "\\x22")
