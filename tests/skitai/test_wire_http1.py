"""HTTP/1 requests from bytes: valid ones, however the network cuts them; sizes; and the encoders.

What must be refused is in ``test_wire_http1_malformed.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording import DEFAULTS, Message, Recorder, record

from skitai.wire import http1
from skitai.wire.errors import MalformedRequest
from skitai.wire.http1 import RequestParser

HOST = {"host": "a"}
NEXT = b"GET /next HTTP/1.1\r\nHost: b\r\n\r\n"
NEXT_MESSAGE = Message("GET", "/next", "", "1.1", {"host": "b"}, True)


def bodied(length: str = "", chunked: bool = False, **more: str) -> dict[str, str]:
    framing = {"transfer-encoding": "chunked"} if chunked else {"content-length": length}
    return {**HOST, **framing, **more}


VALID: dict[str, tuple[bytes, Message]] = {
    **{
        method: (
            f"{method} /{method.lower()} HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
            Message(method, f"/{method.lower()}", "", "1.1", HOST, True),
        )
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
    },
    "a method of WebDAV": (
        b"PROPFIND /docs HTTP/1.1\r\nHost: a\r\n\r\n",
        Message("PROPFIND", "/docs", "", "1.1", HOST, True),
    ),
    "query": (
        b"GET /find?q=a%20b&x=%zz&y=?/ HTTP/1.1\r\nHost: a\r\n\r\n",
        Message("GET", "/find", "q=a%20b&x=%zz&y=?/", "1.1", HOST, True),
    ),
    "empty query": (
        b"GET /? HTTP/1.1\r\nHost: a\r\n\r\n",
        Message("GET", "/", "", "1.1", HOST, True),
    ),
    "percent path": (
        b"GET /%ED%95%9C%ea%b8%80/a%2Fb%3fc%25 HTTP/1.1\r\nHost: a\r\n\r\n",
        Message("GET", "/한글/a/b?c%", "", "1.1", HOST, True),
    ),
    "path of two slashes": (
        b"GET //b/c HTTP/1.1\r\nHost: a\r\n\r\n",
        Message("GET", "//b/c", "", "1.1", HOST, True),
    ),
    "dots are kept": (
        b"GET /a/../b/./c HTTP/1.1\r\nHost: a\r\n\r\n",
        Message("GET", "/a/../b/./c", "", "1.1", HOST, True),
    ),
    "asterisk": (
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        Message("OPTIONS", "*", "", "1.1", HOST, True),
    ),
    "absolute form": (
        b"GET http://b.example:8080/x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n",
        Message("GET", "/x", "y=1", "1.1", {"host": "b.example:8080"}, True),
    ),
    "absolute form without a path": (
        b"GET HTTPS://[::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        Message("GET", "/", "", "1.1", {"host": "[::1]:443"}, True),
    ),
    "absolute form with nothing but a query": (
        b"GET http://b?c=http://d/ HTTP/1.1\r\nHost: a\r\n\r\n",
        Message("GET", "/", "c=http://d/", "1.1", {"host": "b"}, True),
    ),
    "empty host": (
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        Message("GET", "/", "", "1.1", {"host": ""}, True),
    ),
    "blanks around values": (
        b"GET / HTTP/1.1\r\nhOsT:\t a \t\r\nX:  b  c \r\nY:d\r\nZ:\r\n\r\n",
        Message("GET", "/", "", "1.1", {**HOST, "x": "b  c", "y": "d", "z": ""}, True),
    ),
    "bytes above ASCII": (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xc3\xa9\xa0\r\n\r\n",
        Message("GET", "/", "", "1.1", {**HOST, "x": "cafÃ©\xa0"}, True),
    ),
    "every character of a header name": (
        b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09Az: 1\r\n\r\n",
        Message("GET", "/", "", "1.1", {**HOST, "!#$%&'*+-.^_`|~09az": "1"}, True),
    ),
    "repeated headers": (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nCookie: b=1 \r\nx: 2\t\r\ncookie: c=2\r\nX:\r\n\r\n",
        Message("GET", "/", "", "1.1", {**HOST, "x": "1, 2, ", "cookie": "b=1; c=2"}, True),
    ),
    "empty lines before": (
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        Message("GET", "/", "", "1.1", HOST, True),
    ),
    "length": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        Message("POST", "/", "", "1.1", bodied("5"), True, b"hello", 5),
    ),
    "length with zeros and blanks": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \t005 \t\r\n\r\nhello",
        Message("POST", "/", "", "1.1", bodied("005"), True, b"hello", 5),
    ),
    "length of zero": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        Message("POST", "/", "", "1.1", bodied("0"), True),
    ),
    "GET with a body": (
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\r\n",
        Message("GET", "/", "", "1.1", bodied("2"), True, b"\r\n", 2),
    ),
    "a body that looks like a request": (
        b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\n" + NEXT,
        Message("PUT", "/", "", "1.1", bodied("31"), True, NEXT, 31),
    ),
    "expectation": (
        b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        Message("POST", "/", "", "1.1", bodied("1", expect="100-continue"), True, b"x", 1),
    ),
    "chunks": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n00A\r\n 123456789\r\n1\r\n\n\r\n0\r\n\r\n",
        Message(
            "POST", "/", "", "1.1", bodied(chunked=True), True, b"hello 123456789\n", None
        ),
    ),
    "no chunk at all": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n000\r\n\r\n",
        Message("POST", "/", "", "1.1", bodied(chunked=True), True, b"", None),
    ),
    "chunk extensions": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'1;a\r\nx\r\n1;b=c;d="e f\\""\r\ny\r\n0;last\r\n\r\n',
        Message("POST", "/", "", "1.1", bodied(chunked=True), True, b"xy", None),
    ),
    "trailers are dropped": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\nx\r\n0\r\nHost: evil\r\nX-Sum: 1\r\nX-Sum:\r\nCookie: a=b\r\n\r\n",
        Message("POST", "/", "", "1.1", bodied(chunked=True), True, b"x", None),
    ),
    "transfer coding in capitals": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        Message(
            "POST", "/", "", "1.1", {**HOST, "transfer-encoding": "Chunked"}, True, b"x", None
        ),
    ),
    "upgrade": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        Message(
            "GET", "/", "", "1.1", {**HOST, "connection": "Upgrade", "upgrade": "h2c"}, True
        ),
    ),
    "upgrade with a body": (
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
        b"Content-Length: 5\r\n\r\nhello",
        Message(
            "POST", "/", "", "1.1", bodied("5", connection="upgrade", upgrade="h2c"), True,
            b"hello", 5,
        ),
    ),
    "upgrade with chunks": (
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        Message(
            "POST", "/", "", "1.1", bodied(chunked=True, connection="upgrade", upgrade="h2c"),
            True, b"hello", None,
        ),
    ),
    "upgrade asked for by trailers": (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"1\r\nx\r\n0\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        Message("POST", "/", "", "1.1", bodied(chunked=True), True, b"x", None),
    ),
    "1.1 closes when told": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n",
        Message("GET", "/", "", "1.1", {**HOST, "connection": "foo, Close"}, False),
    ),
    "1.1 stays when told": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        Message("GET", "/", "", "1.1", {**HOST, "connection": "keep-alive"}, True),
    ),
    "close wins over keep-alive": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
        Message("GET", "/", "", "1.1", {**HOST, "connection": "keep-alive, close"}, False),
    ),
    "a word that only begins with close": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n",
        Message("GET", "/", "", "1.1", {**HOST, "connection": "closed"}, True),
    ),
    "upgrade and close": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n\r\n",
        Message(
            "GET", "/", "", "1.1", {**HOST, "connection": "upgrade, close", "upgrade": "h2c"}, False
        ),
    ),
    "upgrade with a body and close": (
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: h2c\r\n"
        b"Content-Length: 1\r\n\r\nx",
        Message(
            "POST", "/", "", "1.1",
            bodied("1", connection="upgrade, close", upgrade="h2c"), False, b"x", 1,
        ),
    ),
    "1.0 closes": (
        b"GET / HTTP/1.0\r\n\r\n",
        Message("GET", "/", "", "1.0", {}, False),
    ),
    "1.0 stays when told": (
        b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        Message("GET", "/", "", "1.0", {"connection": "Keep-Alive"}, True),
    ),
    "1.0 stays when told by its old name": (
        b"GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n\r\n",
        Message("GET", "/", "", "1.0", {"connection": "keep-alive"}, True),
    ),
    "1.0 with a body": (
        b"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        Message("POST", "/", "", "1.0", bodied("5"), False, b"hello", 5),
    ),
}  # fmt: skip

valid = pytest.mark.parametrize(("data", "message"), list(VALID.values()), ids=list(VALID))


def single_bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@valid
def test_a_request_in_one_piece(data: bytes, message: Message) -> None:
    assert record([data]) == ([message], None)


@valid
def test_a_request_byte_by_byte(data: bytes, message: Message) -> None:
    assert record(single_bytes(data)) == ([message], None)


@valid
def test_a_request_cut_anywhere(data: bytes, message: Message) -> None:
    for at in range(1, len(data)):
        assert record([data[:at], data[at:]]) == ([message], None), f"cut at {at}"


@valid
def test_a_request_twice(data: bytes, message: Message) -> None:
    twice = [message, message] if message.keep_alive else [message]
    error = None if message.keep_alive else 400
    assert record([data + data]) == (twice, error)
    assert record(single_bytes(data + data)) == (twice, error)
    assert record([data, data]) == (twice, error)


@valid
def test_a_request_with_the_beginning_of_another(data: bytes, message: Message) -> None:
    if not message.keep_alive:
        return
    for at in range(1, len(NEXT)):
        first = record([data + NEXT[:at]])
        assert first == ([message], None), f"cut at {at}"
        assert record([data + NEXT[:at], NEXT[at:]]) == ([message, NEXT_MESSAGE], None)


@settings(max_examples=300, deadline=None)
@given(
    names=st.lists(st.sampled_from([n for n in VALID if VALID[n][1].keep_alive]), max_size=8),
    last=st.sampled_from(list(VALID)),
    cuts=st.lists(st.integers(0, 1500), max_size=12),
)
def test_pipelined_requests_are_the_same_however_they_are_cut(
    names: list[str], last: str, cuts: list[int]
) -> None:
    data = b"".join(VALID[name][0] for name in (*names, last))
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:stop] for start, stop in zip(edges, edges[1:], strict=False)]
    assert record(pieces) == ([VALID[name][1] for name in (*names, last)], None)


def test_many_refused_upgrades_in_one_piece() -> None:
    data, message = VALID["upgrade"]
    assert record([data * 3000]) == ([message] * 3000, None)


def test_the_target_is_kept_as_sent() -> None:
    target = "http://b/%7euser/?q=%zz"
    recorder = Recorder()
    RequestParser(recorder, *DEFAULTS).feed(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert recorder.targets == [target]


@pytest.mark.parametrize("piece", [b"G", b"GET", b"GET /", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_the_parser_knows_whether_it_is_within_a_message(piece: bytes) -> None:
    parser = RequestParser(Recorder(), *DEFAULTS)
    assert not parser.in_message
    parser.feed(piece)
    assert parser.in_message
    parser.feed((b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[len(piece) :])
    assert not parser.in_message
    parser.feed(NEXT + b"GET /")
    assert parser.in_message


def test_the_parser_is_within_a_message_until_its_body_ends() -> None:
    parser = RequestParser(Recorder(), *DEFAULTS)
    for name in ("length", "chunks", "upgrade with a body"):
        data, _ = VALID[name]
        parser.feed(data[:-1])
        assert parser.in_message, name
        parser.feed(data[-1:])
        assert not parser.in_message, name


@pytest.mark.parametrize("name", ["upgrade", "upgrade and close"])
def test_the_parser_is_within_no_message_after_an_upgrade_that_is_not_made(name: str) -> None:
    parser = RequestParser(Recorder(), *DEFAULTS)
    parser.feed(VALID[name][0])
    assert not parser.in_message


def test_long_names_and_hosts_are_not_remembered() -> None:
    record([head_of(f"X-{'a' * 5000}: 1")])
    record([f"GET / HTTP/1.1\r\nHost: {'a' * 5000}\r\n\r\n".encode()])
    assert max(map(len, http1._names)) < 300
    assert max(map(len, http1._hosts), default=0) < 300


def test_what_a_sink_raises_is_not_hidden() -> None:
    class Broken(Recorder):
        def request_received(self, request: object, keep_alive: bool) -> None:
            raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        RequestParser(Broken(), *DEFAULTS).feed(NEXT)


# -- sizes; the limits here are 100 bytes of target, 500 of headers, 10 headers

SMALL = (100, 500, 10)
GOOD = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def head_of(*headers: str, target: str = "/") -> bytes:
    return "\r\n".join((f"GET {target} HTTP/1.1", "Host: a", *headers, "", "")).encode()


FITS = {
    "target": head_of(target="/" + "x" * 99),
    "header": head_of("X: " + "x" * 485),
    "target and header": head_of("X: " + "x" * 485, target="/" + "x" * 99),
    "headers": head_of(*(f"X{at}: 1" for at in range(9))),
    "repeated headers": head_of(*("X: 1" for _ in range(9))),
}
TOO_LARGE = {
    "target": (head_of(target="/" + "x" * 100), 414),
    "huge target": (head_of(target="/" + "x" * 5000), 414),
    "query": (head_of(target="/?" + "x" * 5000), 414),
    "absolute target": (head_of(target="http://a/" + "x" * 100), 414),
    "header": (head_of("X: " + "x" * 500), 431),
    "huge header": (head_of("X: " + "x" * 5000), 431),
    "header name": (head_of("x" * 5000 + ": 1"), 431),
    "headers together": (head_of(*(f"X{at}: {'x' * 80}" for at in range(8))), 431),
    "number of headers": (head_of(*(f"X{at}: 1" for at in range(10))), 431),
    "huge number of headers": (head_of(*(f"X{at}: 1" for at in range(5000))), 431),
    "repetitions": (head_of(*("X: 1" for _ in range(10))), 431),
    "repetitions at the beginning": (
        head_of(*("X: 1" for _ in range(5)), *(f"Y{n}: 1" for n in range(5))), 431,
    ),
    "repetitions at the end": (
        head_of(*(f"Y{n}: 1" for n in range(5)), *("X: 1" for _ in range(5))), 431,
    ),
    "huge number of repetitions": (head_of(*("X:" for _ in range(50_000))), 431),
}  # fmt: skip


@pytest.mark.parametrize("data", list(FITS.values()), ids=list(FITS))
def test_a_head_within_the_limits(data: bytes) -> None:
    for pieces in ([data], single_bytes(data), [GOOD * 20 + data], [GOOD + data[:50], data[50:]]):
        messages, error = record(pieces, *SMALL)
        assert error is None
        assert messages[-1].headers["host"] == "a"
    messages, error = record([data * 20], *SMALL)
    assert (len(messages), error) == (20, None)


@pytest.mark.parametrize(("data", "status"), list(TOO_LARGE.values()), ids=list(TOO_LARGE))
def test_a_head_beyond_the_limits(data: bytes, status: int) -> None:
    assert record([data], *SMALL) == ([], status)
    messages, error = record([GOOD * 3 + data], *SMALL)
    assert (len(messages), error) == (3, status)
    for at in (10, 30, len(data) // 2, len(data) - 3):
        messages, error = record([GOOD + data[:at], data[at:]], *SMALL)
        assert (len(messages), error) == (1, status), f"cut at {at}"


@pytest.mark.parametrize(("data", "status"), list(TOO_LARGE.values()), ids=list(TOO_LARGE))
def test_a_head_beyond_the_limits_byte_by_byte(data: bytes, status: int) -> None:
    assert record(single_bytes(data), *SMALL) == ([], status)
    messages, error = record(single_bytes(GOOD + data), *SMALL)
    assert (len(messages), error) == (1, status)


ENDLESS = {
    "target": (b"GET /", b"x", 414),
    "query": (b"GET /?", b"x=1&", 414),
    "header": (b"GET / HTTP/1.1\r\nX: ", b"x", 431),
    "header of blanks": (b"GET / HTTP/1.1\r\nX:", b" ", 431),
    "header name": (b"GET / HTTP/1.1\r\n", b"x", 431),
    "headers": (b"GET / HTTP/1.1\r\n", b"X: 1\r\n", 431),
    "empty lines": (b"", b"\r\n", 431),
    "chunk extension": (CHUNKED + b"1;", b"x", 431),
    "chunk extension value": (CHUNKED + b"1;x=", b"x", 431),
    "quoted chunk extension value": (CHUNKED + b'1;x="', b"x", 431),
    "chunk extensions": (CHUNKED + b"1", b";x=1", 431),
    "chunks with extensions": (CHUNKED, b"1;xxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nx\r\n", 431),
    "chunk size": (CHUNKED, b"0", 431),
    "trailer": (CHUNKED + b"0\r\nX: ", b"x", 431),
    "trailer name": (CHUNKED + b"0\r\n", b"x", 431),
    "trailers": (CHUNKED + b"0\r\n", b"X: 1\r\n", 431),
}
endless = pytest.mark.parametrize(
    ("begin", "more", "status"), list(ENDLESS.values()), ids=list(ENDLESS)
)
BOUND = 3000  # bytes that a client may send with the limits above before it is refused


@endless
@pytest.mark.parametrize("before", [b"", GOOD], ids=["alone", "pipelined"])
def test_what_never_ends_is_refused(begin: bytes, more: bytes, status: int, before: bytes) -> None:
    parser = RequestParser(Recorder(), *SMALL)
    fed = 0

    def feed() -> None:
        nonlocal fed
        parser.feed(before + begin)
        while fed < BOUND:
            parser.feed(more)
            fed += len(more)

    with pytest.raises(MalformedRequest) as caught:
        feed()
    assert caught.value.status == status


@endless
def test_what_never_ends_is_refused_in_large_pieces(begin: bytes, more: bytes, status: int) -> None:
    parser = RequestParser(Recorder(), *SMALL)

    def feed() -> None:
        parser.feed(begin + more * 20_000)
        parser.feed(more)

    with pytest.raises(MalformedRequest) as caught:
        feed()
    assert caught.value.status == status


def test_small_chunks_are_no_attack() -> None:
    size = 5000
    data = CHUNKED + b"1\r\nx\r\n" * size + b"0\r\n\r\n"
    messages, error = record(single_bytes(data), *SMALL)
    assert error is None
    assert messages[0].body == b"x" * size


def test_large_bodies_are_not_measured_as_heads() -> None:
    body = b"x" * 100_000
    data = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + body
    messages, error = record([data[:1000], data[1000:50_000], data[50_000:] + GOOD], *SMALL)
    assert error is None
    assert [len(message.body) for message in messages] == [100_000, 0]


# -- the encoders


@dataclass
class Head:
    status: int = 200
    content_type: str = ""
    length: int | None = None
    reason: str = ""


DATE = b"Date: now\r\n"


@pytest.mark.parametrize(
    ("head", "fields", "lines"),
    [
        (Head(200, "text/plain", 5), b"",
         ["200 OK", "Content-Type: text/plain", "Content-Length: 5"]),
        (Head(204), b"", ["204 No Content"]),
        (Head(304), b"ETag: 1\r\n", ["304 Not Modified", "ETag: 1"]),
        (Head(200, "a/b", 0), b"A: b\r\nC: d\r\n",
         ["200 OK", "Content-Type: a/b", "Content-Length: 0", "A: b", "C: d"]),
        (Head(404, reason="Lost"), b"", ["404 Lost"]),
        (Head(404, reason="Perdü"), b"", ["404 Perdü"]),
        (Head(404, reason="없음"), b"", ["404 Not Found"]),
        (Head(599, reason="\ud800"), b"", ["599 Unknown"]),
        (Head(599), b"", ["599 Unknown"]),
    ],
)  # fmt: skip
def test_a_head_is_encoded(head: Head, fields: bytes, lines: list[str]) -> None:
    for _ in range(2):  # the second comes from the cache
        encoded = http1.encode_head(head, fields, DATE)
        assert encoded.endswith(b"\r\n\r\n")
        first, *rest = encoded.decode("latin-1").rstrip("\r\n").split("\r\n")
        assert first == f"HTTP/1.1 {lines[0]}"
        assert sorted(rest) == sorted(["Server: skitai", "Date: now", *lines[1:]])


@pytest.mark.parametrize("text", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "\r\n\r\n<script>"])
def test_nothing_can_be_injected_into_a_head(text: str) -> None:
    for head in (Head(content_type=text), Head(reason=text)):
        for _ in range(2):
            with pytest.raises(ValueError, match="line break"):
                http1.encode_head(head, b"", DATE)
    with pytest.raises(ValueError, match="line break"):
        http1.encode_fields([("A", "b"), ("X-Name", text)])
    with pytest.raises(ValueError, match="not a token"):
        http1.encode_fields([(f"X{text}", "b")])


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a:b", "a\t", "é", "(a)", 'a"', "a\x7f"])
def test_a_header_name_is_a_token(name: str) -> None:
    with pytest.raises(ValueError, match="not a token"):
        http1.encode_fields([(name, "b")])


@pytest.mark.parametrize("value", ["한글", "\u010d\u010a", "\ud800"])
def test_text_that_headers_cannot_carry_is_refused_not_mangled(value: str) -> None:
    with pytest.raises(ValueError, match="latin-1"):
        http1.encode_fields([("A", value)])


def test_fields_are_encoded_in_order() -> None:
    pairs = [("B", "1"), ("A", "ü"), ("B", "2"), ("C", "")]
    assert http1.encode_fields(pairs) == b"B: 1\r\nA: \xfc\r\nB: 2\r\nC: \r\n"
    assert http1.encode_fields([]) == b""


def test_chunks_are_encoded() -> None:
    assert http1.encode_chunk(b"x") == b"1\r\nx\r\n"
    assert http1.encode_chunk(b"\r\n" * 128) == b"100\r\n" + b"\r\n" * 128 + b"\r\n"


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5))
def test_encoded_chunks_are_parsed_back(pieces: list[bytes]) -> None:
    data = CHUNKED + b"".join(map(http1.encode_chunk, pieces)) + http1.LAST_CHUNK
    messages, error = record([data])
    assert error is None
    assert messages[0].body == b"".join(pieces)
