"""Conditional requests (RFC 9110, 13): whether to go on, answer 304 or answer 412.

Called by the static handler and by responses that carry an etag or a modification time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from skitai.wire.dates import parse_date

if TYPE_CHECKING:
    from collections.abc import Mapping

GO_ON = 0
NOT_MODIFIED = 304
PRECONDITION_FAILED = 412

# A broken member ends the list: what follows it can't be told apart safely.
_TAG = re.compile(r'[ \t,]*((?:W/)?"[\x21\x23-\x7e\x80-\U0010ffff]*")[ \t]*(?=,|\Z)')


def evaluate(method: str, headers: Mapping[str, str], etag: str | None, mtime: float | None) -> int:
    """Weigh the preconditions of a request in the order of RFC 9110, 13.2.2.

    Parameters:
        method: the request method; 304 is only for GET and HEAD, other methods get 412.
        headers: request headers by lower-case name, repeated ones joined by ", ".
        etag: the current entity tag as sent, quotes and ``W/`` included; ``None``: it has none.
        mtime: last modification in seconds since the epoch, ``None`` when unknown.

    Returns 0 (go on), 304 or 412. Call it only when a representation exists: ``*`` then always
    matches. Dates that can't be read and dates without an ``mtime`` are ignored.
    """
    reads = method == "GET" or method == "HEAD"
    value = headers.get("if-match")
    if value is not None:
        if not _strong_match(value, etag):
            return PRECONDITION_FAILED
    elif mtime is not None:
        value = headers.get("if-unmodified-since")
        if value is not None and _modified_since(value, mtime) is True:
            return PRECONDITION_FAILED
    value = headers.get("if-none-match")
    if value is not None:
        if _weak_match(value, etag):
            return NOT_MODIFIED if reads else PRECONDITION_FAILED
    elif reads and mtime is not None:
        value = headers.get("if-modified-since")
        if value is not None and _modified_since(value, mtime) is False:
            return NOT_MODIFIED
    return GO_ON


def if_range_matches(headers: Mapping[str, str], etag: str | None, mtime: float | None) -> bool:
    """Tell whether ``Range`` may be honoured, as far as ``If-Range`` says (RFC 9110, 13.1.5).

    True without the header. An entity tag has to match strongly, a date has to be exactly the
    ``Last-Modified`` of now; everything else, also what can't be read, is no match.
    """
    value = headers.get("if-range")
    if value is None:
        return True
    if '"' in value[:3]:
        return etag is not None and value == etag and not etag.startswith("W/")
    return mtime is not None and parse_date(value) == mtime // 1


def _strong_match(value: str, etag: str | None) -> bool:
    if value == "*":
        return True
    if etag is None or etag.startswith("W/"):
        return False
    return value == etag or (etag in value and etag in _tags(value))


def _weak_match(value: str, etag: str | None) -> bool:
    if value == "*":
        return True
    if etag is None:
        return False
    if value == etag:
        return True
    opaque = etag.removeprefix("W/")
    return opaque in value and any(tag.removeprefix("W/") == opaque for tag in _tags(value))


def _tags(value: str) -> list[str]:
    tags: list[str] = []
    found = _TAG.match(value)
    while found:
        tags.append(found[1])
        found = _TAG.match(value, found.end())
    return tags


def _modified_since(value: str, mtime: float) -> bool | None:
    moment = parse_date(value)
    return None if moment is None else mtime // 1 > moment
