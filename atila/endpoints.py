"""Endpoints: a route compiled to the one function that the engine runs for a request.

``app.freeze`` makes one per route and one per error that routing can give; the engine's app handler
runs them in a thread, on the loop, or as a coroutine.
"""

from __future__ import annotations

import asyncio
import dis
import inspect
from typing import TYPE_CHECKING, Any

from atila.access.admission import Admission
from atila.access.cors import answers_preflight
from atila.binding import compile_call
from atila.context import is_watched
from atila.failures import FAILURES, answer_failure
from atila.hooks import compile_guards
from atila.invoking import drive, from_loop, from_thread
from atila.pipeline import PARSED_ON_LOOP, Pipeline, parse_large
from atila.prework import after_steps
from atila.results.senders import send, send_from_loop
from atila.steps import Kind
from atila.tasks.coroutines import as_coroutine, is_coroutine_route
from atila.tasks.deferred import settle, settle_in_thread
from atila.was import Was
from skitai.handlers.interface import Mode
from skitai.server.coroutines import spawn
from skitai.server.exchange import ClientGone

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from atila.access.auth import Authenticators
    from atila.app import Atila
    from atila.error_endpoint import ErrorEndpoint
    from atila.routing.router import Route
    from atila.steps import Step
    from skitai.server.exchange import Exchange

    Call = Callable[[Was], Any]
    Fail = Callable[[Was, BaseException], None]

# SEND and YIELD_FROM (Python 3.10) are what `await`, `async for` and `async with` compile to.
_WAITING = frozenset(("SEND", "YIELD_FROM", "YIELD_VALUE"))


class RouteEndpoint:
    """A route, ready to run.

    Attributes:
        mode: thread for plain functions, coroutine for ``async def``.
        takes_body, streams_body: whether the body is read before or while the route runs.
        max_body: ``MAX_UPLOAD_SIZE`` of the app, in bytes; None when it has none.
        run: answers an exchange.
        admit: decides, before the body is read, which endpoint answers; None when it is always
            this one.
        cors: which pages of other sites may use the route; None: no policy.
        preflights: whether their preflights are answered.
    """

    __slots__ = (
        "_admission",
        "_awaits",
        "_call",
        "_pipeline",
        "admit",
        "cors",
        "max_body",
        "missing",
        "mode",
        "preflights",
        "run",
        "streams_body",
        "takes_body",
    )

    def __init__(self, app: Atila, route: Route, authenticators: Authenticators) -> None:
        self.missing = False
        self.max_body: int | None = app.config.get("MAX_UPLOAD_SIZE")
        self._admission = admission = Admission(app, route, authenticators)
        self.cors = admission.cors
        self.preflights = answers_preflight(app, route)
        self.admit: Callable[[Exchange], RouteEndpoint | ErrorEndpoint] | None = None
        if admission:
            self.admit = self._admit
        self.streams_body = bool(route.options.get("input_stream"))
        self.takes_body = not self.streams_body
        function = route.function
        if is_coroutine_route(route):
            function = as_coroutine(function)
        streams = inspect.isasyncgenfunction(function)
        self._awaits = inspect.iscoroutinefunction(function)
        call = compile_call(function, route.signature, route.rule, app.restrict_parameter_count)
        guards = compile_guards(app, route.function, route)
        after = after_steps(route.function)
        entry = admission.steps()
        in_thread = not (streams or self._awaits) and app.pool is not None
        self._pipeline: Pipeline | None = None
        self.run: Callable[[Exchange], Any]
        if _needs_pipeline(app, [*entry, *guards], after):
            pipeline = Pipeline(app, entry, guards, call, after, self._awaits, in_thread)
            self._pipeline = pipeline
            self.mode = Mode.THREAD if in_thread else Mode.COROUTINE
            self.run = (_compile_driven if in_thread else _compile_awaited)(app, route, pipeline)
            return
        self._call = call = _fold(entry + guards, call)
        if streams:
            self.mode = Mode.COROUTINE
            self.run = _compile_coroutine(app, route, _answer_at_once(call))
        elif self._awaits:
            self.mode = Mode.COROUTINE
            self.run = _compile_coroutine(app, route, _answer_with_result(call))
            if never_waits(function):
                self.mode = Mode.LOOP
                self.run = _compile_at_once(app, route, call, self.run)
        else:
            self.mode = Mode.THREAD
            self.run = _compile_function(app, route, call, _fail(app, app.pool is not None))

    async def result(self, was: Was) -> Any:
        """What the route returns for ``was``, with all hooks; nothing is sent (for RPC)."""
        if self._pipeline is not None:
            return await self._pipeline.result(was)
        result = self._call(was)
        if self._awaits:
            return await settle(was, await result)
        return settle_in_thread(was, result) if was.app.pool else await settle(was, result)

    def _admit(self, exchange: Exchange) -> RouteEndpoint | ErrorEndpoint:
        return self._admission.refuse(exchange) or self


def never_waits(function: Callable[..., Any]) -> bool:
    """Whether an ``async def`` has no ``await`` at all, so that it ends in its first step.

    A decorator's wrapper is judged by its own code: it may wait where the function doesn't.
    """
    code = getattr(function, "__code__", None)
    if code is None or not code.co_flags & inspect.CO_COROUTINE:
        return False
    return not any(step.opname in _WAITING for step in dis.get_instructions(code))


def _needs_pipeline(app: Atila, steps: Sequence[Step], after: Sequence[Step]) -> bool:
    """Whether anything around the handler is code of the app, which may block, wait or answer."""
    own = any(step.kind is not Kind.INLINE for step in steps)
    return own or bool(after) or bool(app.hooks) or is_watched(app)


def _fold(steps: Sequence[Step], call: Call) -> Call:
    """A handler behind steps of our own: they pass or raise, and never wait."""
    if not steps:
        return call
    runs = tuple(step.run for step in steps)
    if len(runs) == 1:
        (run,) = runs

        def call_behind_one(was: Was) -> Any:
            run(was)
            return call(was)

        return call_behind_one

    def call_behind(was: Was) -> Any:
        for run in runs:
            run(was)
        return call(was)

    return call_behind


def _fail(app: Atila, in_thread: bool) -> Fail:
    """Answers a failure, with the app's error handlers if there are any."""
    handlers = app.error_handlers
    if not handlers:
        return answer_failure

    def fail_in_thread(was: Was, exc: BaseException) -> None:
        drive(handlers.answer(was, exc, from_thread))

    def fail_on_loop(was: Was, exc: BaseException) -> None:
        spawn(was.exchange, handlers.answer(was, exc, from_loop))

    return fail_in_thread if in_thread else fail_on_loop


def _compile_at_once(
    app: Atila, route: Route, call: Call, run_as_task: Callable[[Exchange], Any]
) -> Callable[[Exchange], None]:
    # PERF: without a task, a coroutine that never waits costs 2 us less of 12 us a request.
    def finish(was: Was) -> Any:
        try:
            call(was).send(None)
        except StopIteration as result:
            return result.value
        raise RuntimeError("a coroutine without await has waited")

    run_now = _compile_function(app, route, finish, _fail(app, False))

    def run(exchange: Exchange) -> None:
        if exchange.body is not None and exchange.body.size > PARSED_ON_LOOP:
            spawn(exchange, run_as_task(exchange))
        else:
            run_now(exchange)

    return run


def _compile_function(
    app: Atila, route: Route, call: Call, fail: Fail
) -> Callable[[Exchange], None]:
    senders = app.senders

    def run(exchange: Exchange) -> None:
        was = Was(app, exchange, route)
        try:
            result = call(was)
            senders.get(type(result), send)(was, result)
        except ClientGone:
            return
        except BaseException as exc:
            fail(was, exc)

    return run


def _compile_coroutine(
    app: Atila, route: Route, answer: Callable[[Was], Awaitable[None]]
) -> Callable[[Exchange], Any]:
    handlers = app.error_handlers

    async def run(exchange: Exchange) -> None:
        was = Was(app, exchange, route)
        try:
            await parse_large(was)
            await answer(was)
        except ClientGone:
            return
        except FAILURES as exc:
            await handlers.answer(was, exc, from_loop)
        except asyncio.CancelledError as exc:
            if exchange.gone:
                raise
            await handlers.answer(was, exc, from_loop)  # what the handler waited for was cancelled
        except BaseException as exc:  # nothing else would tell the client
            exchange.crash(exc)
        finally:
            if exchange.gone:
                exchange.release()

    return run


def _compile_driven(app: Atila, route: Route, pipeline: Pipeline) -> Callable[[Exchange], None]:
    def run(exchange: Exchange) -> None:
        drive(pipeline.run(Was(app, exchange, route)))

    return run


def _compile_awaited(app: Atila, route: Route, pipeline: Pipeline) -> Callable[[Exchange], Any]:
    async def run(exchange: Exchange) -> None:
        try:
            await pipeline.run(Was(app, exchange, route))
        except asyncio.CancelledError:
            raise
        except BaseException as exc:  # nothing else would tell the client
            exchange.crash(exc)
        finally:
            if exchange.gone:
                exchange.release()

    return run


def _answer_with_result(call: Call) -> Callable[[Was], Awaitable[None]]:
    async def answer(was: Was) -> None:
        await send_from_loop(was, await call(was))

    return answer


def _answer_at_once(call: Call) -> Callable[[Was], Awaitable[None]]:
    async def answer(was: Was) -> None:
        await send_from_loop(was, call(was))

    return answer
