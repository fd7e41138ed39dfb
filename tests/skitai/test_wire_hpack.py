"""HPACK (RFC 7541), with the library hpack as the other side."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.server.representation import Head
from skitai.wire.hpack.decoder import HeaderDecoder
from skitai.wire.hpack.encoder import encode_common, encode_field, encode_fields, encode_head
from skitai.wire.hpack.strings import CompressionFault, encode_number, encode_string

NAMES = st.sampled_from([":method", ":path", "cookie", "x-a", "accept", "content-length"])
VALUES = st.one_of(
    st.sampled_from(["GET", "/", "gzip, deflate", ""]), st.text("abcXYZ019/%é\xff", max_size=200)
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=12)


@given(st.lists(st.tuples(FIELDS, st.booleans(), st.none() | st.integers(0, 4096)), max_size=8))
def test_blocks_of_another_encoder_are_read(blocks) -> None:
    theirs = hpack.Encoder()
    ours = HeaderDecoder(1_000_000)
    for fields, huffman, resize in blocks:
        if resize is not None:
            theirs.header_table_size = resize
        raw = [(name.encode(), value.encode("latin-1")) for name, value in fields]
        assert ours.decode(theirs.encode(raw, huffman=huffman)) == fields


@given(st.lists(st.tuples(FIELDS, st.booleans()), max_size=8))
def test_while_the_table_stays_a_block_means_the_same(blocks) -> None:
    theirs = hpack.Encoder()
    ours = HeaderDecoder(1_000_000)
    for fields, _ in blocks:
        raw = [(name.encode(), value.encode("latin-1")) for name, value in fields]
        block = theirs.encode(raw)
        changes = ours.changes
        assert ours.decode(block) == fields
        if ours.changes == changes:
            assert ours.decode(block) == fields


@given(st.binary(max_size=200))
def test_any_bytes_are_fields_or_a_fault(block: bytes) -> None:
    decoder = HeaderDecoder(1000)
    try:
        fields = decoder.decode(block)
    except CompressionFault:
        return
    theirs = hpack.Decoder(max_header_list_size=100_000)
    expected = [(name, value) for name, value in theirs.decode(block, raw=True)]
    if fields is not None:
        assert [(a.encode("latin-1"), b.encode("latin-1")) for a, b in fields] == expected


def test_lists_of_fields_are_bounded() -> None:
    theirs, ours = hpack.Encoder(), HeaderDecoder(1000)
    large = [(f"x-{at}", "y" * 100) for at in range(10)]
    assert ours.decode(theirs.encode(large)) is None
    # The table has been kept up with all the same.
    assert ours.decode(theirs.encode(large[-3:])) == large[-3:]
    with pytest.raises(CompressionFault):
        ours.decode(encode_field("x-a", "y" * 9000))


def test_one_byte_can_not_stand_for_megabytes() -> None:
    ours = HeaderDecoder(65536)
    ours.decode(b"\x40" + encode_string(b"x", False) + encode_string(b"y" * 4000, False))
    with pytest.raises(CompressionFault):
        ours.decode(b"\xbe" * 60_000)


@pytest.mark.parametrize(
    "block",
    [
        b"\x80", b"\xbe", b"\x40", b"\x40\x01", b"\x40\x01a\x05b", b"\x7f\xff\xff\xff\xff\xff\x01",
        b"\xff\xff\xff\xff\xff\xff\xff\x01", b"\x3f\xe2\x1f", b"\x82\x20", b"\x20\x20\x20\x82",
        b"\x00\x85\xff\xff\xff\xff\xff\x00", b"\x00\x81\x00\x00",
    ],
)  # fmt: skip
def test_faults(block: bytes) -> None:
    with pytest.raises(CompressionFault):
        HeaderDecoder(1000).decode(block)


def test_a_table_of_no_size_holds_nothing() -> None:
    ours = HeaderDecoder(1000)
    ours.decode(b"\x20" + b"\x40\x01a\x01b")
    with pytest.raises(CompressionFault):
        ours.decode(b"\xbe")


@given(st.lists(st.tuples(st.sampled_from(["x-a", "Set-Cookie", "ETag"]), VALUES), max_size=5))
def test_answers_are_read_by_another_decoder(fields: list[tuple[str, str]]) -> None:
    head = Head(200, "text/plain", fields, 12345)
    common = encode_common(b"Date: now\r\nAlt-Svc: h3\r\n")
    for _ in range(2):  # the second time from memory
        block = encode_head(head, common, fields)
        got = [
            (name.decode(), value.decode("latin-1"))
            for name, value in hpack.Decoder().decode(block, raw=True)
        ]
        assert got == [
            (":status", "200"), ("server", "skitai"), ("content-type", "text/plain"),
            ("date", "now"), ("alt-svc", "h3"), ("content-length", "12345"),
            *((name.lower(), value) for name, value in fields),
        ]  # fmt: skip


@given(st.integers(0, 2**40), st.sampled_from([0x0F, 0x1F, 0x3F, 0x7F]))
def test_numbers(number: int, prefix: int) -> None:
    bits = prefix.bit_length()
    assert encode_number(number, 0, prefix) == bytes(hpack.hpack.encode_integer(number, bits))


def test_secrets_are_never_indexed() -> None:
    assert encode_field("set-cookie", "a=b")[0] & 0xF0 == 0x10


@pytest.mark.parametrize(
    "pair", [("x a", "b"), ("x\n", "b"), ("", "b"), ("x", "a\nb"), ("x", "\0"), ("x", "€")]
)
def test_unsafe_fields_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        encode_fields([pair])


def test_fields_of_the_server_and_of_connections_are_left_out() -> None:
    ours = ["Date", "Server", "Content-Length", "Connection", "Upgrade", "Transfer-Encoding"]
    assert encode_fields([(name, "x") for name in ours]) == b""


def test_a_content_type_with_a_line_break_is_refused() -> None:
    with pytest.raises(ValueError, match="line break"):
        encode_head(Head(200, "text/plain\r\nX: y"), b"", None)
