"""Range requests (RFC 9110, 14): which bytes are asked for, and the framing of several of them.

Called by the static handler and by responses with a known body.
"""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
# Longer numbers are beyond any file, and int() takes quadratic time for them.
_MAX_DIGITS = 18


class RangeNotSatisfiable(ValueError):
    """None of the ranges can be served: the answer is 416 with ``content_range`` as header.

    Parameters:
        size: length of the whole representation in bytes.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"no satisfiable range in a representation of {size} bytes")
        self.size = size
        self.content_range = f"bytes */{size}"


def parse_range(value: str, size: int, limit: int = 16) -> list[tuple[int, int]] | None:
    """Read a ``Range`` header as half-open ``(start, stop)`` pairs within ``size`` bytes.

    Parameters:
        value: the header value, e.g. ``"bytes=0-499, -500"``.
        size: length of the whole representation in bytes.
        limit: more ranges than this are taken for abuse and the header is ignored.

    Returns ``None`` when the header is to be ignored and the whole representation sent: another
    unit, no range set at all, too many ranges, or a suffix of an empty representation. Ranges
    keep the order of the request; those that overlap or touch are joined (RFC 9110, 15.3.7.2).

    Raises ``RangeNotSatisfiable`` when all ranges begin behind the end, and also for a ``bytes``
    set that is malformed, which RFC 9110, 14.2 leaves to the server.
    """
    unit, equals, text = value.partition("=")
    if not equals or unit.strip().lower() != "bytes" or text.count(",") >= limit:
        return None
    ranges: list[tuple[int, int]] = []
    has_suffix = False
    for item in text.split(","):
        item = item.strip(" \t")
        if not item:
            continue
        spec = _SPEC.fullmatch(item)
        if not spec or item == "-":
            raise RangeNotSatisfiable(size)
        first, last = spec.groups()
        has_suffix = has_suffix or (not first and _position(last) > 0)
        start, stop = _bounds(first, last, size)
        if start < stop:
            _insert(ranges, start, stop)
    if ranges:
        return ranges
    if has_suffix:
        return None
    raise RangeNotSatisfiable(size)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - _position(last)), size
    start = _position(first)
    if not last:
        return start, size
    end = _position(last)
    if end < start:
        raise RangeNotSatisfiable(size)
    return start, min(end + 1, size)


def _position(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        digits = digits.lstrip("0")
        if len(digits) > _MAX_DIGITS:
            return int(10**_MAX_DIGITS)
    return int(digits or "0")


def _insert(ranges: list[tuple[int, int]], start: int, stop: int) -> None:
    """Add a range, joined with all that it overlaps or touches, at the place of the first."""
    touched = [index for index, (low, high) in enumerate(ranges) if low <= stop and start <= high]
    if not touched:
        ranges.append((start, stop))
        return
    start = min(start, *(ranges[index][0] for index in touched))
    stop = max(stop, *(ranges[index][1] for index in touched))
    ranges[touched[0]] = (start, stop)
    for index in reversed(touched[1:]):
        del ranges[index]


def multipart_byteranges(
    content_type: str, size: int, ranges: Sequence[tuple[int, int]]
) -> tuple[str, list[tuple[bytes, int, int]], bytes, int]:
    """Frame several ranges as ``multipart/byteranges`` (RFC 9110, 14.6).

    Parameters:
        content_type: of the whole representation, repeated in every part.
        size: length of the whole representation in bytes.
        ranges: half-open pairs as given by ``parse_range``.

    Returns the boundary for the ``Content-Type`` of the answer, per part its header bytes with
    the start and stop of the data that follow them, the trailer, and the length of everything.
    """
    # Random, so that no stored content can contain it on purpose.
    boundary = secrets.token_hex(16)
    parts: list[tuple[bytes, int, int]] = []
    trailer = f"\r\n--{boundary}--\r\n".encode()
    total = len(trailer)
    opening = f"--{boundary}\r\n"
    for start, stop in ranges:
        header = (
            f"{opening}Content-Type: {content_type}\r\n"
            f"Content-Range: bytes {start}-{stop - 1}/{size}\r\n\r\n"
        ).encode("latin-1")
        parts.append((header, start, stop))
        total += len(header) + stop - start
        opening = f"\r\n--{boundary}\r\n"
    return boundary, parts, trailer, total
