"""Strings and numbers of HPACK (RFC 7541, 5), and its static table (appendix A).

The Huffman code and the static table are those of the library ``hpack``.
"""

from __future__ import annotations

from functools import lru_cache

from hpack import HPACKError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

STATIC_TABLE: tuple[tuple[str, str], ...] = tuple(
    (name.decode(), value.decode()) for name, value in HeaderTable.STATIC_TABLE
)
MAX_REMEMBERED = 256  # bytes of a string; longer ones would only fill the memory
_MAX_SHIFT = 28

_coder = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


class CompressionFault(Exception):
    """A header block that can't be decoded; the state of the connection is lost with it."""


def decode_number(block: bytes, at: int, prefix: int) -> tuple[int, int]:
    """The rest of a number whose prefix is full, and where it ends (RFC 7541, 5.1).

    Raises ``CompressionFault`` for a number above 2**28, ``IndexError`` for one that is cut off.
    """
    number, shift = prefix, 0
    while True:
        byte = block[at]
        at += 1
        number += (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > _MAX_SHIFT:
            raise CompressionFault("a number is too large")


def decode_string(block: bytes, at: int) -> tuple[str, int]:
    """A string and where it ends (RFC 7541, 5.2)."""
    first = block[at]
    size = first & 0x7F
    at += 1
    if size == 0x7F:
        size, at = decode_number(block, at, 0x7F)
    end = at + size
    if end > len(block):
        raise CompressionFault("a string is cut off")
    data = block[at:end]
    if first < 0x80:
        return data.decode("latin-1"), end
    if size > MAX_REMEMBERED:
        return _decode_huffman.__wrapped__(data), end
    return _decode_huffman(data), end


# PERF: paths and header values repeat; decoding one of 19 characters takes 2.2 us, a look-up 0.1.
@lru_cache(2048)
def _decode_huffman(data: bytes) -> str:
    try:
        return decode_huffman(data).decode("latin-1")
    except HPACKError as exc:
        raise CompressionFault("a string is not Huffman code") from exc


def encode_number(number: int, first: int, prefix: int) -> bytes:
    """A number behind the bits ``first``, of which ``prefix`` (2**n - 1) are its own."""
    if number < prefix:
        return bytes((first | number,))
    data = bytearray((first | prefix,))
    number -= prefix
    while number >= 0x80:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def encode_string(data: bytes, pack: bool) -> bytes:
    """A string, in Huffman code if ``pack`` and that is shorter."""
    if pack:
        packed = _coder.encode(data)
        if len(packed) < len(data):
            return encode_number(len(packed), 0x80, 0x7F) + packed
    return encode_number(len(data), 0, 0x7F) + data
