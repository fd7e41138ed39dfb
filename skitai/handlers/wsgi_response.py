"""The response of a WSGI app: ``start_response``, ``write`` and what the app returns (PEP 3333).

``WSGIEndpoint`` makes one for each call.
"""

from __future__ import annotations

import logging
import threading
from itertools import chain
from typing import TYPE_CHECKING, Any

from skitai.errors import REASONS
from skitai.handlers.files import send_parts
from skitai.handlers.foreign_fields import HOP_BY_HOP, IGNORED, LENGTH, TYPE, kind_of
from skitai.handlers.whole_answers import EMPTY, answer_whole
from skitai.handlers.wsgi_files import BLOCK_SIZE, FileWrapper, open_part
from skitai.server.representation import Head
from skitai.server.streaming import IteratorStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skitai.server.exchange import Exchange

log = logging.getLogger("skitai")

# A stream stays in the thread it began in, as databases of frameworks need it. So that a slow
# client does not hold that thread for a short one, this much is kept for it.
AHEAD = 1024 * 1024  # bytes
_MAX_KNOWN = 512
_statuses: dict[str, tuple[int, str]] = {}


class WSGIResponse:
    """What an app answers to one request.

    Parameters:
        exchange: not answered yet.
        threaded: the app runs in a thread, which may wait for the client.
    """

    __slots__ = ("_ended", "_exchange", "_head", "_left", "_length", "_owed", "_threaded")

    def __init__(self, exchange: Exchange, threaded: bool) -> None:
        self._exchange = exchange
        self._threaded = threaded
        self._head: Head | None = None
        self._length: int | None = None  # Content-Length as the app gave it
        self._left: int | None = None  # of it, bytes to come
        self._owed = 0  # bytes written since the client fell behind
        self._ended = False

    # -- what the app calls

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """PEP 3333, The start_response() Callable; raises ``AssertionError`` for its misuse."""
        if exc_info is not None:
            try:
                if self._exchange.answered:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # a cycle with the frame
        elif self._head is not None:
            raise AssertionError("start_response was called twice, and without exc_info")
        if self._ended:
            raise AssertionError("start_response was called after the end of the response")
        code, reason = _statuses.get(status) or _parse_status(status)
        self._length = None
        content_type, fields = "", []
        for name, value in headers:
            kind = kind_of(name)
            if kind is TYPE:
                content_type = value
            elif kind is LENGTH:
                self._length = _parse_length(value)
            elif kind is HOP_BY_HOP:
                raise AssertionError(f"the header {name} is for the server, not for an app")
            elif kind is not IGNORED:
                fields.append((name, value))
        self._head = Head(code, content_type, fields or None, None, reason)
        return self.write

    def write(self, data: bytes) -> None:
        """Send a piece of the body at once (PEP 3333, The write() Callable)."""
        if self._ended:
            raise AssertionError("write was called after the end of the response")
        if not self._exchange.answered:
            self._start()
        self._write(self._within_length(_to_bytes(data)))

    # -- what the app returns

    def send(self, result: Any) -> None:
        """Answer with the result of the app; its ``close`` is called in any case."""
        handed_over = False
        try:
            if type(result) in (list, tuple):
                self._send_whole(b"".join(map(_to_bytes, result)))
            elif isinstance(result, (bytes, str)):
                self._send_whole(_to_bytes(result))
            elif not (isinstance(result, FileWrapper) and self._send_file(result)):
                handed_over = self._send_pieces(result)
        finally:
            if not handed_over:
                self._ended = True
                close = getattr(result, "close", None)
                if close is not None:
                    _close(close)

    def _send_whole(self, body: bytes) -> None:
        exchange = self._exchange
        if exchange.answered:  # by write
            self._write(self._within_length(body))
            self._check_end()
            exchange.end()
            return
        length = self._length
        if not answer_whole(exchange, self._taken_head(), length, body):
            raise ValueError(f"Content-Length is {length}, but the body has {len(body)} bytes")

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Let the kernel send a file; False if it can't be done."""
        exchange = self._exchange
        head = self._taken_head()
        if exchange.answered or head.status in EMPTY:
            return False
        part = open_part(wrapper.filelike)
        if part is None:
            return False
        descriptor, start, stop = part
        if self._length is not None:
            stop = min(stop, start + self._length)
        if start == 0 and stop:
            send_parts(exchange, head, descriptor, stop)
        else:
            head.length = stop - start
            parts = [(start, stop)] if stop > start else []
            exchange.channel.send_file(exchange, head, descriptor, [*parts])
        return True

    def _send_pieces(self, result: Any) -> bool:
        """Answer with what the app yields; True when the loop goes on with it."""
        pieces = _iterate(result)
        first = b""
        for piece in pieces:
            first = _to_bytes(piece)
            if first:
                break
        if not self._exchange.answered:
            if not first or len(first) == self._length or self._taken_head().status in EMPTY:
                self._send_whole(first)
                if first and next(pieces, b""):  # also for what the app does behind its last piece
                    self._log_excess()
                return False
            if not self._threaded:
                self._stream_on_loop(first, pieces, result)
                return True
            self._start()
        if self._exchange.request.method != "HEAD":
            for data in self._bounded(first, pieces):
                self._write(data)
        self._exchange.end()
        return False

    def _bounded(self, first: bytes, pieces: Iterator[Any]) -> Iterator[bytes]:
        """The pieces of a body, up to the Content-Length if there is one."""
        for data in chain((first,), map(_to_bytes, pieces)):
            exceeds = self._left is not None and len(data) > self._left
            yield self._within_length(data)
            if exceeds:
                return
        self._check_end()

    def _stream_on_loop(self, first: bytes, pieces: Iterator[Any], result: Any) -> None:
        head = self._taken_head()
        head.length = self._left = self._length
        stream = IteratorStream(self._exchange, head, self._closing(first, pieces, result), None)
        stream.start()

    def _closing(self, first: bytes, pieces: Iterator[Any], result: Any) -> Iterator[bytes]:
        try:
            yield from self._bounded(first, pieces)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                _close(close)

    # -- sending

    def _taken_head(self) -> Head:
        if self._head is None:
            raise AssertionError("the app returned a body, but did not call start_response")
        return self._head

    def _start(self) -> None:
        head = self._taken_head()
        if head.status not in EMPTY:
            head.length = self._left = self._length
        self._exchange.start(head)

    def _write(self, data: bytes) -> None:
        """Send a piece; wait for a client that is too far behind."""
        exchange = self._exchange
        if exchange.status in EMPTY:
            return
        if exchange.write(data) or not self._threaded:
            self._owed = 0
            return
        self._owed += len(data)
        if self._owed > AHEAD:
            self._owed = 0
            writable = threading.Event()
            exchange.when_writable(writable.set)
            writable.wait()

    def _within_length(self, data: bytes) -> bytes:
        """What of a piece may be sent: no more than Content-Length has announced."""
        left = self._left
        if left is None:
            return data
        if len(data) > left:
            self._log_excess()
            data = data[:left]
        self._left = left - len(data)
        return data

    def _check_end(self) -> None:
        """Raise ``ValueError`` when less came than Content-Length has announced."""
        if self._left and self._exchange.request.method != "HEAD":
            raise ValueError(f"the body ended {self._left} bytes before its Content-Length")

    def _log_excess(self) -> None:
        log.error("%s: the body is longer than its Content-Length", self._exchange.request.path)


def _iterate(result: Any) -> Iterator[Any]:
    """The pieces of what an app returned; also of a file without a wrapper, or a producer."""
    if result is None:
        raise TypeError("the app returned None: return a list of bytes or another iterable")
    read, more = getattr(result, "read", None), getattr(result, "more", None)
    if read is not None and not isinstance(result, FileWrapper):
        return iter(lambda: read(BLOCK_SIZE) or b"", b"")
    if more is not None and not hasattr(result, "__iter__"):
        return iter(lambda: more() or b"", b"")
    try:
        return iter(result)
    except TypeError:
        raise TypeError(
            f"the app returned {type(result).__name__}: return a list of bytes or another iterable"
        ) from None


def _to_bytes(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, str):  # not by the book, but without doubt
        return piece.encode()
    if isinstance(piece, (bytearray, memoryview)):
        return bytes(piece)
    raise TypeError(f"a body consists of bytes, not of {type(piece).__name__}")


def _parse_status(status: str) -> tuple[int, str]:
    if not isinstance(status, str):
        raise AssertionError(f"the status must be text like '200 OK', not {status!r}")
    digits, _, reason = status.partition(" ")
    if len(digits) != 3 or not digits.isdecimal() or digits < "200":
        raise AssertionError(f"the status must begin with a number from 200 on, not {status!r}")
    code = int(digits)
    parsed = code, "" if reason.lower() == REASONS.get(code, "").lower() else reason
    if len(_statuses) < _MAX_KNOWN:
        _statuses[status] = parsed
    return parsed


def _parse_length(value: str) -> int:
    if not (value.isascii() and value.isdecimal()):
        raise AssertionError(f"Content-Length must be a number of bytes, not {value!r}")
    return int(value)


def _close(close: Callable[[], object]) -> None:
    try:
        close()
    except Exception:
        log.exception("closing the result of an app failed")
