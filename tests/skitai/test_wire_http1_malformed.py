"""What HTTP/1 must refuse (RFC 9112): each message whole, in pieces, and behind a good one.

Most of it is request smuggling: messages that two servers in a row could read differently.
"""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recording import record
from test_wire_http1 import VALID

LINE = b"GET / HTTP/1.1\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"


def line(text: bytes) -> bytes:
    """A request with this request line."""
    return text + b"\r\nHost: a\r\n\r\n"


def get(*headers: bytes) -> bytes:
    """A request with these headers after Host."""
    return LINE + b"\r\n".join((b"Host: a", *headers, b"", b""))


def host(*lines: bytes) -> bytes:
    """A request with these headers and no other."""
    return LINE + b"\r\n".join((*lines, b"", b""))


def framed(*headers: bytes) -> bytes:
    """A POST with this framing, whose body is a chunked one, 5 bytes, or hides a request."""
    return POST + b"\r\n".join((*headers, b"", b"")) + END + HIDDEN


def chunks(body: bytes) -> bytes:
    """A POST with this chunked body."""
    return CHUNKED + body


BAD_LENGTHS = {
    f"length {text!r}": framed(b"Content-Length: " + text)
    for text in (
        b"", b" ", b"+5", b"-5", b"-0", b"5.0", b"5e0", b"0x5", b"5h", b"five", b"5 5", b"5,5",
        b"5, 5", b"5;", b'"5"', b"5\x0b", b"5_0", b"\xb2", b"1" * 30, b"18446744073709551616",
    )
}  # fmt: skip
TWO_LENGTHS = {
    "two lengths": framed(b"Content-Length: 5", b"Content-Length: 6"),
    "the same length twice": framed(b"Content-Length: 5", b"Content-Length: 5"),
    "a length and an empty one": framed(b"Content-Length: 5", b"Content-Length:"),
    "two lengths in other letters": framed(b"content-length: 0", b"CONTENT-LENGTH: 44"),
    "length and chunked": framed(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "chunked and length": framed(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "no length and chunked": framed(b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    "length and identity": framed(b"Content-Length: 5", b"Transfer-Encoding: identity"),
    "length and an empty coding": framed(b"Content-Length: 5", b"Transfer-Encoding:"),
    "length between two codings": framed(
        b"Transfer-Encoding: identity", b"Content-Length: 5", b"Transfer-Encoding: chunked"
    ),
    "length with a space before the colon": framed(b"Content-Length : 5"),
    "length with a tab before the colon": framed(b"Content-Length\t: 5"),
    "folded length": framed(b"Content-Length:\r\n 5"),
    "length behind a bare CR": framed(b"X: 1\rContent-Length: 5"),
    "length behind a bare LF": framed(b"X: 1\nContent-Length: 5"),
    "length behind a NUL": framed(b"X: 1\0Content-Length: 5"),
}
CODINGS = {
    f"coding {text!r}": (framed(b"Transfer-Encoding:" + text), {400, 501})
    for text in (
        b" xchunked", b" chunkedx", b" chunked, identity", b" chunked, chunked", b" chunked,",
        b" ,chunked", b" identity", b" gzip", b" gzip, chunked", b" chunked, gzip", b" deflate",
        b' "chunked"', b" 'chunked'", b" chunked;q=1", b" chunked chunked", b" chunked\tidentity",
        b" chunk\xe9d", b" cow", b" \xffchunked", b" chunked\t",
        b"", b" ", b"\x0bchunked", b" \x0cchunked", b" chunked\x00", b"\0 chunked", b" \rchunked",
        b"\r\n chunked", b"\r\n\tchunked", b" chunked\r\n , identity", b" chun\r\n ked",
    )
}  # fmt: skip
TWO_CODINGS = {
    "coding with a space before the colon": framed(b"Transfer-Encoding : chunked"),
    "coding with a tab before the colon": framed(b"Transfer-Encoding\t: chunked"),
    "coding behind a space": framed(b" Transfer-Encoding: chunked"),
    "coding behind a tab": framed(b"X: 1", b"\tTransfer-Encoding: chunked"),
    "coding behind a bare LF": framed(b"X: 1\nTransfer-Encoding: chunked"),
    "coding behind a bare CR": framed(b"X: 1\rTransfer-Encoding: chunked"),
    "coding behind an empty name": framed(b":", b"Transfer-Encoding: chunked"),
    "two codings": framed(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
    "two codings the other way": framed(
        b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"
    ),
    "the same coding twice": framed(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "an empty second coding": framed(b"Transfer-Encoding: chunked", b"Transfer-Encoding:"),
    "chunked in 1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "chunked in a persistent 1.0": b"POST / HTTP/1.0\r\nConnection: keep-alive\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + END,
    "chunked in a 1.0 that is persistent by an old name": b"POST / HTTP/1.0\r\n"
    b"Proxy-Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
    "chunked and length in 1.0": b"POST / HTTP/1.0\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n" + END,
    "chunked and length in an upgrade": framed(
        b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 5", b"Transfer-Encoding: chunked"
    ),
}
CHUNKS = {
    f"chunks {body!r}": chunks(body)
    for body in (
        b"g\r\nhello\r\n" + END, b"0x5\r\nhello\r\n" + END, b"+5\r\nhello\r\n" + END,
        b"-5\r\nhello\r\n" + END, b"\r\nhello\r\n" + END, b" 5\r\nhello\r\n" + END,
        b"5 \r\nhello\r\n" + END, b"5\t\r\nhello\r\n" + END, b"5 ;a\r\nhello\r\n" + END,
        b"5.\r\nhello\r\n" + END, b"5,5\r\nhello\r\n" + END, b"5_\r\nhello\r\n" + END,
        b"\xb5\r\nhello\r\n" + END, b"5\0\r\nhello\r\n" + END, b"5h\r\nhello\r\n" + END,
        b"10000000000000005\r\nhello\r\n" + END, b"f" * 17 + b"\r\nhello\r\n" + END,
        b"5\nhello\r\n" + END, b"5\rhello\r\n" + END, b"5\r\rhello\r\n" + END,
        b"5\r\nhello\n" + END, b"5\r\nhello\r" + END, b"5\r\nhello" + END,
        b"5\r\nhello!\r\n" + END, b"5\r\nhell\r\n" + END, b"5\r\nhello\r\n\r\n" + END,
        b"4\r\nhello\r\n" + END, b"6\r\nhello\r\n" + END,
        b"0\n\r\n", b"0\r\n\n" + HIDDEN, b"0\r\n\r\r\n", b"0\r\r\n", b"0\n\n" + HIDDEN,
        b"-0\r\n\r\n",
        b"5;\r\nhello\r\n" + END, b"5;a b\r\nhello\r\n" + END,
        b"5;a\nb\r\nhello\r\n" + END, b"5;a\rb\r\nhello\r\n" + END, b"5;a\0\r\nhello\r\n" + END,
        b"5;\nb\r\nhello\r\n" + END, b"5;a=b\nc\r\nhello\r\n" + END, b"5;a=b\rc\r\nhello\r\n" + END,
        b'5;a="b\r\nhello\r\n' + END, b'5;a="b\nc"\r\nhello\r\n' + END,
        b'5;a="\\\n"\r\nhello\r\n' + END, b'5;a="b"c\r\nhello\r\n' + END, b"0;\r\n\r\n",
        b"0\r\nX: a\nb\r\n\r\n", b"0\r\nX: a\rb\r\n\r\n", b"0\r\nX\0: a\r\n\r\n",
        b"0\r\nX: \0\r\n\r\n", b"0\r\nX Y: a\r\n\r\n", b"0\r\nX : a\r\n\r\n", b"0\r\n X: a\r\n\r\n",
        b"0\r\nX: a\r\n b\r\n\r\n", b"0\r\nX\r\n\r\n", b"0\r\n: a\r\n\r\n",
        b"0\r\nX: a\n\n" + HIDDEN,
        b"0\r\nContent-Length: 5\r\n\r\nhello", b"0\r\nTransfer-Encoding: chunked\r\n\r\n" + END,
        b"0\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    )
}  # fmt: skip
LINES = {
    f"line {text!r}": line(text)
    for text in (
        b"GET / HTTP/1", b"GET / HTTP/1.", b"GET / HTTP/.1", b"GET / HTTP/1.1.1",
        b"GET / HTTP/1.10",
        b"GET / HTTP/11.1", b"GET / HTTP/01.1", b"GET / HTTP/1,1", b"GET / HTTP/-1.1",
        b"GET / HTTP/ 1.1", b"GET / HTTP /1.1", b"GET / HTTP", b"GET / http/1.1", b"GET / Http/1.1",
        b"GET / HTTPS/1.1", b"GET / FTP/1.1", b"GET / ICE/1.0", b"GET / /1.1", b"GET / 1.1",
        b"GET / HTTP/1.1 ", b"GET / HTTP/1.1\t", b"GET / HTTP/1.1 x", b"GET / HTTP/1.1\0",
        b"GET / HTTP/\xb1.1", b"GET / HTTP/a.b", b"GET /", b"GET / ", b"GET", b"GET ", b"/",
        b"GET / HTTP/0.9", b"GET / HTTP/1.2", b"GET HTTP/1.1", b"GET  HTTP/1.1",
        b"GET\t/ HTTP/1.1", b"GET\x0b/ HTTP/1.1", b"GET /\tHTTP/1.1", b" GET / HTTP/1.1",
        b"\tGET / HTTP/1.1", b"GET /a b HTTP/1.1", b"GET /a\tb HTTP/1.1", b"GET\0/ HTTP/1.1",
        b"GET / HTTP/1.1\rX: b", b"GET / HTTP/1.1\nX: b", b"GET / HTTP/1.1\r\r",
        b"GET /\r HTTP/1.1", b"GET /\n HTTP/1.1", b"GET\r / HTTP/1.1",
        b"GET /\0 HTTP/1.1", b"GET /\x01 HTTP/1.1", b"GET /\x1b HTTP/1.1", b"GET /\x7f HTTP/1.1",
        b"GET /\x80 HTTP/1.1", b"GET /caf\xc3\xa9 HTTP/1.1", b"GET /\xff HTTP/1.1",
        b"GET /?\0 HTTP/1.1", b"GET /?\xe9 HTTP/1.1", b"GET /?\x08 HTTP/1.1",
        b"GET /#a HTTP/1.1", b"GET /a#b HTTP/1.1", b"GET /a?b#c HTTP/1.1", b"GET # HTTP/1.1",
        b"GET http://b#c HTTP/1.1", b"GET http://b/#c HTTP/1.1", b"GET /a# HTTP/1.1",
        b"GET /% HTTP/1.1", b"GET /%a HTTP/1.1", b"GET /%zz HTTP/1.1", b"GET /a%2 HTTP/1.1",
        b"GET /%%41 HTTP/1.1", b"GET /%-1 HTTP/1.1", b"GET /%u0041 HTTP/1.1", b"GET /%+1 HTTP/1.1",
        b"GET /%ff HTTP/1.1", b"GET /%c3 HTTP/1.1", b"GET /%c0%af HTTP/1.1",
        b"GET /%ed%a0%80 HTTP/1.1", b"GET /%f4%90%80%80 HTTP/1.1", b"GET /%c3%a9%80 HTTP/1.1",
        b"GET * HTTP/1.1", b"OPTIONS ** HTTP/1.1", b"OPTIONS *?a HTTP/1.1", b"OPTIONS */a HTTP/1.1",
        b"GET a HTTP/1.1", b"GET a/b HTTP/1.1", b"GET ?a HTTP/1.1", b"GET a:80 HTTP/1.1",
        b"GET ../a HTTP/1.1", b"GET \\ HTTP/1.1", b"GET ftp://b/ HTTP/1.1",
        b"GET file:///a HTTP/1.1",
        b"GET http:/a HTTP/1.1", b"GET http:a HTTP/1.1", b"GET :// HTTP/1.1", b"GET ://b/ HTTP/1.1",
        b"GET http:// HTTP/1.1", b"GET http:///a HTTP/1.1", b"GET http://?a HTTP/1.1",
        b"GET http://u@b/ HTTP/1.1", b"GET http://u:p@b/ HTTP/1.1", b"GET http://b:c/ HTTP/1.1",
        b"GET http://b:123456/ HTTP/1.1", b"GET http://[::1/ HTTP/1.1", b"GET http://b]/ HTTP/1.1",
        b"get / HTTP/1.1", b"Get / HTTP/1.1", b"G@T / HTTP/1.1", b"GE\0T / HTTP/1.1",
        b"G\xc9T / HTTP/1.1", b'"GET" / HTTP/1.1', b"(GET) / HTTP/1.1", b"GET: / HTTP/1.1",
        b"CONNECT b HTTP/1.1 x", b"\x16\x03\x01\x02\x00\x01\x00", b"\x80\x2e\x01", b"\0",
        b"HTTP/1.1 200 OK", b"{}", b"<html>", b"\xef\xbb\xbfGET / HTTP/1.1",
    )
}  # fmt: skip
UNSUPPORTED = {
    "unknown method": (line(b"FOO / HTTP/1.1"), {501, 400}),
    "unknown method that begins like a known one": (line(b"GETS / HTTP/1.1"), {501, 400}),
    "tunnel": (line(b"CONNECT b:443 HTTP/1.1"), {501}),
    "tunnel to a path": (line(b"CONNECT /a HTTP/1.1"), {501}),
    "tunnel to a URL": (line(b"CONNECT http://b/ HTTP/1.1"), {501}),
    "tunnel with a body": (line(b"CONNECT b:443 HTTP/1.1\r\nContent-Length: 5") + b"hello", {501}),
    "HTTP/2.0": (line(b"GET / HTTP/2.0"), {505}),
    "HTTP/2.0 that wants to stay": (
        line(b"GET / HTTP/2.0\r\nProxy-Connection: keep-alive"), {505},
    ),
    "HTTP/3.0": (line(b"GET / HTTP/3.0"), {400, 505}),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
}  # fmt: skip
HEADERS = {
    "no colon": get(b"X"),
    "empty name": get(b": b"),
    "space before the colon": get(b"X : b"),
    "tab before the colon": get(b"X\t: b"),
    "space in the name": get(b"X Y: b"),
    "space before the first name": LINE + b" Host: a\r\n\r\n",
    "tab before the first name": LINE + b"\tHost: a\r\n\r\n",
    "folded value": get(b"X: b", b" c"),
    "value folded with a tab": get(b"X: b", b"\tc"),
    "empty folded line": get(b"X: b", b" "),
    "folded empty value": get(b"X:", b" b"),
    "bare LF after the request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "bare LF everywhere": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare LF after a header": LINE + b"Host: a\n\r\n",
    "bare LF at the end": LINE + b"Host: a\r\n\n",
    "bare CR after the request line": b"GET / HTTP/1.1\rHost: a\r\n\r\n",
    "bare CR after a header": LINE + b"Host: a\rX: b\r\n\r\n",
    "bare CR at the end": LINE + b"Host: a\r\n\rX",
    "two CR at the end": LINE + b"Host: a\r\n\r\r\n",
    "CR before the line end": get(b"X: b\r"),
    "LF then CR": LINE + b"Host: a\n\r\n\r",
    "not a token ()": get(b"X(Y): b"),
    "not a token []": get(b"[X]: b"),
    "not a token {}": get(b"{X}: b"),
    "not a token <>": get(b"<X>: b"),
    "not a token @": get(b"X@: b"),
    "not a token ,": get(b"X,Y: b"),
    "not a token ;": get(b"X;Y: b"),
    "not a token =": get(b"X=Y: b"),
    "not a token /": get(b"X/Y: b"),
    "not a token ?": get(b"X?: b"),
    "not a token quote": get(b'"X": b'),
    "not a token backslash": get(b"X\\Y: b"),
    "no host": host(),
    "no host but others": host(b"X: a"),
    "the same host twice": host(b"Host: a", b"Host: a"),
    "two hosts": host(b"Host: a", b"hOST: b"),
    "a host and an empty one": host(b"Host: a", b"Host:"),
    "no host, absolute form": b"GET http://a/ HTTP/1.1\r\n\r\n",
    "two hosts, absolute form": b"GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "two hosts in 1.0": b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    "bad host in 1.0": b"GET / HTTP/1.0\r\nHost: a/b\r\n\r\n",
    **{
        f"{kind} with the character {number:#x}": get(begin + bytes([number]) + end)
        for kind, begin, end in (("name", b"X", b"Y: b"), ("value", b"X: b", b"c"))
        for number in (*range(9), *range(11, 13), *range(14, 32), 127)
    },
    "name with a byte above ASCII": get(b"X\xe9: b"),
    "name with a no-break space": get(b"X\xa0: b"),
    "content type twice": get(b"Content-Type: text/plain", b"Content-Type: text/html"),
    **{
        f"host {text!r}": host(b"Host: " + text)
        for text in (
            b"a b", b"a,b c", b"a/b", b"a/", b"http://a", b"u@a", b"a?b", b"a#b", b"a\\b", b"a:b",
            b"a:-1", b"a:123456", b"a:1:2", b":80", b"[::1", b"::1]", b"[]", b"[::1]a", b"[g]",
            b"[::1]:x", b"caf\xc3\xa9", b"a\tb", b'"a"', b"<a>", b"a^", b"a|b", b"{a}",
        )
    },
}  # fmt: skip
SEQUENCES = {
    "data after close": (get(b"Connection: close") + HIDDEN, {400}),
    "data after 1.0": (b"GET / HTTP/1.0\r\n\r\n" + HIDDEN, {400}),
    "data after an upgrade with close": (
        get(b"Connection: upgrade, close", b"Upgrade: h2c") + HIDDEN, {400},
    ),
    "data after a body with close": (
        POST + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi" + HIDDEN, {400},
    ),
}  # fmt: skip

MALFORMED: dict[str, tuple[bytes, set[int]]] = {
    **{
        name: (data, {400})
        for table in (BAD_LENGTHS, TWO_LENGTHS, TWO_CODINGS, CHUNKS, LINES, HEADERS)
        for name, data in table.items()
    },
    **CODINGS,
    **UNSUPPORTED,
}

GOOD = b"POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
malformed = pytest.mark.parametrize(
    ("data", "expected"), list(MALFORMED.values()), ids=list(MALFORMED)
)


def single_bytes(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def test_the_table_is_long_enough() -> None:
    assert len(MALFORMED) >= 300


@malformed
def test_a_malformed_request_in_one_piece(data: bytes, expected: set[int]) -> None:
    messages, status = record([data])
    assert messages == []
    assert status in expected


@malformed
def test_a_malformed_request_byte_by_byte(data: bytes, expected: set[int]) -> None:
    messages, status = record(single_bytes(data))
    assert messages == []
    assert status in expected


@malformed
def test_a_malformed_request_cut_anywhere(data: bytes, expected: set[int]) -> None:
    for at in range(1, len(data)):
        messages, status = record([data[:at], data[at:]])
        assert messages == [], f"cut at {at}"
        assert status in expected, f"cut at {at}"


@malformed
def test_a_malformed_request_behind_a_good_one(data: bytes, expected: set[int]) -> None:
    for pieces in (
        [GOOD + data],
        [GOOD, data],
        single_bytes(GOOD + data),
        [GOOD[:-1], b"i" + data],
    ):
        messages, status = record(pieces)
        assert [message.path for message in messages] == ["/good"]
        assert status in expected


@pytest.mark.parametrize(("data", "expected"), list(SEQUENCES.values()), ids=list(SEQUENCES))
def test_nothing_may_follow_the_last_request(data: bytes, expected: set[int]) -> None:
    for pieces in ([data], single_bytes(data)):
        messages, status = record(pieces)
        assert [message.path for message in messages] == ["/"]
        assert status in expected


def test_an_unknown_method_is_named_as_such() -> None:
    assert record([line(b"FOO / HTTP/1.1")]) == ([], 501)
    assert record([line(b"VERSION-CONTROLL / HTTP/1.1")]) == ([], 501)
    assert record([line(b"foo / HTTP/1.1")]) == ([], 400)


def test_a_good_request_does_not_lend_its_method_to_what_follows() -> None:
    messages, status = record([GOOD + b"\0\1\2 / HTTP/1.1\r\n\r\n"])
    assert (len(messages), status) == (1, 400)


# -- random bytes; that nothing but MalformedRequest is raised is checked by ``record``


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 7))
def test_garbage_is_refused_in_order(data: bytes, step: int) -> None:
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    assert record([data])[0] == record(pieces)[0]


INTERESTING = st.sampled_from(
    [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b"0", b"5", b"HTTP/1.0", b"/",
     b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
     b"Connection: upgrade\r\n", b"Upgrade: h2c\r\n", b"Proxy-Connection: keep-alive\r\n",
     b"Host: b\r\n", b"3\r\nabc\r\n", b"GET / HTTP/1.1\r\n", b"CONNECT ", b"http://b"]
)  # fmt: skip
CHANGE = st.tuples(
    st.integers(0, 200), st.integers(0, 3), st.one_of(st.binary(max_size=3), INTERESTING)
)


@settings(max_examples=1000, deadline=None)
@given(
    names=st.lists(st.sampled_from(list(VALID)), min_size=1, max_size=3),
    changes=st.lists(CHANGE, min_size=1, max_size=4),
    step=st.integers(1, 40),
)
@example(names=["upgrade"], changes=[(3, 0, b"\0")], step=1)
def test_damaged_requests_are_read_alike_however_they_are_cut(
    names: list[str], changes: list[tuple[int, int, bytes]], step: int
) -> None:
    data = b"".join(VALID[name][0] for name in names)
    for at, dropped, inserted in changes:
        at %= len(data) + 1
        data = data[:at] + inserted + data[at + dropped :]
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    messages, status = record([data])
    messages_cut, status_cut = record(pieces)
    assert messages == messages_cut
    assert (status is None) == (status_cut is None)
