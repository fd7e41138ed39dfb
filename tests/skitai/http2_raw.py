"""Frames of HTTP/2 as bytes, right or wrong, and a client that sends them as they are.

Nothing here comes from what is tested: numbers and names are those of RFC 9113 and RFC 7541.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import hpack

if TYPE_CHECKING:
    from serving import Serving

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM, END_HEADERS, PADDED, PRIORITIZED, ACK = 1, 4, 8, 32, 1
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11

Fields = list[tuple[str, str]]


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Any frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def field(name: str, value: str, first: int = 0) -> bytes:
    """A literal field with a new name, without Huffman code (RFC 7541, 6.2)."""
    return bytes((first,)) + text(name) + text(value)


def text(value: str) -> bytes:
    """A plain string of less than 2 MiB (RFC 7541, 5.2)."""
    size = len(value)
    if size < 127:
        return bytes((size,)) + value.encode("latin-1")
    rest, prefix = size - 127, b"\x7f"
    while rest >= 128:
        prefix += bytes((rest & 127 | 128,))
        rest >>= 7
    return prefix + bytes((rest,)) + value.encode("latin-1")


def block(fields: Fields) -> bytes:
    """A header block that makes no index."""
    return b"".join(field(name, value) for name, value in fields)


def request(path: str = "/", *more: tuple[str, str], method: str = "GET") -> Fields:
    """The fields of a request."""
    return [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a"), *more]


def get(stream: int = 1, path: str = "/", *more: tuple[str, str]) -> bytes:
    """A whole request."""
    return headers(block(request(path, *more)), stream)


def post(stream: int = 1, path: str = "/", *more: tuple[str, str]) -> bytes:
    """The head of a request with a body."""
    return headers(block(request(path, *more, method="POST")), stream, END_HEADERS)


def headers(data: bytes, stream: int = 1, flags: int = END_HEADERS | END_STREAM) -> bytes:
    """A HEADERS frame."""
    return frame(HEADERS, flags, stream, data)


def settings(*pairs: tuple[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def word(value: int) -> bytes:
    """Four bytes."""
    return struct.pack(">I", value)


def window_update(stream: int, size: int) -> bytes:
    """A WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, word(size))


@dataclass
class Frame:
    """A frame that came."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class RawClient:
    """Sends bytes, reads frames.

    Attributes:
        seen: all frames that came.
    """

    def __init__(self, serving: Serving, receive_buffer: int = 0) -> None:
        self.client = serving.connect(receive_buffer)
        self.seen: list[Frame] = []
        self.decoder = hpack.Decoder()
        self.statuses: dict[int, int] = {}

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def write(self, data: bytes) -> None:
        """Send; a server that has closed meanwhile is no failure here."""
        try:
            self.client.write(data)
        except ConnectionError:
            pass

    def begin(self, *pairs: tuple[int, int]) -> None:
        """Preface and settings, both ways."""
        self.write(PREFACE + settings(*pairs))
        self.wait(SETTINGS)
        self.write(frame(SETTINGS, ACK))

    def read(self) -> Frame:
        """The next frame. Raises ``ConnectionError`` at the end."""
        head = self.client.take(9)
        size = int.from_bytes(head[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        got = Frame(kind, flags, stream, self.client.take(size))
        self.seen.append(got)
        if kind == HEADERS:
            fields = dict(self.decoder.decode(got.payload))
            if ":status" in fields:
                self.statuses[stream] = int(fields[":status"])
        return got

    def wait(self, kind: int, stream: int = 0, flags: int = 0) -> Frame:
        """The next frame of a kind, on a stream, with those flags at least."""
        while True:
            got = self.read()
            if (got.kind, got.stream) == (kind, stream) and got.flags & flags == flags:
                return got

    def wait_for_end(self, stream: int) -> None:
        """Until the server has ended a stream."""
        while True:
            got = self.read()
            if got.stream == stream and got.kind in (DATA, HEADERS) and got.flags & END_STREAM:
                return
            assert got.kind != RST_STREAM, "the stream was reset"

    def reset_code(self, stream: int) -> int:
        """Wait for a reset; its error code."""
        return int.from_bytes(self.wait(RST_STREAM, stream).payload, "big")

    def goaway_code(self) -> int:
        """Wait for GOAWAY and the end of the connection; the error code."""
        code = int.from_bytes(self.wait(GOAWAY).payload[4:8], "big")
        assert self.client.is_closed()
        return code

    def answers_pings(self) -> bool:
        """Whether the connection goes on."""
        self.write(frame(PING, 0, 0, b"12345678"))
        return self.wait(PING, 0, ACK).payload == b"12345678"
