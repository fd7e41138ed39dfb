"""The life of a request around its handler: hooks, events, guards and errors, in their order.

A route with any of them is compiled to a ``Pipeline`` when the worker starts; other routes never
get here (seed, Request Life Cycle Hooks and Events).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from copy import copy
from typing import TYPE_CHECKING, Any

from atila.context import current, is_watched
from atila.errors import HTTPError
from atila.failures import FAILURES, as_http_error
from atila.invoking import drive, from_loop, from_thread
from atila.results.files import FILES
from atila.results.senders import send, send_from_loop
from atila.results.streams import in_context, is_stream, send_async_stream, send_stream
from atila.tasks.deferred import LATE, AsyncResult, hand_over, settle, settle_in_thread
from skitai.server.exchange import ClientGone

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from atila.app import Atila
    from atila.invoking import Invoke
    from atila.steps import Step
    from atila.was import Was

log = logging.getLogger("skitai")


PARSED_ON_LOOP = 64 * 1024  # bytes; larger bodies are parsed in a thread


async def parse_large(was: Was) -> None:
    """Read the arguments of a large body before the loop needs them."""
    body = was.exchange.body
    if body is not None and body.size > PARSED_ON_LOOP:
        await asyncio.to_thread(was.arguments)


class Pipeline:
    """A handler with everything around it.

    One text for threads and for the loop: in a thread no step ever waits, so the coroutines end in
    their first step (``invoking.drive``).

    Parameters:
        app: whose hooks, events and error handlers.
        entry: steps before the app's hooks, which know nothing of a request that these refuse.
        guards: steps between the before_request hook and the handler.
        call: calls the handler.
        after: steps behind a handler that succeeded; what they return is ignored.
        awaits: whether ``call`` gives a coroutine.
        in_thread: whether it runs in a thread; else on the loop.
    """

    __slots__ = (
        "_after",
        "_app",
        "_awaits",
        "_before",
        "_call",
        "_entry",
        "_events",
        "_guards",
        "_hooks",
        "_invoke",
        "_twin",
        "_watched",
        "_winding_up",
    )

    def __init__(
        self,
        app: Atila,
        entry: Sequence[Step],
        guards: Sequence[Step],
        call: Callable[[Was], Any],
        after: Sequence[Step],
        awaits: bool,
        in_thread: bool,
    ) -> None:
        hooks, events = app.hooks, app.events
        self._app = app
        self._call = call
        self._awaits = awaits
        self._invoke: Invoke = from_thread if in_thread else from_loop
        self._watched = is_watched(app)
        self._entry = tuple(entry)
        self._before = tuple(hooks.compile(app, "before_request"))
        self._after = tuple(after)
        self._hooks = {
            name: tuple(hooks.compile(app, name))
            for name in ("finish_request", "failed_request", "teardown_request")
        }
        self._events = {
            name: events.steps(name)
            for name in (
                "before_request",
                "finish_request",
                "failed_request",
                "teardown_request",
                "request:finished",
            )
        }
        self._guards = tuple(guards)
        self._twin: Pipeline | None = None
        self._winding_up: set[asyncio.Task[None]] = set()

    async def run(self, was: Was, deferred: Any = None) -> None:
        """Answer a request; never raises, unless its client left.

        Parameters:
            deferred: what the handler has returned in a thread, to go on with on the loop.
        """
        token = current.set(was) if self._watched else None
        entered = streaming = False  # streaming: from here on it ends by itself
        try:
            if deferred is None:
                for step in self._entry:
                    await self._invoke(step, was)
            entered = True
            result = await (self._produce(was) if deferred is None else settle(was, deferred))
            streaming = await self._deliver(was, result)
        except ClientGone:
            pass
        except asyncio.CancelledError as exc:
            if was.exchange.gone:
                raise
            # What the handler waited for was cancelled.
            streaming = await self._fail(was, exc, entered)
        except GeneratorExit as exc:  # maybe this coroutine is closed, and nothing may be awaited
            was.exchange.crash(exc)
        except BaseException as exc:
            streaming = await self._fail(was, exc, entered)
        finally:
            if entered and not streaming:
                await self._tear_down(was)
            if token is not None:
                current.reset(token)

    async def result(self, was: Was) -> Any:
        """Run hooks and handler without sending anything: for calls inside of a request (RPC).

        Returns what the handler, or a hook in its place, returned. Raises what they raise.
        """
        token = current.set(was) if self._watched else None
        try:
            for step in self._entry:
                await self._invoke(step, was)
            return await self._entered(was)
        finally:
            if token is not None:
                current.reset(token)

    async def _entered(self, was: Was) -> Any:
        try:
            result = await self._produce(was)
            if self._invoke is from_thread:
                result = settle_in_thread(was, result)
            else:
                result = await settle(was, result)
            return await self._finish(was, result)
        except FAILURES as exc:
            content = await self._notify_failed(was, exc)
            if content is None:
                raise
            return content
        finally:
            await self._tear_down(was)

    async def _deliver(self, was: Was, result: Any) -> bool:
        """Send what the handler returned; True when that goes on by itself."""
        # PERF: the table knows most types; to ask those whether they are streams takes 1 us.
        if type(result) not in self._app.senders:
            if isinstance(result, LATE) and self._invoke is from_thread:
                hand_over(was, self._elsewhere().run(was, result))
                return True
            result = await settle(was, result)
            if isinstance(result, AsyncGenerator):
                await send_async_stream(was, result)
                await self._finish(was, result)
                return False
            if is_stream(result):
                pieces = in_context(result) if self._watched else result
                send_stream(was, pieces, lambda exc: self._stream_ended(was, result, exc))
                return True
        return await self._send(was, await self._finish(was, result), False)

    # -- the stages

    async def _produce(self, was: Was) -> Any:
        """The response: of the first step that has one, else of the handler."""
        try:
            result = await self._prepare(was)
            if result is None:
                result = self._call(was)
                if self._awaits:
                    result = await result
                for step in self._after:
                    await self._invoke(step, was)
        except HTTPError as status:
            if status.code >= 400:
                raise
            return status  # raised, but no failure: 304, a redirect
        if isinstance(result, HTTPError) and result.code >= 400:
            raise result
        return result

    async def _prepare(self, was: Was) -> Any:
        invoke = self._invoke
        for step in self._before:
            result = await invoke(step, was)
            if result is not None:
                return result
        if self._events["before_request"]:
            await self._notify("before_request", was)
        if self._invoke is from_loop:
            await parse_large(was)
        for step in self._guards:
            result = await invoke(step, was)
            if result is not None:
                return result
        return None

    async def _send(self, was: Was, result: Any, failed: bool) -> bool:
        """Send what came out of the hooks; True when that goes on by itself.

        Parameters:
            failed: failed_request has made it, which is not asked again.
        """
        if type(result) not in self._app.senders:
            if isinstance(result, LATE) and self._invoke is from_thread:
                hand_over(was, self._elsewhere()._send_later(was, result, failed))
                return True
            result = await settle(was, result)
            if not isinstance(result, AsyncGenerator) and is_stream(result):
                pieces = in_context(result) if self._watched else result
                send_stream(was, pieces, lambda exc: self._stream_sent(was, exc, failed))
                return True
        if self._invoke is from_loop:
            await send_from_loop(was, result)
        else:
            send(was, result)
        return False

    async def _send_later(self, was: Was, result: Any, failed: bool) -> None:
        """``_send`` on the loop, with the end of the request behind it."""
        token = current.set(was) if self._watched else None
        streaming = False
        try:
            streaming = await self._send(was, result, failed)
        except ClientGone:
            pass
        except FAILURES as exc:
            streaming = await self._fail(was, exc, not failed)
        except asyncio.CancelledError as exc:
            if was.exchange.gone:
                raise
            streaming = await self._fail(was, exc, not failed)
        finally:
            if not streaming:
                await self._tear_down(was)
            if token is not None:
                current.reset(token)

    async def _finish(self, was: Was, result: Any) -> Any:
        if not isinstance(result, AsyncResult):
            return await self._finished(was, result)
        final: Any = None
        try:
            final = await self._finished(was, result)
            return final
        finally:
            if final is not result:
                result.discard()

    async def _finished(self, was: Was, result: Any) -> Any:
        if type(result) in FILES:
            result.check(was)  # a file that isn't there is a failure
        for step in self._hooks["finish_request"]:
            changed = await self._invoke(step, was, result)
            if changed is not None:
                result = changed
        if self._events["finish_request"]:
            await self._notify("finish_request", was, result)
        return result

    async def _fail(self, was: Was, exc: BaseException, notify: bool) -> bool:
        """Answer a failure; True when that goes on by itself."""
        if notify:
            content = await self._notify_failed(was, exc)
            if content is not None and not was.exchange.answered:
                try:
                    return await self._send(was, content, True)
                except FAILURES as second:
                    exc = second
        await self._app.error_handlers.answer(was, exc, self._invoke)
        return False

    async def _notify_failed(self, was: Was, exc: BaseException) -> Any:
        """The failed_request hook and event; returns the content of the hook."""
        if was._request is not None:
            was._request.drop_changes()
        if was.exchange.gone:
            was.disown_tasks()
        info = (type(exc), exc, exc.__traceback__)
        content: Any = None
        for step in self._hooks["failed_request"]:
            content = await self._attempt("failed_request hook", step, was, info)
        await self._notify("failed_request", was, info)
        if content is not None and as_http_error(exc) is None:
            self._app.logger.error("[%s] answered by failed_request", was.txnid(), exc_info=info)
        return content

    async def _tear_down(self, was: Was) -> None:
        if was.exchange.gone:
            was.disown_tasks()
        for step in self._hooks["teardown_request"]:
            await self._attempt("teardown_request hook", step, was)
        for name in ("teardown_request", "request:finished"):
            if self._events[name]:
                await self._notify(name, was)

    async def _notify(self, name: str, was: Was, *args: Any) -> None:
        """Event handlers: what they return is ignored, what they raise only logged."""
        for step in self._events[name]:
            await self._attempt(f"event {name}", step, was, *args)

    async def _attempt(self, what: str, step: Step, was: Was, *args: Any) -> Any:
        """Call a step whose failure changes nothing any more."""
        try:
            return await self._invoke(step, was, *args)
        except FAILURES:
            log.exception("%s failed", what)
            return None

    # -- streams, which end somewhere else

    def _stream_ended(self, was: Was, result: Any, exc: BaseException | None) -> None:
        """The last piece was made: in a thread of the pool, or on the loop if there is none."""
        self._at_the_end(was, lambda pipeline: pipeline._wind_up(was, result, exc))

    def _stream_sent(self, was: Was, exc: BaseException | None, failed: bool) -> None:
        """The same of a stream that hooks have made."""
        self._at_the_end(was, lambda pipeline: pipeline._wind_up_sent(was, exc, not failed))

    def _at_the_end(self, was: Was, last: Callable[[Pipeline], Coroutine[Any, Any, None]]) -> None:
        if self._app.pool is None:
            # Not cancelled when the client leaves: there is nothing to spare any more.
            task = was.exchange.channel.server.loop.create_task(last(self))
            self._winding_up.add(task)
            task.add_done_callback(self._winding_up.discard)
        else:
            drive(last(self if self._invoke is from_thread else self._elsewhere()))

    async def _wind_up(self, was: Was, result: Any, exc: BaseException | None) -> None:
        token = current.set(was)
        try:
            try:
                if exc is None:
                    await self._finish(was, result)
            except FAILURES as failure:
                exc = failure
            await self._wind_up_sent(was, exc, True)
        finally:
            current.reset(token)

    async def _wind_up_sent(self, was: Was, exc: BaseException | None, notify: bool) -> None:
        token = current.set(was)
        try:
            streaming = False
            if exc is not None and not isinstance(exc, ClientGone):
                streaming = await self._fail(was, exc, notify)
            if not streaming:
                await self._tear_down(was)
        finally:
            current.reset(token)

    def _elsewhere(self) -> Pipeline:
        """The same pipeline for the loop, if this is the one for threads; or the reverse."""
        if self._twin is None:
            twin = copy(self)
            twin._invoke = from_loop if self._invoke is from_thread else from_thread
            self._twin = twin
        return self._twin
