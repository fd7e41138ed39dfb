"""Which form of an answer a client gets: ranges, 304 and 412, compression; over real sockets."""

from __future__ import annotations

import gzip
from email import message_from_bytes
from email.policy import HTTP
from typing import TYPE_CHECKING, Any

import pytest
from serving import Client, Response, Serving, Toy

from skitai.server import representation
from skitai.server.representation import Head, add_vary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skitai.server.exchange import Exchange

DIGITS = b"0123456789"
TEXT = b"Once upon a time. " * 500
PACKED = gzip.compress(TEXT, mtime=0) + bytes(3000)
SEED_DAY = "Wed, 18 Mar 2020 10:00:00 GMT"
DAY_BEFORE = "Tue, 17 Mar 2020 10:00:00 GMT"
DAY_AFTER = "Thu, 19 Mar 2020 10:00:00 GMT"
KINDS = {
    "text/html; charset=utf-8": True,
    "TEXT/CSS": True,
    "application/json": True,
    "application/javascript; x=y": True,
    "application/xml": True,
    "image/svg+xml": True,
    "text/event-stream": False,
    "image/png": False,
    "application/octet-stream": False,
    "application/zip": False,
    "": False,
}


def fixed(
    body: bytes, kind: str = "text/plain", status: int = 200, **fields: str
) -> Callable[[Exchange], None]:
    """A handler that answers always the same; keywords are headers, with ``_`` for ``-``."""
    pairs = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return lambda exchange: exchange.respond(Head(status, kind, list(pairs) or None), body)


@pytest.fixture(scope="module")
def app() -> Toy:
    app = Toy()
    app.thread("/plain", fixed(DIGITS))
    app.thread("/tagged", fixed(DIGITS, ETag='"v1"', Last_Modified=SEED_DAY, Cache_Control="a"))
    app.thread("/weak", fixed(DIGITS, ETag='W/"v1"'))
    app.thread("/dated", fixed(DIGITS, Last_Modified=SEED_DAY))
    app.thread("/missing", fixed(DIGITS, status=404, ETag='"v1"'))
    app.thread("/created", fixed(DIGITS, status=201, ETag='"v1"'))
    app.thread("/text", fixed(TEXT))
    app.thread("/text/tagged", fixed(TEXT, ETag='"v1"'))
    app.thread("/text/weak", fixed(TEXT, ETag='W/"v1"'))
    app.thread("/text/varied", fixed(TEXT, Vary="Cookie"))
    app.thread("/text/varied/twice", fixed(TEXT, Vary="Cookie, accept-encoding"))
    app.thread("/text/varied/fully", fixed(TEXT, Vary="*"))
    app.thread("/text/encoded", fixed(PACKED, Content_Encoding="gzip"))
    app.thread("/short", fixed(TEXT[:2047]))
    app.thread("/enough", fixed(TEXT[:2048]))
    app.thread("/error", fixed(TEXT, status=500))
    for number, kind in enumerate(KINDS):
        app.thread(f"/kind/{number}", fixed(TEXT, kind))
    return app


@pytest.fixture(scope="module")
def serving(app: Toy) -> Iterator[Serving]:
    with Serving(app) as serving:
        yield serving


@pytest.fixture
def client(serving: Serving) -> Iterator[Client]:
    """Its connection must be in step at the end of each test."""
    with serving.connect() as client:
        yield client
        response = client.get("/plain")
        assert (response.status, response.body) == (200, DIGITS)


def request(client: Client, method: str, target: str, *headers: str) -> Response:
    client.send(f"{method} {target} HTTP/1.1", "Host: a", *headers)
    return client.read(method)


# -- ranges


@pytest.mark.parametrize(
    ("text", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=2-4", 2, 5),
        ("bytes=2-", 2, 10),
        ("bytes=-3", 7, 10),
        ("bytes=-99", 0, 10),
        ("bytes=5-99", 5, 10),
        ("bytes=9-", 9, 10),
        ("bytes= 1-2 ", 1, 3),
        ("bytes=0-1, 2-4", 0, 5),
        ("bytes=99-, 0-1", 0, 2),
        ("BYTES=1-1", 1, 2),
    ],
)
def test_one_range(client: Client, text: str, start: int, stop: int) -> None:
    response = client.get("/plain", f"Range: {text}")
    assert response.status == 206
    assert response.body == DIGITS[start:stop]
    assert response["Content-Range"] == f"bytes {start}-{stop - 1}/10"
    assert response["Content-Type"] == "text/plain"


def test_several_ranges(client: Client) -> None:
    response = client.get("/plain", "Range: bytes=0-1,4-5,-2")
    assert response.status == 206
    assert response.get("Content-Range") is None
    raw = f"Content-Type: {response['Content-Type']}\r\n\r\n".encode() + response.body
    message: Any = message_from_bytes(raw, policy=HTTP)
    assert message.get_content_type() == "multipart/byteranges"
    parts = [
        (part["Content-Range"], part.get_content_type(), part.get_payload(decode=True))
        for part in message.iter_parts()
    ]
    assert parts == [
        ("bytes 0-1/10", "text/plain", b"01"),
        ("bytes 4-5/10", "text/plain", b"45"),
        ("bytes 8-9/10", "text/plain", b"89"),
    ]


@pytest.mark.parametrize("text", ["bytes=10-", "bytes=10-20,30-", "bytes=-0", "bytes=5-2"])
def test_a_range_that_is_not_there_is_416(client: Client, text: str) -> None:
    response = client.get("/plain", f"Range: {text}")
    assert (response.status, response.body) == (416, b"")
    assert response["Content-Range"] == "bytes */10"


@pytest.mark.parametrize(
    "text", ["lines=0-1", "bytes", "0-1", ",".join(["bytes=0-0"] + ["2-2"] * 99)]
)
def test_a_range_that_is_not_understood_is_ignored(client: Client, text: str) -> None:
    response = client.get("/plain", f"Range: {text}")
    assert (response.status, response.body) == (200, DIGITS)


def test_only_a_successful_get_has_ranges(client: Client) -> None:
    ranged = "Range: bytes=0-1"
    for method, target, status in (
        ("HEAD", "/plain", 200),
        ("POST", "/plain", 200),
        ("GET", "/missing", 404),
        ("GET", "/created", 201),
    ):
        response = request(client, method, target, ranged)
        assert response.status == status
        assert response["Content-Length"] == "10"
        assert response.get("Content-Range") is None


@pytest.mark.parametrize(
    ("target", "condition", "status"),
    [
        ("/tagged", '"v1"', 206),
        ("/tagged", '"v2"', 200),
        ("/tagged", 'W/"v1"', 200),
        ("/tagged", SEED_DAY, 206),
        ("/tagged", DAY_AFTER, 200),
        ("/weak", 'W/"v1"', 200),
        ("/plain", '"v1"', 200),
        ("/plain", SEED_DAY, 200),
        ("/tagged", "nonsense", 200),
    ],
)
def test_if_range(client: Client, target: str, condition: str, status: int) -> None:
    response = client.get(target, "Range: bytes=0-1", f"If-Range: {condition}")
    assert response.status == status
    assert response.body == (b"01" if status == 206 else DIGITS)


# -- conditions


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("target", "condition", "status"),
    [
        ("/tagged", 'If-None-Match: "v1"', 304),
        ("/tagged", 'If-None-Match: W/"v1"', 304),
        ("/tagged", 'If-None-Match: "v0", "v1"', 304),
        ("/tagged", "If-None-Match: *", 304),
        ("/tagged", 'If-None-Match: "v2"', 200),
        ("/tagged", 'If-None-Match: "v1', 200),
        ("/weak", 'If-None-Match: "v1"', 304),
        ("/dated", f"If-Modified-Since: {SEED_DAY}", 304),
        ("/dated", f"If-Modified-Since: {DAY_AFTER}", 304),
        ("/dated", f"If-Modified-Since: {DAY_BEFORE}", 200),
        ("/dated", "If-Modified-Since: yesterday", 200),
        ("/plain", f"If-Modified-Since: {DAY_AFTER}", 200),
        ("/plain", 'If-None-Match: "v1"', 200),
        ("/tagged", 'If-Match: "v1"', 200),
        ("/tagged", 'If-Match: "v2"', 412),
        ("/weak", 'If-Match: W/"v1"', 412),
        ("/dated", f"If-Unmodified-Since: {SEED_DAY}", 200),
        ("/dated", f"If-Unmodified-Since: {DAY_BEFORE}", 412),
        ("/missing", 'If-None-Match: "v1"', 404),
    ],
)
def test_conditions(client: Client, method: str, target: str, condition: str, status: int) -> None:
    response = request(client, method, target, condition)
    assert response.status == status
    if status in (304, 412):
        assert response.body == b""
        assert response.get("Content-Type") is None


def test_a_304_keeps_what_caches_need_and_claims_no_length(client: Client) -> None:
    response = client.get("/tagged", 'If-None-Match: "v1"')
    assert response["ETag"] == '"v1"'
    assert response["Last-Modified"] == SEED_DAY
    assert response["Cache-Control"] == "a"
    assert response["Date"]
    assert response.get("Content-Length") is None  # RFC 9110, 8.6: it would be that of the 200
    assert response.get("Transfer-Encoding") is None


def test_the_etag_wins_over_the_date(client: Client) -> None:
    both = ('If-None-Match: "v2"', f"If-Modified-Since: {DAY_AFTER}")
    assert client.get("/tagged", *both).status == 200


def test_a_condition_comes_before_a_range(client: Client) -> None:
    assert client.get("/tagged", "Range: bytes=0-1", 'If-None-Match: "v1"').status == 304
    assert client.get("/tagged", "Range: bytes=99-", 'If-Match: "v2"').status == 412
    assert client.get("/tagged", "Range: bytes=0-1", 'If-Match: "v1"').status == 206


def test_conditions_are_for_reading(client: Client) -> None:
    assert request(client, "POST", "/tagged", 'If-None-Match: "v1"').status == 200


# -- compression


def unpacked(response: Response) -> bytes:
    encoding = response.get("Content-Encoding")
    if encoding == "gzip":
        return gzip.decompress(response.body)
    if encoding == "br":
        import brotli

        return bytes(brotli.decompress(response.body))
    assert encoding is None
    return response.body


with_brotli = pytest.mark.skipif(representation.brotli is None, reason="brotli is not installed")


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("deflate, gzip;q=0.5", "gzip"),
        ("gzip;q=0.001", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.000, identity", None),
        ("identity", None),
        ("deflate", None),
        ("zstd", None),
        ("", None),
        ("gzip;q=0.5, identity;q=1", None),
        ("gzip;q=1, identity;q=0.5", "gzip"),
        ("gzip;q=nonsense", None),
        pytest.param("br", "br", marks=with_brotli),
        pytest.param("gzip, br", "br", marks=with_brotli),
        pytest.param("gzip, deflate, br, zstd", "br", marks=with_brotli),
        pytest.param("gzip;q=1, br;q=0.5", "gzip", marks=with_brotli),
        pytest.param("br;q=0, gzip", "gzip", marks=with_brotli),
        pytest.param("*", "br", marks=with_brotli),
        pytest.param("br;q=0, *", "gzip", marks=with_brotli),
        pytest.param("*;q=0", None, marks=with_brotli),
    ],
)
def test_a_client_gets_an_encoding_it_accepts(
    client: Client, accepted: str, encoding: str | None
) -> None:
    response = client.get("/text", f"Accept-Encoding: {accepted}")
    assert response.get("Content-Encoding") == encoding
    assert unpacked(response) == TEXT
    assert response["Vary"] == "Accept-Encoding"
    assert encoding is None or len(response.body) < len(TEXT) / 10
    assert response.get("ETag") is None


def test_a_client_that_says_nothing_gets_no_encoding(client: Client) -> None:
    response = client.get("/text")
    assert response.get("Content-Encoding") is None
    assert response["Vary"] == "Accept-Encoding"
    assert response.body == TEXT


def test_head_tells_the_length_of_the_encoded_body(client: Client) -> None:
    accepted = "Accept-Encoding: gzip"
    full = client.get("/text", accepted)
    response = request(client, "HEAD", "/text", accepted)
    assert response["Content-Length"] == str(len(full.body))
    assert response["Content-Encoding"] == "gzip"


def test_an_etag_is_weakened_by_an_encoding(client: Client) -> None:
    accepted = "Accept-Encoding: gzip"
    assert client.get("/text/tagged")["ETag"] == '"v1"'
    assert client.get("/text/tagged", accepted)["ETag"] == 'W/"v1"'
    assert client.get("/text/weak", accepted)["ETag"] == 'W/"v1"'
    assert client.get("/text/tagged", accepted, 'If-None-Match: W/"v1"').status == 304


def test_vary_is_added_to_what_the_app_said(client: Client) -> None:
    for target, expected in (
        ("/text/varied", "Cookie, Accept-Encoding"),
        ("/text/varied/twice", "Cookie, accept-encoding"),
        ("/text/varied/fully", "*"),
    ):
        for headers in ((), ("Accept-Encoding: gzip",)):
            assert client.get(target, *headers)["Vary"] == expected


def test_what_varies_says_so_in_every_form(client: Client) -> None:
    """RFC 9110, 12.5.5: a cache must not give the one form to those who asked for the other."""
    for headers, status in (
        (('If-None-Match: "v1"',), 304),
        (("Range: bytes=0-9",), 206),
        (("Accept-Encoding: gzip", "Range: bytes=0-9"), 206),
    ):
        response = client.get("/text/tagged", *headers)
        assert response.status == status
        assert response["Vary"] == "Accept-Encoding"
        assert response.get("Content-Encoding") is None
        assert response["ETag"] == '"v1"'


def test_what_is_encoded_already_is_left_alone(client: Client) -> None:
    response = client.get("/text/encoded", "Accept-Encoding: br, gzip")
    assert response["Content-Encoding"] == "gzip"
    assert response.get("Vary") is None
    assert response.body == PACKED


def test_small_bodies_and_errors_are_left_alone(client: Client) -> None:
    accepted = "Accept-Encoding: gzip"
    assert client.get("/short", accepted).get("Content-Encoding") is None
    assert client.get("/short", accepted).get("Vary") is None
    assert client.get("/enough", accepted)["Content-Encoding"] == "gzip"
    assert client.get("/error", accepted).get("Content-Encoding") is None


@pytest.mark.parametrize(("number", "packed"), list(enumerate(KINDS.values())), ids=list(KINDS))
def test_only_types_that_shrink_are_compressed(client: Client, number: int, packed: bool) -> None:
    response = client.get(f"/kind/{number}", "Accept-Encoding: gzip")
    assert (response.get("Content-Encoding") == "gzip") is packed
    assert unpacked(response) == TEXT


def test_compression_can_be_turned_off(app: Toy) -> None:
    with Serving(app, compress=False) as serving:
        response = serving.get("/text", "Accept-Encoding: gzip")
        assert response.body == TEXT
        assert response.get("Vary") is None


@pytest.mark.parametrize("least", [1500, 5000])
def test_the_least_size_worth_compressing_can_be_set(app: Toy, least: int) -> None:
    app.thread("/below", fixed(TEXT[: least - 1]))
    app.thread("/at", fixed(TEXT[:least]))
    with Serving(app, compress_min=least) as serving:
        assert serving.get("/below", "Accept-Encoding: gzip").get("Content-Encoding") is None
        assert serving.get("/at", "Accept-Encoding: gzip")["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (None, "Accept"),
        ("Accept-Encoding", "Accept-Encoding, Accept"),
        ("accept", "accept"),
        ("Cookie,ACCEPT , Origin", "Cookie,ACCEPT , Origin"),
        ("*", "*"),
    ],
)
def test_vary_names_each_header_once(known: str | None, expected: str) -> None:
    fields = [("X-A", "1")] + ([("vary", known)] if known else [])
    add_vary(fields, "Accept")
    assert [value for name, value in fields if name.lower() == "vary"] == [expected]
