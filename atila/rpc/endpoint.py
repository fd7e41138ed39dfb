"""Remote calls to routes, XML-RPC, JSON-RPC and gRPC by the content type (seed, RPC Response).

The resolver asks ``Rpc.offer`` for requests with a body. A call of ``books.add`` at ``/api`` is
performed like a POST request to ``/api/books/add`` whose JSON body has the arguments by name, so
that admission, hooks, guards and type hints of that route apply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atila.arguments import media_type
from atila.errors import HTTPError
from atila.invoking import drive
from atila.routing.router import Resolution, Router
from atila.rpc import jsonrpc, xmlrpc
from atila.rpc.calls import RpcError
from atila.rpc.grpc import PREFIX as GRPC
from atila.rpc.grpc import Grpc
from atila.rpc.remote_calls import Caller
from skitai.handlers.interface import Mode
from skitai.server.coroutines import spawn
from skitai.server.representation import Head

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila
    from atila.rpc.calls import Message
    from atila.rpc.remote_calls import Plan
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields


class Dialect(NamedTuple):
    """A protocol for remote calls.

    Attributes:
        types: media types of its requests.
        answers: media type of its answers.
        decode: body, content type and app to a message.
        refuse: the answer to a body that is no message.
    """

    types: frozenset[str]
    answers: str
    decode: Callable[[bytes, str, Atila], Message]
    refuse: Callable[[RpcError, Atila], bytes]


DIALECTS = (
    Dialect(
        frozenset(("text/xml", "application/xml")), "text/xml", xmlrpc.decode_message, xmlrpc.refuse
    ),
    Dialect(
        frozenset(("application/json-rpc",)),
        "application/json-rpc",
        jsonrpc.decode_message,
        jsonrpc.refuse,
    ),
)
_BY_TYPE = {kind: dialect for dialect in DIALECTS for kind in dialect.types}


def _media_type_of_call(exchange: Exchange) -> str:
    request = exchange.request
    return media_type(request.headers.get("content-type", "")) if request.method == "POST" else ""


class Rpc:
    """Remote calls to the routes of one mounted app.

    Parameters:
        app: with all its routes compiled.
        point: where it is mounted; starts and ends with ``/``.
        resolve: finds the endpoint of a request, as the resolver does.
    """

    def __init__(self, app: Atila, point: str, resolve: Callable[[Exchange], Endpoint]) -> None:
        self._skip = len(point) - 1
        routes = [route for route in app.routes if "POST" in route.methods]
        self._prefixes = {(route.rule.prefix, bool(route.rule.names)) for route in routes}
        # Routes that declare the content type of a protocol want its documents, not its calls.
        self._declared = {
            dialect: Router([route for route in routes if route.content_types() & dialect.types])
            for dialect in DIALECTS
        }
        self._grpc = Grpc(app, resolve)
        caller = Caller(app, point, resolve)
        self._endpoints = {
            dialect: (RpcEndpoint(caller, dialect, True), RpcEndpoint(caller, dialect, False))
            for dialect in DIALECTS
        }

    def offer(self, exchange: Exchange) -> Endpoint | None:
        """The endpoint for a request with a body that calls something; None for any other."""
        kind = _media_type_of_call(exchange)
        dialect = _BY_TYPE.get(kind)
        if dialect is None:
            return self._grpc.call(exchange, kind) if kind.startswith(GRPC) else None
        path = exchange.request.path[self._skip :]
        try:
            self._declared[dialect].find("POST", path)
        except (Resolution, HTTPError):
            return self._endpoints[dialect][self.serves(path)]
        return None

    def serves(self, path: str) -> bool:
        """Whether there is anything below a path of the app that could be called."""
        base = path.rstrip("/") + "/"
        return any(
            prefix.startswith(base) or (open_ended and base.startswith(prefix))
            for prefix, open_ended in self._prefixes
        )


class RpcEndpoint:
    """Performs the calls of a request in one protocol.

    A message with calls of plain functions only is done in the thread where it is decoded; any
    other goes on to the loop from there.
    """

    __slots__ = ("_caller", "_dialect", "max_body", "missing", "mode")

    takes_body = True
    streams_body = False

    def __init__(self, caller: Caller, dialect: Dialect, missing: bool) -> None:
        self._caller = caller
        self._dialect = dialect
        self.mode = Mode.THREAD
        self.max_body: int | None = caller.app.config.get("MAX_UPLOAD_SIZE")
        self.missing = missing

    def run(self, exchange: Exchange) -> None:
        app, dialect = self._caller.app, self._dialect
        assert exchange.body is not None
        content_type = exchange.request.headers.get("content-type", "")
        try:
            message = dialect.decode(exchange.body.read(), content_type, app)
        except RpcError as error:
            exchange.respond(Head(200, dialect.answers), dialect.refuse(error, app))
            return
        except jsonrpc.Missing as exc:
            app.logger.error("%s", exc)
            exchange.fail(HTTPError(501, str(exc)))
            return
        plans = [self._caller.plan(exchange, call) for call in message.calls]
        if all(plan.in_thread for plan in plans):
            drive(self._answer(exchange, message, plans, False))
        else:
            loop = exchange.channel.server.loop
            loop.call_soon_threadsafe(spawn, exchange, self._answer(exchange, message, plans, True))

    async def _answer(
        self, exchange: Exchange, message: Message, plans: list[Plan], on_loop: bool
    ) -> None:
        fields: Fields = []
        answers, status = [], 200
        try:
            for plan in plans:
                if exchange.gone:
                    return
                answers.append(await self._caller.perform(exchange, message, plan, on_loop))
                fields += [pair for pair in plan.fields if pair not in fields]
                status = plan.status if message.single else 200
            body = message.join(answers)
            kind = self._dialect.answers if body else ""
            exchange.respond(Head(status, kind, fields or None), body)
        except Exception as exc:
            exchange.crash(exc)
        finally:
            if exchange.gone:
                exchange.release()
