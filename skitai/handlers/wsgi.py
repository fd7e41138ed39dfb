"""WSGI apps (PEP 3333): Flask, Django, bare functions. ``Mount`` wraps them in ``WSGIApplication``.

They run in a worker thread, or on the loop of a service without threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.handlers.interface import Mode
from skitai.handlers.wsgi_environ import EnvironMaker
from skitai.handlers.wsgi_response import WSGIResponse
from skitai.server.dispatch import describe_server
from skitai.server.exchange import ClientGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.executors.threads import ThreadPool
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange


class WSGIApplication:
    """A WSGI app at a mount point.

    Parameters:
        app: takes ``(environ, start_response)``.
        name: how the service calls it.
        max_body: bytes of a request's body; None: ``Settings.max_upload_size``.
    """

    def __init__(self, app: Callable[..., Any], name: str, max_body: int | None = None) -> None:
        self.app = app
        self.name = name
        self._max_body = max_body

    def __repr__(self) -> str:
        return f"<WSGI app {self.name!r}>"

    def freeze(self, point: str, pool: ThreadPool | None) -> Callable[[Exchange], Endpoint]:
        """Make the endpoint, which is the same for all paths."""
        endpoint = WSGIEndpoint(self.app, point, pool is not None, self._max_body)
        if point == "/":
            return lambda exchange: NO_PATH if exchange.request.path == "*" else endpoint
        size = len(point)
        # A path that is shorter is the point without its slash.
        return lambda exchange: endpoint if len(exchange.request.path) >= size else NO_PATH

    def cleanup(self) -> None:
        """A WSGI app does not hear of the end."""


class NoPath:
    """What is no path within an app: the point without its slash, the ``*`` of ``OPTIONS *``."""

    mode = Mode.LOOP
    max_body: int | None = None
    takes_body = False
    streams_body = False
    missing = True
    run = staticmethod(describe_server)


NO_PATH = NoPath()


class WSGIEndpoint:
    """Calls the app; see ``skitai.handlers.interface.Endpoint``."""

    mode = Mode.THREAD
    takes_body = True
    streams_body = False
    missing = False

    def __init__(
        self, app: Callable[..., Any], point: str, threaded: bool, max_body: int | None
    ) -> None:
        self.max_body = max_body
        self._app = app
        self._make_environ = EnvironMaker(point, threaded).make
        self._threaded = threaded

    def run(self, exchange: Exchange) -> None:
        """Answer an exchange."""
        response = WSGIResponse(exchange, self._threaded)
        try:
            response.send(self._app(self._make_environ(exchange), response.start_response))
        except ClientGone:
            pass
