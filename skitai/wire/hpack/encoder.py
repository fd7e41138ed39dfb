"""Encoding header blocks of HTTP/2 without a dynamic table (RFC 7541): no state, no order.

So any thread encodes at any time, and what repeats is remembered for all connections.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from skitai.wire.fields import NOT_ON_STREAMS, UNSAFE, check_name, check_value
from skitai.wire.hpack.strings import MAX_REMEMBERED, STATIC_TABLE, encode_number, encode_string

if TYPE_CHECKING:
    from skitai.wire.http1 import ResponseHead

_NAMES: dict[str, int] = {}
_FIELDS: dict[tuple[str, str], int] = {}
for _at, (_name, _value) in enumerate(STATIC_TABLE, 1):
    _NAMES.setdefault(_name, _at)
    _FIELDS[_name, _value] = _at

_SECRET = frozenset(("set-cookie", "authorization", "www-authenticate", "proxy-authenticate"))
_MAX_REMEMBERED = 1024

_heads: dict[tuple[int, str], bytes] = {}
_fields: dict[tuple[str, str], bytes] = {}
_lengths: dict[int, bytes] = {}


def encode_field(name: str, value: str, pack: bool = False) -> bytes:
    """A field with a lower-case name, as no index is made of it (RFC 7541, 6.2.2).

    Parameters:
        pack: use Huffman code, for what is encoded once and sent often.

    Values with a secret are never indexed by proxies either (RFC 7541, 7.1.3).
    """
    index = _FIELDS.get((name, value))
    if index is not None:
        return encode_number(index, 0x80, 0x7F)
    first = 0x10 if name in _SECRET else 0
    index = _NAMES.get(name)
    text = value.encode("latin-1")
    if index is not None:
        return encode_number(index, first, 0x0F) + encode_string(text, pack)
    head = bytes((first,)) + encode_string(name.encode("ascii"), pack)
    return head + encode_string(text, pack)


_SERVER = encode_field("server", "skitai", pack=True)
CONTINUE_BLOCK = encode_field(":status", "100")


def encode_head(head: ResponseHead, common: bytes, fields: list[tuple[str, str]] | None) -> bytes:
    """The header block of a response.

    Parameters:
        head: status, content type and length; HTTP/2 has no reason.
        common: encoded fields of all responses.
        fields: further fields, without those that are the server's own.

    Raises ``ValueError`` for unsafe fields, as ``encode_fields``.
    """
    # PERF: look-ups instead of encoding what repeats (-1.1 us of 6 us a request).
    key = (head.status, head.content_type)
    block = (_heads.get(key) or _encode_start(*key)) + common
    length = head.length
    if length is not None:
        block += _lengths.get(length) or _encode_length(length)
    return block + encode_fields(fields) if fields else block


@lru_cache(4)
def encode_common(lines: bytes) -> bytes:
    """A block of the header lines of all responses, Date among them, as HTTP/1 has them."""
    pairs = (line.partition(": ") for line in lines.decode("latin-1").split("\r\n") if line)
    return b"".join(encode_field(name.lower(), value, pack=True) for name, _, value in pairs)


def encode_fields(fields: list[tuple[str, str]]) -> bytes:
    """A block of name and value pairs, without those that are the server's own.

    Raises ``ValueError`` for a name that is no token, for CR, LF or NUL in a value, and for text
    beyond Latin-1; ``TypeError`` for what is no text.
    """
    known = _fields
    return b"".join([known.get(pair) or _encode_pair(pair) for pair in fields])


def _encode_pair(pair: tuple[str, str]) -> bytes:
    name, value = pair
    check_name(name)
    check_value(name, value)
    lowered = name.lower()
    if lowered in NOT_ON_STREAMS:
        return b""
    data = encode_field(lowered, value.strip(" \t"))
    if len(_fields) < _MAX_REMEMBERED and len(data) <= MAX_REMEMBERED and lowered not in _SECRET:
        _fields[pair] = data
    return data


def _encode_start(status: int, content_type: str) -> bytes:
    if UNSAFE.search(content_type):
        raise ValueError(f"the content type has a line break: {content_type!r}")
    # Boundaries are made for one response each.
    once = len(content_type) > MAX_REMEMBERED or "boundary=" in content_type
    block = encode_field(":status", str(status)) + _SERVER
    if content_type:
        block += encode_field("content-type", content_type, pack=not once)
    if len(_heads) < _MAX_REMEMBERED and not once:
        _heads[status, content_type] = block
    return block


def _encode_length(length: int) -> bytes:
    data = encode_field("content-length", str(length))
    if len(_lengths) < _MAX_REMEMBERED:
        _lengths[length] = data
    return data
