"""The client's control stream (RFC 9114, 6.2.1 and 7.2): read for errors, settings are not needed.

``wire/http3/connection.py`` owns one per connection.
"""

from __future__ import annotations

from aioquic.buffer import Buffer, BufferReadError

from skitai.wire.http3.errors import Code, Http3Error

_CANCEL_PUSH, _SETTINGS, _GOAWAY, _MAX_PUSH_ID = 0x03, 0x04, 0x07, 0x0D
_NUMBERS = (_CANCEL_PUSH, _GOAWAY, _MAX_PUSH_ID)
# Those of request streams, and what HTTP/2 had.
_MISPLACED = frozenset((0x00, 0x01, 0x02, 0x05, 0x06, 0x08, 0x09))
_RESERVED_SETTINGS = frozenset((0x00, 0x02, 0x03, 0x04, 0x05))
_SWITCHES = frozenset(
    (0x08, 0x33)
)  # settings that are 0 or 1: ENABLE_CONNECT_PROTOCOL, H3_DATAGRAM
_LONGEST = 4096  # bytes of settings


class ControlStream:
    """Checks what a client says about the connection."""

    __slots__ = ("_begun", "_held", "_kind", "_last_push", "_left", "_lowest_push")

    def __init__(self) -> None:
        self._begun = False  # the settings have come
        self._held = bytearray()
        self._kind = -1
        self._left = -1  # bytes of the current frame that are missing, -1 between frames
        self._last_push = -1
        self._lowest_push = 2**62

    def receive(self, data: bytes) -> None:
        """Take what has come; raises ``Http3Error``."""
        self._held += data
        while self._held or self._left == 0:
            if self._left < 0 and not self._begin_frame():
                return
            wanted = self._kind in (_SETTINGS, *_NUMBERS)
            if wanted and len(self._held) < self._left:
                return
            payload = bytes(self._held[: self._left])
            del self._held[: self._left]
            self._left -= len(payload)
            if self._left == 0:
                self._left = -1
            if self._kind == _SETTINGS:
                self._take_settings(payload)
            elif wanted:
                self._take_number(payload)

    def _begin_frame(self) -> bool:
        head = Buffer(data=bytes(self._held[:16]))
        try:
            kind, length = head.pull_uint_var(), head.pull_uint_var()
        except BufferReadError:
            return False
        if not self._begun and kind != _SETTINGS:
            raise Http3Error(Code.MISSING_SETTINGS, "the first frame has no settings")
        if kind in _MISPLACED or (self._begun and kind == _SETTINGS):
            raise Http3Error(Code.FRAME_UNEXPECTED, f"frame {kind} on the control stream")
        if kind == _SETTINGS and length > _LONGEST:
            raise Http3Error(Code.EXCESSIVE_LOAD, "too many settings")
        if kind in _NUMBERS and not 0 < length <= 8:
            raise Http3Error(Code.FRAME_ERROR, f"frame {kind} has the wrong length")
        self._begun = True
        self._kind, self._left = kind, length
        del self._held[: head.tell()]
        return True

    def _take_settings(self, payload: bytes) -> None:
        settings: dict[int, int] = {}
        buffer = Buffer(data=payload)
        while not buffer.eof():
            try:
                name, value = buffer.pull_uint_var(), buffer.pull_uint_var()
            except BufferReadError:
                raise Http3Error(Code.FRAME_ERROR, "the settings are incomplete") from None
            if name in settings or name in _RESERVED_SETTINGS:
                raise Http3Error(Code.SETTINGS_ERROR, f"setting {name} can't be there")
            if name in _SWITCHES and value > 1:
                raise Http3Error(Code.SETTINGS_ERROR, f"setting {name} is neither 0 nor 1")
            settings[name] = value

    def _take_number(self, payload: bytes) -> None:
        buffer = Buffer(data=payload)
        try:
            number = buffer.pull_uint_var()
        except BufferReadError:
            number = -1
        if number < 0 or not buffer.eof():
            raise Http3Error(Code.FRAME_ERROR, f"frame {self._kind} has the wrong length")
        if self._kind == _CANCEL_PUSH:
            raise Http3Error(Code.ID_ERROR, "nothing was pushed")
        if self._kind == _MAX_PUSH_ID:
            if number < self._last_push:
                raise Http3Error(Code.ID_ERROR, "the last push id became lower")
            self._last_push = number
        else:
            if number > self._lowest_push:
                raise Http3Error(Code.ID_ERROR, "the id of GOAWAY became higher")
            self._lowest_push = number
