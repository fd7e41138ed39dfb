"""``Meter``: counts requests. It stands where the request log does, and hands on to that."""

from __future__ import annotations

import time
from bisect import bisect_left
from threading import Lock
from typing import TYPE_CHECKING

from skitai.monitoring.counters import (
    BOUNDS,
    LATENCIES,
    METHODS,
    MICROSECONDS,
    RECEIVED,
    REQUESTS,
    SENT,
    STATUSES,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.monitoring.counters import Counters
    from skitai.server.access_log import Recorder
    from skitai.server.exchange import Exchange

_ROWS = {method: REQUESTS + row * len(STATUSES) for row, method in enumerate(METHODS)}
_OTHER = _ROWS["other"]


class Meter:
    """Counts what a worker answers.

    Parameters:
        counters: of the worker.
        log: the request log, if there is one.
    """

    clock = staticmethod(time.perf_counter)

    def __init__(self, counters: Counters, log: Recorder | None) -> None:
        self._words = counters.words
        self._at = counters.at
        self._lock = Lock()
        self._record = None if log is None else log.record
        # By identity: an exchange must not be kept.
        self._running: set[int] = set()
        self._sockets: set[int] = set()

    def guard(self, dispatch: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
        """See which requests run."""
        running, sockets = self._running, self._sockets

        def counted(exchange: Exchange) -> None:
            (sockets if exchange.request.protocol else running).add(id(exchange))
            dispatch(exchange)

        return counted

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return len(self._running)

    @property
    def websockets(self) -> int:
        """Connections that speak another protocol, and those that are about to."""
        return len(self._sockets)

    def record(self, exchange: Exchange) -> None:
        """Count an exchange that has ended; any thread."""
        request = exchange.request
        words, at = self._words, self._at
        status = exchange.status // 100
        word = at + _ROWS.get(request.method, _OTHER) + (status if 0 < status < 6 else 5) - 1
        body = exchange.body
        if request.protocol:
            self._sockets.discard(id(exchange))
            with self._lock:
                words[word] += 1
                words[at + SENT] += exchange.bytes_sent
        else:
            self._running.discard(id(exchange))
            seconds = time.perf_counter() - exchange.started
            bucket = at + LATENCIES + bisect_left(BOUNDS, seconds)
            with self._lock:
                words[word] += 1
                words[bucket] += 1
                words[at + MICROSECONDS] += int(seconds * 1e6)
                words[at + SENT] += exchange.bytes_sent
                if body is not None:
                    words[at + RECEIVED] += body.size
        if self._record is not None:
            self._record(exchange)
