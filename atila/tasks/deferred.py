"""Responses that are made later (seed, Coroutine).

A handler returns one and its thread is free; when the tasks in it have ended, the loop goes on with
the request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from atila.errors import HTTPError
from atila.invoking import in_pool, wait_for
from atila.steps import is_async
from skitai.server.coroutines import spawn
from skitai.tasks.then import Then

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from atila.was import Was
    from skitai.server.exchange import Exchange


class Deferred:
    """A response that is made later; those that ``was`` offers are subclasses."""

    __slots__ = ()

    async def resolve(self, was: Was) -> Any:
        """Wait, on the loop, and return the response; it may be deferred in its turn."""
        raise NotImplementedError


class AsyncResult:
    """A response that is sent by a coroutine."""

    __slots__ = ()

    async def send(self, was: Was) -> None:
        """Answer the request. Raises as other senders do."""
        raise NotImplementedError

    def discard(self) -> None:
        """It will not be sent: free what it holds."""


DEFERRED = (Deferred, Then)
# What a thread leaves to the loop.
LATE = (*DEFERRED, AsyncGenerator)


async def resolve(was: Was, result: Any) -> Any:
    """The response that a deferred one leads to; ``result`` itself if it isn't deferred.

    Raises what the app's functions raise, and the tasks that they fetch; ``TypeError`` for a
    response that leads to itself.
    """
    while isinstance(result, DEFERRED):
        given = result
        if isinstance(given, Then):
            result = await call(was, given.function, was, await given.task)
        else:
            result = await given.resolve(was)
        if result is given:
            raise TypeError(f"this {type(given).__name__} leads to itself, and never to a response")
    return result


async def settle(was: Was, result: Any) -> Any:
    """``resolve``, as if the handler had returned the response: an error is raised, 304 is not."""
    try:
        result = await resolve(was, result)
    except HTTPError as status:
        if status.code >= 400:
            raise
        return status
    if isinstance(result, HTTPError) and result.code >= 400:
        raise result
    return result


def settle_in_thread(was: Was, result: Any) -> Any:
    """``settle`` for a thread, which waits for the loop to do it."""
    if not isinstance(result, DEFERRED):
        return result
    return wait_for(settle(was, result), was.exchange.channel.server.loop)


async def call(was: Was, function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of the app from the loop: a plain one in a thread, as it may block."""
    if is_async(function):
        return await function(*args)
    pool = was.app.pool
    if pool is None:
        return function(*args)
    return await in_pool(pool, function, *args)


def hand_over(was: Was, coroutine: Coroutine[Any, Any, None]) -> None:
    """Let the loop go on with a request; any thread. The coroutine answers its failures itself."""
    exchange = was.exchange
    loop = exchange.channel.server.loop
    if asyncio._get_running_loop() is loop:
        spawn(exchange, _answered(exchange, coroutine))
    else:
        loop.call_soon_threadsafe(spawn, exchange, _answered(exchange, coroutine))


async def _answered(exchange: Exchange, coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        await coroutine
    except asyncio.CancelledError:
        raise
    except BaseException as exc:  # nothing else would tell the client
        exchange.crash(exc)
