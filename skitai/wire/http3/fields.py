"""Field sections of HTTP/3 (RFC 9114, 4.2 and 4.3): to a request, and from the head of a response.

``wire/http3/connection.py`` decodes and encodes the sections themselves; the rules for requests are
those of HTTP/2.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from skitai.wire.dates import format_date
from skitai.wire.errors import MalformedRequest
from skitai.wire.fields import NOT_ON_STREAMS, check_name, check_value
from skitai.wire.http2.requests import check_trailers, read_head

if TYPE_CHECKING:
    from skitai.wire.http1 import ResponseHead
    from skitai.wire.http2.requests import RequestHead

PROTOCOLS = frozenset(("websocket",))  # what an extended CONNECT may ask for

Section = list[tuple[bytes, bytes]]


class Limits:
    """What the head of a request may have.

    Parameters:
        max_line: bytes of a target; more is 414.
        max_head: bytes of all fields; more is 431.
        max_headers: number of fields; more is 431.
    """

    __slots__ = ("max_head", "max_headers", "max_line")

    def __init__(self, max_line: int, max_head: int, max_headers: int) -> None:
        self.max_line = max_line
        self.max_head = max_head
        self.max_headers = max_headers


def parse_request(section: Section, limits: Limits) -> RequestHead:
    """The request that a field section describes; ``refusal`` says why it is not served.

    Raises ``BrokenFields`` for a stream error.
    """
    head = read_head(_texts(section), limits.max_line, limits.max_headers)
    if head.refusal is None and _size(section) > limits.max_head:
        refusal = MalformedRequest("the request headers are too large", 431)
    elif head.refusal is None and head.protocol and head.protocol not in PROTOCOLS:
        refusal = MalformedRequest("the protocol is not supported", 501)
    else:
        return head
    return head._replace(refusal=refusal, protocol="")


def parse_trailers(section: Section, limits: Limits) -> bool:
    """Check trailers (4.1.2); False when there are too many. Raises ``BrokenFields``."""
    check_trailers(_texts(section))
    return len(section) <= limits.max_headers and _size(section) <= limits.max_head


def _texts(section: Section) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in section]


def _size(section: Section) -> int:
    return sum(len(name) + len(value) + 4 for name, value in section if name[:1] != b":")


# -- responses


def encode_head(
    head: ResponseHead,
    fields: list[tuple[str, str]] | None,
    common: list[tuple[str, str]],
    status: int,
) -> Section:
    """The field section of a response.

    Parameters:
        head: content type and length.
        fields: the app's fields; those that are the server's own are left out.
        common: fields of every response.
        status: status code to send.

    Raises ``ValueError`` for a name that is no token and a value with CR, LF or NUL, ``TypeError``
    for what is no text.
    """
    section = [(b":status", b"%d" % status), (b"server", b"skitai")]
    if head.content_type:
        check_value("content-type", head.content_type)
        section.append((b"content-type", _value(head.content_type)))
    if head.length is not None:
        section.append((b"content-length", b"%d" % head.length))
    section.append((b"date", format_date(int(time.time())).encode("ascii")))
    for name, value in common:
        section.append((name.lower().encode("ascii"), value.encode("latin-1")))
    return section + encode_fields(fields) if fields else section


def encode_fields(fields: list[tuple[str, str]]) -> Section:
    """Fields of an app, without those that are the server's own; raises as ``encode_head``."""
    section = []
    for name, value in fields:
        check_name(name)
        check_value(name, value)
        key = name.lower()
        if key not in NOT_ON_STREAMS:
            section.append((key.encode("ascii"), _value(value)))
    return section


def _value(value: str) -> bytes:
    return value.strip(" \t").encode("latin-1")
