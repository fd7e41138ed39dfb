"""``was``: the first argument of every handler, one object for each request.

It holds nothing of another request: endpoints make it when a request starts and drop it with the
response. What a handler doesn't use is never made.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from atila.errors import HTTPError
from atila.request import Request
from atila.response import Response
from atila.results import API, File, redirect
from skitai.wire.forms import MalformedForm, parse_query

if TYPE_CHECKING:
    from atila.app import Atila
    from atila.routing import Route
    from skitai.server.exchange import Exchange

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}


class Was:
    """What a handler works with (seed, Very First Argument 'was').

    Attributes:
        app: the app that serves the request.
        exchange: the engine's side of the request.
        route: the route that was chosen.
    """

    __slots__ = ("_arguments", "_request", "_response", "app", "exchange", "route")

    Error = HTTPError
    API = API
    File = File

    def __init__(self, app: Atila, exchange: Exchange, route: Route) -> None:
        self.app = app
        self.exchange = exchange
        self.route = route
        self._request: Request | None = None
        self._response: Response | None = None
        self._arguments: dict[str, Any] | None = None

    @property
    def request(self) -> Request:
        """The request (seed, Request Object)."""
        request = self._request
        if request is None:
            request = self._request = Request(self)
        return request

    @property
    def response(self) -> Response:
        """Status and headers of the answer (seed, Making Response)."""
        response = self._response
        if response is None:
            response = self._response = Response()
        return response

    # -- arguments: bound by the endpoint, read through ``was.request.args``

    def arguments(self) -> dict[str, Any]:
        """What the request carries by name: body over path over query.

        Raises ``HTTPError`` 400 when query or body are malformed.
        """
        arguments = self._arguments
        if arguments is None:
            exchange = self.exchange
            query = exchange.request.query
            try:
                arguments = parse_query(query) if query else {}
            except MalformedForm as exc:
                raise HTTPError(400, f"query string: {exc}") from None
            if exchange.params:
                arguments.update(exchange.params)
            if exchange.body is not None:
                request = self.request
                data = request.JSON
                if data is None:
                    data = request.FORM
                if isinstance(data, dict):
                    arguments.update(data)
            self._arguments = arguments
        return arguments

    def defaults(self) -> dict[str, Any]:
        """Defaults of the handler's parameters."""
        return self.route.signature.defaults

    # -- results

    def render(self, template: str, /, *contexts: dict[str, Any], **context: Any) -> str:
        """Render a template of the app (seed, Template Engine).

        Parameters:
            template: path under the app's ``templates`` directory.
            contexts: dictionaries of names for the template.
            context: more names; these win.
        """
        names: dict[str, Any] = {}
        for given in contexts:
            names.update(given)
        names.update(context)
        return self.app.templates.render(self, template, names)

    def redirect(self, url: str, status: str | int = "302 Object Moved") -> Any:
        """Send the client to ``url``; return what this returns (seed, Redirecting)."""
        return redirect(self.response, url, status)

    # -- URLs

    def urlfor(self, thing: Any, /, *args: Any, **kwargs: Any) -> str:
        """The URL of a handler, a resource id, or a path of this app (seed, Making URL)."""
        return self.app.urls.build(thing, *args, **kwargs)

    def static(self, path: str) -> str:
        """The URL of a static file."""
        return self.app.urls.static(path)

    def media(self, path: str) -> str:
        """The URL of a media file."""
        return self.app.urls.media(path)

    # -- helpers

    def log(self, message: Any, category: str = "info") -> None:
        """Write to the app's log (seed, Logging and Traceback)."""
        self.app.logger.log(_LEVELS.get(category, logging.INFO), "%s", message)

    def traceback(self, id: str = "") -> None:
        """Log the exception being handled; ``id`` helps to find it."""
        self.app.logger.error("%s", id or self.exchange.request.target, exc_info=True)
