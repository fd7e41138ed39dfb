"""``was.ThreadPass`` and ``was.Queue``: what another thread makes (seed, Making Response).

These threads are not those for requests, so that long work doesn't keep others waiting.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from atila.steps import is_async
from atila.tasks.deferred import Deferred
from skitai.server.exchange import ClientGone
from skitai.server.streaming import to_bytes
from skitai.tasks.executed import call

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from atila.was import Was

log = logging.getLogger("skitai")

QUEUE_SIZE = 8
MIN_QUEUE_SIZE = 2
QUEUE_TIMEOUT = 8.0  # seconds


class ThreadPass(Deferred):
    """The response that ``f(was, *args)`` returns in another thread."""

    __slots__ = ("_args", "_function", "_kwargs")

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        if not callable(function):
            raise TypeError(f"was.ThreadPass() calls a function, not {function!r}")
        self._function = function
        self._args = args
        self._kwargs = kwargs

    async def resolve(self, was: Was) -> Any:
        function = self._function
        if is_async(function):
            return await function(was, *self._args, **self._kwargs)
        in_context = copy_context().run
        return await call(
            was.upstreams.threads, in_context, function, was, *self._args, **self._kwargs
        )


class Queue(Deferred):
    """A stream of what ``producer(queue)`` puts into a queue, in a thread.

    Parameters:
        producer: calls ``queue.put(item)`` with text or bytes; with None, or when it returns, the
            stream ends. It waits while the client is slow, and gets ``ClientGone`` when it left.
            Its method ``close``, if it has one, is called at the end.
        max_size: items that wait for the client, 2 or more.
        wait_timeout: seconds without an item after which the response is broken off; 0: never.
    """

    __slots__ = ("_max_size", "_producer", "_timeout")

    def __init__(
        self,
        producer: Callable[[StreamQueue], Any],
        max_size: int = QUEUE_SIZE,
        wait_timeout: float = QUEUE_TIMEOUT,
        use_thread_pool: bool = True,
    ) -> None:
        if not callable(producer):
            raise TypeError(f"was.Queue() calls a function with a queue, not {producer!r}")
        self._producer = producer
        self._max_size = max(MIN_QUEUE_SIZE, max_size)
        self._timeout = wait_timeout

    async def resolve(self, was: Was) -> AsyncGenerator[bytes, None]:
        return self._pieces(was)

    async def _pieces(self, was: Was) -> AsyncGenerator[bytes, None]:
        queue = StreamQueue(asyncio.get_running_loop(), self._max_size)
        work = asyncio.ensure_future(
            call(was.upstreams.threads, copy_context().run, self._produce, queue)
        )
        silent = False
        try:
            while (item := await queue.get(self._timeout)) is not None:
                yield to_bytes(item)
            await work
        except ProducerSilent:
            silent = True  # who knows how long it still takes
            raise
        finally:
            queue.close()
            work.add_done_callback(partial(_tell_end, was.exchange.request.target))
            if not silent:
                await asyncio.wait([work])

    def _produce(self, queue: StreamQueue) -> None:
        try:
            self._producer(queue)
        finally:
            close = getattr(self._producer, "close", None)
            if close is not None:
                close()
            queue.finish()


class ProducerSilent(TimeoutError):
    """Nothing was put into a queue for too long."""


def _tell_end(target: str, work: asyncio.Future[Any]) -> None:
    if not work.cancelled() and isinstance(work.exception(), ClientGone):
        log.info("%s: the client left a stream", target)


class StreamQueue:
    """What a producer puts items into; the loop takes them out."""

    def __init__(self, loop: asyncio.AbstractEventLoop, size: int) -> None:
        self._loop = loop
        self._items: deque[Any] = deque()
        self._free = threading.Semaphore(size)
        self._closed = False
        self._told = False  # the producer knows that nobody reads any more
        self._finished = False
        self._news: asyncio.Future[None] | None = None

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Add text or bytes; None ends the stream, and what comes then is dropped.

        Waits while the queue is full.

        Raises ``ClientGone`` when nobody reads any more, and ``SystemExit`` in a producer that goes
        on nevertheless; ``TimeoutError`` when no place got free in ``timeout`` seconds, or at once
        without ``block``.
        """
        if item is None:
            self.finish()
        if self._finished:
            return
        if not self._free.acquire(block, timeout if block else None):
            raise TimeoutError("the queue is full: the client reads slowly")
        if self._closed:
            self._free.release()
            if self._told:
                raise SystemExit("the producer of a stream went on when nobody read it any more")
            self._told = True
            raise ClientGone
        self._items.append(item)
        self._loop.call_soon_threadsafe(self._tell)

    def finish(self) -> None:
        """End the stream; any thread, any number of times."""
        self._finished = True
        self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def get(self, timeout: float) -> Any:
        """The next item; None at the end. Raises ``ProducerSilent``."""
        while not self._items:
            if self._finished:
                return None
            self._news = self._loop.create_future()
            try:
                await asyncio.wait_for(self._news, timeout or None)
            except asyncio.TimeoutError:
                text = f"the producer has put nothing for {timeout:g} s"
                raise ProducerSilent(text) from None
            finally:
                self._news = None
        item = self._items.popleft()
        self._free.release()
        return item

    def close(self) -> None:
        """Nobody reads any more: a producer that waits is told."""
        self._closed = True
        self._items.clear()
        self._free.release(2**16)
