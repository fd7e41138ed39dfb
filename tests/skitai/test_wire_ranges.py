"""Range headers and the framing of several ranges."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.wire.ranges import RangeNotSatisfiable, multipart_byteranges, parse_range

SATISFIED = [
    # RFC 9110, 14.1.2: a representation of 10000 bytes
    ("bytes=0-499", [(0, 500)]),
    ("bytes=500-999", [(500, 1000)]),
    ("bytes=-500", [(9500, 10000)]),
    ("bytes=9500-", [(9500, 10000)]),
    ("bytes=0-0,-1", [(0, 1), (9999, 10000)]),
    ("bytes= 0-0, -1", [(0, 1), (9999, 10000)]),
    ("bytes= 0-999, 4500-5499, -1000", [(0, 1000), (4500, 5500), (9000, 10000)]),
    ("bytes=500-600,601-999", [(500, 1000)]),
    ("bytes=500-700,601-999", [(500, 1000)]),
    # ends beyond the size are cut
    ("bytes=9999-10000", [(9999, 10000)]),
    ("bytes=0-99999999999999999999999999", [(0, 10000)]),
    ("bytes=-20000", [(0, 10000)]),
    ("bytes=-99999999999999999999999999", [(0, 10000)]),
    ("bytes=00000000000000000000000005-6", [(5, 7)]),
    # unsatisfiable ones among others are left out
    ("bytes=20000-,0-1", [(0, 2)]),
    ("bytes=-0,0-1", [(0, 2)]),
    # order is kept, overlaps are joined where the first stood
    ("bytes=900-999,0-9", [(900, 1000), (0, 10)]),
    ("bytes=900-999,0-9,950-1999", [(900, 2000), (0, 10)]),
    ("bytes=0-9,20-29,10-19", [(0, 30)]),
    ("bytes=0-,0-,0-,0-", [(0, 10000)]),
    # spelling
    ("BYTES=0-1", [(0, 2)]),
    ("bytes=,,0-1 ,\t", [(0, 2)]),
]


@pytest.mark.parametrize(("value", "ranges"), SATISFIED)
def test_ranges_are_read(value: str, ranges: list[tuple[int, int]]) -> None:
    assert parse_range(value, 10000) == ranges


@pytest.mark.parametrize("value", ["", "bytes", "bytes 0-1", "0-1", "items=0-1", "=0-1", "none"])
def test_other_units_are_ignored(value: str) -> None:
    assert parse_range(value, 10000) is None


@pytest.mark.parametrize(
    "value",
    [
        "bytes=0,3",
        "bytes=10000-",
        "bytes=10000-10001",
        "bytes=99999999999999999999-",
        "bytes=" + "9" * 5000 + "-",
        "bytes=-0",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=--1",
        "bytes=5",
        "bytes=5-3",
        "bytes=0-1,5-3",
        "bytes=0-1,x",
        "bytes=0x0-1",
        "bytes=0-1-2",
        "bytes=0 - 1",
        "bytes=+0-1",
        "bytes=٠-١",
        "bytes=0-1;2-3",
        "bytes=bytes=0-1",
    ],
)
def test_what_no_range_satisfies_is_416(value: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse_range(value, 10000)
    assert caught.value.content_range == "bytes */10000"
    assert caught.value.size == 10000


def test_an_empty_representation_has_only_a_whole() -> None:
    assert parse_range("bytes=-5", 0) is None
    for value in ("bytes=0-", "bytes=0-0", "bytes=-0"):
        with pytest.raises(RangeNotSatisfiable):
            parse_range(value, 0)


def test_too_many_ranges_are_ignored() -> None:
    assert parse_range("bytes=" + ",".join(f"{n}-{n}" for n in range(0, 32, 2)), 100) is not None
    assert parse_range("bytes=" + ",".join(f"{n}-{n}" for n in range(0, 34, 2)), 100) is None
    assert parse_range("bytes=" + "0-," * 20000, 100) is None
    assert parse_range("bytes=0-1,2-3", 100, limit=1) is None


@given(st.text("0123456789-, ", max_size=60), st.integers(0, 50))
@settings(deadline=None)
def test_ranges_are_inside_and_apart(text: str, size: int) -> None:
    try:
        ranges = parse_range(f"bytes={text}", size)
    except RangeNotSatisfiable:
        return
    covered: set[int] = set()
    for start, stop in ranges or []:
        assert 0 <= start < stop <= size
        assert not covered & set(range(start, stop))
        covered |= set(range(start, stop))


def assemble(body: bytes, ranges: list[tuple[int, int]]) -> tuple[str, bytes, int]:
    boundary, parts, trailer, total = multipart_byteranges("text/plain", len(body), ranges)
    whole = b"".join(header + body[start:stop] for header, start, stop in parts) + trailer
    return boundary, whole, total


def test_several_ranges_are_framed_as_multipart() -> None:
    body = bytes(range(65, 91))
    boundary, whole, total = assemble(body, [(0, 3), (20, 26)])
    assert total == len(whole)
    assert (
        whole
        == (
            f"--{boundary}\r\nContent-Type: text/plain\r\n"
            "Content-Range: bytes 0-2/26\r\n\r\nABC\r\n"
            f"--{boundary}\r\nContent-Type: text/plain\r\n"
            "Content-Range: bytes 20-25/26\r\n\r\nUVWXYZ\r\n"
            f"--{boundary}--\r\n"
        ).encode()
    )


def test_a_mime_parser_reads_the_frames() -> None:
    body = b"0123456789" * 10
    ranges = [(90, 100), (0, 1), (5, 50)]
    boundary, whole, _ = assemble(body, ranges)
    head = f"Content-Type: multipart/byteranges; boundary={boundary}\r\n\r\n".encode()
    message = email.message_from_bytes(head + whole, policy=email.policy.HTTP)
    parts = [part.get_payload(decode=True) for part in message.iter_parts()]
    assert parts == [body[start:stop] for start, stop in ranges]


def test_boundaries_are_never_the_same() -> None:
    assert len({multipart_byteranges("a/b", 9, [(0, 1)])[0] for _ in range(100)}) == 100
