"""``Atila``, the app: what a user declares on it, compiled to endpoints when its worker starts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import skitai
from atila.auth import AuthDecorators, Authentication, Authenticators
from atila.csrf import CsrfDecorators
from atila.declaring import RouteDecorators
from atila.endpoints import RouteEndpoint
from atila.error_handlers import ErrorDecorators, ErrorHandlers
from atila.events import EventBus, EventDecorators
from atila.hooks import HookDecorators, Hooks
from atila.lifecycle import Lifecycle
from atila.modules import ModuleMethods
from atila.permissions import PermissionDecorators, Permissions
from atila.precedence import arrange
from atila.prework import CacheTimes, PreworkDecorators
from atila.resolver import Resolver
from atila.templates import Templates
from atila.urls import Urls
from skitai.handlers.peers import Peers
from skitai.stores.local import LocalStore

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from atila.prework import Times
    from atila.routing import Route
    from skitai.executors.threads import ThreadPool
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange

CONFIG = {
    "STATIC_URL": "/static/",
    "MEDIA_URL": "/media/",
}


class Atila(
    ModuleMethods,
    RouteDecorators,
    HookDecorators,
    EventDecorators,
    ErrorDecorators,
    AuthDecorators,
    PermissionDecorators,
    CsrfDecorators,
    PreworkDecorators,
):
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
        self.securekey: str | None = None
        self.session_timeout: int | None = None
        self.access_control_allow_origin: str | Iterable[str] | None = None
        self.access_control_max_age = 0
        self.authenticate: str | bool | None = None
        self.realm = "App"
        self.users: Any = {}
        self.opaque: str | None = None
        self._configure(skitai.AttributeDict({**CONFIG, "TEMPLATE_DIRS": []}))
        self.g = self.store = LocalStore()
        self.home = ""
        self.logger = logging.getLogger("skitai.app")
        self.pool: ThreadPool | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.peers = Peers()
        self.urls = Urls("/", [], self.config.STATIC_URL, self.config.MEDIA_URL)
        self.templates = Templates(self)
        self.hooks = Hooks()
        self.events = EventBus(self)
        self.error_handlers = ErrorHandlers()
        self.auth = Authentication()
        self.permissions = Permissions()
        self.cache_times: Times = CacheTimes()
        self._routes: list[Route] = []
        self._unrouted: list[tuple[str, int]] = []
        self.lifecycle = Lifecycle(self)

    # -- the engine's side

    def setup(self, module: Any, mntopt: dict[str, Any]) -> None:
        """Run the hooks; called once by the worker when preference and environment are applied."""
        for key in ("STATIC_URL", "MEDIA_URL"):
            if not self.config[key].endswith("/"):
                self.config[key] += "/"
        self.templates.prepare()
        self.lifecycle.start(module, mntopt)

    def freeze(self, point: str, pool: ThreadPool | None) -> Callable[[Exchange], Endpoint]:
        """Compile the routes for the app's mount point; see ``skitai.handlers.interface``."""
        self.pool = pool
        self._routes = arrange(self._routes)
        by_rank = sorted(self._routes, key=lambda route: -route.rank)
        self.urls = Urls(point, by_rank, self.config.STATIC_URL, self.config.MEDIA_URL)
        authenticators = Authenticators(self)
        for route in self._routes:
            route.endpoint = RouteEndpoint(self, route, authenticators)
        return Resolver(self, point).resolve

    @property
    def salt(self) -> bytes | None:
        """``securekey`` as bytes; None when there is none."""
        return None if self.securekey is None else self.securekey.encode()

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
        self.lifecycle.stop()
