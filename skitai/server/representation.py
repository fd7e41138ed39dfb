"""Which form of a complete response a client gets: 304, 412, a range, or a compressed body.

The exchange asks for it when a response carries validators, is large, or a range was requested.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from skitai.wire.conditional import evaluate, if_range_matches
from skitai.wire.dates import parse_date
from skitai.wire.negotiation import choose_encoding
from skitai.wire.ranges import RangeNotSatisfiable, multipart_byteranges, parse_range

if TYPE_CHECKING:
    from skitai.config import Settings
    from skitai.wire.request import Request

try:
    import brotli
except ImportError:
    brotli = None

Fields = list[tuple[str, str]]

EVENT_STREAM = "text/event-stream"
GZIP_LEVEL = 4
BROTLI_QUALITY = 4
ENCODINGS = ("gzip",) if brotli is None else ("br", "gzip")
_COMPRESSIBLE = frozenset(
    ("application/json", "application/javascript", "application/xml", "image/svg+xml")
)
_KEPT_WITHOUT_BODY = frozenset(
    ("etag", "last-modified", "cache-control", "expires", "vary", "content-location", "set-cookie")
)


class Head:
    """Status and headers of a response on its way to a channel.

    Attributes:
        status: status code.
        content_type: value of Content-Type, empty for none.
        fields: further headers as (name, value), or None.
        length: body bytes for Content-Length, None when unknown.
        reason: empty for the standard phrase.
    """

    __slots__ = ("content_type", "fields", "length", "reason", "status")

    def __init__(
        self,
        status: int,
        content_type: str = "",
        fields: Fields | None = None,
        length: int | None = None,
        reason: str = "",
    ) -> None:
        self.status = status
        self.content_type = content_type
        self.fields = fields
        self.length = length
        self.reason = reason


def select(request: Request, head: Head, body: bytes, settings: Settings) -> bytes:
    """Return the body to send for a 200 response, changing ``head`` to match it."""
    etag, mtime, encoded = validators(head.fields)
    packs = (
        settings.compress
        and len(body) >= settings.compress_min
        and not encoded
        and compressible(head.content_type)
    )
    if packs:
        # Whatever form is chosen, a cache has to know that there are others (RFC 9110, 12.5.5).
        head.fields = list(head.fields or ())
        add_vary(head.fields, "Accept-Encoding")
    if request.method in ("GET", "HEAD"):
        if precondition(request, head, etag, mtime):
            return b""
        ranges = requested_ranges(request, head, len(body), etag, mtime)
        if ranges is not None:
            return _partial(head, body, ranges) if head.status == 206 else b""
    return _compress(request, head, body) if packs else body


def validators(fields: Fields | None) -> tuple[str | None, float | None, bool]:
    """ETag, modification time, and whether the content is encoded, from response headers."""
    etag: str | None = None
    mtime: float | None = None
    encoded = False
    for name, value in fields or ():
        lowered = name.lower()
        if lowered == "etag":
            etag = value
        elif lowered == "last-modified":
            mtime = parse_date(value)
        elif lowered == "content-encoding":
            encoded = True
    return etag, mtime, encoded


def precondition(request: Request, head: Head, etag: str | None, mtime: float | None) -> bool:
    """Turn ``head`` into 304 or 412 where RFC 9110, 13 asks for it; True when it did."""
    if etag is None and mtime is None:
        return False
    status = evaluate(request.method, request.headers, etag, mtime)
    if not status:
        return False
    head.status = status
    head.reason = ""
    head.content_type = ""
    head.fields = [pair for pair in head.fields or () if pair[0].lower() in _KEPT_WITHOUT_BODY]
    return True


def requested_ranges(
    request: Request, head: Head, size: int, etag: str | None, mtime: float | None
) -> list[tuple[int, int]] | None:
    """The byte ranges to answer with, and ``head`` made 206 or 416; None for the whole body."""
    value = request.headers.get("range")
    if value is None or request.method != "GET":
        return None
    if not if_range_matches(request.headers, etag, mtime):
        return None
    try:
        ranges = parse_range(value, size)
    except RangeNotSatisfiable:
        head.status = 416
        head.content_type = ""
        head.fields = [("Content-Range", f"bytes */{size}")]
        return []
    if not ranges:
        return None
    head.status = 206
    head.reason = ""
    if len(ranges) == 1:
        start, stop = ranges[0]
        head.fields = [*(head.fields or ()), ("Content-Range", f"bytes {start}-{stop - 1}/{size}")]
    return ranges


def _partial(head: Head, body: bytes, ranges: list[tuple[int, int]]) -> bytes:
    if len(ranges) == 1:
        start, stop = ranges[0]
        return body[start:stop]
    boundary, parts, trailer, _ = multipart_byteranges(head.content_type, len(body), ranges)
    head.content_type = f"multipart/byteranges; boundary={boundary}"
    pieces: list[bytes] = []
    for header, start, stop in parts:
        pieces += (header, body[start:stop])
    return b"".join((*pieces, trailer))


def compressible(content_type: str) -> bool:
    """Whether a body of this type shrinks; event streams are left alone, they must not wait."""
    media = content_type.partition(";")[0].strip().lower()
    return (media.startswith("text/") and media != EVENT_STREAM) or media in _COMPRESSIBLE


def _compress(request: Request, head: Head, body: bytes) -> bytes:
    fields = head.fields = list(head.fields or ())
    accepted = request.headers.get("accept-encoding")
    encoding = choose_encoding(accepted, ENCODINGS) if accepted else None
    if encoding is None:
        return body
    for at, (name, value) in enumerate(fields):
        if name.lower() == "etag" and not value.startswith("W/"):
            fields[at] = (name, f"W/{value}")  # RFC 9110, 8.8.1: other bytes, same meaning
    fields.append(("Content-Encoding", encoding))
    if encoding == "br":
        return bytes(brotli.compress(body, quality=BROTLI_QUALITY))
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return packer.compress(body) + packer.flush()


def add_vary(fields: Fields, name: str) -> None:
    """Add ``name`` to the Vary header (RFC 9110, 12.5.5)."""
    for at, (key, value) in enumerate(fields):
        if key.lower() == "vary":
            known = [item.strip().lower() for item in value.split(",")]
            if "*" not in known and name.lower() not in known:
                fields[at] = (key, f"{value}, {name}")
            return
    fields.append(("Vary", name))
