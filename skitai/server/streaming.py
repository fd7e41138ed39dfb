"""Bodies that an app produces piece by piece, at the pace of the client.

Results of handlers use it: iterators are pulled in worker threads, asynchronous ones on the loop.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from skitai.server.exchange import ClientGone

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from skitai.executors.threads import ThreadPool
    from skitai.server.exchange import Exchange
    from skitai.server.representation import Head

log = logging.getLogger("skitai")


def to_bytes(piece: Any) -> bytes:
    """A piece of a body as bytes; text is UTF-8. Raises ``TypeError`` for other types."""
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a streamed body yields text or bytes, not {type(piece).__name__}")


class IteratorStream:
    """Answers an exchange with the pieces of an iterator.

    A slow client holds no thread: the job ends and is put back into the pool when the client has
    caught up. When the client leaves, the iterator is closed.

    Parameters:
        exchange: not answered yet.
        head: status and headers.
        iterator: yields text or bytes; ``close`` is called at the end if it has one.
        pool: None pulls on the loop.
        ended: called once when the iterator is closed: with None when the response is complete,
            with ``ClientGone``, or with the failure, which it has to answer. By default a failure
            is a crash.
    """

    __slots__ = ("_ended", "_exchange", "_head", "_iterator", "_pool")

    def __init__(
        self,
        exchange: Exchange,
        head: Head,
        iterator: Iterator[Any],
        pool: ThreadPool | None,
        ended: Callable[[BaseException | None], None] | None = None,
    ) -> None:
        self._exchange = exchange
        self._head = head
        self._iterator = iterator
        self._pool = pool
        self._ended = ended or self._answer

    def start(self) -> None:
        """Pull the first piece, so that an early failure is still an error answer, and begin."""
        exchange = self._exchange
        try:
            data = to_bytes(next(self._iterator, b""))
            exchange.start(self._head)
            if exchange.request.method == "HEAD":
                exchange.end()
        except BaseException as exc:  # a SystemExit must not end the thread
            self._close(exc)
            return
        if exchange.request.method == "HEAD":
            self._close(None)
        else:
            self._pull(data)

    def _pull(self, data: bytes = b"") -> None:
        exchange = self._exchange
        failure: BaseException | None = None
        try:
            while True:
                # Also for an empty piece: it tells whether the client is still there.
                if not exchange.write(data):
                    exchange.when_writable(self._resume)
                    return
                data = to_bytes(next(self._iterator))
        except StopIteration:
            exchange.end()
        except BaseException as exc:  # a SystemExit must not end the thread
            failure = exc
        self._close(failure)

    def _resume(self) -> None:
        if self._pool is None:
            self._pull()
        else:
            self._pool.resubmit(IteratorStream._pull, self)

    def _answer(self, failure: BaseException | None) -> None:
        if failure is not None and not isinstance(failure, ClientGone):
            self._exchange.crash(failure)

    def _close(self, failure: BaseException | None) -> None:
        close = getattr(self._iterator, "close", None)
        if close is not None:
            try:
                close()
            except Exception:
                log.exception("closing a streamed body failed")
        try:
            self._ended(failure)
        except Exception as exc:
            self._exchange.crash(exc)


async def stream_async(
    exchange: Exchange, make_head: Callable[[], Head], pieces: AsyncGenerator[Any, None]
) -> None:
    """Answer with the pieces of an asynchronous generator.

    Parameters:
        exchange: not answered yet.
        make_head: called after the first piece, when the app has set its headers.
        pieces: yields text or bytes; closed at the end.

    Raises what the generator raises; ``ClientGone`` when the client left.
    """
    try:
        first = await anext(pieces, b"")
        data = to_bytes(first)
        exchange.start(make_head())
        if exchange.request.method != "HEAD":
            await write(exchange, data)
            async for piece in pieces:
                await write(exchange, to_bytes(piece))
        exchange.end()
    finally:
        await pieces.aclose()


async def write(exchange: Exchange, data: bytes) -> None:
    """Send a piece of a started response, when the client can take it. Raises ``ClientGone``."""
    if not exchange.write(data):
        writable = asyncio.Event()
        exchange.when_writable(writable.set)
        await writable.wait()
