"""Calls of routes from within a request: the route is found, called, and its result judged.

``rpc`` makes a ``Caller`` for each mounted app; how messages look is not known here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from atila.error_endpoint import ErrorEndpoint
from atila.errors import HTTPError
from atila.failures import FAILURES, as_http_error, kept_fields
from atila.invoking import drive, in_pool
from atila.results.api import API
from atila.results.heads import head_of
from atila.rpc.calls import INTERNAL_ERROR, INVALID_PARAMS, UNKNOWN_METHOD, RpcError
from atila.rpc.introspection import Introspection
from atila.tasks.deferred import AsyncResult
from atila.was import Was
from skitai.handlers.interface import Mode
from skitai.server.exchange import Exchange
from skitai.wire.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila
    from atila.endpoints import RouteEndpoint
    from atila.routing.router import Route
    from atila.rpc.calls import Call, Message
    from skitai.handlers.interface import Endpoint
    from skitai.server.representation import Fields

_NO_SUCH_ROUTE = frozenset((301, 404, 405))
_ARGUMENTS = "application/json"  # what the arguments of a call are to guards and type hints
_NOT_WRITTEN = (TypeError, ValueError, RecursionError)


class Plan:
    """One call, its route, and what it does to the response.

    Attributes:
        call: what was sent.
        endpoint: of the route; None when there is none to call.
        was: for the route.
        error: why there is nothing to call.
        answer: what a call that needs no route gives.
        fields: headers for the response.
        status: of the response, when this is the only call in it.
    """

    __slots__ = ("answer", "call", "endpoint", "error", "fields", "status", "was")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.endpoint: RouteEndpoint | None = None
        self.was: Was | None = None
        self.error = call.error
        self.answer: Callable[[], Any] | None = None
        self.fields: Fields = []
        self.status = 200

    @property
    def in_thread(self) -> bool:
        """Whether it can be performed in a thread."""
        return self.endpoint is None or self.endpoint.mode is Mode.THREAD


class Caller:
    """Calls the routes of one mounted app.

    Parameters:
        app: with all its routes compiled.
        point: where it is mounted; starts and ends with ``/``.
        resolve: finds the endpoint of a request, as the resolver does.
    """

    def __init__(self, app: Atila, point: str, resolve: Callable[[Exchange], Endpoint]) -> None:
        self.app = app
        self._resolve = resolve
        self._routes: dict[Any, Route] = {route.endpoint: route for route in app.routes}
        self._introspection = Introspection(app, point)

    def plan(self, exchange: Exchange, call: Call) -> Plan:
        """Find out what a call of a request leads to; nothing of the app runs yet."""
        plan = Plan(call)
        if call.error is not None:
            return plan
        inner = _inner(exchange, call.method)
        endpoint = self._resolve(inner)
        route = self._routes.get(endpoint)
        if route is None:
            self._refuse(plan, exchange, endpoint)
            return plan
        plan.was = was = Was(self.app, inner, route)
        try:
            was.request._json = _by_name(route, call.params, inner.params or {})
        except RpcError as error:
            plan.error = error
        else:
            plan.endpoint = route.endpoint
        return plan

    def _refuse(self, plan: Plan, exchange: Exchange, endpoint: Endpoint) -> None:
        method = plan.call.method
        if isinstance(endpoint, ErrorEndpoint):
            refusal = endpoint.error
            plan.fields = list(endpoint.fields or ())
            if refusal.code not in _NO_SUCH_ROUTE:
                plan.error, plan.status = _as_rpc_error(refusal), _status(refusal)
                return
        if self.app.expose_spec:
            plan.answer = self._introspection.find(exchange.request.path, plan.call)
        if plan.answer is None:
            plan.error = RpcError(UNKNOWN_METHOD, f"there is no method {method[:80]!r}")

    async def perform(
        self, exchange: Exchange, message: Message, plan: Plan, on_loop: bool
    ) -> bytes:
        """Call what was planned; return the answer in the form of ``message``.

        Parameters:
            exchange: the request that brought the message.
            on_loop: where this runs; in a thread it never waits.
        """
        try:
            value = await self._value(plan, on_loop)
            answer = self._written(message, plan, value)
            await self._keep_head(plan, on_loop)
            return answer
        except RpcError as exc:
            error = exc
        except FAILURES as exc:
            error = self._explain(message, plan, exc)
        except asyncio.CancelledError as exc:
            if exchange.gone:
                raise
            error = self._explain(message, plan, exc)  # what the route waited for was cancelled
        try:
            return message.failure(plan.call, error)
        except _NOT_WRITTEN:
            return message.failure(plan.call, RpcError(error.code, error.message))

    async def _value(self, plan: Plan, on_loop: bool) -> Any:
        """The result of the route. Raises what it raises, ``RpcError`` when it isn't called."""
        if plan.error is not None:
            raise plan.error
        if plan.answer is not None:
            return plan.answer()
        endpoint, was, pool = plan.endpoint, plan.was, self.app.pool
        assert endpoint is not None
        assert was is not None
        result = endpoint.result(was)
        if on_loop and plan.in_thread and pool is not None:
            value = await in_pool(pool, drive, result)
        else:
            value = await result
        return _judged(was, value)

    async def _keep_head(self, plan: Plan, on_loop: bool) -> None:
        """Take headers and cookies of a call that has succeeded."""
        was = plan.was
        if was is None:
            return
        if on_loop and was._request is not None:
            await was._request.save_session()
        plan.fields = head_of(was, "").fields or []

    def _written(self, message: Message, plan: Plan, value: Any) -> bytes:
        try:
            return message.result(plan.call, value)
        except _NOT_WRITTEN as exc:
            if isinstance(value, AsyncResult):
                value.discard()
            reason = f"the result of {plan.call.method} can't be sent"
            self.app.logger.error("%s: %s", reason, exc)
            raise RpcError(INTERNAL_ERROR, reason) from None

    def _explain(self, message: Message, plan: Plan, exc: BaseException) -> RpcError:
        """What to tell the client about a failure of the route; a crash is logged."""
        was, call = plan.was, plan.call
        error = as_http_error(exc)
        if error is not None and was is not None:
            plan.fields, plan.status = kept_fields(was, None) or [], _status(error)
            if error.code == 400 and not error.errno and not _fits(was, call):
                return RpcError(INVALID_PARAMS, error.explain or error.reason)
            return _as_rpc_error(error)
        if (own := _own_fault(exc)) is not None:
            return own
        if was is not None:
            plan.fields = kept_fields(was, exc) or []
            self.app.logger.error("%s failed [%s]", call.method, was.txnid(), exc_info=exc)
        trace: list[str] = []
        if self.app.debug and was is not None:
            from atila.debugging.error_page import traceback_lines  # only for --devel

            trace = "\n".join(traceback_lines(was, exc)).split("\n")
        return RpcError(message.crashed, "internal server error", trace=trace)


def _inner(exchange: Exchange, method: str) -> Exchange:
    """A request for one call: that of the message, but to the route's path, and with JSON."""
    outer = exchange.request
    path = f"{outer.path.rstrip('/')}/{method.replace('.', '/')}"
    headers = {**outer.headers, "content-type": _ARGUMENTS}
    request = Request("POST", outer.target, path, "", outer.version, headers)
    inner = Exchange(exchange.channel, request, False)
    inner.body = exchange.body
    return inner


def _by_name(route: Route, params: Any, path: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a call by the names that the route's function has for them."""
    if isinstance(params, dict):
        return dict(params)
    names = [name for name in route.signature.names if name not in path]
    if len(params) > len(names):
        raise RpcError(INVALID_PARAMS, f"the method takes {len(names)} parameters at most")
    return dict(zip(names, params, strict=False))


def _fits(was: Was, call: Call) -> bool:
    """Whether a function has the parameters of a call, and the call those that it must have."""
    assert was.route is not None
    signature = was.route.signature
    given = {*(was.request.JSON or ()), *was.request.PARAMS}
    return signature.required <= given and (signature.takes_any or given <= {*signature.names})


def _judged(was: Was, value: Any) -> Any:
    """The value that a result stands for. Raises what it says when it is an error."""
    if isinstance(value, HTTPError):
        raise value
    if isinstance(value, API):
        if value.status is not None:
            was.response.set_status(value.status)
        value = value.data
    elif (fault := _own_fault(value)) is not None:
        raise fault
    response = was._response
    if response is None or response.status_code < 300:
        return value
    if isinstance(value, dict) and isinstance(value.get("code"), int) and "message" in value:
        raise RpcError(value["code"], str(value["message"]), value)
    raise RpcError(response.status_code, response.reason, value)


def _own_fault(value: Any) -> RpcError | None:
    """A fault in the way of xmlrpc.client, to raise, or of jsonrpclib, to return."""
    code, text = getattr(value, "faultCode", None), getattr(value, "faultString", None)
    if not isinstance(code, int) or text is None:
        return None
    return RpcError(code, str(text), getattr(value, "data", None))


def _as_rpc_error(error: HTTPError) -> RpcError:
    return RpcError(error.errno or error.code, error.explain or error.reason)


def _status(error: HTTPError) -> int:
    """Clients read faults of 200 only, but what a password is asked for has to be a 401."""
    return 401 if error.code == 401 else 200
