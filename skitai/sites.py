"""What is mounted, put together as the sites of a dispatcher; the worker calls it once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.handlers.app import AppHandler
from skitai.handlers.static import StaticHandler
from skitai.handlers.static_files import RECHECK, StaticDirectory
from skitai.mounts import in_order
from skitai.server.dispatch import Dispatcher, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skitai.config import Settings
    from skitai.executors.threads import ThreadPool
    from skitai.handlers.interface import Endpoint
    from skitai.mounts import Mount
    from skitai.server.exchange import Exchange
    from skitai.service import Service

    # By host and point.
    Resolvers = dict[tuple[str, str], list[Callable[[Exchange], Endpoint]]]
    Directories = dict[tuple[str, str], StaticDirectory]


def build_dispatcher(
    service: Service, settings: Settings, loaded: Sequence[Mount], pool: ThreadPool | None
) -> Dispatcher:
    """Freeze the apps, and find what answers a request by its host and path.

    Parameters:
        service: has the directories of static files.
        settings: under ``--devel`` files are looked at each time, and kept by nobody.
        loaded: apps whose hooks have run.
        pool: for what blocks; None when all runs on the loop.
    """
    resolvers: Resolvers = {}
    for mount in in_order(loaded):
        assert mount.app is not None
        resolve = mount.app.freeze(mount.point, pool)
        for host in mount.hosts:
            resolvers.setdefault((host, mount.point), []).append(resolve)
    directories = _stack_directories(service, 0.0 if settings.devel else RECHECK)
    max_ages = {} if settings.devel else service.max_ages
    sites = {}
    for host in {host for host, _ in (*resolvers, *directories)}:
        sites[host] = Site(
            [
                (directory.prefix, StaticHandler(directory, pool, max_ages))
                for (name, _), directory in directories.items()
                if name == host
            ],
            [
                (point, AppHandler(found, pool))
                for (name, point), found in resolvers.items()
                if name == host
            ],
        )
    dispatcher = Dispatcher(sites)
    for mount in loaded:
        app: Any = mount.app
        if hasattr(app, "mounted_files"):
            app.mounted_files = dispatcher.send_file
    return dispatcher


def _stack_directories(service: Service, recheck: float) -> Directories:
    """Directories of static files; those of one point are asked one after the other."""
    directories: Directories = {}
    for static in service.static_mounts():
        for host in static.hosts:
            key = (host, static.point)
            if key not in directories:
                directories[key] = StaticDirectory(static.point, recheck=recheck)
            directories[key].add(str(static.path))
    return directories
