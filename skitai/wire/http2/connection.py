"""The receiving half of an HTTP/2 connection (RFC 9113): bytes to calls on a sink.

``server/http2/connection.py`` owns one per connection. No sockets, no clock. What a client can send
without end costs it: ``ConnectionFault`` with ENHANCE_YOUR_CALM is raised when it sends too much.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from skitai.wire.errors import MalformedRequest
from skitai.wire.hpack.decoder import HeaderDecoder
from skitai.wire.hpack.strings import CompressionFault
from skitai.wire.http2 import frames
from skitai.wire.http2.allowance import FRAMES_OF_REQUEST, Allowance
from skitai.wire.http2.frames import ConnectionFault, StreamFault, unpack_header
from skitai.wire.http2.requests import BrokenFields, RequestHead, check_trailers, read_head
from skitai.wire.http2.sending import Stream
from skitai.wire.http2.settings import read_settings

if TYPE_CHECKING:
    from skitai.wire.hpack.decoder import Field
    from skitai.wire.http2.sink import Sink

MAX_STREAMS = 128
STREAM_WINDOW = 256 * 1024
CONNECTION_WINDOW = 1024 * 1024
HELD_SIZE = 4 * 1024 * 1024  # bytes of bodies nobody reads; then the whole connection waits
MAX_CONTINUATIONS = 16
# Bytes of a WINDOW_UPDATE that nobody sends who means well. Not more: some clients answer each DATA
# frame with one, and apps stream small pieces.
SMALL_UPDATE = 32
_REMEMBERED = 16  # header blocks, each of at most so many bytes of fields:
_REMEMBERED_SIZE = 4096
_MAX_GAPS = 16
_MAX_RESET = 256

S = TypeVar("S", bound=Stream)


class Receiver(Generic[S]):
    """Turns what a client sends into calls on a sink.

    Parameters:
        sink: where events go.
        max_line: bytes a request target may have; more is 414.
        max_head: bytes all headers together may have; more is 431.
        max_headers: fields a head may have; more is 431.

    Attributes:
        streams: those that are open, by number.
        last_id: the highest that the client has opened.
        refusing: new streams are passed over: GOAWAY has named the last one.
        in_block: a header block is incomplete.
    """

    __slots__ = (
        "_allowance",
        "_block",
        "_continuations",
        "_decoder",
        "_fault",
        "_gaps",
        "_handlers",
        "_known",
        "_known_at",
        "_max_block",
        "_max_headers",
        "_max_line",
        "_of",
        "_preface",
        "_reset",
        "_rest",
        "_settled",
        "_sink",
        "_space",
        "last_id",
        "refusing",
        "streams",
    )

    def __init__(self, sink: Sink[S], max_line: int, max_head: int, max_headers: int) -> None:
        self._sink = sink
        self._max_line = max_line
        self._max_headers = max_headers
        # A list of fields is counted with 32 bytes for each (RFC 9113, 6.5.2).
        size = max_head + 32 * max_headers
        self._decoder = HeaderDecoder(size)
        self._max_block = size
        self._handlers = {
            frames.PRIORITY: self._priority,
            frames.RST_STREAM: self._rst_stream,
            frames.SETTINGS: self._settings,
            frames.PUSH_PROMISE: self._push_promise,
            frames.PING: self._ping,
            frames.GOAWAY: self._goaway,
            frames.WINDOW_UPDATE: self._window_update,
            frames.CONTINUATION: self._continuation,
        }
        self.streams: dict[int, S] = {}
        self.last_id = 0
        self.refusing = False
        self._preface = frames.PREFACE  # what is missing of it
        self._settled = False
        self._rest = b""
        self._space = CONNECTION_WINDOW
        self._gaps: list[tuple[int, int]] = []  # streams that the client has passed over
        self._reset: deque[int] = deque(maxlen=_MAX_RESET)  # by us; frames may be on their way
        self._allowance = Allowance()
        # the header block that is coming in
        self._of: tuple[int, int] | None = None  # stream and flags
        self._block = bytearray()
        self._continuations = 0
        self._fault = ""
        # PERF: most blocks of a connection are the same bytes while its table does not change;
        # decoding and checking one with 7 fields again takes 5 us, a look-up nothing.
        self._known: dict[bytes, RequestHead] = {}
        self._known_at = 0

    def greeting(self) -> bytes:
        """What has to be sent first (RFC 9113, 3.4)."""
        settings = {
            frames.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            frames.MAX_HEADER_LIST_SIZE: self._max_block,
            frames.ENABLE_CONNECT_PROTOCOL: 1,
        }
        more = CONNECTION_WINDOW - frames.DEFAULT_WINDOW
        return frames.encode_settings(settings) + frames.encode_window_update(0, more)

    @property
    def in_block(self) -> bool:
        return self._of is not None or bool(self._preface)

    @property
    def unread(self) -> tuple[int, int]:
        """Stream and bytes of a frame that has begun to arrive; (0, 0) for none."""
        rest = self._rest
        if len(rest) < frames.HEADER_SIZE:
            return 0, 0
        return unpack_header(rest)[2] & frames.MAX_WINDOW, len(rest)

    def upgraded(self, head: RequestHead) -> None:
        """The request that asked for HTTP/2 by HTTP/1.1 is stream 1 (RFC 7540, 3.2)."""
        self.last_id = 1
        self._sink.request_received(1, head, True)

    def feed(self, data: bytes) -> None:
        """Parse ``data``. Raises ``ConnectionFault``; nothing may be fed after that."""
        if self._rest:
            data = self._rest + data
        if self._preface:
            data = self._read_preface(data)
        at, end = 0, len(data)
        while end - at >= 9:
            word, flags, stream_id = unpack_header(data, at)
            size = word >> 8
            if size > frames.MIN_FRAME_SIZE:
                raise ConnectionFault(frames.FRAME_SIZE_ERROR, "a frame is too large")
            stop = at + 9 + size
            if stop > end:
                break
            try:
                self._frame(word & 0xFF, flags, stream_id & 0x7FFFFFFF, data[at + 9 : stop])
            except StreamFault as fault:
                self._break(stream_id & 0x7FFFFFFF, fault.code)
            at = stop
        self._rest = data[at:]

    def refill(self) -> None:
        """Give the client back what it may send; called twice a second."""
        self._allowance.refill()
        # What was kept back for streams that nobody read, which may have ended.
        self._give_connection_back(CONNECTION_WINDOW // 2)

    def resume(self, stream: S) -> None:
        """Somebody reads again what comes on a stream."""
        stream.held = False
        self._give_back(stream, 1)
        self._give_connection_back(CONNECTION_WINDOW // 2)

    def forget(self, stream_id: int) -> None:
        """Pass over what still comes on a stream that we have reset; any thread."""
        self._reset.append(stream_id)

    # -- frames

    def _read_preface(self, data: bytes) -> bytes:
        preface = self._preface
        size = min(len(data), len(preface))
        if data[:size] != preface[:size]:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "this is not HTTP/2")
        self._preface = preface[size:]
        return data[size:]

    def _frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._of is not None and kind != frames.CONTINUATION:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "a frame within a header block")
        if not self._settled:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise ConnectionFault(frames.PROTOCOL_ERROR, "the first frame must be SETTINGS")
            self._settled = True
        if kind == frames.HEADERS:
            self._headers(flags, stream_id, payload)
        elif kind == frames.DATA:
            self._data(flags, stream_id, payload)
        else:
            handler = self._handlers.get(kind)
            if handler is None:
                self._allowance.spend()  # RFC 9113, 5.5: unknown frames are passed over
            else:
                handler(flags, stream_id, payload)

    def _data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        self._space -= size
        if self._space < 0:
            raise ConnectionFault(frames.FLOW_CONTROL_ERROR, "more DATA than allowed")
        self._give_connection_back(CONNECTION_WINDOW // 2)
        data = _unpad(payload) if flags & frames.PADDED else payload
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_opened(stream_id)
            if stream_id not in self._reset and not self._passed_over(stream_id):
                raise StreamFault(frames.STREAM_CLOSED, "DATA on a closed stream")
            return
        if not stream.receiving:
            raise StreamFault(frames.STREAM_CLOSED, "DATA behind the end of a request")
        stream.space -= size
        if stream.space < 0:
            raise StreamFault(frames.FLOW_CONTROL_ERROR, "more DATA than allowed")
        stream.received += len(data)
        if stream.length is not None and stream.received > stream.length:
            raise StreamFault(frames.PROTOCOL_ERROR, "the body is longer than announced")
        if data:
            self._sink.body_received(stream, data)
        elif not flags & frames.END_STREAM:
            self._allowance.spend()
        if flags & frames.END_STREAM:
            self._end(stream)
        elif not stream.held:
            self._give_back(stream, STREAM_WINDOW // 2)

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & frames.PADDED:
            payload = _unpad(payload)
        self._fault = ""
        if flags & frames.PRIORITIZED:
            if len(payload) < 5:
                raise ConnectionFault(frames.FRAME_SIZE_ERROR, "a priority is cut off")
            if _depends_on(payload) == stream_id:
                self._fault = "a stream depends on itself"
            payload = payload[5:]
        if not stream_id & 1:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "HEADERS on a stream of ours, or none")
        if flags & frames.END_HEADERS:
            self._block_received(stream_id, flags, payload)
        else:
            self._of = (stream_id, flags)
            self._block[:] = payload
            self._continuations = 0

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._of is None or self._of[0] != stream_id:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "CONTINUATION without a header block")
        self._block += payload
        self._continuations += 1
        if len(self._block) > self._max_block or self._continuations > MAX_CONTINUATIONS:
            raise ConnectionFault(frames.ENHANCE_YOUR_CALM, "a header block is too large")
        if flags & frames.END_HEADERS:
            flags, self._of = self._of[1], None
            self._block_received(stream_id, flags, bytes(self._block))
            self._block.clear()

    def _priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._allowance.spend()
        if not stream_id:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "PRIORITY without a stream")
        if len(payload) != 5:
            raise StreamFault(frames.FRAME_SIZE_ERROR, "PRIORITY has 5 bytes")
        if _depends_on(payload) == stream_id:
            raise StreamFault(frames.PROTOCOL_ERROR, "a stream depends on itself")

    def _rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(frames.FRAME_SIZE_ERROR, "RST_STREAM has 4 bytes")
        self._check_opened(stream_id)
        stream = self.streams.pop(stream_id, None)
        if stream is None:
            self._allowance.spend()
        else:
            self._allowance.spend_reset()
            self._sink.stream_broken(stream)

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & frames.ACK:
            if payload:
                raise ConnectionFault(frames.FRAME_SIZE_ERROR, "an acknowledgement has settings")
            self._allowance.spend()
            return
        self._allowance.spend(1 + len(payload) // 60)
        self._sink.settings_received(read_settings(payload))
        self._sink.send(frames.SETTINGS_ACK)

    def _push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise ConnectionFault(frames.PROTOCOL_ERROR, "a client can't push")

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ConnectionFault(frames.FRAME_SIZE_ERROR, "PING has 8 bytes")
        self._allowance.spend()
        if not flags & frames.ACK:
            self._sink.send(frames.encode_ping_ack(payload))

    def _goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(frames.FRAME_SIZE_ERROR, "GOAWAY has at least 8 bytes")
        self._allowance.spend()
        self._sink.goaway_received()

    def _window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ConnectionFault(frames.FRAME_SIZE_ERROR, "WINDOW_UPDATE has 4 bytes")
        size = int.from_bytes(payload, "big") & frames.MAX_WINDOW
        if size < SMALL_UPDATE:
            self._allowance.spend()
        stream: S | None = None
        if stream_id:
            self._check_opened(stream_id)
            stream = self.streams.get(stream_id)
            if stream is None:
                return
        if not size:
            if stream is None:
                raise ConnectionFault(frames.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
            raise StreamFault(frames.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
        self._sink.window_opened(stream, size)

    # -- header blocks

    def _block_received(self, stream_id: int, flags: int, block: bytes) -> None:
        ended = bool(flags & frames.END_STREAM)
        if stream_id <= self.last_id:
            self._later_block(stream_id, ended, block)
            return
        if self._known_at != self._decoder.changes:
            self._known.clear()
            self._known_at = self._decoder.changes
        head = self._known.get(block)
        fault = self._fault
        if head is None:
            try:
                head = self._read_block(block)
            except BrokenFields as exc:
                fault = str(exc)
        if stream_id - self.last_id > 2:
            self._gaps = [(self.last_id + 2, stream_id - 2), *self._gaps[: _MAX_GAPS - 1]]
        self.last_id = stream_id
        self._allowance.frames += FRAMES_OF_REQUEST
        if self.refusing:
            self._reset.append(stream_id)
        elif head is None or fault or (ended and head.length):
            raise StreamFault(frames.PROTOCOL_ERROR, fault)
        elif len(self.streams) >= MAX_STREAMS:
            raise StreamFault(frames.REFUSED_STREAM, "too many streams")
        else:
            self._sink.request_received(stream_id, head, ended)

    def _read_block(self, block: bytes) -> RequestHead:
        fields = self._decode(block)
        if fields is None:
            refusal = MalformedRequest("the request headers are too large", 431)
            return RequestHead("GET", "/", "/", "", {}, None, "", refusal)
        head = read_head(fields, self._max_line, self._max_headers)
        decoder = self._decoder
        if self._known_at == decoder.changes and decoder.size <= _REMEMBERED_SIZE:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[block] = head
        return head

    def _decode(self, block: bytes) -> list[Field] | None:
        try:
            return self._decoder.decode(block)
        except CompressionFault as exc:
            raise ConnectionFault(frames.COMPRESSION_ERROR, str(exc)) from None

    def _later_block(self, stream_id: int, ended: bool, block: bytes) -> None:
        """Trailers, or what comes on a stream that is closed."""
        fields = self._decode(block)
        stream = self.streams.get(stream_id)
        if stream is None:
            if stream_id in self._reset:
                self._allowance.spend()
                return
            if self._passed_over(stream_id):
                raise ConnectionFault(frames.PROTOCOL_ERROR, "streams must be opened in order")
            raise ConnectionFault(frames.STREAM_CLOSED, "HEADERS on a closed stream")
        if not stream.receiving:
            raise StreamFault(frames.STREAM_CLOSED, "HEADERS behind the end of a request")
        if not ended or self._fault:
            raise StreamFault(frames.PROTOCOL_ERROR, "trailers don't end the request")
        if fields is not None:
            try:
                check_trailers(fields)
            except BrokenFields as exc:
                raise StreamFault(frames.PROTOCOL_ERROR, str(exc)) from None
        self._end(stream)

    # -- streams

    def _end(self, stream: S) -> None:
        if stream.length is not None and stream.received != stream.length:
            raise StreamFault(frames.PROTOCOL_ERROR, "the body is shorter than announced")
        stream.receiving = False
        self._sink.request_ended(stream)

    def _break(self, stream_id: int, code: int) -> None:
        """Reset a stream for what the client did on it."""
        if code == frames.REFUSED_STREAM:
            self._allowance.spend(2 * FRAMES_OF_REQUEST)
        else:
            self._allowance.spend_reset()
        stream = self.streams.get(stream_id)
        if stream is not None:
            self._sink.break_off(stream, code)
        else:
            self.forget(stream_id)
            self._sink.send(frames.encode_reset(stream_id, code))

    def _check_opened(self, stream_id: int) -> None:
        if not stream_id & 1 or stream_id > self.last_id:
            raise ConnectionFault(frames.PROTOCOL_ERROR, "a frame on a stream that is not open")

    def _passed_over(self, stream_id: int) -> bool:
        return any(first <= stream_id <= last for first, last in self._gaps)

    # -- limits

    def _give_back(self, stream: S, least: int) -> None:
        """Let the client send as much as it has sent, once that is ``least`` bytes."""
        taken = STREAM_WINDOW - stream.space
        if taken >= least and stream.receiving:
            stream.space = STREAM_WINDOW
            self._sink.grant(stream, taken)

    def _give_connection_back(self, least: int) -> None:
        taken = CONNECTION_WINDOW - self._space
        if taken < least:
            return
        streams = list(self.streams.values())  # at once: threads end streams, too
        held = sum(STREAM_WINDOW - stream.space for stream in streams if stream.held)
        if held <= HELD_SIZE:
            self._space = CONNECTION_WINDOW
            self._sink.send(frames.encode_window_update(0, taken))


def _unpad(payload: bytes) -> bytes:
    """The payload without padding (RFC 9113, 6.1)."""
    if not payload or payload[0] >= len(payload):
        raise ConnectionFault(frames.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]


def _depends_on(priority: bytes) -> int:
    return int.from_bytes(priority[:4], "big") & frames.MAX_WINDOW
