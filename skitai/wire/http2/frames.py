"""Frames of HTTP/2 (RFC 9113, 4 and 6): names, numbers and encoders.

The receiving half, ``connection.py``, and the sending one, ``sending.py``, share them.
"""

from __future__ import annotations

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_SIZE = 9
DEFAULT_WINDOW = 65_535
MAX_WINDOW = 2**31 - 1
MIN_FRAME_SIZE = 16_384
MAX_FRAME_SIZE = 2**24 - 1

# types of frames
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9

# flags
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITIZED = 0x20

# settings
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6
ENABLE_CONNECT_PROTOCOL = 8

# error codes (RFC 9113, 7)
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11

# Length and type together, flags, stream.
pack_header = struct.Struct(">IBI").pack
unpack_header = struct.Struct(">IBI").unpack_from
_pack_setting = struct.Struct(">HI").pack
_pack_words = struct.Struct(">II").pack
iter_settings = struct.Struct(">HI").iter_unpack

SETTINGS_ACK = pack_header(SETTINGS, ACK, 0)


class ConnectionFault(Exception):
    """The client broke a rule in a way that ends the connection (RFC 9113, 5.4.1).

    Attributes:
        code: an error code for GOAWAY.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class StreamFault(Exception):
    """The client broke a rule in a way that ends one stream (RFC 9113, 5.4.2).

    Attributes:
        code: an error code for RST_STREAM.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def encode_settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    pairs = b"".join(_pack_setting(key, value) for key, value in values.items())
    return pack_header(len(pairs) << 8 | SETTINGS, 0, 0) + pairs


def encode_window_update(stream_id: int, size: int) -> bytes:
    """Allow ``size`` more bytes, on a stream or (0) on the connection."""
    return pack_header(4 << 8 | WINDOW_UPDATE, 0, stream_id) + size.to_bytes(4, "big")


def encode_reset(stream_id: int, code: int) -> bytes:
    """An RST_STREAM frame."""
    return pack_header(4 << 8 | RST_STREAM, 0, stream_id) + code.to_bytes(4, "big")


def encode_goaway(last_id: int, code: int, reason: str = "") -> bytes:
    """A GOAWAY frame; streams above ``last_id`` have not been looked at."""
    detail = reason.encode("ascii", "replace")
    header = pack_header((8 + len(detail)) << 8 | GOAWAY, 0, 0)
    return header + _pack_words(last_id, code) + detail


def encode_ping_ack(data: bytes) -> bytes:
    """The answer to a PING."""
    return pack_header(8 << 8 | PING, ACK, 0) + data


def encode_headers(stream_id: int, block: bytes, flags: int, frame_size: int) -> bytes:
    """A header block as HEADERS and, where it is larger than a frame, CONTINUATION.

    Parameters:
        flags: ``END_STREAM`` or 0.
        frame_size: what the client accepts in a frame.
    """
    size = len(block)
    if size <= frame_size:
        return pack_header(size << 8 | HEADERS, flags | END_HEADERS, stream_id) + block
    frames = [pack_header(frame_size << 8 | HEADERS, flags, stream_id), block[:frame_size]]
    for at in range(frame_size, size, frame_size):
        piece = block[at : at + frame_size]
        last = END_HEADERS if at + frame_size >= size else 0
        frames += (pack_header(len(piece) << 8 | CONTINUATION, last, stream_id), piece)
    return b"".join(frames)
