"""Answering with a file: validators, ranges, sendfile. Static mounts and ``was.File`` use it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from skitai.server import representation
from skitai.wire.dates import format_date
from skitai.wire.ranges import multipart_byteranges

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange
    from skitai.server.files import FilePart
    from skitai.server.representation import Head


def respond_file(exchange: Exchange, head: Head, descriptor: int, status: os.stat_result) -> None:
    """Answer with an open file, whole or in ranges; takes the descriptor over.

    Parameters:
        exchange: not answered yet.
        head: status, content type and headers; etag and Last-Modified are added when missing.
        descriptor: open for reading.
        status: its ``fstat``.
    """
    fields = head.fields = list(head.fields or ())
    names = {name.lower() for name, _ in fields}
    if "etag" not in names:
        fields.append(("ETag", f'"{status.st_size:x}-{status.st_mtime_ns:x}"'))
    if "last-modified" not in names:
        fields.append(("Last-Modified", format_date(status.st_mtime)))
    fields.append(("Accept-Ranges", "bytes"))
    send_parts(exchange, head, descriptor, status.st_size)


def send_parts(exchange: Exchange, head: Head, descriptor: int, size: int) -> None:
    """Answer with an open file whose validators are in ``head``; takes the descriptor over."""
    try:
        parts = _select(exchange, head, size)
    except BaseException:
        os.close(descriptor)
        raise
    if parts is None:
        os.close(descriptor)
        exchange.respond(head, b"")
    else:
        exchange.channel.send_file(exchange, head, descriptor, parts)


def _select(exchange: Exchange, head: Head, size: int) -> list[FilePart] | None:
    """What to send, with ``head`` made to match; None for an answer without a body."""
    request = exchange.request
    head.length = size
    if head.status != 200:
        return [(0, size)]
    etag, mtime, _ = representation.validators(head.fields)
    if representation.precondition(request, head, etag, mtime):
        return None
    ranges = representation.requested_ranges(request, head, size, etag, mtime)
    if ranges is None:
        return [(0, size)] if size else []
    if head.status == 416:
        return None
    if len(ranges) == 1:
        head.length = ranges[0][1] - ranges[0][0]
        return [ranges[0]]
    boundary, framed, trailer, total = multipart_byteranges(head.content_type, size, ranges)
    head.content_type = f"multipart/byteranges; boundary={boundary}"
    head.length = total
    parts: list[FilePart] = []
    for header, start, stop in framed:
        parts += (header, (start, stop))
    return [*parts, trailer]
