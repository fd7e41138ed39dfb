"""The request log: one line for every response.

Recording costs a tuple and a deque append on the request path; lines are formatted and written in
batches by a thread of their own, so that a slow disk or terminal never holds up the loop.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange

FLUSH_SECONDS = 0.25


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
        self._records: deque[tuple[Exchange, int, int, float, float]] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="skitai-log", daemon=True)
        self._thread.start()

    def record(self, exchange: Exchange) -> None:
        """Remember a finished exchange; any thread."""
        now = time.perf_counter()
        # Copied, because the handler of a lost exchange may still go on and set them.
        status, sent = exchange.status, exchange.bytes_sent
        self._records.append((exchange, status, sent, time.time(), now - exchange.started))

    def close(self) -> None:
        """Write what is left and end."""
        self._stop.set()
        self._thread.join(5)
        self._flush()

    def _work(self) -> None:
        while not self._stop.wait(FLUSH_SECONDS):
            self._flush()

    def _flush(self) -> None:
        records = self._records
        while records:
            lines = [self._format(*records.popleft()) for _ in range(min(len(records), 1000))]
            data = memoryview("".join(lines).encode("utf-8", "backslashreplace"))
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:
                # Nobody can be told that the log is gone; requests go on.
                records.clear()

    def _format(
        self, exchange: Exchange, status: int, sent: int, finished: float, duration: float
    ) -> str:
        request = exchange.request
        headers = request.headers
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(finished))
        body = exchange.body.size if exchange.body is not None else 0
        return (
            f"{stamp} [request:{self._worker}] {exchange.channel.peer[0] or '-'} "
            f"{request.method} {_printable(request.target)} HTTP/{request.version} {body} "
            f"{status} {sent} {duration * 1000:.2f}ms "
            f'"{_printable(headers.get("user-agent", "-"))}" '
            f'{_printable(headers.get("host", "-"))} "{_printable(headers.get("referer", "-"))}"\n'
        )


def _printable(text: str) -> str:
    """Escape what could forge a line or a field of the log."""
    if text.isprintable() and '"' not in text:
        return text
    return text.encode("unicode_escape").decode("ascii").replace('"', "\\x22")
