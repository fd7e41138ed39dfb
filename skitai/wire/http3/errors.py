"""Error codes of HTTP/3 and QPACK, and what is raised for a connection that has to end."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Why a stream or a connection ends (RFC 9114, 8.1; RFC 9204, 6)."""

    NO_ERROR = 0x100
    GENERAL_PROTOCOL_ERROR = 0x101
    INTERNAL_ERROR = 0x102
    STREAM_CREATION_ERROR = 0x103
    CLOSED_CRITICAL_STREAM = 0x104
    FRAME_UNEXPECTED = 0x105
    FRAME_ERROR = 0x106
    EXCESSIVE_LOAD = 0x107
    ID_ERROR = 0x108
    SETTINGS_ERROR = 0x109
    MISSING_SETTINGS = 0x10A
    REQUEST_REJECTED = 0x10B
    REQUEST_CANCELLED = 0x10C
    REQUEST_INCOMPLETE = 0x10D
    MESSAGE_ERROR = 0x10E
    CONNECT_ERROR = 0x10F
    DECOMPRESSION_FAILED = 0x200
    ENCODER_STREAM_ERROR = 0x201
    DECODER_STREAM_ERROR = 0x202


class Http3Error(Exception):
    """A client broke the rules of a connection, which ends with ``code``."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
