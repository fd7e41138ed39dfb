"""WSGI apps (PEP 3333): Flask, Django, bare functions. ``Mount`` wraps them in ``WSGIApplication``.

They run in a worker thread, or on the loop of a service without threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError, HTTPError
from skitai.handlers.hosted import HostedApplication
from skitai.handlers.interface import Mode
from skitai.handlers.wsgi_environ import EnvironMaker
from skitai.handlers.wsgi_input import open_arriving
from skitai.handlers.wsgi_response import WSGIResponse
from skitai.server.exchange import ClientGone

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.executors.threads import ThreadPool
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange


class WSGIApplication(HostedApplication):
    """A WSGI app, called with ``(environ, start_response)``, at a mount point.

    Attributes:
        streams_input: the app is called when the head of a request is there, and reads the body
            while it arrives. A slow client holds a thread then, which it does not otherwise.
    """

    streams_input = False

    def _make_endpoint(self, point: str, pool: ThreadPool | None) -> Endpoint:
        if self.streams_input and pool is None:
            raise ConfigError(
                f"STREAM_INPUT of app {self.name!r} needs threads, and threads=0: give some"
            )
        return WSGIEndpoint(self.app, point, pool is not None, self._max_body, self.streams_input)


class WSGIEndpoint:
    """Calls the app; see ``skitai.handlers.interface.Endpoint``."""

    mode = Mode.THREAD
    missing = False

    def __init__(
        self,
        app: Callable[..., Any],
        point: str,
        threaded: bool,
        max_body: int | None,
        streams_input: bool,
    ) -> None:
        self.max_body = max_body
        self.takes_body = not streams_input
        self.streams_body = streams_input
        self._app = app
        self._make_environ = EnvironMaker(point, threaded).make
        self._threaded = threaded

    def run(self, exchange: Exchange) -> None:
        """Answer an exchange."""
        response = WSGIResponse(exchange, self._threaded)
        environ = self._make_environ(exchange)
        try:
            if exchange.input is not None:
                environ["wsgi.input"] = open_arriving(exchange, self.max_body)
            response.send(self._app(environ, response.start_response))
        except ClientGone:
            pass
        except HTTPError as exc:  # of reading the body
            if exchange.answered:
                raise
            exchange.fail(exc)
