"""The composition root: builds one worker out of its parts, runs it and takes it down.

The supervisor calls ``serve`` in every worker process. This is the only file that knows which
concrete parts work together.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import traceback
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import uvloop

from skitai.bus.bus import Bus
from skitai.errors import SkitaiError, StartupError
from skitai.executors.threads import ThreadPool
from skitai.handlers.peers import Peers
from skitai.importer import explain
from skitai.log import reopen
from skitai.mail.mailer import Mailer
from skitai.monitoring.limits import Limits
from skitai.mounts import describe_site
from skitai.net.certificates import doubt_about, make_context
from skitai.net.openings import split_listeners
from skitai.places import state_directory
from skitai.server.access_log import AccessLog, open_access_log
from skitai.server.core import Server
from skitai.server.forward import Forward
from skitai.server.negotiation import ALPN
from skitai.sites import build_dispatcher
from skitai.tasks.loops import TaskLoop
from skitai.upstream.upstreams import Upstreams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from ssl import SSLContext

    from skitai.config import Settings
    from skitai.devel.refresher import Refresher
    from skitai.monitoring.observer import Observer
    from skitai.mounts import Mount, StaticMount
    from skitai.server.access_log import Recorder
    from skitai.server.exchange import Exchange
    from skitai.server.http3.listener import Http3Listener
    from skitai.service import Service
    from skitai.supervisor.seats import WorkerSeat
    from skitai.wire.http3.identity import Identity

log = logging.getLogger("skitai")

T = TypeVar("T")

# PERF: with four threads busy computing, the loop answers in 0.7 ms at the median instead of 3.5 ms
# with the interpreter's default of 5 ms; throughput is the same within noise (one core).
SWITCH_INTERVAL = 0.0005
# PERF: requests are freed by their last reference, so the collector rarely finds anything. A page
# of 20 queries at once takes 0.80 ms of CPU instead of 0.96 ms with the default of 700.
GC_THRESHOLD = (10_000, 10, 10)
CANCEL_SECONDS = 1.0
STOP_SECONDS = 1.5


@dataclass(frozen=True)
class Credentials:
    """What the service shows clients: read by root, before a worker becomes somebody else.

    Attributes:
        tls: for TCP; None without a certificate.
        identity: for HTTP/3.
        doubt: what is wrong with the certificate, if it is known.
    """

    tls: SSLContext | None = None
    identity: Identity | None = None
    doubt: str = ""


def load_credentials(settings: Settings) -> Credentials:
    """Read the files of the settings. Raises ``ConfigError`` when they can't be used."""
    tls = make_context(settings, ALPN)
    if tls is None:
        return Credentials()
    import_module("skitai.server.http2.connection")  # now, not when a browser waits for it
    identity = None
    if settings.quic:
        from skitai.wire.http3.identity import load_identity

        import_module("skitai.server.http3.listener")
        identity = load_identity(settings.certfile, settings.keyfile, settings.passphrase)
    return Credentials(tls, identity, doubt_about(settings))


@dataclass(frozen=True)
class Survey:
    """What is mounted, as it is known when all apps have run their hooks.

    Attributes:
        statics: directories of static files, in the order they are asked.
        media: those of uploaded files among them.
        hosts: all hosts that something is mounted for, ``default`` among them.
        max_body: bytes of the largest body that any app takes.
    """

    statics: Sequence[StaticMount]
    media: frozenset[Path]
    hosts: tuple[str, ...]
    max_body: int


def survey(service: Service, settings: Settings, seat: WorkerSeat) -> Survey:
    """Make the apps as a worker does, without serving, and see what is mounted.

    Raises as they do in a worker.
    """
    return _visit(Worker(service, settings, seat, Credentials()), Worker.survey)


def outline(service: Service, settings: Settings, seat: WorkerSeat) -> dict[str, Any]:
    """Make the apps and compile their routes, without serving; see ``mounts.describe_site``.

    Raises as they do in a worker.
    """
    return _visit(Worker(service, settings, seat, Credentials()), Worker.outline)


def _visit(worker: Worker, look: Callable[[Worker], Awaitable[T]]) -> T:
    try:
        return uvloop.new_event_loop().run_until_complete(look(worker))
    finally:
        worker.unload()


def serve(service: Service, settings: Settings, seat: WorkerSeat, credentials: Credentials) -> int:
    """Run a worker until it is told to stop.

    Returns the exit code: 0 after a drain, 1 after a crash, 2 when it could not start.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    worker = Worker(service, settings, seat, credentials)
    try:
        return uvloop.new_event_loop().run_until_complete(worker.run())
    except SkitaiError as exc:
        trace = "".join(traceback.format_exception(exc.__cause__ or exc)) if settings.devel else ""
        seat.report_failed(explain(exc), trace)
        return 2
    finally:
        worker.unload()


async def _end_tasks() -> None:
    """Cancel what still runs on the loop and let it clean up, for a moment."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CANCEL_SECONDS)


def _unload(mount: Mount) -> None:
    try:
        mount.unload()
    except Exception:
        log.exception("app %s failed while it was unmounted", mount.name)


class Worker:
    """One worker process.

    Parameters:
        service: what is mounted.
        settings: limits, timeouts, number of threads.
        seat: sockets and pipes from the supervisor.
        credentials: of the port.
    """

    def __init__(
        self,
        service: Service,
        settings: Settings,
        seat: WorkerSeat,
        credentials: Credentials,
    ) -> None:
        self._service = service
        self._settings = settings
        self._seat = seat
        self._credentials = credentials
        self._stop = asyncio.Event()
        self._loaded: list[Mount] = []
        self._pool: ThreadPool | None = None
        self._access_log: AccessLog | None = None
        self._upstreams: Upstreams | None = None
        self._mailer: Mailer | None = None
        self._observer: Observer | None = None
        self._limits = Limits(settings, seat.report_leaving)
        self._refresher: Refresher | None = None

    async def run(self) -> int:
        """Load the apps, listen, report readiness, wait, drain."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        settings = self._settings
        if settings.threads:
            self._pool = ThreadPool(settings.threads, settings.max_queued, loop=loop)
        self._access_log = open_access_log(settings, f"w{self._seat.slot}")
        loop.add_signal_handler(signal.SIGUSR1, self._reopen_logs)
        bus = Bus(loop)
        peers = self._make_peers(loop, bus)
        observer = self._observer = self._observe(loop)
        refresher = self._refresher = self._refresh(loop)
        await self._load_apps(peers)
        dispatcher = build_dispatcher(self._service, self._settings, self._loaded, self._pool)
        for mount in self._loaded:
            await asyncio.to_thread(mount.begin, loop)
        await bus.open()
        servers = await self._listen(loop, dispatcher.dispatch)
        http3 = self._listen_http3(servers[0], bus)
        loop.add_reader(self._seat.alive_fd, self._orphaned)
        # What start-up made stays for the worker's life: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)
        if observer is not None:
            observer.start(servers[0])
        if self._mailer is not None:
            functions = any(job.takes_was for job in self._service.schedules)
            self._mailer.start(for_others=functions)
        if settings.devel:
            self._report_watched()
        self._seat.report_ready(has_jobs=len(self._service.schedules) > 0)
        self._limits.start(loop)
        await self._stop.wait()
        self._limits.stop()
        if refresher is not None:
            refresher.close()
        if self._mailer is not None:
            self._mailer.stop(0)  # what is under way has until the end
        if http3 is not None:
            http3.close()
        drains = [server.drain(settings.drain_timeout) for server in servers]
        if not all(await asyncio.gather(*drains)):
            log.warning("requests were still running after %s s", settings.drain_timeout)
        if http3 is not None:
            http3.stop()
        if observer is not None:
            observer.stop()
        await self._end(bus)
        return 0

    async def survey(self) -> Survey:
        """Start all apps without a port, see what is mounted, and end them."""
        async with self._without_port() as peers:
            await self._load_apps(peers)
            return self._look_around()

    async def outline(self) -> dict[str, Any]:
        """Start all apps without a port, see which routes there are, and end them."""
        async with self._without_port() as peers:
            await self._load_apps(peers)
            build_dispatcher(self._service, self._settings, self._loaded, self._pool)
            return describe_site(self._service.mounts, self._service.static_mounts())

    @asynccontextmanager
    async def _without_port(self) -> AsyncIterator[Peers]:
        """What apps have without being served; they are ended at the end."""
        loop = asyncio.get_running_loop()
        bus = Bus(loop)
        try:
            yield self._make_peers(loop, bus)
        finally:
            await self._end(bus)

    def _make_peers(self, loop: asyncio.AbstractEventLoop, bus: Bus) -> Peers:
        service = self._service
        self._upstreams = Upstreams(
            TaskLoop(loop),
            service.aliases,
            service.shared,
            service.locks,
            service.executors,
            service.results,
        )
        limit = self._settings.max_upload_size
        peers = Peers(loop, self._seat.reloading, limit, self._upstreams, bus)
        directory = state_directory(self._settings.name) / "mail"
        self._mailer = peers.mailer = Mailer(directory, service.smtp)
        peers.describe_site = lambda: describe_site(service.mounts, service.static_mounts())
        return peers

    async def _end(self, bus: Bus) -> None:
        """End the apps, and what they use."""
        await asyncio.to_thread(self._unload_apps)
        if self._mailer is not None:
            await asyncio.to_thread(self._mailer.stop, STOP_SECONDS)
        await bus.close()
        if self._upstreams is not None:
            await asyncio.to_thread(self._upstreams.stop, STOP_SECONDS)
        await _end_tasks()
        if self._upstreams is not None:
            await self._upstreams.close()

    def _look_around(self) -> Survey:
        statics = self._service.static_mounts()
        mounts = self._service.mounts
        configs = [source.config for mount in mounts for source in mount.configurables()]
        media = {Path(config["MEDIA_ROOT"]) for config in configs if config.get("MEDIA_ROOT")}
        limits = [config.get("MAX_UPLOAD_SIZE") or 0 for config in configs]
        named = [*(static.hosts for static in statics), *(mount.hosts for mount in mounts)]
        return Survey(
            statics,
            frozenset(media),
            tuple(dict.fromkeys(host for hosts in named for host in hosts)),
            max(self._settings.max_upload_size, *limits, 0),
        )

    async def _listen(
        self, loop: asyncio.AbstractEventLoop, dispatch: Callable[[Exchange], None]
    ) -> list[Server]:
        """Open the port, and the one that redirects to it."""
        settings = self._settings
        tls = self._credentials.tls
        if self._credentials.doubt and self._seat.slot == 0:
            log.warning("%s", self._credentials.doubt)
        forward = Forward(settings.fws_to, settings.fws_domain)
        dispatch = forward.guard(dispatch)
        recorder: Recorder | None = self._access_log
        dispatch = self._limits.guard(dispatch)
        if self._observer is not None:
            dispatch, recorder = self._observer.guard(dispatch), self._observer.recorder
        if self._refresher is not None:
            dispatch = self._refresher.guard(dispatch)
            recorder = self._refresher.quiet(recorder)
        main = Server(loop, settings, dispatch, recorder, tls)
        if settings.hsts:
            main.add_common_field("Strict-Transport-Security", f"max-age={settings.hsts}")
        servers = [main]
        serving, redirecting = split_listeners(self._seat.sockets, settings)
        try:
            await main.listen(serving)
            if redirecting:
                servers.append(Server(loop, settings, forward.dispatch, recorder))
                await servers[-1].listen(redirecting)
        except OSError as exc:
            raise StartupError(f"port {settings.port} can't be used: {exc.strerror}") from exc
        return servers

    def _listen_http3(self, server: Server, bus: Bus) -> Http3Listener | None:
        """Serve HTTP/3 beside the others, if this worker has a part of its port."""
        seat = self._seat
        identity = self._credentials.identity
        if seat.udp is None or identity is None:
            return None
        from skitai.server.http3.listener import (
            Http3Listener,  # an extra, which takes 150 ms to import
        )

        http3 = Http3Listener(server, seat.udp, identity, bus, seat.workers)
        http3.start()
        return http3

    def unload(self) -> None:
        """End what the worker started; called when the loop stands still."""
        self._unload_apps()
        if self._upstreams is not None:
            self._upstreams.stop(STOP_SECONDS)
        if self._pool is not None:
            self._pool.stop(STOP_SECONDS)
        if self._access_log is not None:
            self._access_log.close()

    def _unload_apps(self) -> None:
        """Run the apps' last hooks, each once."""
        while self._loaded:
            _unload(self._loaded.pop())

    def _observe(self, loop: asyncio.AbstractEventLoop) -> Observer | None:
        """Health, figures and reports, if any are wanted: nobody else loads what they need."""
        settings, seat = self._settings, self._seat
        paths = (settings.health_path, settings.metrics_path, settings.status_path)
        if not (any(paths) or settings.report_stuck or settings.report_blocked):
            return None
        from skitai.monitoring.observer import Observer

        assert self._upstreams is not None
        return Observer(
            settings, loop, self._pool, self._upstreams, self._service.locks.memory, seat.slot,
            seat.cause, self._access_log, len(self._service.schedules) > 0,
        )  # fmt: skip

    def _refresh(self, loop: asyncio.AbstractEventLoop) -> Refresher | None:
        """Pages that follow what is saved, under ``--devel``."""
        if not (self._settings.devel and self._settings.devel_refresh):
            return None
        from skitai.devel.refresher import Refresher

        return Refresher(loop, self._seat.report_fd)

    def _report_watched(self) -> None:
        from skitai.devel.watched import find_watched

        around = self._look_around()
        statics = [str(static.path) for static in around.statics]
        apps = [mount.app for mount in self._loaded]
        sources = self._service.source_directories()
        media = map(str, around.media)
        self._seat.report_watched(find_watched(sources, statics, media, apps))

    def _reopen_logs(self) -> None:
        reopen()
        if self._access_log is not None:
            self._access_log.reopen()

    def _orphaned(self) -> None:
        """The alive pipe ended: the master is gone, even if it was killed."""
        asyncio.get_running_loop().remove_reader(self._seat.alive_fd)
        log.warning("the master is gone: stopping")
        self._stop.set()

    async def _load_apps(self, peers: Peers) -> None:
        """Make the apps, then run the hooks of each: all others are known to it then.

        Hooks run in a thread, while the loop is there for the tasks that they wait for.
        """
        mounts = self._service.mounts
        connected = 0
        for mount in mounts:  # hooks may mount more, which then have their turn
            while connected < len(mounts):
                new = mounts[connected:]
                for each in new:
                    peers.add(each.name, each.load())
                for each in new:
                    each.connect(peers)
                connected += len(new)
            await asyncio.to_thread(mount.set_up)
            self._loaded.append(mount)
