"""gRPC as bytes: frames, compression, deadlines, statuses."""

from __future__ import annotations

import zlib

import pytest
from greeter import Text
from hypothesis import given
from hypothesis import strategies as st

from skitai.wire.grpc import (
    ENCODINGS,
    MAX_MESSAGE,
    PREFIX_SIZE,
    GrpcError,
    Status,
    decompress,
    encode_status_message,
    frame,
    http_of_status,
    parse_prefix,
    parse_timeout,
    status_of_http,
)
from skitai.wire.protobuf import UnknownMethod, find_method


def status_of(call, *args) -> Status:
    with pytest.raises(GrpcError) as caught:
        call(*args)
    return caught.value.status


@given(st.binary(max_size=2000), st.sampled_from(["", *ENCODINGS]))
def test_a_frame_is_read_as_it_was_made(message, encoding):
    data = frame(message, encoding)
    packed, length = parse_prefix(data[:PREFIX_SIZE], MAX_MESSAGE)
    body = data[PREFIX_SIZE:]
    assert (packed, length) == (bool(encoding), len(body))
    assert (decompress(body, encoding, 2000) if packed else body) == message


def test_a_message_above_the_limit_is_refused_by_its_prefix():
    assert parse_prefix(b"\0\0\0\0\x0a", 10) == (False, 10)
    assert status_of(parse_prefix, b"\0\0\0\0\x0b", 10) == Status.RESOURCE_EXHAUSTED
    assert status_of(parse_prefix, b"\0\xff\xff\xff\xff", MAX_MESSAGE) == Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("flags", [2, 128, 255])
def test_other_flags_than_compression_are_no_prefix(flags):
    assert status_of(parse_prefix, bytes([flags, 0, 0, 0, 0]), 10) == Status.INTERNAL


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_compressed_never_grows_above_the_limit(encoding):
    bomb = frame(b"\0" * 10_000_000, encoding)[PREFIX_SIZE:]
    assert len(bomb) < 20_000
    assert status_of(decompress, bomb, encoding, 1000) == Status.RESOURCE_EXHAUSTED
    assert len(decompress(bomb, encoding, 10_000_000)) == 10_000_000


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_damaged_compression_is_an_error(encoding):
    good = frame(b"hello" * 100, encoding)[PREFIX_SIZE:]
    for bad in (b"", b"hello", good[:-1], good + b"x"):
        assert status_of(decompress, bad, encoding, 1000) == Status.INTERNAL
    for other in ("", "identity", "br"):
        assert status_of(decompress, good, other, 1000) == Status.INTERNAL


def test_deflate_is_that_of_zlib():
    assert decompress(zlib.compress(b"hello"), "deflate", 10) == b"hello"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("2H", 7200), ("3M", 180), ("10S", 10), ("250m", 0.25), ("99999999u", 99.999999), ("0n", 0)],
)
def test_timeouts_have_units(value, seconds):
    assert parse_timeout(value) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "10", "S", "1s", "-1S", "1.5S", "123456789S", "1S ", "١S"])
def test_other_timeouts_are_malformed(value):
    assert status_of(parse_timeout, value) == Status.INTERNAL


def test_a_message_of_a_status_is_percent_encoded_utf8():
    assert encode_status_message("no such book, 100% sure: é\n") == (
        "no such book, 100%25 sure: %C3%A9%0A"
    )
    assert encode_status_message("\ud800") == "?"


def test_statuses_of_http_have_one_of_grpc():
    codes = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 412: 9, 413: 8, 429: 8, 499: 1, 500: 13}
    codes |= {501: 12, 502: 14, 503: 14, 504: 4, 418: 9, 599: 13, 302: 2}
    assert {code: int(status_of_http(code)) for code in codes} == codes
    assert [http_of_status(status) for status in (0, 5, 14, 16, 17, -1)] == [
        200, 404, 503, 401, 500, 500,
    ]  # fmt: skip


def test_a_method_is_found_by_its_names():
    method = find_method("demo.Greeter", "Chat")
    assert (method.request, method.response) == (Text, Text)
    assert (method.takes_stream, method.gives_stream, method.idempotent) == (True, True, False)
    assert find_method("demo.Greeter", "Look").idempotent
    assert find_method("demo.Greeter", "Chat") is method


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("demo.Nobody", "Say"), "import the \\*_pb2 module"),
        (("demo.Text", "Say"), "import the \\*_pb2 module"),
        (("", ""), "import the \\*_pb2 module"),
        (("demo.Greeter", "Nope"), "no method 'Nope', but Chat, Count"),
    ],
)
def test_an_unknown_method_says_what_to_do(names, words):
    with pytest.raises(UnknownMethod, match=words):
        find_method(*names)
