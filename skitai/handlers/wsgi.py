"""WSGI apps (PEP 3333): Flask, Django, bare functions. ``Mount`` wraps them in ``WSGIApplication``.

They run in a worker thread, or on the loop of a service without threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.handlers.hosted import HostedApplication
from skitai.handlers.interface import Mode
from skitai.handlers.wsgi_environ import EnvironMaker
from skitai.handlers.wsgi_response import WSGIResponse
from skitai.server.exchange import ClientGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.executors.threads import ThreadPool
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange


class WSGIApplication(HostedApplication):
    """A WSGI app, called with ``(environ, start_response)``, at a mount point."""

    def _make_endpoint(self, point: str, pool: ThreadPool | None) -> Endpoint:
        return WSGIEndpoint(self.app, point, pool is not None, self._max_body)


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
