"""``Atila``, the app: what a user declares on it, compiled to endpoints when its worker starts."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import skitai
from atila.declaring import RouteDecorators
from atila.endpoints import RouteEndpoint
from atila.error_handlers import ErrorDecorators, ErrorHandlers
from atila.events import EventBus, EventDecorators
from atila.hooks import HookDecorators, Hooks
from atila.lifecycle import Lifecycle
from atila.resolver import Resolver
from atila.templates import Templates
from atila.urls import Urls
from skitai.handlers.peers import Peers
from skitai.stores.local import LocalStore

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from atila.routing import Route
    from skitai.executors.threads import ThreadPool
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange

CONFIG = {
    "STATIC_URL": "/static/",
    "MEDIA_URL": "/media/",
}


class Atila(RouteDecorators, HookDecorators, EventDecorators, ErrorDecorators):
    """A web app (seed, First App).

    Parameters:
        app_name: usually ``__name__``.

    Attributes:
        name: the given name.
        debug: tracebacks in error pages, templates reloaded; set by ``--devel``.
        config: settings, as attributes and as items; ``pref.config`` is merged into it.
        g: values shared by the requests of this app in this worker; ``store`` is the same object.
        home: the app's directory, set when it is mounted.
        pool: the worker's threads, set when it starts.
        restrict_parameter_count: refuse arguments that a handler does not take (default True).
        loop: the worker's event loop, None where there is none.
        peers: the apps of this worker by name.
    """

    def __init__(self, app_name: str) -> None:
        self.name = self.app_name = app_name
        self.debug = False
        self.use_reloader = False
        self.expose_spec = False
        self.restrict_parameter_count = True
        self.config = skitai.AttributeDict({**CONFIG, "TEMPLATE_DIRS": []})
        self.g = self.store = LocalStore()
        self.home = ""
        self.mountables: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.logger = logging.getLogger("skitai.app")
        self.pool: ThreadPool | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.peers = Peers()
        self.urls = Urls("/", [], self.config.STATIC_URL, self.config.MEDIA_URL)
        self.templates = Templates(self)
        self.hooks = Hooks()
        self.events = EventBus(self)
        self.error_handlers = ErrorHandlers()
        self._routes: list[Route] = []
        self._unrouted: list[tuple[str, int]] = []
        self._lifecycle = Lifecycle(self)
        self._started = False

    def mount(self, point: str, *modules: Any, **options: Any) -> None:
        """Mount modules with ``__setup__`` and ``__mount__`` hooks (seed, Cascaded Service Mount).

        Before the app starts the mount is queued; in ``__setup__`` it is done at once, below the
        point of the module whose hook runs.
        """
        for module in modules:
            if self._started:
                self._lifecycle.mount(point, module, **options)
            else:
                self.mountables.append(((point, module), options))

    def abspath(self, *parts: str) -> str:
        """A path relative to the launch script's directory."""
        return skitai.abspath(*parts)

    def joinpath(self, *parts: str) -> str:
        """A path relative to the app's directory."""
        return os.path.normpath(os.path.join(self.home, *parts))

    # -- the engine's side

    def setup(self, module: Any, mntopt: dict[str, Any]) -> None:
        """Run the hooks; called once by the worker when preference and environment are applied."""
        for key in ("STATIC_URL", "MEDIA_URL"):
            if not self.config[key].endswith("/"):
                self.config[key] += "/"
        self.templates.prepare()
        self._started = True
        self._lifecycle.start(module, mntopt)

    def freeze(self, point: str, pool: ThreadPool | None) -> Callable[[Exchange], Endpoint]:
        """Compile the routes for the app's mount point; see ``skitai.handlers.interface``."""
        self.pool = pool
        self.urls = Urls(point, self._routes, self.config.STATIC_URL, self.config.MEDIA_URL)
        for route in self._routes:
            route.endpoint = RouteEndpoint(self, route)
        return Resolver(self, point).resolve

    @property
    def routes(self) -> list[Route]:
        """What was declared so far, in order."""
        return list(self._routes)

    @property
    def unrouted(self) -> list[tuple[str, int]]:
        """Patterns of paths that are answered with an error, and its status."""
        return list(self._unrouted)

    def cleanup(self) -> None:
        """Run the ``__umount__`` hooks; called once by the worker at its end."""
        self._lifecycle.stop()
