"""HTTP/1 answers from bytes, however the network cuts them; and the heads of requests."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.wire.errors import MalformedResponse
from skitai.wire.http1_client import ResponseHead, ResponseParser, encode_request


@dataclass
class Answer:
    status: int = 200
    reason: str = "OK"
    version: str = "1.1"
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    reusable: bool = True
    trailers: list[tuple[str, str]] = field(default_factory=list)


class Recorder:
    """A sink that keeps the answers and checks the order of the calls."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.open: Answer | None = None

    def response_started(self, head: ResponseHead) -> None:
        assert self.open is None
        self.open = Answer(head.status, head.reason, head.version, head.fields)

    def body_received(self, data: bytes) -> None:
        assert self.open is not None
        assert data
        self.open.body += data

    def response_ended(self, reusable: bool, trailers: list[tuple[str, str]]) -> None:
        assert self.open is not None
        self.open.reusable = reusable
        self.open.trailers = trailers
        self.answers.append(self.open)
        self.open = None


def record(pieces: list[bytes], headed: bool = False, end: bool = False) -> Answer | str:
    """The answer in the pieces, or what is wrong with them."""
    recorder = Recorder()
    parser = ResponseParser(recorder, max_head=1024)
    parser.expect(headed)
    try:
        for piece in pieces:
            parser.feed(piece)
        if end:
            parser.end()
    except MalformedResponse as exc:
        return str(exc)
    assert len(recorder.answers) == 1
    return recorder.answers[0]


LENGTH = ("Content-Length", "5")
CHUNKED = ("Transfer-Encoding", "chunked")

COMPLETE: dict[str, tuple[bytes, Answer]] = {
    "length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        Answer(fields=[LENGTH], body=b"hello"),
    ),
    "no body": (
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        Answer(404, "Not Found", fields=[("Content-Length", "0")]),
    ),
    "no reason": (
        b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
        Answer(reason="", fields=[LENGTH], body=b"hello"),
    ),
    "a reason with control characters is none": (
        b"HTTP/1.1 200 a\x01b\r\nContent-Length: 5\r\n\r\nhello",
        Answer(reason="", fields=[LENGTH], body=b"hello"),
    ),
    "a status of one's own": (
        b"HTTP/1.1 799 Strange \xe9\r\nContent-Length: 5\r\n\r\nhello",
        Answer(799, "Strange é", fields=[LENGTH], body=b"hello"),
    ),
    "duplicates, order, case and blanks": (
        b"HTTP/1.1 200 OK\r\nset-COOKIE: a=1\r\nX:\t b  c \t\r\nSet-Cookie: b=2\r\nY:\r\n"
        b"Content-Length: 5\r\n\r\nhello",
        Answer(
            fields=[("set-COOKIE", "a=1"), ("X", "b  c"), ("Set-Cookie", "b=2"), ("Y", ""), LENGTH],
            body=b"hello",
        ),
    ),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        Answer(fields=[CHUNKED], body=b"hello"),
    ),
    "no chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Answer(fields=[CHUNKED]),
    ),
    "chunks with extensions and trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'5;name="value"\r\nhello\r\n0;last\r\nTrailer: x\r\nServer: y\r\n\r\n',
        Answer(fields=[CHUNKED], body=b"hello", trailers=[("Trailer", "x"), ("Server", "y")]),
    ),
    "a body that looks like an answer": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 38\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        Answer(
            fields=[("Content-Length", "38")],
            body=b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
    ),
    "interim answers": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        Answer(fields=[LENGTH], body=b"hello"),
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204, "No Content")),
    "304 with the length of what it stands for": (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        Answer(304, "Not Modified", fields=[LENGTH]),
    ),
    "close": (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        Answer(fields=[("Connection", "close"), LENGTH], body=b"hello", reusable=False),
    ),
    "1.0": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        Answer(version="1.0", fields=[LENGTH], body=b"hello", reusable=False),
    ),
    "1.0 with keep-alive": (
        b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello",
        Answer(version="1.0", fields=[("Connection", "Keep-Alive"), LENGTH], body=b"hello"),
    ),
    "an upgrade that was offered": (
        b"HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 5\r\n\r\nhello",
        Answer(fields=[("Upgrade", "h2c"), ("Connection", "Upgrade"), LENGTH], body=b"hello"),
    ),
}

TO_THE_END: dict[str, tuple[bytes, Answer]] = {
    "body until the end": (
        b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\nhello",
        Answer(fields=[("X", "1")], body=b"hello", reusable=False),
    ),
    "nothing until the end": (b"HTTP/1.0 200 OK\r\n\r\n", Answer(version="1.0", reusable=False)),
}

TO_HEAD: dict[str, tuple[bytes, Answer]] = {
    "length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        Answer(fields=[LENGTH]),
    ),
    "chunked": (b"HTTP/1.1 200 OK\r\n%b: %b\r\n\r\n", Answer(fields=[CHUNKED])),
    "no framing": (b"HTTP/1.1 200 OK\r\nX: 1\r\n\r\n", Answer(fields=[("X", "1")])),
    "no length": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        Answer(fields=[("Content-Length", "0")]),
    ),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        Answer(fields=[LENGTH]),
    ),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204, "No Content")),
    "close": (
        b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\n",
        Answer(fields=[("Connection", "x, Close"), LENGTH], reusable=False),
    ),
    "1.0": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
        Answer(version="1.0", fields=[LENGTH], reusable=False),
    ),
}
TO_HEAD["chunked"] = (
    TO_HEAD["chunked"][0] % tuple(text.encode() for text in CHUNKED),
    TO_HEAD["chunked"][1],
)


def cuts(data: bytes) -> dict[str, list[bytes]]:
    return {
        "whole": [data],
        "single bytes": [data[at : at + 1] for at in range(len(data))],
        **{f"cut at {at}": [data[:at], data[at:]] for at in range(1, len(data))},
    }


@pytest.mark.parametrize("case", COMPLETE)
def test_answers_are_the_same_however_they_are_cut(case):
    data, answer = COMPLETE[case]
    for how, pieces in cuts(data).items():
        assert record(pieces) == answer, how


@pytest.mark.parametrize("case", TO_THE_END)
def test_the_end_of_the_connection_ends_a_body_without_length(case):
    data, answer = TO_THE_END[case]
    for how, pieces in cuts(data).items():
        assert record(pieces, end=True) == answer, how


@pytest.mark.parametrize("case", TO_HEAD)
def test_answers_to_head_have_no_body(case):
    data, answer = TO_HEAD[case]
    for how, pieces in cuts(data).items():
        assert record(pieces, headed=True) == answer, how


@pytest.mark.parametrize("case", COMPLETE)
@pytest.mark.parametrize(
    "extra", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"garbage", b"\x00"]
)
def test_what_comes_behind_an_answer_spoils_the_connection_not_the_answer(case, extra):
    data, answer = COMPLETE[case]
    got = record([data + extra])
    assert isinstance(got, Answer)
    assert (got.status, got.fields, got.body) == (answer.status, answer.fields, answer.body)
    assert got.reusable is False


def test_a_body_after_head_spoils_the_connection():
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    for extra in (b"h", b"hello", b"hello and more", b"\r\n0"):
        got = record([head + extra], headed=True)
        assert isinstance(got, Answer)
        assert (got.body, got.reusable) == (b"", False)


def test_one_parser_reads_one_answer_after_another():
    recorder = Recorder()
    parser = ResponseParser(recorder)
    reusable = [(data, answer) for data, answer in COMPLETE.values() if answer.reusable]
    for data, answer in reusable:
        parser.expect(False)
        parser.feed(data)
        assert recorder.answers[-1] == answer
        parser.expect(True)
        parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    parser.end()  # between answers it cuts nothing
    assert len(recorder.answers) == 2 * len(reusable)


MALFORMED = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "shoutcast": b"ICY 200 OK\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a status below 100": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "a protocol nobody asked for": b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "line feeds only": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "folded header": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "a blank before the colon": b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 0\r\n\r\n",
    "NUL in a header": b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 0\r\n\r\n",
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
    "a huge length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
    "an unknown transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
    "two transfer codings": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    ),
    "a chunk size that is none": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n"
    ),
    "a chunk longer than its size": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n"
    ),
    "a length in the trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n"
    ),
    "a huge chunk": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n"
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_no_answer_is_refused_however_it_is_cut(case):
    for how, pieces in cuts(MALFORMED[case]).items():
        assert isinstance(record(pieces, end=True), str), how


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: x",
    ],
)
def test_the_end_of_the_connection_cuts_an_answer(data):
    for pieces in cuts(data).values():
        got = record([piece for piece in pieces if piece], end=True)
        assert isinstance(got, str)
        assert "closed" in got


LARGE = {
    "status": b"HTTP/1.1 200 " + b"a" * 2000 + b"\r\nContent-Length: 0\r\n\r\n",
    "header": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2000 + b"\r\nContent-Length: 0\r\n\r\n",
    "name": b"HTTP/1.1 200 OK\r\n" + b"a" * 2000 + b": 1\r\nContent-Length: 0\r\n\r\n",
    "headers": b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 400 + b"Content-Length: 0\r\n\r\n",
    "interim answers": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 100,
    "extension": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"a" * 9000 + b"\r\nhello"
    ),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: 1\r\n" * 2000 + b"Y"
    ),
}


@pytest.mark.parametrize("case", LARGE)
@pytest.mark.parametrize("size", [1, 100, 1000000])
def test_what_an_upstream_can_make_us_hold_is_limited(case, size):
    data = LARGE[case]
    got = record([data[at : at + size] for at in range(0, len(data), size)])
    assert isinstance(got, str)
    assert "larger" in got or "too large" in got


def test_a_large_body_is_no_large_head():
    body = b"x" * 100000
    data = b"HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 100000\r\n\r\n" + body
    for size in (7, 1000, 1000000):
        got = record([data[at : at + size] for at in range(0, len(data), size)])
        assert isinstance(got, Answer)
        assert got.body == body
    tiny = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50000
    got = record([tiny, b"0\r\n\r\n"])
    assert isinstance(got, Answer)
    assert len(got.body) == 50000


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_bytes_raise_anything_else(data, headed):
    for prefix in (
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ):
        recorder = Recorder()
        parser = ResponseParser(recorder, max_head=200)
        parser.expect(headed)
        try:
            parser.feed(prefix + data)
            parser.end()
        except MalformedResponse:
            pass


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.data())
@settings(max_examples=100, deadline=None)
def test_any_chunks_come_through_any_cuts(chunks, data):
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    wire += b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    places = sorted(data.draw(st.sets(st.integers(1, len(wire) - 1), max_size=10)))
    pieces = [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True)]
    got = record(pieces)
    assert isinstance(got, Answer)
    assert (got.body, got.reusable) == (b"".join(chunks), True)


# -- requests


def test_the_head_of_a_request():
    fields = [("X-A", "1"), ("x-a", "2"), ("Accept", "*/*")]
    defaults = [("host", "Host", "a:81"), ("accept", "Accept", "no")]
    assert encode_request("GET", "/a?b=%20", fields, defaults) == (
        b"GET /a?b=%20 HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\nAccept: */*\r\nHost: a:81\r\n\r\n"
    )


def test_a_host_of_the_caller_wins():
    head = encode_request("GET", "/", [("HOST", "b")], [("host", "Host", "a")])
    assert head == b"GET / HTTP/1.1\r\nHOST: b\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "length", "framing"),
    [
        ("GET", 0, b""),
        ("DELETE", 0, b""),
        ("POST", 0, b"Content-Length: 0\r\n"),
        ("PUT", 0, b"Content-Length: 0\r\n"),
        ("PATCH", 0, b"Content-Length: 0\r\n"),
        ("GET", 3, b"Content-Length: 3\r\n"),
        ("POST", None, b"Transfer-Encoding: chunked\r\n"),
    ],
)
def test_framing_is_made_from_the_length(method, length, framing):
    fields = [("Content-Length", "99"), ("transfer-encoding", "x"), ("Connection", "close")]
    head = encode_request(method, "/", fields, (), length)
    assert head == method.encode() + b" / HTTP/1.1\r\n" + framing + b"\r\n"


@pytest.mark.parametrize(
    ("method", "target", "fields"),
    [
        ("GET\r\nX: 1", "/", []),
        ("", "/", []),
        ("GE T", "/", []),
        ("GET", "/a b", []),
        ("GET", "/a\r\nX: 1", []),
        ("GET", "/a HTTP/1.1\r\n\r\n", []),
        ("GET", "/é", []),
        ("GET", "/a#b", []),
        ("GET", "", []),
        ("GET", "a", []),
        ("GET", "http://b/", []),
        ("GET", "*a", []),
        ("GET", "/", [("X", "a\r\nY: b")]),
        ("GET", "/", [("X", "a\nY: b")]),
        ("GET", "/", [("X", "a\rb")]),
        ("GET", "/", [("X", "a\x00b")]),
        ("GET", "/", [("X", "한")]),
        ("GET", "/", [("X: a\r\nY", "b")]),
        ("GET", "/", [("X:", "b")]),
        ("GET", "/", [("X ", "b")]),
        ("GET", "/", [("Host: evil", "b")]),
        ("GET", "/", [("", "b")]),
        ("GET", "/", [("Connection", "a\r\nY: b")]),
    ],
)
def test_nothing_can_be_smuggled_into_the_head_of_a_request(method, target, fields):
    with pytest.raises(ValueError, match="method|path|header"):
        encode_request(method, target, fields)


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
@settings(max_examples=300, deadline=None)
def test_an_encoded_head_has_the_lines_it_should(method, target, name, value):
    try:
        head = encode_request(method, "/" + target, [(name, value)])
    except ValueError:
        return
    assert head.endswith(b"\r\n\r\n")
    lines = head[:-4].split(b"\r\n")
    assert len(lines) <= 3
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert lines[0].count(b" ") == 2


def test_options_of_the_whole_server():
    assert encode_request("OPTIONS", "*", []) == b"OPTIONS * HTTP/1.1\r\n\r\n"
