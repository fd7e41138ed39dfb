"""The reader of WebSocket frames, fed whole, byte by byte and in random cuts (RFC 6455, 5)."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from websocket_driving import BINARY, PING, PONG, TEXT, Recorder, close_frame, frame, masked
from websockets.exceptions import ProtocolError
from websockets.frames import Close
from websockets.protocol import SERVER, Protocol, State

from skitai.wire.websocket import mask as websocket_mask
from skitai.wire.websocket.messages import (
    MessageReader,
    WebSocketError,
    close_payload,
    encode_frame,
    may_be_sent,
    parse_close,
)

LIMIT = 70_000
PROTOCOL_ERROR, INVALID, TOO_BIG = 1002, 1007, 1009
EURO = "€".encode()


def read(pieces, limit=LIMIT):
    """What a reader finds; the code of a failure is the last event."""
    sink = Recorder()
    reader = MessageReader(sink, limit, None)
    try:
        for piece in pieces:
            reader.feed(piece)
    except WebSocketError as exc:
        sink.events.append(("failed", exc.code))
    return sink.events


def test_control_frames_are_no_messages_and_have_their_own_limit():
    frames = frame(PING, b"are you there?") + frame(TEXT, "yes") + close_frame(1000, "good bye")
    assert [event[0] for event in read([frames], limit=3)] == ["ping", "yes", "close"]


def cuts(data):
    """The same bytes in several ways to arrive."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    chance = random.Random(len(data))
    for _ in range(3):
        places = sorted(chance.choices(range(len(data) + 1), k=5))
        yield [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


RIGHT = {
    "empty text": (frame(TEXT), [("",)]),
    "empty binary": (frame(BINARY), [(b"",)]),
    "text": (frame(TEXT, "Hello"), [("Hello",)]),
    "other letters": (frame(TEXT, "κόσμε €uro 𝄞"), [("κόσμε €uro 𝄞",)]),
    "binary": (frame(BINARY, bytes(range(100))), [(bytes(range(100)),)]),
    "no mask to speak of": (frame(TEXT, "abc", mask=bytes(4)), [("abc",)]),
    "125 bytes": (frame(TEXT, "a" * 125), [("a" * 125,)]),
    "126 bytes": (frame(TEXT, "a" * 126), [("a" * 126,)]),
    "several": (frame(TEXT, "a") + frame(BINARY, b"b") + frame(TEXT), [("a",), (b"b",), ("",)]),
    "two fragments": (frame(TEXT, "Hel", fin=False) + frame(0, "lo"), [("Hello",)]),
    "binary fragments": (
        frame(BINARY, b"\xff", fin=False) + frame(0, b"\xfe", fin=False) + frame(0, b"\x00"),
        [(b"\xff\xfe\x00",)],
    ),
    "empty fragments": (
        frame(TEXT, fin=False) + frame(0, "a", fin=False) + frame(0, fin=False) + frame(0),
        [("a",)],
    ),
    "nothing in fragments": (frame(TEXT, fin=False) + frame(0), [("",)]),
    "a letter over fragments": (
        frame(TEXT, EURO[:1], fin=False) + frame(0, EURO[1:2], fin=False) + frame(0, EURO[2:]),
        [("€",)],
    ),
    "a ping within": (
        frame(TEXT, "Hel", fin=False) + frame(PING, b"?") + frame(0, "lo"),
        [("ping", b"?"), ("Hello",)],
    ),
    "a close within": (frame(TEXT, "Hel", fin=False) + close_frame(), [("close", 1000, "")]),
    "ping": (frame(PING), [("ping", b"")]),
    "long ping": (frame(PING, b"p" * 125), [("ping", b"p" * 125)]),
    "pong that nobody asked for": (frame(PONG, b"!"), [("pong", b"!")]),
    "close without a code": (close_frame(None), [("close", 1005, "")]),
    "close with a reason": (close_frame(4321, "tschüs"), [("close", 4321, "tschüs")]),
    "close with a long reason": (close_frame(1000, "x" * 123), [("close", 1000, "x" * 123)]),
    "nothing after close": (close_frame() + frame(TEXT, "no") + b"rubbish", [("close", 1000, "")]),
}

LONG = {
    "65535 bytes": (frame(BINARY, b"a" * 65535), [(b"a" * 65535,)]),
    "65536 bytes": (frame(TEXT, "b" * 65536), [("b" * 65536,)]),
    "the limit": (frame(BINARY, b"c" * LIMIT), [(b"c" * LIMIT,)]),
    "the limit in fragments": (
        frame(BINARY, b"c" * 40_000, fin=False) + frame(0, b"d" * 30_000),
        [(b"c" * 40_000 + b"d" * 30_000,)],
    ),
}

WRONG = {
    "not masked": (frame(TEXT, "a", mask=None), PROTOCOL_ERROR),
    "a ping not masked": (frame(PING, mask=None), PROTOCOL_ERROR),
    "two bytes for a short length": (frame(TEXT, "a", size_bytes=2), PROTOCOL_ERROR),
    "two bytes for 125": (frame(TEXT, "a" * 125, size_bytes=2), PROTOCOL_ERROR),
    "eight bytes for a short length": (frame(TEXT, "a" * 126, size_bytes=8), PROTOCOL_ERROR),
    "eight bytes for 65535": (frame(TEXT, "a" * 65535, size_bytes=8)[:20], PROTOCOL_ERROR),
    "the top bit of a length": (b"\x82\xff\x80" + bytes(7) + b"mask", PROTOCOL_ERROR),
    "a continuation of nothing": (frame(0, "a"), PROTOCOL_ERROR),
    "an unfinished continuation of nothing": (frame(0, "a", fin=False), PROTOCOL_ERROR),
    "a text within a text": (frame(TEXT, "a", fin=False) + frame(TEXT, "b"), PROTOCOL_ERROR),
    "a binary within a text": (frame(TEXT, "a", fin=False) + frame(BINARY, "b"), PROTOCOL_ERROR),
    "a fragmented ping": (frame(PING, fin=False), PROTOCOL_ERROR),
    "a fragmented close": (frame(8, fin=False), PROTOCOL_ERROR),
    "a long ping": (frame(PING, b"a" * 126), PROTOCOL_ERROR),
    "a long close": (frame(8, b"\x03\xe8" + b"a" * 124), PROTOCOL_ERROR),
    "half a close code": (frame(8, b"\x03"), PROTOCOL_ERROR),
    "a reason that is not UTF-8": (close_frame(1000, b"\xff"), INVALID),
    "a text that is not UTF-8": (frame(TEXT, b"a\xffb"), INVALID),
    "half a letter": (frame(TEXT, EURO[:2]), INVALID),
    "half a letter in fragments": (frame(TEXT, b"a", fin=False) + frame(0, EURO[:1]), INVALID),
    "a surrogate": (frame(TEXT, b"\xed\xa0\x80"), INVALID),
    "more than Unicode": (frame(TEXT, b"\xf4\x90\x80\x80"), INVALID),
    "too long": (frame(BINARY, b"a" * (LIMIT + 1))[:20], TOO_BIG),
    "far too long": (b"\x82\xff" + (1 << 62).to_bytes(8, "big") + b"mask", TOO_BIG),
    "too long in fragments": (
        frame(BINARY, b"a" * 69_999, fin=False) + frame(0, b"bc")[:8],
        TOO_BIG,
    ),
    **{
        f"the reserved bit {bit} of opcode {opcode}": (frame(opcode, rsv=bit), PROTOCOL_ERROR)
        for bit in (1, 2, 4)
        for opcode in (TEXT, BINARY, 8, PING, PONG)
    },
    **{
        f"the opcode {opcode}": (frame(opcode, "a"), PROTOCOL_ERROR)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    **{
        f"the close code {code}": (close_frame(code), PROTOCOL_ERROR)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_read_however_it_arrives(name):
    data, events = RIGHT[name]
    for pieces in cuts(data):
        assert read(pieces) == events


@pytest.mark.parametrize("name", LONG)
def test_long_messages_are_read_however_they_arrive(name):
    data, events = LONG[name]
    for size in (len(data), 1, 7, 4096, 65536):
        assert read([data[at : at + size] for at in range(0, len(data), size)]) == events


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_has_its_code_however_it_arrives(name):
    data, code = WRONG[name]
    for pieces in [[data]] if len(data) > 1000 else cuts(frame(TEXT, "first") + data):
        assert read(pieces)[-1] == ("failed", code)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x83", None),
        (b"\x83\x80", PROTOCOL_ERROR),
        (b"\x81\x05", PROTOCOL_ERROR),
        (b"\x89\xfe", PROTOCOL_ERROR),
        (b"\xc1\x81", PROTOCOL_ERROR),
        (b"\x82\xfe\x00\x7d", None),
        (frame(TEXT, "abc" + "d" * 1000)[:20], None),
        (frame(TEXT, b"abc\xff" + b"d" * 1000)[:12], INVALID),
        (frame(TEXT, b"\xf4\x90\x80\x80", fin=False)[:7], None),
        (frame(TEXT, b"\xf4\x90\x80\x80", fin=False)[:8], INVALID),
        (frame(TEXT, b"\xf4", fin=False) + frame(0, b"\x90", fin=False), INVALID),
    ],
)
def test_a_fault_is_found_with_the_byte_that_makes_it_one(data, code):
    for pieces in cuts(data):
        assert read(pieces) == ([] if code is None else [("failed", code)])


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4999])
def test_close_codes_that_may_be_sent_are_received(code):
    assert may_be_sent(code)
    assert read([close_frame(code)]) == [("close", code, "")]


def test_a_paused_reader_stops_behind_a_message_and_goes_on_there():
    sink = Recorder()
    reader = MessageReader(sink, LIMIT, None)
    sink.message_received = lambda message: setattr(reader, "paused", True)
    reader.feed(frame(TEXT, "a") + frame(TEXT, "b", fin=False))
    del sink.message_received
    reader.feed(frame(PING) + frame(0, "c"))
    assert sink.events == []
    reader.paused = False
    reader.feed(b"")
    assert sink.events == [("ping", b""), ("bc",)]


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 1023, 1024, 1025, 1026, 1027, 65536])
def test_both_ways_to_unmask_do_what_the_rfc_says(size):
    data = random.Random(size).randbytes(size)
    for mask in (b"\x00\x00\x00\x00", b"\x01\x02\x03\x04", b"\xff\x00\x80\x7f"):
        assert websocket_mask.unmask(data, mask) == masked(data, mask)
        assert websocket_mask.unmask_in_python(data, mask) == masked(data, mask)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_are_written_in_their_shortest_form(size):
    payload = b"x" * size
    assert encode_frame(BINARY, payload) == frame(BINARY, payload, mask=None)
    assert encode_frame(TEXT, payload, True) == frame(TEXT, payload, mask=None, rsv=4)


def test_a_reason_that_is_too_long_is_cut_between_letters():
    assert close_payload(1000, "x" * 200) == b"\x03\xe8" + b"x" * 123
    code, reason = parse_close(close_payload(3000, "ü" * 100))
    assert (code, reason) == (3000, "ü" * 61)
    assert close_payload(1005, "no frame names it") == b""
    assert parse_close(close_payload(1000, "\ud800")) == (1000, "?")


# -- against another implementation

WHOLE_LETTERS = ["", "a", "Hello", "éé", "x" * 126, b"\x0f\x41", b"\x0f\x41because"]

FRAMES = st.lists(
    st.builds(
        frame,
        st.sampled_from([0, 0, 0, 1, 1, 2, 2, 8, 9, 10, 3, 11]),
        st.sampled_from(WHOLE_LETTERS),
        fin=st.sampled_from([True, True, False]),
        rsv=st.sampled_from([0] * 12 + [1, 2, 4]),
        mask=st.one_of(*[st.binary(min_size=4, max_size=4)] * 9, st.none()),
    ),
    max_size=6,
)


def peer_reads(data):
    """What ``websockets`` makes of it, with the texts decoded as its connections do."""
    protocol = Protocol(SERVER, state=State.OPEN, max_size=LIMIT)
    protocol.receive_data(data)
    events, parts, kind = [], b"", 0
    for item in protocol.events_received():
        if item.opcode == 8:
            close = Close.parse(item.data)
            events.append(("close", close.code, close.reason))
        elif item.opcode > 8:
            events.append(("ping" if item.opcode == PING else "pong", bytes(item.data)))
        else:
            kind, parts = item.opcode or kind, parts + item.data
            if item.fin:
                events.append((parts.decode() if kind == TEXT else parts,))
                parts = b""
    if protocol.parser_exc is not None:
        assert isinstance(protocol.parser_exc, ProtocolError)
        # RFC 6455, 5.4 allows control frames within a message, and does not exclude this one.
        assume("incomplete fragmented message" not in str(protocol.parser_exc))
        events.append(("failed", PROTOCOL_ERROR))
    return events


@settings(max_examples=400, deadline=None)
@given(FRAMES)
def test_another_implementation_reads_the_same(frames):
    data = b"".join(frames)
    expected = peer_reads(data)
    for pieces in cuts(data):
        assert read(pieces) == expected
