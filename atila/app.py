"""``Atila``, the app: what a user declares on it, compiled to endpoints when its worker starts."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import skitai
from atila.access.auth import AuthDecorators, Authentication, Authenticators
from atila.access.csrf import CsrfDecorators
from atila.access.permissions import PermissionDecorators, Permissions
from atila.context import AppContext
from atila.documenting.exposure import Exposure
from atila.endpoints import RouteEndpoint
from atila.error_handlers import ErrorDecorators, ErrorHandlers
from atila.errors import ConfigError
from atila.hooks import HookDecorators, Hooks
from atila.life.events import EventBus, EventDecorators
from atila.life.lifecycle import Lifecycle
from atila.life.maintenance import MaintainDecorators, Maintenance
from atila.life.modules import ModuleMethods
from atila.openapi.declaring import Declaration, OpenApiMethods, declare_routes
from atila.prework import PreworkDecorators
from atila.results.encoding import encode, make_encoder
from atila.results.senders import SENDERS, senders_of
from atila.routing.declaring import RouteDecorators
from atila.routing.precedence import arrange
from atila.routing.resolver import Resolver
from atila.routing.urls import Urls
from atila.state.session import Sessions
from atila.templating.templates import TemplateDecorators, Templates
from atila.validation.inspection import InspectDecorators, requirements_of
from atila.websockets.declaring import SocketDecorators, declaration_of, prepare_routes
from atila.websockets.endpoint import SocketEndpoint
from atila.websockets.registry import Sockets
from skitai.handlers.peers import Peers
from skitai.sql import SqlError, SqlTemplates
from skitai.stores.local import LocalStore
from skitai.upstream.aliases import Aliases

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from atila.routing.router import Route
    from atila.state.session_store import SessionStore
    from skitai.executors.threads import ThreadPool
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Head

MAX_UPLOAD_SIZE = Peers().max_upload_size
CONFIG = {
    "MAX_UPLOAD_SIZE": MAX_UPLOAD_SIZE,
    "MAINTAIN_INTERVAL": 60,
    "STATIC_URL": "/static/",
    "MEDIA_URL": "/media/",
    "MINIFY_HTML": False,
    "JSON_ENCODER": "utcoffset",
    "PRETTY_JSON": False,
    "SQL_DIR": "sql",
}


class Atila(
    ModuleMethods,
    RouteDecorators,
    HookDecorators,
    EventDecorators,
    MaintainDecorators,
    ErrorDecorators,
    AuthDecorators,
    PermissionDecorators,
    CsrfDecorators,
    InspectDecorators,
    PreworkDecorators,
    TemplateDecorators,
    SocketDecorators,
    OpenApiMethods,
):
    """A web app (seed, First App).

    Parameters:
        app_name: usually ``__name__``.

    Attributes:
        name: the given name.
        debug: tracebacks in error pages, templates reloaded; set by ``--devel``.
        config: settings, as attributes and as items; ``pref.config`` is merged into it.
        aliases: upstreams of this app alone; ``alias`` adds one.
        g: values shared by the requests of this app in this worker; ``store`` is the same object.
        home: the app's directory, set when it is mounted.
        pool: the worker's threads, set when it starts.
        restrict_parameter_count: refuse arguments that a handler does not take (default True).
        loop: the worker's event loop, None where there is none.
        peers: the apps of this worker by name.
        mounted_files: answers an exchange with a static file at a path, or returns False; set by
            the worker.
        encode: data to JSON, by ``config.JSON_ENCODER``.
        senders: types of results to what sends them.
        exposure: adds ``__spec__`` to answers, under ``--devel``; else None.
        websockets: the open sockets of this worker.
        look: finds the endpoint for a method, a path below the app's point and a host, as a request
            would; set when the app is frozen.
        document: how the app describes itself; see ``openapi``.
        routes_page: path of the page with all routes, below the point of the app, under
            ``--devel`` only (default ``"/routes"``); its data is there with ``.json``. None: none.
    """

    def __init__(self, app_name: str) -> None:
        self.name = self.app_name = app_name
        self.debug = False
        self.use_reloader = False
        self.expose_spec = False
        self.restrict_parameter_count = True
        self.securekey: str | bytes | None = None
        self.session_timeout: int | None = None
        self.access_control_allow_origin: str | Iterable[str] | None = None
        self.access_control_max_age = 0
        self.access_control_expose_headers: str | Iterable[str] | None = None
        self.authenticate: str | bool | None = None
        self.realm = "App"
        self.users: Any = {}
        self.opaque: str | None = None
        self.session_store: SessionStore | None = None
        self._configure(skitai.AttributeDict({**CONFIG, "TEMPLATE_DIRS": []}))
        self.g = self.store = LocalStore()
        self.home = ""
        self.logger = logging.getLogger("skitai.app")
        self.pool: ThreadPool | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.peers = Peers()
        self.urls = Urls("/", [], self.config.STATIC_URL, self.config.MEDIA_URL)
        self.mounted_files: Callable[[Exchange, str, Head | None], bool] = lambda *_: False
        self.encode = encode
        self.senders = SENDERS
        self.exposure: Exposure | None = None
        self.templates = Templates(self)
        self.hooks = Hooks()
        self.events = EventBus(self)
        self.maintenance = Maintenance(self)
        self.error_handlers = ErrorHandlers()
        self.auth = Authentication()
        self.permissions = Permissions()
        self.sessions = Sessions(None)
        self.aliases = Aliases()
        self.sql_templates: SqlTemplates | None = None
        self.websockets = Sockets(self)
        self.document = Declaration()
        self.routes_page: str | None = "/routes"
        self.look: Callable[..., tuple[RouteEndpoint, dict[str, Any] | None]] = _not_frozen
        self._declared_sockets: list[Callable[..., Any]] = []
        self._routes: list[Route] = []
        self._unrouted: list[tuple[str, int]] = []
        self.lifecycle = Lifecycle(self)
        self._locking = threading.Lock()
        self._locks: dict[str | None, threading.RLock] = {}

    # -- for the app's own code

    @property
    def was(self) -> AppContext:
        """A ``was`` without a request, for hooks: ``app.was.db ("@mydb")``."""
        return AppContext(self)

    def log(self, msg: Any, type: str = "info") -> None:
        """Write to the app's log outside of a request; see ``was.log``."""
        AppContext(self).log(msg, type)

    def traceback(self) -> None:
        """Log the exception being handled."""
        AppContext(self).traceback(self.name)

    trace = traceback

    def get_lock(self, name: str | None = None) -> threading.RLock:
        """A lock shared by the threads of this worker: the app's own, or one for each name."""
        with self._locking:
            return self._locks.setdefault(name, threading.RLock())

    def alias(self, name: str, ctype: str, members: str | list[str], **options: Any) -> Any:
        """``skitai.alias`` for this app alone; here it hides one of the service."""
        return self.aliases.add(name, ctype, members, **options)

    def set_devel(self, debug: bool = True, use_reloader: bool = True) -> None:
        """Set ``debug`` and ``use_reloader``; ``--devel`` or its absence decides in the end."""
        self.debug, self.use_reloader = debug, use_reloader

    def set_default_session_timeout(self, timeout: int) -> None:
        """Set ``session_timeout``, in seconds."""
        self.session_timeout = timeout

    def build_url(self, thing: Any, /, *args: Any, **kwargs: Any) -> str:
        """``was.urlfor`` outside of a request."""
        return AppContext(self).urlfor(thing, *args, **kwargs)

    def get_urlspecs(self) -> dict[str, dict[str, Any]]:
        """Methods, path, parameters and query of every resource, by its id."""
        return self.urls.specs()

    def get_parameter_requirements(self, func_id: str) -> dict[str, dict[str, Any]]:
        """What ``@app.inspect`` asks of a resource, by scope. Raises ``NameError``."""
        return requirements_of(self.urls.find(func_id).function)

    def describe(self) -> dict[str, Any]:
        """Routes and hooks as plain data; see ``atila.routing.listing.describe_app``."""
        from atila.routing.listing import describe_app  # only commands and --devel ask for it

        return describe_app(self)

    def run(
        self, address: str = "127.0.0.1", port: int = 5000, mount: str = "/", pref: Any = None
    ) -> None:
        """Serve this app alone: ``skitai.mount`` and ``skitai.run`` in one; does not return."""
        skitai.mount(mount, self, *([pref] if pref is not None else []))
        skitai.run(address=address, port=port)

    # -- the engine's side

    def setup(self, module: Any, mntopt: dict[str, Any]) -> None:
        """Run the hooks; called once by the worker when preference and environment are applied."""
        self._close_prefixes()
        self._limit_uploads()
        self.templates.prepare()
        self.lifecycle.start(module, mntopt)

    def freeze(self, point: str, pool: ThreadPool | None) -> Callable[[Exchange], Endpoint]:
        """Compile the routes for the app's mount point; see ``skitai.handlers.interface``."""
        self.pool = pool
        self.events.freeze()
        self.sessions = Sessions(self.securekey, self.session_timeout, self.session_store)
        self.encode = make_encoder(self.config)
        self.sql_templates = self._find_sql_templates()
        self.senders = senders_of(self.config)
        if self.debug and self.expose_spec:
            self.exposure = Exposure(self)
            self.senders = self.exposure.senders(self.senders)
        self.templates.prepare()
        self._close_prefixes()
        self._limit_uploads()
        prepare_routes(self._declared_sockets, self._routes)
        declare_routes(self)
        if self.debug and self.expose_spec:
            from atila.debugging.routes_page import declare_routes_page  # only for --devel

            declare_routes_page(self)
        self._routes = arrange(self._routes)
        by_rank = sorted(self._routes, key=lambda route: -route.rank)
        self.urls = Urls(point, by_rank, self.config.STATIC_URL, self.config.MEDIA_URL)
        authenticators = Authenticators(self)
        for route in self._routes:
            socket = declaration_of(route.function)
            if socket is None:
                route.endpoint = RouteEndpoint(self, route, authenticators)
            else:
                route.endpoint = SocketEndpoint(self, route, authenticators, socket)
        resolver = Resolver(self, point)
        self.look = resolver.look
        return resolver.resolve

    def _close_prefixes(self) -> None:
        """The urls of files end with a slash; hooks may have set others."""
        for key in ("STATIC_URL", "MEDIA_URL"):
            if not self.config[key].endswith("/"):
                self.config[key] += "/"

    def started(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Begin to serve; called by the worker when all its apps are frozen.

        Parameters:
            loop: the worker's; None where there is none, as in a test.
        """
        self.loop = loop
        self.websockets.start()
        self.events.started()
        self.lifecycle.finish()
        self.maintenance.start(loop)

    def _limit_uploads(self) -> None:
        """Settle ``config.MAX_UPLOAD_SIZE``, also from its old names; the service has a default."""
        config = self.config
        if config.get("MAX_UPLOAD_SIZE") in (None, MAX_UPLOAD_SIZE):
            old = config.get("max_multipart_body_size") or getattr(self, "max_client_body_size", 0)
            config.MAX_UPLOAD_SIZE = old or self.peers.max_upload_size
        size = config.MAX_UPLOAD_SIZE
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ConfigError(f"config.MAX_UPLOAD_SIZE is {size!r}: give a number of bytes")

    def _find_sql_templates(self) -> SqlTemplates | None:
        """The named SQL statements in ``config.SQL_DIR``, if the app has that directory."""
        directory = os.path.join(self.home, self.config.SQL_DIR)
        try:
            return SqlTemplates(directory) if os.path.isdir(directory) else None
        except (SqlError, OSError) as exc:
            raise ConfigError(f"config.SQL_DIR={self.config.SQL_DIR!r}: {exc}") from exc

    @property
    def basepath(self) -> str:
        """Where the app is mounted, with a slash at its end; known when it has started."""
        return self.urls.point

    @property
    def salt(self) -> bytes | None:
        """``securekey`` as bytes; None when there is none."""
        key = self.securekey
        return key.encode() if isinstance(key, str) else key

    @property
    def routes(self) -> list[Route]:
        """What was declared so far, in order."""
        return list(self._routes)

    @property
    def unrouted(self) -> list[tuple[str, int]]:
        """Patterns of paths that are answered with an error, and its status."""
        return list(self._unrouted)

    def cleanup(self) -> None:
        """Run the ``__umount__`` hooks; called once by the worker at its end, in a thread."""
        self.maintenance.stop()
        self.websockets.stop()
        self.events.ending()
        self.lifecycle.stop()


def _not_frozen(*_: Any) -> Any:
    raise RuntimeError("the app has not started: its routes can't be looked for")
