"""gRPC over HTTP/2 as bytes: frames of messages, statuses, deadlines (grpc.io, PROTOCOL-HTTP2).

Pure. The server side of frameworks and the client in ``skitai.upstream.grpc`` use it.
"""

from __future__ import annotations

import re
import zlib
from enum import IntEnum
from urllib.parse import quote_from_bytes

MAX_MESSAGE = 4 * 1024 * 1024  # bytes, as other servers have it
PREFIX_SIZE = 5
ENCODINGS = ("gzip", "deflate")
ACCEPTED = "identity,deflate,gzip"

_LEVEL = 4
_WINDOWS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
# Everything printable but the percent sign (PROTOCOL-HTTP2, Status-Message).
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


class Status(IntEnum):
    """Status codes of calls (grpc.io, Status codes)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_OF_HTTP = {
    400: Status.INVALID_ARGUMENT,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.NOT_FOUND,
    405: Status.UNIMPLEMENTED,
    408: Status.DEADLINE_EXCEEDED,
    409: Status.ALREADY_EXISTS,
    410: Status.NOT_FOUND,
    412: Status.FAILED_PRECONDITION,
    413: Status.RESOURCE_EXHAUSTED,
    416: Status.OUT_OF_RANGE,
    422: Status.INVALID_ARGUMENT,
    429: Status.RESOURCE_EXHAUSTED,
    499: Status.CANCELLED,
    500: Status.INTERNAL,
    501: Status.UNIMPLEMENTED,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.DEADLINE_EXCEEDED,
}
# google.rpc.Code, "HTTP Mapping".
_TO_HTTP = (200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401)


class GrpcError(Exception):
    """Why a call ends with a status other than OK.

    Parameters:
        status: for the client.
        message: for the client too.
    """

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def status_of_http(code: int) -> Status:
    """The status of a call that an HTTP status stands for."""
    found = _OF_HTTP.get(code)
    if found is not None:
        return found
    if 400 <= code < 500:
        return Status.FAILED_PRECONDITION
    return Status.INTERNAL if code >= 500 else Status.UNKNOWN


def http_of_status(status: int) -> int:
    """The HTTP status that a status of a call stands for; 500 for an unknown one."""
    return _TO_HTTP[status] if 0 <= status < len(_TO_HTTP) else 500


def encode_status_message(text: str) -> str:
    """A text as the value of ``grpc-message``: percent-encoded UTF-8."""
    return quote_from_bytes(text.encode("utf-8", "replace"), safe=_PLAIN)


def parse_timeout(value: str) -> float:
    """The seconds in the value of ``grpc-timeout``. Raises ``GrpcError``."""
    found = _TIMEOUT.fullmatch(value)
    if found is None:
        raise GrpcError(Status.INTERNAL, f"grpc-timeout {value[:40]!r} is malformed")
    return int(found[1]) * _UNITS[found[2]]


# -- messages


def parse_prefix(prefix: bytes, limit: int) -> tuple[bool, int]:
    """What the five bytes before a message say: whether it is compressed, and its length.

    Raises ``GrpcError`` for a message above ``limit`` bytes, and for bytes that are no prefix.
    """
    if prefix[0] > 1:
        raise GrpcError(Status.INTERNAL, f"a message begins with the flags {prefix[0]}")
    length = int.from_bytes(prefix[1:], "big")
    if length > limit:
        raise GrpcError(
            Status.RESOURCE_EXHAUSTED, f"a message has {length} bytes, the limit is {limit}"
        )
    return bool(prefix[0]), length


def frame(message: bytes, encoding: str = "") -> bytes:
    """A message with its prefix.

    Parameters:
        message: serialized.
        encoding: ``"gzip"`` or ``"deflate"`` to compress it, empty to leave it.
    """
    if encoding:
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOWS[encoding])
        message = packer.compress(message) + packer.flush()
    return (b"\1" if encoding else b"\0") + len(message).to_bytes(4, "big") + message


def decompress(message: bytes, encoding: str, limit: int) -> bytes:
    """A compressed message as it was; never more than ``limit`` bytes.

    Raises ``GrpcError`` for one that is larger or damaged, and when there is no encoding.
    """
    window = _WINDOWS.get(encoding)
    if window is None:
        raise GrpcError(Status.INTERNAL, "a message is compressed, but no grpc-encoding was named")
    unpacker = zlib.decompressobj(window)
    try:
        data = unpacker.decompress(message, limit + 1)
    except zlib.error:
        raise GrpcError(Status.INTERNAL, f"a message is no {encoding}") from None
    if len(data) > limit:
        raise GrpcError(Status.RESOURCE_EXHAUSTED, f"a message has more than {limit} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise GrpcError(Status.INTERNAL, f"a message is not one whole {encoding}")
    return data
