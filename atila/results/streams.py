"""Results that are made piece by piece, at the pace of the client (seed, Generator).

``results`` sends iterators with it; the pipeline of hooks does, to know when they end.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from atila.failures import answer_failure
from atila.invoking import drive, from_loop, from_thread
from atila.results.heads import head_of
from skitai.server.coroutines import spawn
from skitai.server.exchange import ClientGone
from skitai.server.representation import Head
from skitai.server.streaming import IteratorStream, stream_async, to_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from atila.was import Was

HTML = "text/html; charset=utf-8"
_END: Any = object()


def is_stream(result: Any) -> bool:
    """Whether a result is made piece by piece: iterators, and iterables of unknown length."""
    if hasattr(result, "read"):
        return False
    return hasattr(result, "__next__") or (
        hasattr(result, "__iter__") and not hasattr(result, "__len__")
    )


def send_stream(
    was: Was, result: Any, ended: Callable[[BaseException | None], None] | None = None
) -> None:
    """Answer with the pieces of an iterator.

    Parameters:
        result: yields text or bytes.
        ended: called once, where the last piece was made: with None when the response is complete,
            with ``ClientGone``, or with the failure, which it has to answer. By default the error
            handlers of the app do.
    """
    head = Head(200)
    pieces = _begun(was, head, result)

    pool = was.app.pool
    ended = ended or partial(_answer, was)
    stream = IteratorStream(was.exchange, head, pieces, pool, ended)
    if pool is not None and asyncio._get_running_loop() is not None:
        pool.resubmit(IteratorStream.start, stream)  # the iterator may block
    else:
        stream.start()


def _answer(was: Was, exc: BaseException | None) -> None:
    if exc is None or isinstance(exc, ClientGone):
        return
    handlers = was.app.error_handlers
    if not handlers:
        answer_failure(was, exc)
    elif was.app.pool is None:
        spawn(was.exchange, handlers.answer(was, exc, from_loop))
    else:
        drive(handlers.answer(was, exc, from_thread))


def _begun(was: Was, head: Head, result: Any) -> Iterator[Any]:
    """The pieces; what is set until the first one is made gets into ``head``."""
    pieces = iter(result)
    try:
        first = to_bytes(next(pieces, b""))
        late = head_of(was, HTML)
        head.status, head.reason = late.status, late.reason
        head.content_type, head.fields = late.content_type, late.fields
        yield first
        yield from pieces
    finally:
        if hasattr(pieces, "close"):
            pieces.close()


def in_context(result: Any) -> Iterator[Any]:
    """The pieces of an iterator; all of them are made in the present context, in any thread."""
    context = copy_context()
    pieces = iter(result)
    try:
        while (piece := context.run(next, pieces, _END)) is not _END:
            yield piece
    finally:
        if hasattr(pieces, "close"):
            context.run(pieces.close)


async def send_async_stream(was: Was, pieces: AsyncGenerator[Any, None]) -> None:
    """Answer with the pieces of an asynchronous generator. Raises as ``stream_async`` does."""
    if was.app.sessions.store.blocking:
        pieces = _saved(was, pieces)
    await stream_async(was.exchange, lambda: head_of(was, HTML), pieces)


async def _saved(was: Was, pieces: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """The pieces; the session is saved, without blocking the loop, when the first one is made."""
    async with aclosing(pieces):
        first = to_bytes(await anext(pieces, b""))
        if was._request is not None:
            await was._request.save_session()
        yield first
        async for piece in pieces:
            yield piece
