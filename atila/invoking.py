"""Calls steps from where a request runs: from a thread of the pool, or from the loop.

The code around a handler is written once, as coroutines. In a thread nothing in them ever waits,
and ``drive`` runs them to their end; on the loop they wait for threads and for other coroutines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from atila.steps import Kind, Step
from skitai.executors.jobs import contained, name_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from atila.was import Was
    from skitai.executors.threads import ThreadPool

T = TypeVar("T")
Invoke = Callable[..., Awaitable[Any]]


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in which nothing waits; return its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise RuntimeError("a step has waited outside of the loop")


async def from_thread(step: Step, was: Was, *args: Any) -> Any:
    """Call a step from a thread, which may block until a coroutine of the loop has its result."""
    if step.kind is not Kind.ASYNC:
        return step.run(was, *args)
    return wait_for(step.run(was, *args), was.exchange.channel.server.loop)


def wait_for(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    """Run a coroutine on the loop and wait in a thread for its result.

    Raises what it raises; ``RuntimeError`` on the loop itself, which would wait for ever.
    """
    if asyncio._get_running_loop() is loop:
        coroutine.close()
        raise RuntimeError(
            "this can't be waited for on the event loop, everybody else would wait too: "
            "yield it or await it"
        )
    return asyncio.run_coroutine_threadsafe(_contained(coroutine), loop).result()


async def _contained(coroutine: Coroutine[Any, Any, T]) -> T:
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as exc:  # they would end the loop
        raise contained(exc, getattr(coroutine, "__qualname__", "a coroutine")) from exc


async def from_loop(step: Step, was: Was, *args: Any) -> Any:
    """Call a step from the loop, which functions of the app must not block."""
    if step.kind is Kind.ASYNC:
        return await step.run(was, *args)
    pool = was.app.pool
    if step.kind is Kind.INLINE or pool is None:
        return step.run(was, *args)
    return await in_pool(pool, step.run, was, *args)


async def in_pool(pool: ThreadPool, function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a thread of the pool, with the context of the caller.

    A function can't be stopped. When the caller is cancelled, as the client left, it waits for the
    end of the function, so that what it does then does not overtake it.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    ended = False
    waiter: asyncio.Future[None] | None = None
    context = copy_context()

    def settle(result: Any, exc: BaseException | None) -> None:
        nonlocal ended
        ended = True
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if future.done():
            return  # the caller was cancelled
        if exc is None:
            future.set_result(result)
        else:
            future.set_exception(exc)

    def work(_: None) -> None:
        result: Any = None
        failure: BaseException | None = None
        try:
            result = context.run(function, *args)
        except StopIteration as exc:  # a future can't have one
            failure = RuntimeError(f"{name_of(function)} raised {exc!r}")
            failure.__cause__ = exc
        except BaseException as exc:
            failure = contained(exc, name_of(function))
        loop.call_soon_threadsafe(settle, result, failure)

    pool.resubmit(work, None)
    try:
        return await future
    except asyncio.CancelledError:
        if not ended:
            waiter = loop.create_future()
            await waiter
        raise
