"""``Observer``: puts together what the settings ask for to be seen of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skitai.monitoring.counters import BLOCKED, STUCK
from skitai.monitoring.monitor import Monitor
from skitai.monitoring.pages import Pages
from skitai.monitoring.watch import Watch

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from skitai.config import Settings
    from skitai.executors.threads import ThreadPool
    from skitai.server.access_log import Recorder
    from skitai.server.core import Server
    from skitai.server.exchange import Exchange
    from skitai.stores.memory import SharedMemory
    from skitai.upstream.upstreams import Upstreams


class Observer:
    """Health, figures, status page and reports of one worker; on its loop.

    Parameters:
        settings: what is wanted.
        loop, pool, upstreams: of the worker.
        memory: of the service.
        worker: its number.
        cause: why it was started, see `skitai.supervisor.seats`.
        log: the request log, if there is one.
        has_jobs: whether the service has any.

    Attributes:
        recorder: takes the place of the request log.
    """

    def __init__(
        self,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        pool: ThreadPool | None,
        upstreams: Upstreams,
        memory: SharedMemory,
        worker: int,
        cause: str,
        log: Recorder | None,
        has_jobs: bool,
    ) -> None:
        self.recorder = log
        self._server: Server | None = None
        self._monitor: Monitor | None = None
        if settings.metrics_path or settings.status_path:
            self._monitor = Monitor(
                memory, f"w{worker}", cause, log, pool, upstreams, has_jobs=has_jobs
            )
            self.recorder = self._monitor.meter
        self._pages = Pages(settings, self._monitor, self._draining)
        self._watch: Watch | None = None
        if settings.report_stuck or settings.report_blocked:
            self._watch = Watch(
                loop, pool, settings.report_stuck, settings.report_blocked, self._count
            )

    def guard(self, dispatch: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
        """See the requests that go to apps, and answer those for the pages."""
        if self._monitor is not None:
            dispatch = self._monitor.meter.guard(dispatch)
        return self._pages.guard(dispatch)

    def start(self, server: Server) -> None:
        """The worker serves from now on."""
        self._server = server
        if self._monitor is not None:
            self._monitor.start(server)
        if self._watch is not None:
            self._watch.start()

    def stop(self) -> None:
        """The worker has ended its last request."""
        if self._monitor is not None:
            self._monitor.stop()
        if self._watch is not None:
            self._watch.stop()

    def _draining(self) -> bool:
        return self._server is not None and self._server.draining

    def _count(self, what: str) -> None:
        if self._monitor is not None:
            counters = self._monitor.counters
            # Only the watch's thread counts these.
            counters.words[counters.at + (STUCK if what == "stuck" else BLOCKED)] += 1
