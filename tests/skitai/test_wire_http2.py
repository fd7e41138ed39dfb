"""Both halves of HTTP/2 without sockets: tables of bytes, fed whole and in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hpack
import pytest
from http2_raw import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    PREFACE,
    RST_STREAM,
    block,
    frame,
    get,
    headers,
    post,
    request,
    settings,
    window_update,
    word,
)
from hypothesis import given
from hypothesis import strategies as st

from skitai.wire.http2 import frames
from skitai.wire.http2.connection import CONNECTION_WINDOW, HELD_SIZE, STREAM_WINDOW, Receiver
from skitai.wire.http2.frames import ConnectionFault, StreamFault
from skitai.wire.http2.requests import BrokenFields, read_head
from skitai.wire.http2.sending import Sender, Stream

if TYPE_CHECKING:
    from skitai.wire.http2.requests import RequestHead

CODES = {1, 3, 5, 6, 9, 11}


class Sink:
    """Writes down what it gets."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.sent = b""
        self.receiver: Receiver[Stream] = Receiver(self, 8192, 65536, 100)

    def request_received(self, stream_id: int, head: RequestHead, ended: bool) -> None:
        self.receiver.streams[stream_id] = Stream(stream_id, not ended, head.length, STREAM_WINDOW)
        self.events.append((stream_id, head.method, head.target, head.headers, ended))

    def body_received(self, stream: Stream, data: bytes) -> None:
        last = self.events[-1]
        if last[:2] == (stream.id, "body"):
            self.events[-1] = (stream.id, "body", last[2] + data)
        else:
            self.events.append((stream.id, "body", data))

    def request_ended(self, stream: Stream) -> None:
        self.events.append((stream.id, "end"))

    def stream_broken(self, stream: Stream) -> None:
        self.events.append((stream.id, "broken"))

    def break_off(self, stream: Stream, code: int) -> None:
        del self.receiver.streams[stream.id]
        self.events.append((stream.id, "fault", code))

    def grant(self, stream: Stream, size: int) -> None:
        self.sent += frames.encode_window_update(stream.id, size)

    def window_opened(self, stream: Stream | None, size: int) -> None:
        self.events.append((stream.id if stream else 0, "window", size))

    def settings_received(self, settings: dict[int, int]) -> None:
        self.events.append((0, "settings", settings))

    def goaway_received(self) -> None:
        self.events.append((0, "goaway"))

    def send(self, frame: bytes) -> None:
        self.sent += frame


def fed(sink: Sink, data: bytes) -> int | None:
    """Feed a receiver; the code of the fault that it finds."""
    try:
        sink.receiver.feed(data)
    except ConnectionFault as fault:
        return fault.code
    return None


START = PREFACE + settings()
HOST = {"host": "a"}
CASES: dict[str, tuple[bytes, list[Any]]] = {
    "a request": (get(), [(1, "GET", "/", HOST, True)]),
    "two requests": (get() + get(3, "/b"), [(1, "GET", "/", HOST, True),
                                            (3, "GET", "/b", HOST, True)]),
    "cookies and repeated fields": (
        get(1, "/", ("cookie", "a=1"), ("x", "1"), ("cookie", "b=2"), ("x", "2")),
        [(1, "GET", "/", {"host": "a", "cookie": "a=1; b=2", "x": "1, 2"}, True)],
    ),
    "a body": (
        post() + frame(DATA, 0, 1, b"one") + frame(DATA, 8 | END_STREAM, 1, b"\2two\0\0"),
        [(1, "POST", "/", HOST, False), (1, "body", b"onetwo"), (1, "end")],
    ),
    "a body of known length": (
        post(1, "/", ("content-length", "3")) + frame(DATA, END_STREAM, 1, b"one"),
        [(1, "POST", "/", {"host": "a", "content-length": "3"}, False), (1, "body", b"one"),
         (1, "end")],
    ),
    "a body too short": (
        post(1, "/", ("content-length", "4")) + frame(DATA, END_STREAM, 1, b"one"),
        [(1, "POST", "/", {"host": "a", "content-length": "4"}, False), (1, "body", b"one"),
         (1, "fault", 1)],
    ),
    "trailers": (
        post() + frame(DATA, 0, 1, b"x") + headers(block([("x-end", "1")])),
        [(1, "POST", "/", HOST, False), (1, "body", b"x"), (1, "end")],
    ),
    "a reset": (
        get() + frame(RST_STREAM, 0, 1, word(8)),
        [(1, "GET", "/", HOST, True), (1, "broken")],
    ),
    "windows": (
        get() + window_update(1, 5) + window_update(0, 6),
        [(1, "GET", "/", HOST, True), (1, "window", 5), (0, "window", 6)],
    ),
    "continuations": (
        headers(block(request())[:7], 1, END_STREAM) + frame(9, 0, 1, block(request())[7:20])
        + frame(9, END_HEADERS, 1, block(request())[20:]),
        [(1, "GET", "/", HOST, True)],
    ),
    "goaway": (frame(7, 0, 0, bytes(8)), [(0, "goaway")]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_bytes_become_events(name: str, size: int) -> None:
    data, events = CASES[name]
    data = START + data
    sink = Sink()
    for at in range(0, len(data), size):
        sink.receiver.feed(data[at : at + size])
    assert sink.events == [(0, "settings", {}), *events]


@given(st.lists(st.sampled_from(sorted(CASES)), max_size=4), st.data())
def test_the_pieces_do_not_matter(names: list[str], data: st.DataObject) -> None:
    """Also not what came before; the stream numbers are moved on for each case."""
    whole = START
    for index, name in enumerate(names):
        raw = CASES[name][0]
        at = 0
        while at < len(raw):
            size = 9 + int.from_bytes(raw[at : at + 3], "big")
            stream = int.from_bytes(raw[at + 5 : at + 9], "big")
            moved = stream + 4 * index if stream else 0
            whole += raw[at : at + 5] + word(moved) + raw[at + 9 : at + size]
            at += size
    at_once, pieces = Sink(), Sink()
    at_once.receiver.feed(whole)
    while whole:
        size = data.draw(st.integers(1, len(whole)))
        pieces.receiver.feed(whole[:size])
        whole = whole[size:]
    assert pieces.events == at_once.events
    assert pieces.sent == at_once.sent


@given(st.binary(max_size=300))
def test_any_bytes_are_events_or_a_fault(data: bytes) -> None:
    sink = Sink()
    assert fed(sink, START + data) in (None, *CODES)


KINDS = st.tuples(
    st.integers(0, 10), st.sampled_from([0, 1, 4, 5, 8, 13, 32, 45]), st.integers(0, 5),
    st.one_of(st.binary(max_size=12), st.just(block(request()))),
)  # fmt: skip


@given(st.lists(KINDS, max_size=12))
def test_any_frames_are_events_or_a_fault(parts: list[tuple[int, int, int, bytes]]) -> None:
    sink = Sink()
    assert fed(sink, START + b"".join(frame(*part) for part in parts)) in (None, *CODES)
    opened = [event[0] for event in sink.events if isinstance(event[-1], bool)]
    assert opened == sorted(set(opened))


def test_repeated_blocks_make_requests_of_their_own() -> None:
    encoder = hpack.Encoder()
    sink = Sink()
    sink.receiver.feed(START)
    blocks = [encoder.encode(request("/same")) for _ in range(4)]
    assert blocks[1] == blocks[2] == blocks[3] != blocks[0]
    heads = []
    sink.request_received = lambda stream_id, head, ended: heads.append(head)  # type: ignore
    for at, data in enumerate(blocks):
        sink.receiver.feed(headers(data, 2 * at + 1))
    assert heads[2] is heads[1]
    first, second = heads[2].request("2.0"), heads[3].request("2.0")
    first.headers["x"] = "y"
    assert "x" not in second.headers


def test_a_block_is_read_anew_when_the_table_has_changed() -> None:
    sink = Sink()
    same = block(request()[:2] + request()[3:]) + b"\xbe"  # the path is the newest entry
    sink.receiver.feed(START + headers(b"\x44\x02/a" + same[:-1], 1) + headers(same, 3))
    sink.receiver.feed(headers(b"\x44\x02/b" + same[:-1], 5) + headers(same, 7))
    targets = [event[2] for event in sink.events[1:]]
    assert targets == ["/a", "/a", "/b", "/b"]


def test_a_block_that_sizes_the_table_does_so_each_time() -> None:
    sink = Sink()
    plain = block(request())
    grown, shrunk = b"\x3f\xe1\x1f" + plain, b"\x20" + plain
    added, named = plain + b"\x40\x01a\x01b", plain + b"\xbe"
    sink.receiver.feed(START)
    for at, data in enumerate((grown, shrunk, grown, added, named)):
        assert fed(sink, headers(data, 2 * at + 1)) is None
    assert sink.events[-1][3] == {"host": "a", "a": "b"}


@pytest.mark.parametrize("target", ["/ü", "/a?x=ü", "/a b"])
def test_a_target_is_ascii_as_over_http1(target: str) -> None:
    head = read_head(request(target), 8192, 100)
    assert head.refusal is not None
    assert head.refusal.status == 400


@pytest.mark.parametrize("char", [*map(chr, (*range(9), *range(10, 32))), "\x7f"])
def test_values_have_no_control_characters_as_over_http1(char: str) -> None:
    for value in (char, f"a{char}b"):
        with pytest.raises(BrokenFields):
            read_head([*request(), ("x-a", value)], 8192, 100)
    assert read_head([*request(), ("x-a", "a\tü\xffb")], 8192, 100).refusal is None


def test_windows_are_given_back() -> None:
    sink = Sink()
    sink.receiver.feed(START + post())
    sink.sent = b""
    for _ in range(STREAM_WINDOW // 2 // 16384):
        sink.receiver.feed(frame(DATA, 0, 1, bytes(16384)))
    assert sink.sent == window_update(1, STREAM_WINDOW // 2)


def test_a_held_stream_gets_its_window_and_no_more() -> None:
    sink = Sink()
    sink.receiver.feed(START + post())
    sink.sent = b""
    sink.receiver.streams[1].held = True
    for _ in range(STREAM_WINDOW // 16384):
        sink.receiver.feed(frame(DATA, 0, 1, bytes(16384)))
    assert sink.sent == b""
    sink.receiver.resume(sink.receiver.streams[1])
    assert sink.sent == window_update(1, STREAM_WINDOW)
    sink.receiver.streams[1].held = True
    for _ in range(STREAM_WINDOW // 16384 + 1):
        sink.receiver.feed(frame(DATA, 0, 1, bytes(16384)))
    assert sink.events[-1] == (1, "fault", FLOW_CONTROL_ERROR)


def test_many_held_streams_stop_the_connection_until_one_is_read() -> None:
    sink = Sink()
    sink.receiver.feed(START)
    streams = range(1, 2 * (HELD_SIZE + 2 * CONNECTION_WINDOW) // STREAM_WINDOW, 2)
    codes = []
    for stream in streams:
        sink.receiver.feed(post(stream))
        sink.receiver.streams[stream].held = True
        data = frame(DATA, 0, stream, bytes(16384)) * (STREAM_WINDOW // 16384)
        codes.append(fed(sink, data))
        if codes[-1] is not None:
            break
    assert codes[-1] == FLOW_CONTROL_ERROR
    sink.sent = b""
    for stream in list(sink.receiver.streams.values())[:8]:
        sink.receiver.resume(stream)
    assert window_update(0, 0)[:9] in sink.sent


def test_held_streams_that_end_leave_the_connection_its_window() -> None:
    sink = Sink()
    sink.receiver.feed(START)
    for stream in range(1, 2 * (HELD_SIZE + CONNECTION_WINDOW) // STREAM_WINDOW, 2):
        sink.receiver.feed(post(stream))
        sink.receiver.streams[stream].held = True
        sink.receiver.feed(frame(DATA, 0, stream, bytes(16384)) * (STREAM_WINDOW // 16384))
    sink.sent = b""
    sink.receiver.refill()
    assert sink.sent == b""
    for stream in list(sink.receiver.streams):
        sink.receiver.feed(frame(RST_STREAM, 0, stream, word(8)))
    sink.receiver.refill()
    assert sink.sent == window_update(0, CONNECTION_WINDOW)


# -- sending


def opened(sender: Sender[Stream], *ids: int) -> list[Stream]:
    streams = [Stream(number, False, None, 0) for number in ids]
    for stream in streams:
        sender.open(stream)
    return streams


def parse(data: bytes) -> list[tuple[int, int, int, int]]:
    """(type, flags, stream, length) of frames."""
    found = []
    while data:
        size = int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big"), size))
        data = data[9 + size :]
    return found


def test_a_small_answer_is_two_frames() -> None:
    sender: Sender[Stream] = Sender()
    (stream,) = opened(sender, 1)
    assert sender.respond(stream, b"h", b"body")
    assert sender.take() == frame(1, 4, 1, b"h") + frame(0, 1, 1, b"body")
    assert (stream.closed, sender.window, stream.window) == (True, 65531, 65531)


def test_an_empty_answer_is_one_frame() -> None:
    sender: Sender[Stream] = Sender()
    (stream,) = opened(sender, 1)
    assert sender.respond(stream, b"h", b"")
    assert sender.take() == frame(1, 5, 1, b"h")


def test_streams_take_turns() -> None:
    sender: Sender[Stream] = Sender()
    streams = opened(sender, 1, 3, 5)
    sender.window = 0
    for stream in streams:
        assert not sender.respond(stream, b"h", b"x" * 40_000)
    sender.take()
    sender.widen(None, 200_000)
    sender.pump(1 << 20)
    got = parse(sender.take())
    assert [part[2] for part in got] == [1, 3, 5, 1, 3, 5, 1, 3, 5]
    assert [part[3] for part in got] == [16384] * 6 + [7232] * 3
    assert [part[1] for part in got] == [0] * 6 + [1] * 3
    assert all(stream.closed for stream in streams)
    assert sender.emptied == streams


def test_a_small_answer_does_not_overtake_those_that_wait() -> None:
    sender: Sender[Stream] = Sender()
    first, second = opened(sender, 1, 3)
    sender.window = 0
    sender.respond(first, b"h", b"x" * 100)
    sender.take()
    sender.widen(None, 1000)
    assert not sender.respond(second, b"h", b"y")
    sender.pump(1 << 20)
    assert [part[2] for part in parse(sender.take())] == [3, 1, 3]


def test_windows_may_become_negative() -> None:
    sender: Sender[Stream] = Sender()
    (stream,) = opened(sender, 1)
    sender.respond(stream, b"h", b"x" * 65_000)
    sender.pump(1 << 20)
    sender.take()
    (stream,) = opened(sender, 3)
    sender.widen(None, 1_000_000)
    sender.respond(stream, b"h", b"x" * 70_000)
    sender.pump(1 << 20)
    sender.take()
    assert (stream.window, stream.queued) == (0, 4465)
    sender.configure({4: 10}, {3: stream})
    assert stream.window == 10 - 65535
    sender.widen(stream, 65524)
    sender.pump(1 << 20)
    assert (sender.take(), stream.window) == (b"", -1)
    sender.configure({4: 65535}, {3: stream})
    sender.pump(1 << 20)
    assert stream.closed


def test_windows_have_a_maximum() -> None:
    sender: Sender[Stream] = Sender()
    (stream,) = opened(sender, 1)
    with pytest.raises(StreamFault):
        sender.widen(stream, 2**31 - 1)
    with pytest.raises(ConnectionFault):
        sender.widen(None, 2**31 - 1)
    sender.widen(stream, 1000)
    with pytest.raises(ConnectionFault):
        sender.configure({4: 2**31 - 1}, {1: stream})


def test_frames_of_the_client_s_size() -> None:
    sender: Sender[Stream] = Sender()
    sender.configure({5: 2**24 - 1, 4: 2**20}, {})
    sender.widen(None, 2**20)
    (stream,) = opened(sender, 1)
    sender.respond(stream, b"h" * 100_000, b"x" * 200_000)
    sender.pump(1 << 20)
    got = parse(sender.take())
    assert [part[0] for part in got[:2]] == [1, 9]
    assert max(part[3] for part in got) <= 65536


def test_trailers_come_behind_what_waits() -> None:
    sender: Sender[Stream] = Sender()
    (stream,) = opened(sender, 1)
    sender.headers(stream, b"h")
    assert not sender.write(stream, b"x" * 100_000)
    assert not sender.finish(stream, b"t")
    sender.take()
    sender.widen(None, 100_000)
    sender.widen(stream, 100_000)
    sender.pump(1 << 20)
    data = sender.take()
    assert data.endswith(frame(1, 5, 1, b"t"))
    assert stream.closed


def test_pieces_that_wait_are_sent_together() -> None:
    sender: Sender[Stream] = Sender()
    (stream,) = opened(sender, 1)
    sender.blocked = True
    for _ in range(100):
        assert not sender.write(stream, b"piece")
    assert sender.finish(stream, b"") is False
    sender.blocked = False
    sender.pump(1 << 20)
    assert sender.take() == frame(0, 1, 1, b"piece" * 100)


def test_a_dropped_stream_sends_nothing_more() -> None:
    sender: Sender[Stream] = Sender()
    first, second = opened(sender, 1, 3)
    sender.blocked = True
    sender.write(first, b"x")
    sender.write(second, b"y")
    sender.drop(first)
    sender.pump(1 << 20)
    assert sender.take() == frame(0, 0, 3, b"y")


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50_000)), max_size=20))
def test_everything_arrives_in_order_and_within_the_windows(
    writes: list[tuple[int, int]],
) -> None:
    sender: Sender[Stream] = Sender()
    streams = opened(sender, 1, 3, 5)
    allowed = {0: 65535, 1: 65535, 3: 65535, 5: 65535}
    got: dict[int, int] = {1: 0, 3: 0, 5: 0}
    wanted = dict(got)
    for at, size in writes:
        sender.write(streams[at], bytes(size))
        wanted[streams[at].id] += size
    for stream in streams:
        sender.finish(stream, b"")
    for _ in range(100):
        sender.pump(30_000)
        for kind, _, number, size in parse(sender.take()):
            assert kind == DATA
            got[number] += size
            allowed[number] -= size
            allowed[0] -= size
        assert min(allowed.values()) >= 0
        for number in list(allowed):
            sender.widen(streams[(number - 1) // 2] if number else None, 20_000)
            allowed[number] += 20_000
    assert got == wanted
    assert all(stream.closed for stream in streams)
