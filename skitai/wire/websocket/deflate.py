"""Compression of WebSocket messages, permessage-deflate (RFC 7692): agreement and both streams.

``server/websocket/session.py`` agrees on it in the handshake; memory is taken when a message needs
it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skitai.wire.websocket.messages import INVALID_DATA, TOO_BIG, WebSocketError

if TYPE_CHECKING:
    from collections.abc import Iterable

EXTENSION = "permessage-deflate"
WINDOW_BITS = 12
"""What we ask for, if the client lets us: 4 KB of history instead of 32 KB."""
LEVEL = 4
MEMORY_LEVEL = 5
_LEAST_BITS = 9  # zlib can't write a raw stream with a window of 8 bits
_STREAMS = 4  # that may end in one piece of a message; to begin one costs more than its two bytes
_TAIL = b"\x00\x00\xff\xff"
_BITS = {str(bits): bits for bits in range(8, 16)}


@dataclass(frozen=True)
class Deflate:
    """What both sides agreed on (RFC 7692, 7.1).

    Parameters:
        server_takeover, client_takeover: messages of that side refer to those before.
        server_bits, client_bits: the base-2 logarithm of how far they do; None for the client when
            it did not offer to limit itself.
    """

    server_takeover: bool
    client_takeover: bool
    server_bits: int
    client_bits: int | None

    def field(self) -> str:
        """The value of Sec-WebSocket-Extensions that says so."""
        params = [EXTENSION, f"server_max_window_bits={self.server_bits}"]
        if self.client_bits is not None:
            params.append(f"client_max_window_bits={self.client_bits}")
        if not self.server_takeover:
            params.append("server_no_context_takeover")
        if not self.client_takeover:
            params.append("client_no_context_takeover")
        return "; ".join(params)


def agree(params: Iterable[tuple[str, str | None]]) -> Deflate | None:
    """Accept the parameters of an offer, or decline it with None (RFC 7692, 7.1)."""
    given: dict[str, str | None] = {}
    for name, value in params:
        if name in given:
            return None
        given[name] = value
    server_bits = WINDOW_BITS
    client_bits: int | None = None
    if "server_max_window_bits" in given:
        server_bits = _BITS.get(given.pop("server_max_window_bits") or "", 0)
        if server_bits < _LEAST_BITS:
            return None
    if "client_max_window_bits" in given:
        value = given.pop("client_max_window_bits")
        client_bits = WINDOW_BITS if value is None else _BITS.get(value)
        if client_bits is None:
            return None
    takeover = {"server_no_context_takeover": True, "client_no_context_takeover": True}
    for name, value in given.items():
        if name not in takeover or value is not None:
            return None
        takeover[name] = False
    return Deflate(
        takeover["server_no_context_takeover"],
        takeover["client_no_context_takeover"],
        min(server_bits, WINDOW_BITS),
        client_bits if client_bits is None else min(client_bits, WINDOW_BITS),
    )


class Inflater:
    """Decompresses the messages of a client.

    About 10 KB from the first compressed message on, 45 KB when the client keeps a window of 15
    bits, nothing between messages without ``client_takeover``.
    """

    __slots__ = ("_bits", "_stream", "_takeover", "_unfinished")

    def __init__(self, agreed: Deflate) -> None:
        # What others call 8 bits is often 9, see `_LEAST_BITS`.
        self._bits = max(agreed.client_bits or zlib.MAX_WBITS, _LEAST_BITS)
        self._takeover = agreed.client_takeover
        self._stream: Any = None
        self._unfinished = False  # the stream is within a message

    def inflate(self, data: bytes, room: int) -> bytes:
        """Decompress the next part of a message.

        Raises ``WebSocketError`` for more than ``room`` bytes, and for what is not compressed.
        """
        out = b""
        for _ in range(_STREAMS):
            if not data:
                return out
            if self._stream is None:
                self._stream = zlib.decompressobj(-self._bits)
            stream = self._stream
            try:
                out += stream.decompress(data, room + 1 - len(out))
            except zlib.error:
                raise WebSocketError(INVALID_DATA, "a message can't be decompressed") from None
            if len(out) > room:
                raise WebSocketError(TOO_BIG, "a message is too big when decompressed")
            data = b""
            self._unfinished = not stream.eof
            if stream.eof:
                # RFC 7692, 7.2.3.4: the sender ended the stream; what follows is a new one.
                data = stream.unused_data
                self._stream = None
        if data:
            raise WebSocketError(INVALID_DATA, "a message is made of too many streams")
        return out

    def finish(self, room: int) -> bytes:
        """The end of a message; raises like ``inflate``."""
        out = self.inflate(_TAIL, room) if self._unfinished else b""
        self._unfinished = False
        if not self._takeover:
            self._stream = None
        return out


class Deflater:
    """Compresses messages for a client: 30 KB until ``rest``, or a moment without takeover."""

    __slots__ = ("_bits", "_stream", "_takeover")

    def __init__(self, agreed: Deflate) -> None:
        self._bits = agreed.server_bits
        self._takeover = agreed.server_takeover
        self._stream: Any = None

    def deflate(self, data: bytes) -> bytes:
        """Compress a message; it has to be sent, later ones may refer to it."""
        stream = self._stream or zlib.compressobj(LEVEL, zlib.DEFLATED, -self._bits, MEMORY_LEVEL)
        out = stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
        self._stream = stream if self._takeover else None
        return bytes(out[: -len(_TAIL)])

    def rest(self) -> None:
        """Give the memory back; the next message just does not refer to those before."""
        self._stream = None
