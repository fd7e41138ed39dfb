"""Content codings undone (RFC 9110, 8.4), with a limit on what comes out; ``backend`` calls it."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Any

from skitai.tasks.errors import Failure, TaskError
from skitai.tasks.status import STA_NORMAL
from skitai.upstream.http.exchange import too_large

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PIECE = 256 * 1024  # bytes of output made at a time
INLINE_PIECES = 4  # more than this is made in a thread: 1 MiB takes 3 ms
_MAX_CODINGS = 3


class ContentError(TaskError):
    """The body of an answer is not what its headers say."""


def accepted_codings() -> str:
    """The value of ``Accept-Encoding``."""
    return "gzip, deflate, br" if _brotli() is not None else "gzip, deflate"


async def decompress(body: bytes, coding: str, limit: int) -> bytes:
    """Undo the codings of a body.

    Parameters:
        body: as it came.
        coding: value of ``Content-Encoding``.
        limit: bytes that may come out.

    Raises ``Failure`` for an unknown coding, a broken body, and one that is larger than allowed.
    """
    names = [name.strip().lower() for name in coding.split(",") if name.strip()]
    names = [name for name in names if name != "identity"]
    if len(names) > _MAX_CODINGS:
        raise _unreadable(f"the answer has {len(names)} content codings")
    for name in reversed(names):
        decode = _DECODERS.get(name)
        if decode is None:
            raise _unreadable(f"the answer has the content coding {name[:40]!r}")
        body = await _expand(decode(body), name, limit)
    return body


async def _expand(pieces: Iterator[bytes], name: str, limit: int) -> bytes:
    whole = bytearray()
    try:
        for count, piece in enumerate(pieces, 1):
            whole += piece
            if len(whole) > limit:
                raise too_large(limit)
            if count == INLINE_PIECES:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(None, _expand_rest, pieces, whole, limit)
                break
    except (zlib.error, EOFError, _BrokenBrotli) as exc:
        raise _unreadable(f"the answer is not valid {name}: {exc}") from exc
    return bytes(whole)


def _expand_rest(pieces: Iterator[bytes], whole: bytearray, limit: int) -> None:
    for piece in pieces:
        whole += piece
        if len(whole) > limit:
            raise too_large(limit)


def _gzip(body: bytes) -> Iterator[bytes]:
    while True:
        inflate = zlib.decompressobj(wbits=31)
        yield from _inflated(inflate, body)
        body = inflate.unused_data
        if not body.startswith(b"\x1f\x8b"):  # a file may have several members, or be padded
            return


def _deflate(body: bytes) -> Iterator[bytes]:
    # Half of the world took "deflate" for the bare format without zlib's head (RFC 9110, 8.4.1.2).
    wrapped = len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
    yield from _inflated(zlib.decompressobj(wbits=15 if wrapped else -15), body)


def _inflated(inflate: Any, body: bytes) -> Iterator[bytes]:
    while not inflate.eof:
        piece = inflate.decompress(body, PIECE)
        body = inflate.unconsumed_tail
        if piece:
            yield piece
        elif not inflate.eof:
            raise EOFError("it ends too early")


class _BrokenBrotli(Exception):
    """brotli has an error type of its own, in a package that may be missing."""


def _brotli_pieces(body: bytes) -> Iterator[bytes]:
    make = _brotli()
    if make is None:
        raise _unreadable("the answer is compressed with br: pip install 'skitai[brotli]'")
    decompressor = make()
    try:
        piece = decompressor.process(body, output_buffer_limit=PIECE)
        while piece or not decompressor.can_accept_more_data():
            yield piece
            piece = decompressor.process(b"", output_buffer_limit=PIECE)
    except Exception as exc:
        raise _BrokenBrotli(exc) from exc
    if not decompressor.is_finished():
        raise EOFError("it ends too early")


def _brotli() -> Callable[[], Any] | None:
    """What decompresses brotli, if it is installed and can be stopped in time (1.2)."""
    try:
        import brotli
    except ImportError:
        return None
    make: Callable[[], Any] = brotli.Decompressor
    return make if hasattr(make, "can_accept_more_data") else None


_DECODERS = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "br": _brotli_pieces}


def _unreadable(text: str) -> Failure:
    return Failure(ContentError(text), STA_NORMAL, True, 502, "Unreadable Response")
