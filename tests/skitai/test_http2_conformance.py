"""Every case of the test suite h2spec (2.6.0), by its section and number, over real sockets.

``generic`` are its own sections, ``http2`` those of RFC 7540 (as h2spec counts them; RFC 9113 has
moved a few), ``hpack`` those of RFC 7541. Where the suite leaves a choice between ending a stream
and ending the connection, the table says which one we make.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import hpack.huffman
import hpack.huffman_constants as code
import pytest
from http2_raw import (
    ACK,
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITIZED,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    RawClient,
    block,
    field,
    frame,
    get,
    headers,
    post,
    request,
    settings,
    text,
    window_update,
    word,
)
from serving import Serving, Toy, answer

from skitai.wire.http2.connection import MAX_STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Case = tuple[list[bytes | Callable[[RawClient], None]], tuple[Any, ...]]

GET, POST = block(request()), block(request(method="POST"))
OPEN = [post(1, "/wait")]  # stream 1 is open
HALF = [get(1, "/wait")]  # stream 1 is half-closed (remote)
DEPENDENCY = word(0) + b"\x10"


def end(stream: int = 1) -> Callable[[RawClient], None]:
    """Wait until the server has answered a stream."""
    return lambda client: client.wait_for_end(stream)


def huffman(value: str, bits: str = "1") -> bytes:
    """A string in Huffman code, filled up with other bits than it should be."""
    digits = "".join(
        format(code.REQUEST_CODES[byte], f"0{code.REQUEST_CODES_LENGTH[byte]}b")
        for byte in value.encode()
    )
    digits += bits * ((-len(digits) % 8) // len(bits))
    digits += bits[: -len(digits) % 8]
    data = int(digits, 2).to_bytes(len(digits) // 8, "big")
    return bytes((0x80 | len(data),)) + data


def coded(value: str) -> bytes:
    data = hpack.huffman.HuffmanEncoder(code.REQUEST_CODES, code.REQUEST_CODES_LENGTH).encode(
        value.encode()
    )
    return bytes((0x80 | len(data),)) + data


def literal(more: bytes) -> list[Any]:
    """A GET with one more field, given as bytes."""
    return [headers(GET + more), end()]


def with_fields(*fields: tuple[str, str]) -> list[Any]:
    return [headers(block(list(fields)))]


def answered(status: int = 200, stream: int = 1) -> tuple[Any, ...]:
    return ("answered", stream, status)


def reset(error: int, stream: int = 1) -> tuple[Any, ...]:
    return ("reset", stream, error)


def goaway(error: int) -> tuple[Any, ...]:
    return ("goaway", error)


ALIVE = ("alive",)
CLOSED = ("closed",)
TRAILERS = headers(block([("x-a", "b")]))
PIECES = [GET[at : at + 20] for at in range(0, len(GET), 20)]

GENERIC: dict[str, Case] = {
    "1/1 preface": ([], ALIVE),
    "2/1 PRIORITY on idle": ([frame(PRIORITY, 0, 1, DEPENDENCY), get(), end()], answered()),
    "2/2 WINDOW_UPDATE on half-closed": (
        [settings((4, 0)), get(), window_update(1, 100), end()],
        answered(),
    ),
    "2/3 PRIORITY on half-closed": (
        [settings((4, 0)), get(), frame(PRIORITY, 0, 1, DEPENDENCY), window_update(1, 100), end()],
        answered(),
    ),
    "2/4 RST_STREAM on half-closed": ([*HALF, frame(RST_STREAM, 0, 1, word(CANCEL))], ALIVE),
    "2/5 PRIORITY on closed": ([get(), end(), frame(PRIORITY, 0, 1, DEPENDENCY)], ALIVE),
    "3.1/1 DATA": ([post(), frame(DATA, 1, 1, b"test"), end()], answered()),
    "3.1/2 several DATA": (
        [post(), frame(DATA, 0, 1, b"test"), frame(DATA, 1, 1, b"test"), end()],
        answered(),
    ),
    "3.1/3 DATA with padding": (
        [post(), frame(DATA, PADDED | 1, 1, b"\x06test" + bytes(6)), end()],
        answered(),
    ),
    "3.2/1 HEADERS": ([get(), end()], answered()),
    "3.2/2 HEADERS with padding": (
        [headers(b"\x06" + GET + bytes(6), 1, END_HEADERS | END_STREAM | PADDED), end()],
        answered(),
    ),
    "3.2/3 HEADERS with priority": (
        [headers(DEPENDENCY + GET, 1, END_HEADERS | END_STREAM | PRIORITIZED), end()],
        answered(),
    ),
    "3.3/1 PRIORITY 1": ([frame(PRIORITY, 0, 1, word(0) + b"\0"), get(), end()], answered()),
    "3.3/2 PRIORITY 256": ([frame(PRIORITY, 0, 1, word(0) + b"\xff"), get(), end()], answered()),
    "3.3/3 PRIORITY with a dependency": (
        [frame(PRIORITY, 0, 3, word(1) + b"\xff"), get(), end()],
        answered(),
    ),
    "3.3/4 PRIORITY, exclusive": (
        [frame(PRIORITY, 0, 3, word(1 << 31 | 1) + b"\xff"), get(), end()],
        answered(),
    ),
    "3.3/5 PRIORITY on idle, then a lower stream": (
        [frame(PRIORITY, 0, 5, DEPENDENCY), get(3), end(3)],
        answered(stream=3),
    ),
    "3.4/1 RST_STREAM": ([*OPEN, frame(RST_STREAM, 0, 1, word(CANCEL))], ALIVE),
    "3.5/1 SETTINGS": (
        [settings((3, 100)), lambda client: client.wait(SETTINGS, 0, ACK)],
        ALIVE,
    ),
    "3.7/1 PING": ([frame(PING, 0, 0, b"h2spec\0\0")], ("frame", PING, 0, ACK, b"h2spec\0\0")),
    "3.8/1 GOAWAY": ([frame(GOAWAY, 0, 0, word(0) + word(0))], ALIVE),
    "3.9/1 WINDOW_UPDATE": ([window_update(0, 1)], ALIVE),
    "3.9/2 WINDOW_UPDATE on a stream": (
        [settings((4, 0)), get(), window_update(1, 100), end()],
        answered(),
    ),
    "3.10/1 CONTINUATION": (
        [headers(PIECES[0], 1, END_STREAM), frame(CONTINUATION, 4, 1, b"".join(PIECES[1:])), end()],
        answered(),
    ),
    "3.10/2 several CONTINUATION": (
        [headers(PIECES[0], 1, END_STREAM),
         *(frame(CONTINUATION, 0, 1, piece) for piece in PIECES[1:]),
         frame(CONTINUATION, END_HEADERS, 1), end()],
        answered(),
    ),
    "4/1 GET": ([get(), end()], answered()),
    "4/2 HEAD": ([headers(block(request(method="HEAD"))), end()], answered()),
    "4/3 POST": ([post(), frame(DATA, 1, 1, b"test"), end()], answered()),
    "4/4 POST with trailers": ([post(), frame(DATA, 0, 1, b"test"), TRAILERS, end()], answered()),
    "5/1 indexed": ([headers(b"\x82\x86\x84\x41\x01a"), end()], answered()),
    "5/2 indexing, indexed name": (literal(b"\x7a" + text("x")), answered()),
    "5/3 indexing, indexed name, Huffman": (literal(b"\x7a" + coded("x")), answered()),
    "5/4 indexing, new name": (literal(field("x-a", "b", 0x40)), answered()),
    "5/5 indexing, new name, Huffman": (literal(b"\x40" + coded("x-a") + coded("b")), answered()),
    "5/6 without indexing, indexed name": (literal(b"\x0f\x2b" + text("x")), answered()),
    "5/7 without indexing, indexed name, Huffman": (
        literal(b"\x0f\x2b" + coded("x")),
        answered(),
    ),
    "5/8 without indexing, new name": (literal(field("x-a", "b")), answered()),
    "5/9 without indexing, new name, Huffman": (
        literal(b"\0" + coded("x-a") + coded("b")),
        answered(),
    ),
    "5/10 never indexed, indexed name": (literal(b"\x1f\x2b" + text("x")), answered()),
    "5/11 never indexed, indexed name, Huffman": (literal(b"\x1f\x2b" + coded("x")), answered()),
    "5/12 never indexed, new name": (literal(field("x-a", "b", 0x10)), answered()),
    "5/13 never indexed, new name, Huffman": (
        literal(b"\x10" + coded("x-a") + coded("b")),
        answered(),
    ),
    "5/14 table size update": ([headers(b"\x3f\x61" + GET), end()], answered()),
    "5/15 several table size updates": ([headers(b"\x20\x3f\x61" + GET), end()], answered()),
}  # fmt: skip

HTTP2: dict[str, Case] = {
    "4.1/1 a frame of unknown type": ([frame(255, 0, 0, bytes(8))], ALIVE),
    "4.1/2 undefined flags": ([frame(PING, 0x16, 0, bytes(8))], ("frame", PING, 0, ACK, bytes(8))),
    "4.1/3 the reserved bit": (
        [frame(PING, 0, 1 << 31, bytes(8))],
        ("frame", PING, 0, ACK, bytes(8)),
    ),
    "4.2/1 DATA of 2**14 bytes": ([post(), frame(DATA, 1, 1, bytes(2**14)), end()], answered()),
    "4.2/2 DATA too large": ([*OPEN, frame(DATA, 1, 1, bytes(2**14 + 1))],
                             goaway(FRAME_SIZE_ERROR)),
    "4.2/3 HEADERS too large": ([headers(GET + field("x", "y" * 2**14))],
                                goaway(FRAME_SIZE_ERROR)),
    "4.3/1 an invalid header block": ([headers(b"\x40")], goaway(COMPRESSION_ERROR)),
    "4.3/2 PRIORITY within a header block": (
        [headers(GET, 1, END_STREAM), frame(PRIORITY, 0, 1, DEPENDENCY)],
        goaway(PROTOCOL_ERROR),
    ),
    "4.3/3 HEADERS within a header block": (
        [headers(GET, 1, END_STREAM), get(3)],
        goaway(PROTOCOL_ERROR),
    ),
    "5.1/1 idle: DATA": ([frame(DATA, 1, 1, b"test")], goaway(PROTOCOL_ERROR)),
    "5.1/2 idle: RST_STREAM": ([frame(RST_STREAM, 0, 1, word(8))], goaway(PROTOCOL_ERROR)),
    "5.1/3 idle: WINDOW_UPDATE": ([window_update(1, 100)], goaway(PROTOCOL_ERROR)),
    "5.1/4 idle: CONTINUATION": ([frame(CONTINUATION, 4, 1, GET)], goaway(PROTOCOL_ERROR)),
    "5.1/5 half-closed: DATA": ([*HALF, frame(DATA, 1, 1, b"test")], reset(STREAM_CLOSED)),
    "5.1/6 half-closed: HEADERS": ([*HALF, get()], reset(STREAM_CLOSED)),
    "5.1/7 half-closed: CONTINUATION": (
        [*HALF, frame(CONTINUATION, 4, 1, GET)],
        goaway(PROTOCOL_ERROR),
    ),
    "5.1/8 closed by RST_STREAM: DATA": (
        [*OPEN, frame(RST_STREAM, 0, 1, word(8)), frame(DATA, 1, 1, b"test")],
        reset(STREAM_CLOSED),
    ),
    "5.1/9 closed by RST_STREAM: HEADERS": (
        [*OPEN, frame(RST_STREAM, 0, 1, word(8)), get()],
        goaway(STREAM_CLOSED),
    ),
    "5.1/10 closed by RST_STREAM: CONTINUATION": (
        [*OPEN, frame(RST_STREAM, 0, 1, word(8)), frame(CONTINUATION, 4, 1, GET)],
        goaway(PROTOCOL_ERROR),
    ),
    "5.1/11 closed: DATA": ([get(), end(), frame(DATA, 1, 1, b"test")], reset(STREAM_CLOSED)),
    "5.1/12 closed: HEADERS": ([get(), end(), get()], goaway(STREAM_CLOSED)),
    "5.1/13 closed: CONTINUATION": (
        [get(), end(), frame(CONTINUATION, 4, 1, GET)],
        goaway(PROTOCOL_ERROR),
    ),
    "5.1.1/1 an even stream": ([get(2)], goaway(PROTOCOL_ERROR)),
    "5.1.1/2 a smaller stream": ([get(5), end(5), get(3)], goaway(PROTOCOL_ERROR)),
    "5.1.2/1 too many streams": (
        [get(1 + 2 * at, "/wait") for at in range(MAX_STREAMS + 1)],
        reset(REFUSED_STREAM, 1 + 2 * MAX_STREAMS),
    ),
    "5.3.1/1 HEADERS depends on itself": (
        [headers(word(1) + b"\xff" + GET, 1, END_HEADERS | END_STREAM | PRIORITIZED)],
        reset(PROTOCOL_ERROR),
    ),
    "5.3.1/2 PRIORITY depends on itself": (
        [*OPEN, frame(PRIORITY, 0, 1, word(1) + b"\xff")],
        reset(PROTOCOL_ERROR),
    ),
    "5.4.1/1 the connection is closed after an error": ([frame(PING, 0, 3, bytes(8))], CLOSED),
    "5.4.1/2 GOAWAY comes before": ([frame(PING, 0, 3, bytes(8))], goaway(PROTOCOL_ERROR)),
    "5.5/1 an unknown frame": ([frame(255, 0, 0, b"test")], ALIVE),
    "5.5/2 an unknown frame within a header block": (
        [headers(GET, 1, END_STREAM), frame(255, 1, 1, b"test"), frame(CONTINUATION, 4, 1)],
        goaway(PROTOCOL_ERROR),
    ),
    "6.1/1 DATA on stream 0": ([*OPEN, frame(DATA, 1, 0, b"test")], goaway(PROTOCOL_ERROR)),
    "6.1/2 DATA on a stream that is not open": (
        [*HALF, frame(DATA, 1, 1, b"test")],
        reset(STREAM_CLOSED),
    ),
    "6.1/3 DATA with too much padding": (
        [*OPEN, frame(DATA, PADDED | 1, 1, b"\x06Test")],
        goaway(PROTOCOL_ERROR),
    ),
    "6.2/1 PRIORITY instead of CONTINUATION": (
        [headers(GET, 1, END_STREAM), frame(PRIORITY, 0, 1, DEPENDENCY)],
        goaway(PROTOCOL_ERROR),
    ),
    "6.2/2 HEADERS instead of CONTINUATION": (
        [headers(GET, 1, END_STREAM), get(3)],
        goaway(PROTOCOL_ERROR),
    ),
    "6.2/3 HEADERS on stream 0": ([get(0)], goaway(PROTOCOL_ERROR)),
    "6.2/4 HEADERS with too much padding": (
        [headers(b"\xff" + GET, 1, END_HEADERS | END_STREAM | PADDED)],
        goaway(PROTOCOL_ERROR),
    ),
    "6.3/1 PRIORITY on stream 0": ([frame(PRIORITY, 0, 0, DEPENDENCY)], goaway(PROTOCOL_ERROR)),
    "6.3/2 PRIORITY of 4 bytes": ([*OPEN, frame(PRIORITY, 0, 1, word(0))], reset(FRAME_SIZE_ERROR)),
    "6.4/1 RST_STREAM on stream 0": ([frame(RST_STREAM, 0, 0, word(8))], goaway(PROTOCOL_ERROR)),
    "6.4/2 RST_STREAM on idle": ([frame(RST_STREAM, 0, 1, word(8))], goaway(PROTOCOL_ERROR)),
    "6.4/3 RST_STREAM of 3 bytes": ([*OPEN, frame(RST_STREAM, 0, 1, bytes(3))],
                                    goaway(FRAME_SIZE_ERROR)),
    "6.5/1 an acknowledgement with settings": (
        [frame(SETTINGS, ACK, 0, bytes(1))],
        goaway(FRAME_SIZE_ERROR),
    ),
    "6.5/2 SETTINGS on a stream": (
        [frame(SETTINGS, 0, 1, struct.pack(">HI", 3, 100))],
        goaway(PROTOCOL_ERROR),
    ),
    "6.5/3 SETTINGS of 3 bytes": ([frame(SETTINGS, 0, 0, bytes(3))], goaway(FRAME_SIZE_ERROR)),
    "6.5.2/1 ENABLE_PUSH of 2": ([settings((2, 2))], goaway(PROTOCOL_ERROR)),
    "6.5.2/2 INITIAL_WINDOW_SIZE too large": ([settings((4, 2**31))], goaway(FLOW_CONTROL_ERROR)),
    "6.5.2/3 MAX_FRAME_SIZE too small": ([settings((5, 16383))], goaway(PROTOCOL_ERROR)),
    "6.5.2/4 MAX_FRAME_SIZE too large": ([settings((5, 2**24))], goaway(PROTOCOL_ERROR)),
    "6.5.2/5 an unknown setting": ([settings((0xFF, 1))], ALIVE),
    "6.5.3/1 the last of several values counts": (
        [settings((4, 100), (4, 1)), get(), lambda client: client.wait(HEADERS, 1)],
        ("frame", DATA, 1, 0, b"G"),
    ),
    "6.5.3/2 settings are acknowledged": ([settings()], ("frame", SETTINGS, 0, ACK, b"")),
    "6.7/1 PING": ([frame(PING, 0, 0, b"h2spec\0\0")], ("frame", PING, 0, ACK, b"h2spec\0\0")),
    "6.7/2 PING with ACK": ([frame(PING, ACK, 0, b"invalid\0")], ALIVE),
    "6.7/3 PING on a stream": ([frame(PING, 0, 1, bytes(8))], goaway(PROTOCOL_ERROR)),
    "6.7/4 PING of 6 bytes": ([frame(PING, 0, 0, bytes(6))], goaway(FRAME_SIZE_ERROR)),
    "6.8/1 GOAWAY on a stream": (
        [frame(GOAWAY, 0, 1, word(0) + word(0))],
        goaway(PROTOCOL_ERROR),
    ),
    "6.9/1 WINDOW_UPDATE of 0": ([window_update(0, 0)], goaway(PROTOCOL_ERROR)),
    "6.9/2 WINDOW_UPDATE of 0 on a stream": ([*OPEN, window_update(1, 0)], reset(PROTOCOL_ERROR)),
    "6.9/3 WINDOW_UPDATE of 3 bytes": (
        [frame(8, 0, 0, b"\0\0\1")],
        goaway(FRAME_SIZE_ERROR),
    ),
    "6.9.1/1 one byte of a window": (
        [settings((4, 1)), get(), lambda client: client.wait(HEADERS, 1)],
        ("frame", DATA, 1, 0, b"G"),
    ),
    "6.9.1/2 a window above its maximum": (
        [window_update(0, 2**31 - 1), window_update(0, 2**31 - 1)],
        goaway(FLOW_CONTROL_ERROR),
    ),
    "6.9.1/3 a window above its maximum, on a stream": (
        [*OPEN, window_update(1, 2**31 - 1), window_update(1, 2**31 - 1)],
        reset(FLOW_CONTROL_ERROR),
    ),
    "6.9.2/1 an initial window that changes": (
        [settings((4, 0)), get(), lambda client: client.wait(HEADERS, 1), settings((4, 1))],
        ("frame", DATA, 1, 0, b"G"),
    ),
    "6.9.2/2 a negative window": (
        [settings((4, 3)), get(), lambda client: client.wait(DATA, 1), settings((4, 2)),
         window_update(1, 2)],
        ("frame", DATA, 1, 0, b"/"),
    ),
    "6.9.2/3 an initial window above the maximum": (
        [settings((4, 2**31))],
        goaway(FLOW_CONTROL_ERROR),
    ),
    "6.10/1 several CONTINUATION": (
        [headers(PIECES[0], 1, END_STREAM),
         *(frame(CONTINUATION, 0, 1, piece) for piece in PIECES[1:]),
         frame(CONTINUATION, END_HEADERS, 1), end()],
        answered(),
    ),
    "6.10/2 CONTINUATION, then another frame": (
        [headers(PIECES[0], 1, END_STREAM), frame(CONTINUATION, 0, 1, PIECES[1]),
         frame(DATA, 1, 1, b"test")],
        goaway(PROTOCOL_ERROR),
    ),
    "6.10/3 CONTINUATION on stream 0": (
        [headers(PIECES[0], 1, END_STREAM), frame(CONTINUATION, 4, 0, PIECES[1])],
        goaway(PROTOCOL_ERROR),
    ),
    "6.10/4 CONTINUATION behind a whole HEADERS": (
        [*OPEN, frame(CONTINUATION, 4, 1, GET)],
        goaway(PROTOCOL_ERROR),
    ),
    "6.10/5 CONTINUATION behind the last one": (
        [headers(POST, 1, 0), frame(CONTINUATION, 4, 1), frame(CONTINUATION, 4, 1, GET)],
        goaway(PROTOCOL_ERROR),
    ),
    "6.10/6 CONTINUATION behind DATA": (
        [*OPEN, frame(DATA, 0, 1, b"test"), frame(CONTINUATION, 4, 1, GET)],
        goaway(PROTOCOL_ERROR),
    ),
    "7/1 GOAWAY with an unknown code": ([frame(GOAWAY, 0, 0, word(0) + word(255))], ALIVE),
    "7/2 RST_STREAM with an unknown code": (
        [*OPEN, frame(RST_STREAM, 0, 1, word(255))],
        ALIVE,
    ),
    "8.1/1 a second HEADERS that does not end": (
        [*OPEN, headers(block([("x-a", "b")]), 1, END_HEADERS)],
        reset(PROTOCOL_ERROR),
    ),
    "8.1.2/1 capitals": (with_fields(*request("/", ("X-TEST", "ok"))), reset(PROTOCOL_ERROR)),
    "8.1.2.1/1 an unknown pseudo header": (
        with_fields(*request("/", (":test", "ok"))),
        reset(PROTOCOL_ERROR),
    ),
    "8.1.2.1/2 a pseudo header of answers": (
        with_fields(*request("/", (":status", "200"))),
        reset(PROTOCOL_ERROR),
    ),
    "8.1.2.1/3 a pseudo header in trailers": (
        [*OPEN, headers(block([(":method", "200")]))],
        reset(PROTOCOL_ERROR),
    ),
    "8.1.2.1/4 a pseudo header behind others": (
        with_fields(*request()[:3], ("x-test", "ok"), (":authority", "a")),
        reset(PROTOCOL_ERROR),
    ),
    "8.1.2.2/1 a header of connections": (
        with_fields(*request("/", ("connection", "keep-alive"))),
        reset(PROTOCOL_ERROR),
    ),
    "8.1.2.2/2 TE": (
        with_fields(*request("/", ("trailers", "test"), ("te", "trailers, deflate"))),
        reset(PROTOCOL_ERROR),
    ),
    "8.1.2.3/1 an empty path": (with_fields(*request("")), reset(PROTOCOL_ERROR)),
    "8.1.2.3/2 no method": (with_fields(*request()[1:]), reset(PROTOCOL_ERROR)),
    "8.1.2.3/3 no scheme": (
        with_fields(*request()[:1], *request()[2:]),
        reset(PROTOCOL_ERROR),
    ),
    "8.1.2.3/4 no path": (with_fields(*request()[:2], *request()[3:]), reset(PROTOCOL_ERROR)),
    "8.1.2.3/5 two methods": (
        with_fields(*request(), (":method", "GET")),
        reset(PROTOCOL_ERROR),
    ),
    "8.1.2.3/6 two schemes": (
        with_fields(*request(), (":scheme", "http")),
        reset(PROTOCOL_ERROR),
    ),
    "8.1.2.3/7 two paths": (with_fields(*request(), (":path", "/")), reset(PROTOCOL_ERROR)),
    "8.1.2.6/1 another length than announced": (
        [post(1, "/", ("content-length", "1")), frame(DATA, 1, 1, b"test")],
        reset(PROTOCOL_ERROR),
    ),
    "8.1.2.6/2 another length, in several DATA": (
        [post(1, "/", ("content-length", "1")), frame(DATA, 0, 1, b"test"),
         frame(DATA, 1, 1, b"test")],
        reset(PROTOCOL_ERROR),
    ),
    "8.2/1 PUSH_PROMISE": (
        [frame(PUSH_PROMISE, END_HEADERS, 1, word(3) + GET)],
        goaway(PROTOCOL_ERROR),
    ),
}  # fmt: skip

HPACK: dict[str, Case] = {
    "2.3.3/1 an index of nothing": ([headers(GET + b"\xc6")], goaway(COMPRESSION_ERROR)),
    "2.3.3/2 a literal with an index of nothing": (
        [headers(GET + b"\x7f\x07" + text("x"))],
        goaway(COMPRESSION_ERROR),
    ),
    "4.2/1 a table size update at the end": (
        [headers(GET + b"\x3f\x61")],
        goaway(COMPRESSION_ERROR),
    ),
    "5.2/1 padding of more than 7 bits": (
        [headers(GET + b"\0" + text("x-a") + b"\x82" + huffman("a")[1:2] + b"\xff")],
        goaway(COMPRESSION_ERROR),
    ),
    "5.2/2 padding of zeros": (
        [headers(GET + b"\0" + text("x-a") + huffman("a", "0"))],
        goaway(COMPRESSION_ERROR),
    ),
    "5.2/3 the end of string symbol": (
        [headers(GET + b"\0" + text("x-a") + b"\x84\xff\xff\xff\xff")],
        goaway(COMPRESSION_ERROR),
    ),
    "6.1/1 the index 0": ([headers(GET + b"\x80")], goaway(COMPRESSION_ERROR)),
    "6.3/1 a table larger than allowed": (
        [headers(b"\x3f\xe2\x1f" + GET)],
        goaway(COMPRESSION_ERROR),
    ),
}


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    app = Toy()
    app.thread("/", lambda exchange: answer(exchange, exchange.request.method.encode() + b"/end"))
    app.loop("/wait", lambda exchange: None)
    with Serving(app) as serving:
        yield serving


def check(client: RawClient, case: Case) -> None:
    steps, expected = case
    for step in steps:
        if isinstance(step, bytes):
            client.write(step)
        else:
            step(client)
    if expected[0] == "alive":
        assert client.answers_pings()
    elif expected[0] == "closed":
        client.client.read_rest()
    elif expected[0] == "answered":
        assert client.statuses[expected[1]] == expected[2]
        assert client.answers_pings()
    elif expected[0] == "reset":
        assert client.reset_code(expected[1]) == expected[2]
        assert client.answers_pings()
    elif expected[0] == "goaway":
        assert client.goaway_code() == expected[1]
    else:
        _, kind, stream, flags, payload = expected
        assert client.wait(kind, stream, flags).payload == payload
        assert client.answers_pings()


@pytest.mark.parametrize("name", GENERIC)
def test_generic(serving: Serving, name: str) -> None:
    with RawClient(serving) as client:
        client.begin()
        check(client, GENERIC[name])


@pytest.mark.parametrize("name", HTTP2)
def test_http2(serving: Serving, name: str) -> None:
    with RawClient(serving) as client:
        client.begin()
        check(client, HTTP2[name])


@pytest.mark.parametrize("name", HPACK)
def test_hpack(serving: Serving, name: str) -> None:
    with RawClient(serving) as client:
        client.begin()
        check(client, HPACK[name])


def test_http2_3_5_1_the_preface_of_the_server_is_settings(serving: Serving) -> None:
    with RawClient(serving) as client:
        client.write(PREFACE + settings())
        assert client.read().kind == SETTINGS


def test_http2_3_5_2_an_invalid_preface_is_not_served(serving: Serving) -> None:
    with RawClient(serving) as client:
        client.write(b"INVALID CONNECTION PREFACE\r\n\r\n")
        assert client.client.read().status >= 400
        assert client.client.is_closed()
