"""WebSockets as a client sees them: frames by hand, a recording sink, a client on a raw socket."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving import Client, Serving

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455, 1.3
MASK = bytes.fromhex("37fa213d")


def masked(payload: bytes, mask: bytes = MASK) -> bytes:
    """The payload under its mask, computed in the plainest way."""
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def frame(
    opcode: int,
    payload: bytes | str = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    size_bytes: int | None = None,
) -> bytes:
    """A frame of a client.

    Parameters:
        rsv: the three reserved bits, 4 is that of compression.
        mask: None leaves it out.
        size_bytes: how long the length is written, 0, 2 or 8; None: as short as it can be.
    """
    payload = payload.encode() if isinstance(payload, str) else payload
    size = len(payload)
    if size_bytes is None:
        size_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    first = fin << 7 | rsv << 4 | opcode
    second = 0 if mask is None else 0x80
    head = {
        0: lambda: struct.pack("!BB", first, second | size),
        2: lambda: struct.pack("!BBH", first, second | 126, size),
        8: lambda: struct.pack("!BBQ", first, second | 127, size),
    }[size_bytes]()
    return head + (payload if mask is None else mask + masked(payload, mask))


def close_frame(code: int | None = 1000, reason: bytes | str = b"") -> bytes:
    """A Close frame of a client."""
    reason = reason.encode() if isinstance(reason, str) else reason
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def deflated(payload: bytes, bits: int = 15) -> bytes:
    """One message as permessage-deflate sends it, without a context."""
    packer = zlib.compressobj(wbits=-bits)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Recorder:
    """Notes what a reader finds."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def message_received(self, message: str | bytes) -> None:
        self.events.append((message,))

    def ping_received(self, payload: bytes) -> None:
        self.events.append(("ping", payload))

    def pong_received(self, payload: bytes) -> None:
        self.events.append(("pong", payload))

    def close_received(self, code: int, reason: str) -> None:
        self.events.append(("close", code, reason))


class SocketClient:
    """A WebSocket client that sends what it is told and reads frames one by one.

    Attributes:
        wire: the raw client below.
        head: the server's answer to the handshake.
    """

    def __init__(self, serving: Serving, target: str = "/", *headers: str, **options: Any) -> None:
        self.wire: Client = serving.connect(**options)
        self.wire.send(*handshake(target, *headers))
        self.head = self.wire.read_head()
        assert self.head.status == 101, self.head

    def __enter__(self) -> SocketClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.close()

    def send(self, *frames: bytes) -> None:
        """Send frames in one piece."""
        self.wire.write(b"".join(frames))

    def say(self, message: str | bytes) -> None:
        """Send a message in one frame."""
        self.send(frame(TEXT if isinstance(message, str) else BINARY, message))

    def read_frame(self) -> tuple[int, bytes]:
        """First byte and payload of the next frame, which must not be masked."""
        first, size = self.wire.take(2)
        assert size < 128, "a server does not mask"
        if size == 126:
            (size,) = struct.unpack("!H", self.wire.take(2))
            assert size > 125
        elif size == 127:
            (size,) = struct.unpack("!Q", self.wire.take(8))
            assert size > 65535
        return first, self.wire.take(size)

    def read(self) -> str | bytes:
        """The next message, which must be one uncompressed frame."""
        first, payload = self.read_frame()
        assert first in (0x81, 0x82), (hex(first), payload[:100])
        return payload.decode() if first == 0x81 else payload

    def read_close(self) -> tuple[int, str]:
        """Code and reason of the Close frame that must come now, and nothing but the end after it.

        The client does not answer it.
        """
        first, payload = self.read_frame()
        assert first == 0x88, (hex(first), payload[:100])
        return (struct.unpack("!H", payload[:2])[0], payload[2:].decode()) if payload else (0, "")

    def is_closed(self) -> bool:
        """Whether the server closes now, in order and without another byte."""
        return self.wire.is_closed()


def handshake(target: str = "/", *headers: str, **changed: str | None) -> list[str]:
    """The lines of a handshake; keywords change or (None) remove its fields, ``_`` for ``-``."""
    fields = {
        "Host": "a",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    for name, value in changed.items():
        name = name.replace("_", "-")
        if value is None:
            del fields[name]
        else:
            fields[name] = value
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return [f"GET {target} HTTP/1.1", *lines, *headers]
