"""``Atila``, the app: what a user declares on it, compiled to endpoints when its worker starts."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any, TypeVar

import skitai
from atila.binding import Signature
from atila.endpoints import ErrorEndpoint, RouteEndpoint
from atila.errors import ConfigError, HTTPError
from atila.lifecycle import Lifecycle
from atila.request import Globals
from atila.routing import Resolution, Route, Router
from atila.templates import Templates
from atila.urls import Urls

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.executors.threads import ThreadPool
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange

F = TypeVar("F", bound="Callable[..., Any]")

CONFIG = {
    "STATIC_URL": "/static/",
    "MEDIA_URL": "/media/",
}


class Atila:
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
    """

    def __init__(self, app_name: str) -> None:
        self.name = self.app_name = app_name
        self.debug = False
        self.use_reloader = False
        self.expose_spec = False
        self.restrict_parameter_count = True
        self.config = skitai.AttributeDict({**CONFIG, "TEMPLATE_DIRS": []})
        self.g = self.store = Globals()
        self.home = ""
        self.mountables: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.logger = logging.getLogger("skitai.app")
        self.pool: ThreadPool | None = None
        self.urls = Urls("/", [], self.config.STATIC_URL, self.config.MEDIA_URL)
        self.templates = Templates(self)
        self._routes: list[Route] = []
        self._lifecycle = Lifecycle(self)
        self._started = False

    # -- declaring

    def route(self, rule: str, **options: Any) -> Callable[[F], F]:
        """Let a function answer a path (seed, Routing).

        Parameters:
            rule: ``""`` or starting with ``/``; ``<name>``, ``<int:n>``, ``<float:x>``,
                ``<uuid:u>``, ``<path:rest>`` are parameters of the function.
            options: ``methods`` (default GET and POST), ``content_types`` (others are 406) and
                whatever the app wants to find in ``was.request.routable``.

        Raises ``ConfigError`` for a rule, a method or a signature that can't work.
        """
        place = self._lifecycle.place

        def declare(function: F) -> F:
            name = getattr(function, "__name__", None)
            if name is None or not callable(function):
                raise ConfigError(f"route {rule!r} must decorate a function, not {function!r}")
            full = f"{place.namespace}.{name}" if place.namespace else name
            path = place.point + rule
            if rule and not rule.startswith("/"):
                path = rule  # Route refuses it with the rule as it was written
            self._routes.append(
                Route(path or "/", function, Signature(function), full, options, place.mntopt)
            )
            return function

        return declare

    def get(self, rule: str, **options: Any) -> Callable[[F], F]:
        """``route`` for GET."""
        return self.route(rule, methods=["GET"], **options)

    def post(self, rule: str, **options: Any) -> Callable[[F], F]:
        """``route`` for POST."""
        return self.route(rule, methods=["POST"], **options)

    def put(self, rule: str, **options: Any) -> Callable[[F], F]:
        """``route`` for PUT."""
        return self.route(rule, methods=["PUT"], **options)

    def patch(self, rule: str, **options: Any) -> Callable[[F], F]:
        """``route`` for PATCH."""
        return self.route(rule, methods=["PATCH"], **options)

    def delete(self, rule: str, **options: Any) -> Callable[[F], F]:
        """``route`` for DELETE."""
        return self.route(rule, methods=["DELETE"], **options)

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

    def cleanup(self) -> None:
        """Run the ``__umount__`` hooks; called once by the worker at its end."""
        self._lifecycle.stop()


class Resolver:
    """Finds the endpoint of an exchange for one mounted app, on the loop."""

    def __init__(self, app: Atila, point: str) -> None:
        self._app = app
        self._skip = len(point) - 1
        self._find = Router(app.routes).find
        self._missing = ErrorEndpoint(app, HTTPError(404))
        self._errors: dict[frozenset[str], Endpoint] = {}

    def resolve(self, exchange: Exchange) -> Endpoint:
        """The endpoint for method, path and, where the route asks, content type."""
        request = exchange.request
        path = request.path[self._skip :] if self._skip else request.path
        try:
            endpoint, exchange.params = self._find(request.method, path)
        except Resolution as verdict:
            return self._explain(exchange, verdict)
        except HTTPError as error:
            return ErrorEndpoint(self._app, error)
        return endpoint.admit(exchange) if endpoint.content_types else endpoint

    def _explain(self, exchange: Exchange, verdict: Resolution) -> Endpoint:
        request = exchange.request
        if verdict.code == 404:
            return self._missing
        if verdict.code == 301:
            return ErrorEndpoint(self._app, HTTPError(301), [("Location", request.slashed())])
        allow = [("Allow", ", ".join(sorted(verdict.allow | {"OPTIONS"})))]
        if request.method == "OPTIONS":
            return ErrorEndpoint(self._app, HTTPError(204), allow)
        return ErrorEndpoint(self._app, HTTPError(405), allow)
