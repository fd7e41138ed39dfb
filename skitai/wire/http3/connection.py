"""HTTP/3 (RFC 9114): what comes on QUIC streams becomes requests, and responses become bytes.

``server/http3/connection.py`` owns one ``Http3`` per client and is its sink. QPACK (RFC 9204) is
pylsqpack's, without a dynamic table: no request waits for another, and no short field section
stands for megabytes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

import pylsqpack
from aioquic.buffer import Buffer, BufferReadError, encode_uint_var

from skitai.wire.errors import MalformedRequest
from skitai.wire.http2.requests import BrokenFields
from skitai.wire.http3.control import ControlStream
from skitai.wire.http3.errors import Code, Http3Error
from skitai.wire.http3.fields import parse_request, parse_trailers
from skitai.wire.request import Request

if TYPE_CHECKING:
    from skitai.wire.http3.fields import Limits, Section
    from skitai.wire.http3.quic import Quic

DATA, HEADERS, SETTINGS, GOAWAY = 0x00, 0x01, 0x04, 0x07
# Those of other streams, of servers, and what HTTP/2 had (RFC 9114, 7.2 and 11.2.1).
_MISPLACED = frozenset((0x02, 0x03, SETTINGS, 0x05, 0x06, GOAWAY, 0x08, 0x09, 0x0D))
_CONTROL, _PUSH, _ENCODER, _DECODER = 0x00, 0x01, 0x02, 0x03
_MAX_FIELD_SECTION_SIZE, _ENABLE_CONNECT_PROTOCOL = 0x06, 0x08
_FIELD_OVERHEAD = 32  # bytes that count for each field (RFC 9114, 4.2.2)
LAST_STREAM = 2**62 - 4


class Phase(IntEnum):
    """Where a request stream is."""

    HEAD = 0
    BODY = 1
    BEHIND = 2  # the trailers have come
    IGNORED = 3  # whatever still comes is not for us


class RequestSink(Protocol):
    """Receives what comes on the request streams, in order for each stream."""

    def request_received(
        self, stream: int, request: Request, length: int | None, ended: bool
    ) -> None:
        """A head; ``ended``: nothing follows. ``length``: of the body, None if it does not tell."""

    def request_refused(self, stream: int, request: Request, error: MalformedRequest) -> None:
        """A head that gets an answer and no more; what follows it is ignored."""

    def body_received(self, stream: int, data: bytes) -> None:
        """A piece of a body."""

    def request_ended(self, stream: int) -> None:
        """The body is complete."""

    def request_broken(self, stream: int, code: Code) -> None:
        """The client broke the rules on this stream: it ends with this code."""


class Inbound:
    """The client's half of a request stream."""

    __slots__ = ("kind", "last", "left", "length", "phase", "rest", "section", "size")

    def __init__(self) -> None:
        self.phase = Phase.HEAD
        self.last = False  # nothing follows the piece that is being read
        self.rest = b""  # the beginning of a frame's head
        self.kind = -1
        self.left = -1  # bytes of the current frame that are missing, -1 between frames
        self.section = bytearray()
        self.length: int | None = None
        self.size = 0


class Http3:
    """HTTP/3 on one connection, for a server.

    Parameters:
        quic: carries the streams.
        sink: where requests go.
        limits: for the heads of requests.

    Its methods raise ``Http3Error`` for what ends the connection.
    """

    def __init__(self, quic: Quic, sink: RequestSink, limits: Limits) -> None:
        self._quic = quic
        self._sink = sink
        self._limits = limits
        self._max_section = (
            limits.max_line + limits.max_head + (limits.max_headers + 4) * _FIELD_OVERHEAD
        )
        self._encoder = pylsqpack.Encoder()
        self._decoder = pylsqpack.Decoder(0, 0)
        self._requests: dict[int, Inbound] = {}
        self._types: dict[int, int] = {}  # of the client's unidirectional streams
        self._type_rests: dict[int, bytes] = {}
        self._client = ControlStream()
        self._control = quic.get_next_available_stream_id(is_unidirectional=True)
        settings = b"".join(
            map(encode_uint_var, (_MAX_FIELD_SECTION_SIZE, self._max_section))
        ) + bytes((_ENABLE_CONNECT_PROTOCOL, 1))
        quic.send_stream_data(self._control, bytes((_CONTROL,)) + _frame(SETTINGS, settings))

    # -- from the client

    def receive(self, stream: int, data: bytes, ended: bool) -> None:
        """Take what has come on a stream."""
        if stream & 2:
            self._receive_single(stream, data, ended)
            return
        inbound = self._requests.get(stream)
        if inbound is None:
            inbound = self._requests[stream] = Inbound()
        if inbound.phase != Phase.IGNORED:
            try:
                self._feed(stream, inbound, data, ended)
                if ended:
                    self._end(stream, inbound)
            except BrokenFields:
                inbound.phase = Phase.IGNORED
                self._sink.request_broken(stream, Code.MESSAGE_ERROR)
        if ended:
            self._requests.pop(stream, None)

    def reset(self, stream: int) -> None:
        """The client has broken a stream off."""
        self._requests.pop(stream, None)
        self._type_rests.pop(stream, None)
        if self._types.pop(stream, None) in (_CONTROL, _ENCODER, _DECODER):
            raise Http3Error(Code.CLOSED_CRITICAL_STREAM, "a critical stream was reset")

    def stopped(self, stream: int) -> None:
        """The client reads no more of a stream."""
        if stream == self._control:
            raise Http3Error(Code.CLOSED_CRITICAL_STREAM, "the control stream was stopped")

    def ignore(self, stream: int) -> None:
        """Take nothing more from a request stream."""
        inbound = self._requests.get(stream)
        if inbound is not None:
            inbound.phase = Phase.IGNORED
            inbound.section.clear()

    def expecting(self, stream: int) -> bool:
        """Whether the client has begun a request there whose head is incomplete."""
        inbound = self._requests.get(stream)
        return inbound is not None and inbound.phase == Phase.HEAD

    # -- to the client

    def send_head(self, stream: int, section: Section, ended: bool) -> None:
        """Send a head or trailers."""
        _, block = self._encoder.encode(stream, section)
        self._quic.send_stream_data(stream, _frame(HEADERS, block), ended)

    def send_data(self, stream: int, data: bytes | memoryview, ended: bool) -> None:
        """Send a piece of a body; without data only its end."""
        self._quic.send_stream_data(stream, _frame(DATA, data) if data else b"", ended)

    def go_away(self, stream: int = LAST_STREAM) -> None:
        """Tell the client that requests from this stream on are not served (RFC 9114, 5.2)."""
        self._quic.send_stream_data(self._control, _frame(GOAWAY, encode_uint_var(stream)))

    # -- request streams

    def _feed(self, stream: int, inbound: Inbound, data: bytes, ended: bool) -> None:
        if inbound.rest:
            data, inbound.rest = inbound.rest + data, b""
        at, size = 0, len(data)
        while inbound.phase != Phase.IGNORED and (at < size or inbound.left == 0):
            if inbound.left < 0:
                begun = self._begin_frame(stream, inbound, data, at)
                if begun < 0:
                    inbound.rest = data[at:]
                    return
                at = begun
                continue
            piece = data[at : at + inbound.left] if at or size > inbound.left else data
            at += len(piece)
            inbound.left -= len(piece)
            inbound.last = ended and at == size
            self._take(stream, inbound, piece)

    def _begin_frame(self, stream: int, inbound: Inbound, data: bytes, at: int) -> int:
        """Read the head of a frame; where its payload begins, -1 when the head is incomplete."""
        head = Buffer(data=data[at : at + 16])
        try:
            kind, length = head.pull_uint_var(), head.pull_uint_var()
        except BufferReadError:
            return -1
        phase = inbound.phase
        if kind in _MISPLACED or (kind == DATA and phase != Phase.BODY):
            raise Http3Error(Code.FRAME_UNEXPECTED, f"frame {kind} on a request stream")
        if kind == HEADERS:
            if phase == Phase.BEHIND:
                raise Http3Error(Code.FRAME_UNEXPECTED, "fields behind the trailers")
            if length > self._max_section:
                self._refuse(stream, inbound, "the request headers are too large")
        inbound.kind, inbound.left = kind, length
        return at + head.tell()

    def _refuse(self, stream: int, inbound: Inbound, reason: str) -> None:
        head = inbound.phase == Phase.HEAD
        inbound.phase = Phase.IGNORED
        if head:
            unknown = Request("GET", "/", "/", "", "3.0", {})
            self._sink.request_refused(stream, unknown, MalformedRequest(reason, 431))
        else:
            self._sink.request_broken(stream, Code.EXCESSIVE_LOAD)

    def _take(self, stream: int, inbound: Inbound, piece: bytes) -> None:
        """A piece of a frame's payload; the frame is complete when nothing of it is left."""
        if inbound.kind == DATA:
            inbound.size += len(piece)
            if inbound.length is not None and inbound.size > inbound.length:
                raise BrokenFields("the body is longer than announced")
            if piece:
                self._sink.body_received(stream, piece)
        elif inbound.kind == HEADERS:
            inbound.section += piece
        if inbound.left == 0:
            inbound.left = -1
            if inbound.kind == HEADERS:
                self._take_section(stream, inbound)

    def _take_section(self, stream: int, inbound: Inbound) -> None:
        block = bytes(inbound.section)
        inbound.section.clear()
        try:
            _, section = self._decoder.feed_header(stream, block)
        except (pylsqpack.DecompressionFailed, pylsqpack.StreamBlocked):
            raise Http3Error(Code.DECOMPRESSION_FAILED, "a field section can't be read") from None
        if inbound.phase == Phase.BODY:
            if parse_trailers(section, self._limits):
                inbound.phase = Phase.BEHIND
            else:
                self._refuse(stream, inbound, "")
            return
        head = parse_request(section, self._limits)
        request = head.request("3.0")
        if head.refusal is not None:
            inbound.phase = Phase.IGNORED
            self._sink.request_refused(stream, request, head.refusal)
            return
        inbound.length = head.length
        if inbound.last and inbound.length:
            raise BrokenFields("the body is missing")
        inbound.phase = Phase.IGNORED if inbound.last else Phase.BODY
        self._sink.request_received(stream, request, inbound.length, inbound.last)

    def _end(self, stream: int, inbound: Inbound) -> None:
        if inbound.phase == Phase.IGNORED:
            return
        if inbound.left >= 0 or inbound.rest:
            raise Http3Error(Code.FRAME_ERROR, "a stream ends within a frame")
        if inbound.phase == Phase.HEAD:
            self._sink.request_broken(stream, Code.REQUEST_INCOMPLETE)
        elif inbound.length is not None and inbound.size != inbound.length:
            raise BrokenFields("the body is shorter than announced")
        else:
            self._sink.request_ended(stream)

    # -- the client's unidirectional streams

    def _receive_single(self, stream: int, data: bytes, ended: bool) -> None:
        kind = self._types.get(stream)
        if kind is None:
            data = self._type_rests.pop(stream, b"") + data
            head = Buffer(data=data[:8])
            try:
                kind = head.pull_uint_var()
            except BufferReadError:
                if not ended:
                    self._type_rests[stream] = data
                return
            self._open_single(stream, kind)
            data = data[head.tell() :]
        if kind == _CONTROL:
            self._client.receive(data)
        elif kind == _ENCODER:
            self._instruct(self._decoder.feed_encoder, data, Code.ENCODER_STREAM_ERROR)
        elif kind == _DECODER:
            self._instruct(self._encoder.feed_decoder, data, Code.DECODER_STREAM_ERROR)
        if ended:
            self.reset(stream)

    def _open_single(self, stream: int, kind: int) -> None:
        if kind == _PUSH:
            raise Http3Error(Code.STREAM_CREATION_ERROR, "only servers push")
        if kind in (_CONTROL, _ENCODER, _DECODER):
            if kind in self._types.values():
                raise Http3Error(Code.STREAM_CREATION_ERROR, f"a second stream of type {kind}")
        else:
            self._quic.stop_receiving(stream, Code.STREAM_CREATION_ERROR)
        self._types[stream] = kind

    @staticmethod
    def _instruct(feed: object, data: bytes, code: Code) -> None:
        assert callable(feed)
        if not data:
            return
        try:
            feed(data)
        except (pylsqpack.EncoderStreamError, pylsqpack.DecoderStreamError):
            raise Http3Error(code, "an instruction of QPACK can't be followed") from None


def _frame(kind: int, payload: bytes | memoryview) -> bytes:
    return b"".join((bytes((kind,)), encode_uint_var(len(payload)), payload))
