"""ASGI apps (ASGI 3.0): Starlette, FastAPI, bare coroutines. ``Mount`` wraps them in
``ASGIApplication``.

They run on the worker's loop. http, websocket and lifespan have a module each.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any

from skitai.errors import HTTPError, StartupError
from skitai.handlers.asgi_http import HTTPCall
from skitai.handlers.asgi_lifespan import Lifespan
from skitai.handlers.asgi_scope import ScopeMaker
from skitai.handlers.interface import Mode
from skitai.handlers.wsgi import NO_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from skitai.executors.threads import ThreadPool
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange

log = logging.getLogger("skitai")


class ASGIApplication:
    """An ASGI app at a mount point.

    Parameters:
        app: called as ``await app(scope, receive, send)``.
        name: how the service calls it.
        max_body: bytes of a request's body; None: ``Settings.max_upload_size``.
    """

    def __init__(self, app: Callable[..., Any], name: str, max_body: int | None = None) -> None:
        self.app = app
        self.name = name
        self._max_body = max_body
        self._lifespan: Lifespan | None = None
        self._endpoint: ASGIEndpoint | None = None

    def __repr__(self) -> str:
        return f"<ASGI app {self.name!r}>"

    def freeze(self, point: str, pool: ThreadPool | None) -> Callable[[Exchange], Endpoint]:
        """Make the endpoint, which is the same for all paths."""
        endpoint = self._endpoint = ASGIEndpoint(self.app, point, self._max_body)
        if point == "/":
            return lambda exchange: NO_PATH if exchange.request.path == "*" else endpoint
        size = len(point)
        # A path that is shorter is the point without its slash.
        return lambda exchange: endpoint if len(exchange.request.path) >= size else NO_PATH

    def started(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the app start (ASGI, Lifespan Protocol); raises `StartupError` when it fails."""
        self._lifespan = Lifespan(self.app, self.name, loop)
        failure = self._lifespan.start()
        if failure is not None:
            raise StartupError(f"app {self.name!r} can't be started: {failure}")
        if self._endpoint is not None:
            self._endpoint.scopes.state = self._lifespan.state

    def cleanup(self) -> None:
        """Let the app stop."""
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
        limit = self.max_body
        if exchange.input is not None:
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
