"""WebSocket frames to messages and back (RFC 6455, 5), for the server's side.

``server/websocket/session.py`` feeds a ``MessageReader`` what a client sends, and sends what
``encode_frame`` makes.
"""

from __future__ import annotations

from codecs import utf_8_decode
from struct import Struct
from typing import TYPE_CHECKING, Protocol

from skitai.wire.websocket.mask import unmask

if TYPE_CHECKING:
    from skitai.wire.websocket.deflate import Inflater

CONTINUATION, TEXT, BINARY = 0, 1, 2
CLOSE, PING, PONG = 8, 9, 10

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
NO_STATUS = 1005  # a Close frame without a code; never sent
ABNORMAL = 1006  # the connection ended without a Close frame; never sent
INVALID_DATA = 1007
TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012

MAX_CONTROL = 125  # bytes of a control frame's payload

_FINAL = 0x80
_COMPRESSED = 0x40
_LENGTH_16 = Struct("!H")
_LENGTH_64 = Struct("!Q")
_HEAD = Struct("!BB")
_HEAD_16 = Struct("!BBH")
_HEAD_64 = Struct("!BBQ")
_TOP_BIT = 1 << 63
_ORDINARY_CODES = frozenset((1000, 1001, 1002, 1003, *range(1007, 1015)))


class WebSocketError(Exception):
    """What the client sent is against the protocol or the limits; the connection has to end.

    Attributes:
        code: the close code that says so.
        reason: what is wrong, for the client.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class MessageSink(Protocol):
    """Gets what a ``MessageReader`` finds, in the order it was sent."""

    def message_received(self, message: str | bytes) -> None:
        """A whole message: text as ``str``, binary as ``bytes``."""

    def ping_received(self, payload: bytes) -> None:
        """A ping, to be answered with the same payload."""

    def pong_received(self, payload: bytes) -> None:
        """A pong, asked for or not."""

    def close_received(self, code: int, reason: str) -> None:
        """The client's last frame; ``NO_STATUS`` when it names no code."""


class MessageReader:
    """Puts messages together from the bytes of a client.

    What is wrong is found at its first byte, as far as that can be (RFC 6455, 8.1 allows it): a bad
    head before its payload, invalid UTF-8 in the middle of a frame.

    Parameters:
        sink: gets what is read.
        max_message: bytes a message may have over all its frames, and after decompression.
        inflater: for compressed messages, if that was agreed on.

    Attributes:
        paused: set it from the sink to stop after the message it has just got; clear it and feed
            ``b""`` to go on.
    """

    __slots__ = (
        "_checked",
        "_compressed",
        "_ended",
        "_final",
        "_inflater",
        "_kind",
        "_mask",
        "_max_message",
        "_missing",
        "_parts",
        "_rest",
        "_sink",
        "paused",
    )

    def __init__(self, sink: MessageSink, max_message: int, inflater: Inflater | None) -> None:
        self._sink = sink
        self._max_message = max_message
        self._inflater = inflater
        self.paused = False
        self._ended = False
        self._rest = b""  # what is not parsed yet: the begin of a frame, or all while paused
        # the message that is being read
        self._kind = 0  # TEXT or BINARY, 0 when there is none
        self._compressed = False
        self._parts: bytearray | None = None
        self._checked = 0  # bytes of it that are valid UTF-8
        # the frame of it that is being read
        self._missing = 0  # bytes of its payload that are still to come
        self._mask = b""
        self._final = False

    def feed(self, data: bytes) -> None:
        """Read on. Raises ``WebSocketError``; nothing may be fed after that."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = 0
        size = len(data)
        while at < size and not self.paused and not self._ended:
            if self._missing:
                at = self._continue(data, at)
                continue
            parsed = self._read_frame(data, at, size)
            if not parsed:
                break
            at = parsed
        if at < size and not self._ended:
            self._rest = data[at:] if at else data

    def _read_frame(self, data: bytes, at: int, size: int) -> int:
        """Read one frame, or its part that is there; returns where the next begins, 0: not yet."""
        if size - at < 2:
            return 0
        first, length = data[at], data[at + 1] - 128
        if length < 0:
            raise WebSocketError(PROTOCOL_ERROR, "a frame of a client must be masked")
        if (first != 0x81 and first != 0x82) or self._kind:
            self._check_head(first, length)
        body = at + 6
        if length > MAX_CONTROL:
            body += 2 if length == 126 else 8
            if size < body:
                return 0
            length = _long_length(data, at)
        elif size < body:
            return 0
        if length > self._max_message and not first & 8:
            raise self._too_big()
        mask = data[body - 4 : body]
        end = body + length
        if first & 8:
            if size < end:
                return 0
            self._control(first & 15, unmask(data[body:end], mask))
        elif size < end or first & _COMPRESSED or not first & _FINAL or self._kind:
            self._begin(first, length, mask)
            return self._continue(data, body)
        else:
            self._deliver(first, unmask(data[body:end], mask))
        return end

    def _check_head(self, first: int, length: int) -> None:
        """Refuse a frame that can't come now (RFC 6455, 5.2 to 5.5; RFC 7692, 6.1)."""
        opcode = first & 15
        if opcode >= CLOSE:
            wrong = ""
            if opcode > PONG:
                wrong = "an unknown kind of control frame"
            elif not first & _FINAL:
                wrong = "a control frame can't be fragmented"
            elif length > MAX_CONTROL:
                wrong = "a control frame can't be that long"
            elif first & 0x70:
                wrong = "a reserved bit is set"
        elif opcode > BINARY:
            wrong = "an unknown kind of frame"
        elif opcode and self._kind:
            wrong = "a new message within another"
        elif not opcode and not self._kind:
            wrong = "nothing to be continued"
        else:
            reserved = 0x70 if self._inflater is None or not opcode else 0x30
            wrong = "a reserved bit is set" if first & reserved else ""
        if wrong:
            raise WebSocketError(PROTOCOL_ERROR, wrong)

    def _begin(self, first: int, length: int, mask: bytes) -> None:
        """A frame of a message that is not here as a whole, or compressed."""
        if first & 15:
            self._kind = first & 15
            self._compressed = bool(first & _COMPRESSED)
            self._parts = bytearray()
            self._checked = 0
        elif length + len(self._parts or b"") > self._max_message:
            raise self._too_big()
        self._final = bool(first & _FINAL)
        self._missing = length
        self._mask = mask

    def _continue(self, data: bytes, at: int) -> int:
        """Take what belongs to the unfinished frame; returns where the next begins."""
        end = at + self._missing
        piece = data[at:end]
        if piece:
            mask = self._mask
            self._add(unmask(piece, mask))
            taken = len(piece)
            self._missing -= taken
            turn = taken & 3
            if turn:
                self._mask = mask[turn:] + mask[:turn]
        if not self._missing and self._final:
            self._complete()
        return at + len(piece)

    def _add(self, payload: bytes) -> None:
        parts = self._parts
        assert parts is not None
        if self._compressed:
            assert self._inflater is not None
            payload = self._inflater.inflate(payload, self._max_message - len(parts))
        parts += payload
        if self._kind == TEXT:
            self._check_text(parts, False)

    def _complete(self) -> None:
        parts, kind = self._parts, self._kind
        assert parts is not None
        if self._compressed:
            assert self._inflater is not None
            parts += self._inflater.finish(self._max_message - len(parts))
        if kind == TEXT:
            self._check_text(parts, True)
        self._parts = None
        self._kind = 0
        message = parts.decode() if kind == TEXT else bytes(parts)
        self._sink.message_received(message)

    def _check_text(self, parts: bytearray, final: bool) -> None:
        try:
            self._checked += utf_8_decode(parts[self._checked :], "strict", final)[1]
        except UnicodeDecodeError:
            raise _invalid_text() from None

    def _deliver(self, first: int, payload: bytes) -> None:
        """A message in one frame."""
        if first & TEXT:
            try:
                text = payload.decode()
            except UnicodeDecodeError:
                raise _invalid_text() from None
            self._sink.message_received(text)
        else:
            self._sink.message_received(payload)

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._sink.ping_received(payload)
        elif opcode == PONG:
            self._sink.pong_received(payload)
        else:
            code, reason = parse_close(payload)
            self._ended = True
            self._sink.close_received(code, reason)

    def _too_big(self) -> WebSocketError:
        return WebSocketError(TOO_BIG, f"a message may have {self._max_message} bytes")


def _invalid_text() -> WebSocketError:
    return WebSocketError(INVALID_DATA, "a text is not UTF-8")


def _long_length(data: bytes, at: int) -> int:
    """The length from behind the head, which must need its bytes (RFC 6455, 5.2)."""
    length: int
    if data[at + 1] & 127 == 126:
        (length,) = _LENGTH_16.unpack_from(data, at + 2)
        minimal = length > MAX_CONTROL
    else:
        (length,) = _LENGTH_64.unpack_from(data, at + 2)
        minimal = 0xFFFF < length < _TOP_BIT
    if not minimal:
        raise WebSocketError(PROTOCOL_ERROR, "a length is not in its shortest form")
    return length


def parse_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a Close frame (RFC 6455, 7.4). Raises ``WebSocketError``."""
    if not payload:
        return NO_STATUS, ""
    if len(payload) == 1:
        raise WebSocketError(PROTOCOL_ERROR, "half a close code")
    code = int.from_bytes(payload[:2], "big")
    if not may_be_sent(code):
        raise WebSocketError(PROTOCOL_ERROR, f"{code} is no close code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise WebSocketError(INVALID_DATA, "the reason for closing is not UTF-8") from None


def may_be_sent(code: int) -> bool:
    """Whether a Close frame may carry this code: registered ones, and 3000 to 4999 for apps."""
    return code in _ORDINARY_CODES or 3000 <= code < 5000


def encode_frame(opcode: int, payload: bytes, compressed: bool = False) -> bytes:
    """A whole message, or a control frame, as the server sends it: in one unmasked frame."""
    first = _FINAL | opcode | (_COMPRESSED if compressed else 0)
    size = len(payload)
    if size <= MAX_CONTROL:
        return _HEAD.pack(first, size) + payload
    if size <= 0xFFFF:
        return _HEAD_16.pack(first, 126, size) + payload
    return _HEAD_64.pack(first, 127, size) + payload


def close_payload(code: int, reason: str) -> bytes:
    """The payload of a Close frame; a reason that is too long is cut. ``NO_STATUS`` is left out."""
    if code == NO_STATUS:
        return b""
    text = reason.encode("utf-8", "replace")
    if len(text) > MAX_CONTROL - 2:
        text = text[: MAX_CONTROL - 2].decode("utf-8", "ignore").encode()
    return _LENGTH_16.pack(code) + text
