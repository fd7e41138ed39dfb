"""ASGI apps (ASGI 3.0): Starlette, FastAPI, bare coroutines. ``Mount`` wraps them in
``ASGIApplication``.

They run on the worker's loop. http, websocket and lifespan have a module each.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from skitai.errors import HTTPError, StartupError
from skitai.handlers.asgi_http import HTTPCall
from skitai.handlers.asgi_lifespan import Lifespan
from skitai.handlers.asgi_scope import ScopeMaker
from skitai.handlers.hosted import HostedApplication
from skitai.handlers.interface import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from skitai.executors.threads import ThreadPool
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange


class ASGIApplication(HostedApplication):
    """An ASGI app, called as ``await app(scope, receive, send)``, at a mount point."""

    _lifespan: Lifespan | None = None
    _endpoint: ASGIEndpoint

    def started(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the app start (ASGI, Lifespan Protocol); raises `StartupError` when it fails."""
        self._lifespan = Lifespan(self.app, self.name, loop)
        failure = self._lifespan.start()
        if failure is not None:
            raise StartupError(f"app {self.name!r} can't be started: {failure}")
        self._endpoint.scopes.state = self._lifespan.state
        super().started(loop)

    def _make_endpoint(self, point: str, pool: ThreadPool | None) -> Endpoint:
        self._endpoint = ASGIEndpoint(self.app, point, self._max_body)
        return self._endpoint

    def _stop(self) -> None:
        if self._lifespan is not None:
            self._lifespan.stop()


class ASGIEndpoint:
    """Calls the app; see ``skitai.handlers.interface.Endpoint``.

    Attributes:
        scopes: makes what the app is called with.
    """

    # It begins a task by itself: one that is not cancelled when the client leaves, as ASGI has it.
    mode = Mode.LOOP
    takes_body = False
    streams_body = True
    missing = False

    def __init__(self, app: Callable[..., Any], point: str, max_body: int | None) -> None:
        self.max_body = max_body
        self.scopes = ScopeMaker(point)
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, exchange: Exchange) -> None:
        """Answer an exchange."""
        request = exchange.request
        if request.protocol == "websocket":
            # Only apps with websockets pay for it.
            from skitai.handlers.asgi_websocket import WebSocketCall

            self._spawn(exchange, WebSocketCall(exchange).run(self._app, self.scopes))
            return
        limit = None
        if exchange.input is not None:
            limit = self.max_body
            if limit is None:
                limit = exchange.channel.server.settings.max_upload_size
            if int(request.headers.get("content-length", "0")) > limit:
                exchange.fail(HTTPError(413, f"the body is larger than {limit} bytes"))
                return
        call = HTTPCall(exchange, limit)
        self._spawn(exchange, call.run(self._app, self.scopes.http(exchange)))

    def _spawn(self, exchange: Exchange, coroutine: Coroutine[Any, Any, None]) -> None:
        loop = exchange.channel.server.loop
        if sys.version_info >= (3, 12):
            task = asyncio.Task(coroutine, loop=loop, eager_start=True)
            if task.done():
                return
        else:
            task = loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
