"""Results that are made piece by piece, at the pace of the client (seed, Generator).

``results`` sends iterators with it; the pipeline of hooks does, to know when they end.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from atila.failures import answer_failure
from atila.heads import head_of
from skitai.handlers.interface import Mode
from skitai.server.exchange import ClientGone
from skitai.server.streaming import IteratorStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from atila.was import Was
    from skitai.server.representation import Head

HTML = "text/html; charset=utf-8"


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
            with ``ClientGone``, or with the failure, which it has to answer. By default failures
            are answered and logged.
    """
    head = head_of(was, HTML)
    pieces = _begun(was, head, result) if isinstance(result, Generator) else iter(result)

    def answer(exc: BaseException | None) -> None:
        if exc is not None and not isinstance(exc, ClientGone):
            answer_failure(was, exc)

    pool = was.app.pool
    stream = IteratorStream(was.exchange, head, pieces, pool, ended or answer)
    endpoint = was.route.endpoint if was.route is not None else None
    if endpoint is None or endpoint.mode is Mode.THREAD or pool is None:
        stream.start()
    else:
        # The iterator of a coroutine's result may block: not on the loop.
        pool.resubmit(IteratorStream.start, stream)


def _begun(was: Was, head: Head, pieces: Generator[Any, None, None]) -> Iterator[Any]:
    """The pieces; what the generator sets before its first one still gets into ``head``."""
    with closing(pieces):
        first = next(pieces, b"")
        late = head_of(was, HTML)
        head.status, head.reason = late.status, late.reason
        head.content_type, head.fields = late.content_type, late.fields
        yield first
        yield from pieces
