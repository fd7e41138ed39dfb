"""gRPC calls of routes, by the content type (seed, RPC Response; grpc.io, PROTOCOL-HTTP2).

``Rpc.offer`` asks ``Grpc`` for requests of its content type. ``/package.Service/Method`` is a path
like others: the route there gets the message, with its admission, hooks and guards; what it returns
or yields is sent as messages, and what it raises is the status of the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from atila.error_endpoint import ErrorEndpoint
from atila.errors import ConfigError, HTTPError
from atila.failures import FAILURES, explain, kept_fields
from atila.invoking import drive, in_pool
from atila.results.heads import head_of
from atila.results.streams import is_stream, send_async_stream, send_stream
from atila.rpc.grpc_exchange import GrpcExchange
from atila.rpc.grpc_messages import Messages
from atila.was import Was
from skitai.handlers.interface import Mode
from skitai.server.exchange import ClientGone
from skitai.server.streaming import write
from skitai.wire.grpc import (
    ACCEPTED,
    MAX_MESSAGE,
    GrpcError,
    Status,
    parse_timeout,
    status_of_http,
)
from skitai.wire.protobuf import UnknownMethod, find_method

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atila.app import Atila
    from atila.endpoints import RouteEndpoint
    from atila.routing.router import Route
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields
    from skitai.wire.protobuf import Method

PREFIX = "application/grpc"
_KINDS = frozenset((PREFIX, f"{PREFIX}+proto"))


class Grpc:
    """The gRPC methods among the routes of one mounted app.

    Parameters:
        app: with all its routes compiled.
        resolve: finds the endpoint of a request, as the resolver does.

    Raises ``ConfigError`` for a ``config.MAX_GRPC_MESSAGE`` that is no number of bytes.
    """

    def __init__(self, app: Atila, resolve: Callable[[Exchange], Endpoint]) -> None:
        limit = app.config.get("MAX_GRPC_MESSAGE", MAX_MESSAGE)
        if type(limit) is not int or limit < 1:
            raise ConfigError(f"config.MAX_GRPC_MESSAGE is {limit!r}: give a number of bytes")
        self.app = app
        self.limit = limit
        self._resolve = resolve
        self._routes: dict[Any, Route] = {route.endpoint: route for route in app.routes}

    def call(self, exchange: Exchange, kind: str) -> Endpoint | None:
        """The endpoint of a call; None for what is none.

        Parameters:
            kind: the media type of the request.
        """
        if kind not in _KINDS and not kind.startswith(f"{PREFIX}+"):
            return None
        if exchange.request.version == "1.0":
            return ErrorEndpoint(self.app, HTTPError(505, "gRPC needs HTTP/2"))  # and trailers
        inner = GrpcExchange(exchange)
        endpoint = self._resolve(inner)
        call = GrpcCall(self, inner, self._routes.get(endpoint))
        if kind not in _KINDS:
            call.refusal = GrpcError(Status.UNIMPLEMENTED, f"messages of {kind} can't be read")
        elif isinstance(endpoint, ErrorEndpoint):
            error = endpoint.error
            call.missing, call.fields = endpoint.missing, endpoint.fields
            status, text = status_of_http(error.code), error.explain or error.reason
            if error.code in (301, 404, 405):
                status, text = Status.UNIMPLEMENTED, f"there is no {inner.request.path[:200]}"
            call.refusal = GrpcError(status, text)
        return call


class GrpcCall:
    """One call; see ``skitai.handlers.interface.Endpoint``.

    Attributes:
        refusal: why it is not performed.
        fields: metadata that goes with that.
    """

    __slots__ = ("_exchange", "_grpc", "_route", "fields", "missing", "refusal")

    mode = Mode.COROUTINE
    takes_body = False
    streams_body = True
    max_body: int | None = None

    def __init__(self, grpc: Grpc, exchange: GrpcExchange, route: Route | None) -> None:
        self._grpc = grpc
        self._exchange = exchange
        self._route = route
        self.refusal: GrpcError | None = None
        self.fields: Fields | None = None
        self.missing = False

    async def run(self, outer: Exchange) -> None:
        """Perform the call; the client gets its status in any case."""
        exchange = self._exchange
        outer.when_gone(exchange.lost)
        timer: asyncio.TimerHandle | None = None
        try:
            timer = self._set_deadline()
            await self._perform(outer)
        except GrpcError as error:
            exchange.finish(error.status, error.message, self.fields)
        except ClientGone:
            return
        except asyncio.CancelledError as exc:
            if outer.gone:
                raise
            if not exchange.ended:
                exchange.crash(exc)  # what the route waited for was cancelled
        except BaseException as exc:  # nothing else would tell the client
            exchange.crash(exc)
        finally:
            if timer is not None:
                timer.cancel()
            # They know each other: freed now, not by the garbage collector.
            exchange.late = None
            outer.endpoint = outer.on_gone = None

    # -- deadline

    def _set_deadline(self) -> asyncio.TimerHandle | None:
        value = self._exchange.request.headers.get("grpc-timeout")
        if value is None:
            return None
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        return loop.call_later(parse_timeout(value), self._expire, task)

    def _expire(self, task: asyncio.Task[Any]) -> None:
        exchange = self._exchange
        exchange.finish(Status.DEADLINE_EXCEEDED, "Deadline Exceeded")
        if not exchange.gone:
            exchange.lost()  # tasks that it has started are of no use any more
        task.cancel()

    # -- performing

    async def _perform(self, outer: Exchange) -> None:
        if self.refusal is not None:
            raise self.refusal
        exchange, route = self._exchange, self._route
        assert route is not None
        endpoint = route.endpoint
        assert endpoint is not None
        exchange.method = method = self._find_method()
        encoding = exchange.request.headers.get("grpc-encoding", "")
        try:
            messages: Any = Messages(outer.input, method, encoding, self._grpc.limit)
        except GrpcError:
            self.fields = [("grpc-accept-encoding", ACCEPTED)]
            raise
        exchange.answer_like(encoding)
        app = self._grpc.app
        was = Was(app, exchange, route)
        try:
            exchange.arguments = dict(exchange.params or {})
            if route.options.get("input_stream"):
                exchange.input = messages
                if method.takes_stream:
                    # The answer begins: a client may wait for it, and may then be silent for long.
                    messages.asked = lambda: exchange.start(head_of(was, ""))
            else:
                names = [name for name in route.signature.names if name not in exchange.arguments]
                given = await self._read(messages, method)
                if names:
                    exchange.arguments[names[0]] = given
            exchange.late = lambda: was.response.fields if was._response is not None else None
            await self._call(was, endpoint)
        except (GrpcError, ClientGone):
            raise
        except FAILURES as exc:
            self._fail(was, exc)

    def _find_method(self) -> Method:
        service, _, name = self._exchange.request.path.rpartition("/")
        try:
            return find_method(service.rpartition("/")[2], name)
        except UnknownMethod as exc:
            self._grpc.app.logger.error("%s", exc)
            text = f"there is no {self._exchange.request.path[:200]}"
            raise GrpcError(Status.UNIMPLEMENTED, text) from None
        except ConfigError as exc:
            self._grpc.app.logger.error("%s", exc)
            raise GrpcError(Status.UNIMPLEMENTED, str(exc)) from None

    async def _read(self, messages: Messages, method: Method) -> Any:
        if not method.takes_stream:
            return await messages.only()
        limit = self._grpc.app.config.get("MAX_UPLOAD_SIZE")
        return await messages.collect(limit or self._grpc.limit)

    async def _call(self, was: Was, endpoint: RouteEndpoint) -> None:
        """Call the route, where it may run, and send what it returns."""
        pool = was.app.pool
        if endpoint.mode is Mode.THREAD and pool is not None:
            if pool.waiting >= self._exchange.channel.server.settings.max_queued:
                raise GrpcError(Status.UNAVAILABLE, "the server is busy")
            result = await in_pool(pool, self._call_in_thread, was, endpoint)
        else:
            result = await endpoint.result(was)
            result = self._judge(was, result)
            if self._is_message(result):
                await self._send(was, result)
                return
        if result is not None:
            await self._send_stream(was, result)

    def _call_in_thread(self, was: Was, endpoint: RouteEndpoint) -> Any:
        """Call the route and send its message; a stream is returned, to be sent from the loop."""
        exchange = self._exchange
        result = self._judge(was, drive(endpoint.result(was)))
        if not self._is_message(result):
            return result
        data = exchange.pack(result)
        exchange.start(head_of(was, ""))
        exchange.write(data)
        exchange.end()
        return None

    def _is_message(self, result: Any) -> bool:
        return hasattr(result, "SerializeToString")

    def _judge(self, was: Was, result: Any) -> Any:
        """What a route has returned, as a message or a stream of them. Raises what it says."""
        method, response = self._exchange.method, was._response
        assert method is not None
        if isinstance(result, HTTPError):
            raise result
        if response is not None and response.status_code >= 400:
            raise GrpcError(status_of_http(response.status_code), response.reason)
        if result is None:
            if method.gives_stream:
                return ()
            if method.response.DESCRIPTOR.full_name == "google.protobuf.Empty":
                return method.response()
            self._exchange.pack(None)  # it says what is wrong
        return result

    async def _send(self, was: Was, message: Any) -> None:
        exchange = self._exchange
        data = exchange.pack(message)
        if was._request is not None:
            await was._request.save_session()
        exchange.start(head_of(was, ""))
        exchange.write(data)
        exchange.end()

    async def _send_stream(self, was: Was, result: Any) -> None:
        exchange = self._exchange
        if isinstance(result, AsyncGenerator):
            await send_async_stream(was, self._frame_later(result))
        elif isinstance(result, bytes) and exchange.packed:
            # A generator has ended with what it has yielded without waiting.
            exchange.start(head_of(was, ""))
            await write(exchange, result)
            exchange.end()
        elif isinstance(result, (list, tuple)) or is_stream(result):
            ended: asyncio.Future[BaseException | None] = asyncio.Future()
            loop = asyncio.get_running_loop()

            def tell(exc: BaseException | None) -> None:
                loop.call_soon_threadsafe(_settle, ended, exc)

            send_stream(was, self._frame(result), tell)
            if (failure := await ended) is not None:
                raise failure
        else:
            exchange.pack(result)  # it says what is wrong

    def _frame(self, messages: Any) -> Iterator[bytes]:
        exchange = self._exchange
        pieces = iter(messages)
        try:
            for message in pieces:
                yield exchange.pack(message)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()

    async def _frame_later(self, messages: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        exchange = self._exchange
        try:
            async for message in messages:
                # The generators of coroutine routes have packed what they yield.
                yield message if type(message) is bytes else exchange.pack(message)
        finally:
            await messages.aclose()

    def _fail(self, was: Was, exc: BaseException) -> None:
        """End with the status of a failure; a crash is logged, and says nothing to the client."""
        if self._exchange.ended:
            return
        error, crash = explain(was, exc)
        text = error.explain or error.reason
        if crash is not None and was.app.debug:
            text = f"{type(crash).__name__}: {crash}"
        fields = kept_fields(was, crash)
        self._exchange.finish(status_of_http(error.code), text, fields)


def _settle(ended: asyncio.Future[BaseException | None], exc: BaseException | None) -> None:
    if not ended.done():
        ended.set_result(exc)
