"""Endpoints: a route compiled to the one function that the engine runs for a request.

``app.freeze`` makes one per route and one per error that routing can give; the engine's app handler
runs them in a thread, on the loop, or as a coroutine.
"""

from __future__ import annotations

import asyncio
import dis
import inspect
from typing import TYPE_CHECKING, Any

from atila.arguments import media_type
from atila.binding import compile_call
from atila.errors import HTTPError
from atila.failures import FAILURES, answer_failure
from atila.results import HTML, SENDERS, send
from atila.was import Was
from skitai.handlers.interface import Mode
from skitai.server.coroutines import spawn
from skitai.server.exchange import ClientGone
from skitai.server.streaming import stream_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from atila.app import Atila
    from atila.routing import Route
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Fields


PARSED_ON_LOOP = 64 * 1024  # bytes; larger bodies are parsed in a thread

# SEND and YIELD_FROM (Python 3.10) are what `await`, `async for` and `async with` compile to.
_WAITING = frozenset(("SEND", "YIELD_FROM", "YIELD_VALUE"))


class RouteEndpoint:
    """A route, ready to run.

    Attributes:
        mode: thread for plain functions, coroutine for ``async def``.
        max_body: ``MAX_UPLOAD_SIZE`` of the app, in bytes; None when it has none.
        run: answers an exchange.
    """

    __slots__ = ("_app", "content_types", "max_body", "missing", "mode", "run", "takes_body")

    def __init__(self, app: Atila, route: Route) -> None:
        self._app = app
        self.missing = False
        self.takes_body = True
        types = route.options.get("content_types") or ()
        self.content_types = frozenset(
            kind.lower() for kind in ([types] if isinstance(types, str) else types)
        )
        self.max_body: int | None = app.config.get("MAX_UPLOAD_SIZE")
        call = compile_call(
            route.function, route.signature, route.rule.names, app.restrict_parameter_count
        )
        self.run: Callable[[Exchange], Any]
        if inspect.isasyncgenfunction(route.function):
            self.mode = Mode.COROUTINE
            self.run = _compile_coroutine(app, route, _answer_with_stream(call))
        elif inspect.iscoroutinefunction(route.function):
            self.mode = Mode.COROUTINE
            self.run = _compile_coroutine(app, route, _answer_with_result(call))
            if never_waits(route.function):
                self.mode = Mode.LOOP
                self.run = _compile_at_once(app, route, call, self.run)
        else:
            self.mode = Mode.THREAD
            self.run = _compile_function(app, route, call)

    def admit(self, exchange: Exchange) -> RouteEndpoint | ErrorEndpoint:
        """This endpoint, or 406 when the body is not of a type that the route accepts."""
        if media_type(exchange.request.headers.get("content-type", "")) in self.content_types:
            return self
        wanted = ", ".join(sorted(self.content_types))
        return ErrorEndpoint(self._app, HTTPError(406, f"the content type must be {wanted}"))


def never_waits(function: Callable[..., Any]) -> bool:
    """Whether an ``async def`` has no ``await`` at all, so that it ends in its first step.

    A decorator's wrapper is judged by its own code: it may wait where the function doesn't.
    """
    code = getattr(function, "__code__", None)
    if code is None or not code.co_flags & inspect.CO_COROUTINE:
        return False
    return not any(step.opname in _WAITING for step in dis.get_instructions(code))


def _compile_at_once(
    app: Atila, route: Route, call: Callable[[Was], Any], run_as_task: Callable[[Exchange], Any]
) -> Callable[[Exchange], None]:
    # PERF: without a task, a coroutine that never waits costs 2 us less of 12 us a request.
    def finish(was: Was) -> Any:
        try:
            call(was).send(None)
        except StopIteration as result:
            return result.value
        raise RuntimeError("a coroutine without await has waited")

    run_now = _compile_function(app, route, finish)

    def run(exchange: Exchange) -> None:
        if exchange.body is not None and exchange.body.size > PARSED_ON_LOOP:
            spawn(exchange, run_as_task(exchange))
        else:
            run_now(exchange)

    return run


def _compile_function(
    app: Atila, route: Route, call: Callable[[Was], Any]
) -> Callable[[Exchange], None]:
    senders = SENDERS

    def run(exchange: Exchange) -> None:
        was = Was(app, exchange, route)
        try:
            result = call(was)
            senders.get(type(result), send)(was, result)
        except ClientGone:
            return
        except FAILURES as exc:
            answer_failure(was, exc)

    return run


def _compile_coroutine(
    app: Atila, route: Route, answer: Callable[[Was], Awaitable[None]]
) -> Callable[[Exchange], Any]:
    async def run(exchange: Exchange) -> None:
        was = Was(app, exchange, route)
        try:
            if exchange.body is not None and exchange.body.size > PARSED_ON_LOOP:
                await asyncio.to_thread(was.arguments)
            await answer(was)
        except ClientGone:
            return
        except FAILURES as exc:
            answer_failure(was, exc)
        except asyncio.CancelledError as exc:
            if exchange.gone:
                raise
            answer_failure(was, exc)  # something that the handler waited for was cancelled
        finally:
            if exchange.gone:
                exchange.release()

    return run


def _answer_with_result(call: Callable[[Was], Any]) -> Callable[[Was], Awaitable[None]]:
    async def answer(was: Was) -> None:
        send(was, await call(was))

    return answer


def _answer_with_stream(call: Callable[[Was], Any]) -> Callable[[Was], Awaitable[None]]:
    async def answer(was: Was) -> None:
        await stream_async(was.exchange, lambda: was.response.head(HTML), call(was))

    return answer


class ErrorEndpoint:
    """What the router answers when there is no route: 404, 405, 406, a redirect, OPTIONS."""

    __slots__ = ("_app", "_error", "_fields", "max_body", "missing", "mode", "takes_body")

    def __init__(self, app: Atila, error: HTTPError, fields: Fields | None = None) -> None:
        self._app = app
        self._error = error
        self._fields = fields
        self.mode = Mode.LOOP
        self.missing = error.code == 404
        self.max_body = 0
        self.takes_body = False

    def run(self, exchange: Exchange) -> None:
        exchange.fail(self._error, self._fields)
