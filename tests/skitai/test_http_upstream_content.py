"""Bodies of answers: content codings with limits, and data by media type."""

from __future__ import annotations

import asyncio
import gzip
import sys
import threading
import zlib

import brotli
import pytest

from skitai.tasks.errors import Failure, gateway_code
from skitai.tasks.status import STA_NORMAL
from skitai.upstream.http import content
from skitai.upstream.http.content import ContentError, accepted_codings, decompress
from skitai.upstream.http.exchange import ResponseTooLarge
from skitai.upstream.http.reply import Headers, HttpReply
from skitai.wire.http1_client import ResponseHead

TEXT = b"hello " * 1000
LARGE = bytes(range(256)) * 12 * 1024  # 3 MiB, more than is decompressed on the loop


def raw_deflate(data: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(data) + squeeze.flush()


CODINGS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZip": gzip.compress,
    "deflate": zlib.compress,
    "deflate ": raw_deflate,
    "br": brotli.compress,
    "identity": bytes,
    "": bytes,
    "gzip, identity": gzip.compress,
    "deflate, gzip": lambda data: gzip.compress(zlib.compress(data)),
    "gzip, br,": lambda data: brotli.compress(gzip.compress(data)),
}


def expand(body: bytes, coding: str, limit: int = 10_000_000) -> bytes:
    return asyncio.run(decompress(body, coding, limit))


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("data", [b"", b"x", TEXT, LARGE], ids=["none", "byte", "text", "large"])
def test_codings_are_undone(coding, data):
    assert expand(CODINGS[coding](data), coding) == data


def test_several_members_and_padding_of_gzip():
    body = gzip.compress(b"one ") + gzip.compress(b"two") + b"\0" * 100
    assert expand(body, "gzip") == b"one two"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate ", "br"])
@pytest.mark.parametrize("data", [TEXT, LARGE], ids=["text", "large"])
def test_broken_bodies(coding, data):
    body = CODINGS[coding](data)
    for broken in (body[:-5], body[: len(body) // 2], b"\xff" * 20 + body):
        with pytest.raises(Failure) as caught:
            expand(broken, coding)
        assert isinstance(caught.value.error, ContentError)
        assert (caught.value.status, caught.value.code) == (STA_NORMAL, 502)


def test_a_checksum_is_checked():
    body = bytearray(gzip.compress(TEXT))
    body[-6] ^= 1
    with pytest.raises(Failure, match="not valid gzip"):
        expand(bytes(body), "gzip")


@pytest.mark.parametrize("coding", ["compress", "zstd", "gzip, what", "gzip\r\n", "gzip," * 4])
def test_unknown_or_too_many_codings(coding):
    if coding == "gzip\r\n":
        assert expand(gzip.compress(b"x"), coding) == b"x"
        return
    with pytest.raises(Failure, match="content coding"):
        expand(b"x", coding)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate ", "br"])
def test_bombs_stop_at_the_limit(coding):
    bomb = CODINGS[coding](bytes(50_000_000))
    assert len(bomb) < 100_000
    made = 0
    pieces = content._DECODERS[coding.strip()](bomb)
    for piece in pieces:
        made += len(piece)
        assert len(piece) <= 2 * content.PIECE  # brotli rounds it up
        if made > 5_000_000:
            break
    pieces.close()
    with pytest.raises(Failure) as caught:
        expand(bomb, coding, 5_000_000)
    assert isinstance(caught.value.error, ResponseTooLarge)


def test_the_limit_is_exact():
    assert expand(gzip.compress(bytes(1000)), "gzip", 1000) == bytes(1000)
    with pytest.raises(Failure):
        expand(gzip.compress(bytes(1001)), "gzip", 1000)


def test_only_the_beginning_is_decompressed_on_the_loop(monkeypatch):
    threads = []

    def pieces(body):
        for _ in range(12):
            threads.append(threading.current_thread())
            yield bytes(content.PIECE)

    monkeypatch.setitem(content._DECODERS, "slow", pieces)
    assert len(expand(b"x", "slow")) == 12 * content.PIECE
    assert threads.count(threading.main_thread()) == content.INLINE_PIECES
    assert len(threads) == 12


@pytest.mark.parametrize("installed", [None, type("brotli", (), {"Decompressor": object})])
def test_without_a_brotli_that_can_be_stopped_it_is_not_offered(monkeypatch, installed):
    assert accepted_codings() == "gzip, deflate, br"
    monkeypatch.setitem(sys.modules, "brotli", installed)
    assert accepted_codings() == "gzip, deflate"
    with pytest.raises(Failure, match=r"skitai\[brotli\]"):
        expand(b"x", "br")


# -- data


def reply(body: bytes, kind: str = "", status: int = 200) -> HttpReply:
    fields = [("Content-Type", kind)] if kind else []
    return HttpReply(ResponseHead(status, "", "1.1", fields), body, "http://a/b")


@pytest.mark.parametrize(
    ("kind", "body", "data"),
    [
        ("application/json", b'{"a": [1, null]}', {"a": [1, None]}),
        ("Application/JSON; charset=utf-8", '"é"'.encode(), "é"),
        ("application/problem+json", b"1", 1),
        ("application/json", b"123456789012345678901234567890", 123456789012345678901234567890),
        ("application/json", b"[NaN]", None),
        ("application/json", b"\xef\xbb\xbf[1]", [1]),
        ("application/json", b"", b""),
        ("text/plain", "é".encode(), "é"),
        ("text/html; charset=iso-8859-1", b"\xe9", "é"),
        ('text/html; Charset="utf-8"', "é".encode(), "é"),
        ("text/html; charset=idna", b"a", "a"),
        ("text/html; charset=what", "é".encode(), "é"),
        ("text/plain", b"\xff", "\N{REPLACEMENT CHARACTER}"),
        ("text/plain", b"", b""),
        ("image/png", b"\x89PNG", b"\x89PNG"),
        ("", b"{}", b"{}"),
    ],
)
def test_data_by_type(kind, body, data):
    got = reply(body, kind).data
    if data is None:
        assert str(got) == "[nan]"
    else:
        assert got == data
        assert type(got) is type(data)


def test_data_is_decoded_once_and_can_be_replaced():
    answer = reply(b"[1]", "application/json")
    assert answer.data is answer.data
    answer.data = "other"
    assert answer.data == "other"


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 100_000], ids=["cut", "bytes", "deep"])
def test_malformed_json(body):
    answer = reply(body, "application/json")
    with pytest.raises(ContentError, match="http://a/b is no JSON") as caught:
        _ = answer.data
    assert gateway_code(caught.value) == 502
    with pytest.raises(ContentError):
        answer.json()
    assert answer.content == answer.binary == body


def test_what_a_failure_says_is_text_if_it_is_no_json():
    assert reply(b"oops", "application/json", 500).data == "oops"
    assert reply(b'{"a": 1}', "application/json", 500).data == {"a": 1}


def test_decoders_of_stubs_make_data_or_error():
    async def main(size: int):
        good, bad = reply(b"x" * size), reply(b"x" * size)
        await good.settle(lambda answer: len(answer.content))
        await bad.settle(lambda answer: 1 // 0)
        return good, bad

    for size in (1, 1_000_000):
        good, bad = asyncio.run(main(size))
        assert (good.data, good.error) == (size, None)
        assert bad.data is None
        assert isinstance(bad.error, ZeroDivisionError)


def test_headers_in_any_case():
    headers = Headers([("Set-Cookie", "a"), ("X", "1"), ("set-cookie", "b")])
    assert headers.get("SET-cookie") == "a, b"
    assert headers.get_all("set-COOKIE") == ["a", "b"]
    assert headers.items() == [("Set-Cookie", "a"), ("X", "1"), ("set-cookie", "b")]
    assert list(headers) == ["set-cookie", "x"]
    assert dict(headers) == {"set-cookie": "a, b", "x": "1"}
    assert (len(headers), "x" in headers, "y" in headers, 1 in headers) == (2, True, False, False)
    assert headers["x"] == "1"
    assert (headers.get("y"), headers.get("y", "z"), headers.get_all("y")) == (None, "z", [])
    with pytest.raises(KeyError):
        headers["y"]
    assert reply(b"", "text/plain").get_header("Content-TYPE") == "text/plain"
