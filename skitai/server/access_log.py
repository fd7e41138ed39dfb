"""The request log: one line for every response.

Lines are written in batches by a thread of their own, so that a slow disk or terminal never holds
up the loop.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange

log = logging.getLogger("skitai")

CLIENT_LEFT = 499  # a status in the log only: nobody was there to get an answer
FLUSH_SECONDS = 0.25
LONGEST = 1024  # characters of a field; a request has at most three that a client can make longer
MAX_WAITING = 20_000  # lines that are kept for a reader who doesn't read


class AccessLog:
    """Writes request lines to a file descriptor.

    A line has: time, client address, method, target, version, request body bytes, status, response
    bytes, worker, milliseconds, user agent, host and referer; ``-`` where there is none.

    Parameters:
        descriptor: where lines go, e.g. 1 for standard output.
        worker: name of the worker in the lines, e.g. ``"w0"``.
    """

    clock = staticmethod(time.perf_counter)

    def __init__(self, descriptor: int, worker: str) -> None:
        self._descriptor = descriptor
        self._worker = worker
        # Wall time is computed from one clock, so that a record reads only that.
        self._epoch = time.time() - time.perf_counter()
        self._second = -1
        self._stamp = ""
        self._lines: deque[str] = deque()
        self._dropped = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="skitai-log", daemon=True)
        self._thread.start()

    def record(self, exchange: Exchange) -> None:
        """Add the line of a finished exchange; any thread."""
        if len(self._lines) >= MAX_WAITING:
            self._dropped += 1
            return
        # Formatted at once: the handler of a lost exchange may still go on and change it.
        self._lines.append(self._format(exchange, time.perf_counter()))

    def close(self) -> None:
        """Write what is left and end."""
        self._stop.set()
        self._thread.join(5)
        self._flush()

    def _work(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self._flush()

    def _flush(self) -> None:
        lines = self._lines
        while lines:
            batch = [lines.popleft() for _ in range(min(len(lines), 1000))]
            data = memoryview("".join(batch).encode("utf-8", "backslashreplace"))
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                # Nobody can be told that the log is gone; requests go on.
                lines.clear()
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            log.warning("%d lines of the access log are lost: nobody reads it", dropped)

    def _format(self, exchange: Exchange, finished: float) -> str:
        request = exchange.request
        headers = request.headers
        second = int(self._epoch + finished)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        client = exchange.channel.peer[0]
        if "x-forwarded-for" in headers or "forwarded" in headers:
            client = exchange.origin.address
        body = exchange.body.size if exchange.body is not None else 0
        return (
            f"{self._stamp} [request:{self._worker}] {client or '-'} "
            f"{request.method} {_printable(request.target)} HTTP/{request.version} {body} "
            f"{exchange.status} {exchange.bytes_sent} {(finished - exchange.started) * 1000:.2f}ms "
            f'"{_printable(headers.get("user-agent", "-"))}" '
            f'{_printable(headers.get("host", "-"))} "{_printable(headers.get("referer", "-"))}"\n'
        )


def _printable(text: str) -> str:
    """Escape what could forge a line or a field of the log, and cut what would only fill it."""
    return _escape(text) if len(text) <= LONGEST else _escape.__wrapped__(text[:LONGEST]) + "..."


@lru_cache(1024)
def _escape(text: str) -> str:
    if text.isprintable() and '"' not in text:
        return text
    return text.encode("unicode_escape").decode("ascii").replace('"', "\\x22")
