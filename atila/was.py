"""``was``: the first argument of every handler, one object for each request.

It holds nothing of another request: endpoints make it when a request starts and drop it with the
response. What a handler doesn't use is never made.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

from atila.access.csrf import CsrfMethods
from atila.context import AppContext
from atila.errors import HTTPError
from atila.invoking import wait_for
from atila.request import Request
from atila.response import Response
from atila.results.methods import ResultMethods
from atila.steps import is_async
from atila.tasks.coroutines import as_coroutine, is_coroutine_route
from atila.tasks.methods import DeferredMethods
from atila.tasks.owned import RequestTasks, owner_of
from atila.tokens.otp import generate_otp
from skitai.wire.forms import MalformedForm, parse_query

if TYPE_CHECKING:
    from atila.app import Atila
    from atila.routing.router import Route
    from atila.state.cookies import Cookie
    from atila.state.mbox import MessageBox
    from atila.state.session import Session
    from skitai.server.exchange import Exchange
    from skitai.upstream.calls import Owner

__all__ = ["Was", "generate_otp"]


class Was(AppContext, ResultMethods, CsrfMethods, DeferredMethods):
    """What a handler works with (seed, Very First Argument 'was').

    Attributes:
        app: the app that serves the request.
        exchange: the engine's side of the request.
        route: the route that was chosen; None while a routing error is answered.
    """

    __slots__ = ("_owner", "_request", "_response", "exchange", "route")

    def __init__(self, app: Atila, exchange: Exchange, route: Route | None) -> None:
        self.app = app
        self.exchange = exchange
        self.route = route
        self._request: Request | None = None
        self._response: Response | None = None
        self._owner: Owner | None = None

    @property
    def request(self) -> Request:
        """The request (seed, Request Object)."""
        request = self._request
        if request is None:
            request = self._request = Request(self.app, self.exchange, self.route)
        return request

    @property
    def response(self) -> Response:
        """Status and headers of the answer (seed, Making Response)."""
        response = self._response
        if response is None:
            response = self._response = Response(self.exchange)
        return response

    @property
    def task_owner(self) -> Owner:
        """Who the tasks of this request belong to; they end when its client leaves."""
        owner = self._owner
        if owner is None:
            tasks = RequestTasks()
            owner = self._owner = owner_of(self.app, tasks, self.request)
            self.exchange.when_gone(tasks.cancel)
        return owner

    def disown_tasks(self) -> None:
        """Tasks from now on are not those of the client that left: hooks have to clear up."""
        self._owner = owner_of(self.app, None, self.request)

    def start_over(self) -> None:
        """Forget what was set for a response that is not sent; called before an error's page."""
        self._response = None
        if self._request is not None:
            self._request.drop_changes()

    @property
    def env(self) -> dict[str, Any]:
        """``was.request.env``."""
        return self.request.env

    @property
    def cookie(self) -> Cookie:
        """``was.request.cookie``."""
        return self.request.cookie

    @property
    def session(self) -> Session:
        """``was.request.session``."""
        return self.request.session

    @property
    def mbox(self) -> MessageBox:
        """``was.request.mbox``."""
        return self.request.mbox

    @property
    def user(self) -> Any:
        """``was.request.user``."""
        return self.request.user

    def arguments(self) -> dict[str, Any]:
        """What the request carries by name: body over path over query; made once.

        Raises ``HTTPError`` 400 when query or body are malformed.
        """
        exchange = self.exchange
        arguments = exchange.arguments
        if arguments is None:
            if exchange.body is not None:
                return self.request.arguments()
            # PERF: without a body there is no need for a Request: 0.5 us of 7 us.
            query = exchange.request.query
            try:
                arguments = parse_query(query) if query else {}
            except MalformedForm as exc:
                raise HTTPError(400, f"query string: {exc}") from None
            if exchange.params:
                arguments.update(exchange.params)
            exchange.arguments = arguments
        return arguments

    # -- helpers

    def pipe(self, thing: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call another handler's function as it is, without its guards (seed, Piping).

        In a thread, what an ``async def`` returns is waited for; a coroutine has to await it.

        Parameters:
            thing: the function, its resource id, or ``"app:id"`` for one of another app.
            args, kwargs: its arguments after ``was``.

        Raises ``NameError`` for an unknown resource.
        """
        urls, name = self._place(thing)
        route = urls.find(name)
        function = route.function
        if is_coroutine_route(route):
            function = as_coroutine(function)
        result = function(self, *args, **kwargs)
        if is_async(function) and not _on_loop():
            return wait_for(result, self.exchange.channel.server.loop)
        return result

    def urlpatch(self, thing: Any, /, **kwargs: Any) -> str:
        """``urlfor`` with the current request's path and query for what isn't named here."""
        urls, name = self._place(thing)
        return urls.patch(name, self.exchange, self.request.URL, **kwargs)

    partial = urlpatch

    def txnid(self) -> str:
        """The request's transaction id ``global/local``."""
        return self.request.txnid

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"'was' has no attribute {name!r}")


def _on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
