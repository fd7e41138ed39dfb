"""``Monitor``: what one worker tells of itself and knows of the others."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING

from skitai.monitoring.counters import Counters
from skitai.monitoring.memory import memory_used
from skitai.monitoring.meter import Meter
from skitai.stores.job_board import JobBoard

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    from skitai.executors.threads import ThreadPool
    from skitai.server.access_log import Recorder
    from skitai.server.core import Server
    from skitai.stores.memory import SharedMemory
    from skitai.upstream.upstreams import Upstreams

PUBLISH_SECONDS = 1.0

# What a connection is, by the module of its class.
PROTOCOLS = {
    "skitai.server.connection": "http/1",
    "skitai.server.http2.connection": "http/2",
    "skitai.server.http3.connection": "http/3",
    "skitai.server.tunnel": "websocket",
    "skitai.server.negotiation": "opening",
}


class Monitor:
    """The figures of a worker.

    Parameters:
        memory: of the service.
        worker: its name, such as ``w0``.
        cause: why it was started, see `skitai.supervisor.seats`.
        log: the request log, if there is one.
        pool, upstreams: of the worker.
        has_jobs: the service has some; if not, the memory may still know those of older code.
    """

    def __init__(
        self,
        memory: SharedMemory,
        worker: str,
        cause: str,
        log: Recorder | None,
        pool: ThreadPool | None,
        upstreams: Upstreams,
        has_jobs: bool,
    ) -> None:
        self.counters = Counters(memory)
        self.jobs: Callable[[], list[dict[str, Any]]]
        self.jobs = JobBoard(memory).figures if has_jobs else list
        self.counters.claim(cause)
        self.meter = Meter(self.counters, log)
        self._worker = worker
        self._pool = pool
        self._upstreams = upstreams
        self._started = time.time()
        self._first_after_reload = cause == "reload" and worker == "w0"
        self._server: Server | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, server: Server) -> None:
        """Tell the others from now on how this worker is; on the loop."""
        self._server = server
        if self._first_after_reload:
            self.counters.reloaded()
        self._publish()

    def stop(self) -> None:
        """Tell no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _publish(self) -> None:
        self.counters.publish(self.snapshot())
        assert self._server is not None
        self._timer = self._server.loop.call_later(PUBLISH_SECONDS, self._publish)

    def snapshot(self) -> dict[str, Any]:
        """How this worker is."""
        server, pool = self._server, self._pool
        assert server is not None
        kinds = Counter(PROTOCOLS.get(type(each).__module__, "other") for each in server.open)
        return {
            "worker": self._worker,
            "pid": os.getpid(),
            "started": self._started,
            "draining": server.draining,
            "memory": memory_used(),
            "running": self.meter.running,
            "websockets": self.meter.websockets,
            "connections": dict(kinds),
            "threads": 0 if pool is None else pool.size,
            "awake": 0 if pool is None else pool.awake,
            "waiting": 0 if pool is None else pool.waiting,
            "upstreams": self._upstreams.conditions(),
        }

    def workers(self) -> list[dict[str, Any]]:
        """How all workers are; of others that is up to a second old."""
        self.counters.publish(self.snapshot())
        return self.counters.snapshots()
