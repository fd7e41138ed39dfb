"""Compressed WebSocket messages: what is agreed on, both streams, and bombs (RFC 7692)."""

from __future__ import annotations

import random
import zlib

import pytest
from websocket_driving import BINARY, PING, TEXT, Recorder, deflated, frame
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode

from skitai.wire.websocket.deflate import Deflate, Deflater, Inflater, agree
from skitai.wire.websocket.handshake import choose_deflate, parse_extensions
from skitai.wire.websocket.messages import MessageReader, WebSocketError

LIMIT = 100_000
PROTOCOL_ERROR, INVALID, TOO_BIG = 1002, 1007, 1009
WHOLE = Deflate(True, True, 15, 15)
WITHOUT = Deflate(False, False, 15, None)


def reader_for(agreed=WHOLE, limit=LIMIT):
    sink = Recorder()
    return sink, MessageReader(sink, limit, Inflater(agreed))


def code_of(data, agreed=WHOLE):
    """The close code that some bytes lead to."""
    _, reader = reader_for(agreed)
    with pytest.raises(WebSocketError) as caught:
        reader.feed(data)
    return caught.value.code


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        ("", "server_max_window_bits=12"),
        ("client_max_window_bits", "server_max_window_bits=12; client_max_window_bits=12"),
        ("client_max_window_bits=15", "server_max_window_bits=12; client_max_window_bits=12"),
        ("client_max_window_bits=8", "server_max_window_bits=12; client_max_window_bits=8"),
        ("server_max_window_bits=9", "server_max_window_bits=9"),
        ("server_max_window_bits=15", "server_max_window_bits=12"),
        ('server_max_window_bits="10"', "server_max_window_bits=10"),
        ("server_no_context_takeover", "server_max_window_bits=12; server_no_context_takeover"),
        ("client_no_context_takeover", "server_max_window_bits=12; client_no_context_takeover"),
        (
            "client_no_context_takeover; server_no_context_takeover; client_max_window_bits=10",
            "server_max_window_bits=12; client_max_window_bits=10; server_no_context_takeover; "
            "client_no_context_takeover",
        ),
        # zlib can't write with so small a window.
        ("server_max_window_bits=8", None),
        ("server_max_window_bits", None),
        ("server_max_window_bits=7", None),
        ("server_max_window_bits=16", None),
        ("server_max_window_bits=010", None),
        ("server_max_window_bits=ten", None),
        ("client_max_window_bits=7", None),
        ("client_max_window_bits=16", None),
        ("client_max_window_bits=012", None),
        ("server_no_context_takeover=1", None),
        ("client_no_context_takeover=true", None),
        ("client_no_context_takeover; client_no_context_takeover", None),
        ("client_max_window_bits; client_max_window_bits=10", None),
        ("bits=10", None),
    ],
)
def test_an_offer_is_met_or_declined(offer, answer):
    offers = parse_extensions(f"permessage-deflate; {offer}" if offer else "permessage-deflate")
    agreed = choose_deflate(offers)
    assert (agreed and agreed.field()) == (answer and f"permessage-deflate; {answer}")


def test_the_first_offer_that_can_be_met_is_taken():
    value = (
        "x-webkit-deflate-frame, permessage-deflate; server_max_window_bits=8,"
        "permessage-deflate;server_max_window_bits=11 , permessage-deflate"
    )
    assert choose_deflate(parse_extensions(value)).server_bits == 11
    assert choose_deflate(parse_extensions("permessage-bzip2; level=3")) is None


@pytest.mark.parametrize(
    "value",
    ["", " ", ",", "a,", ",a", "a;", "a;;b", "a b", "a; b=", "a; =b", "a; b=c d", 'a; b="c',
     'a; b=""', 'a; b="c d"', "a/b", "a;b=\x01", "permessage-deflate,,", "ä"],
)  # fmt: skip
def test_malformed_offers_are_refused(value):
    with pytest.raises(ValueError, match="Sec-WebSocket-Extensions"):
        parse_extensions(value)


def test_long_malformed_offers_are_refused_quickly():
    for value in ('a; b="' + "\\" * 60_000, "a" + " ;b" * 20_000 + '="', "a; " * 20_000):
        with pytest.raises(ValueError, match="Sec-WebSocket-Extensions"):
            parse_extensions(value)


def test_quoted_values_are_taken_out_of_their_quotes():
    assert parse_extensions(' a ; b = "c\\d" ;e,f\t') == [
        ("a", [("b", "cd"), ("e", None)]),
        ("f", []),
    ]


# -- reading


def test_compressed_messages_are_read_however_they_arrive():
    text = "so much of the same, so much of the same, κόσμε"
    data = frame(TEXT, deflated(text.encode()), rsv=4) + frame(BINARY, b"plain")
    for size in (1000, 1, 3):
        sink, reader = reader_for(WITHOUT)
        for at in range(0, len(data), size):
            reader.feed(data[at : at + size])
        assert sink.events == [(text,), (b"plain",)]


def test_a_compressed_message_in_fragments_has_its_bit_on_the_first_only():
    packed = deflated(b"abc" * 100)
    sink, reader = reader_for()
    reader.feed(frame(BINARY, packed[:5], fin=False, rsv=4) + frame(PING))
    reader.feed(frame(0, packed[5:7], fin=False) + frame(0, packed[7:], fin=False) + frame(0))
    assert sink.events == [("ping", b""), (b"abc" * 100,)]
    assert code_of(frame(TEXT, "a", fin=False) + frame(0, "b", rsv=4)) == PROTOCOL_ERROR
    assert code_of(frame(PING, rsv=4)) == PROTOCOL_ERROR
    assert code_of(frame(TEXT, rsv=2)) == PROTOCOL_ERROR


def test_an_empty_message_may_be_compressed():
    sink, reader = reader_for()
    reader.feed(frame(TEXT, b"\x00", rsv=4) + frame(TEXT, b"\x02\x00", rsv=4) + frame(TEXT, rsv=4))
    assert sink.events == [("",), ("",), ("",)]


def test_messages_refer_to_those_before_only_when_that_was_agreed_on():
    packer = zlib.compressobj(wbits=-15)
    first, second = (
        (packer.compress(b"quite a long sentence") + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
        for _ in range(2)
    )
    sink, reader = reader_for(WHOLE)
    reader.feed(frame(BINARY, first, rsv=4) + frame(BINARY, second, rsv=4))
    assert sink.events == [(b"quite a long sentence",)] * 2
    assert code_of(frame(BINARY, first, rsv=4) + frame(BINARY, second, rsv=4), WITHOUT) == INVALID


def test_a_sender_may_end_its_stream_with_every_message():
    packer = zlib.compressobj(wbits=-15)
    ended = packer.compress(b"whole") + packer.flush(zlib.Z_FINISH)
    for payload in (ended, ended + b"\x00"):
        sink, reader = reader_for()
        reader.feed(frame(BINARY, payload, rsv=4) + frame(BINARY, payload, rsv=4))
        assert sink.events == [(b"whole",), (b"whole",)]


def test_streams_without_end_in_one_message_are_refused():
    assert code_of(frame(BINARY, b"\x03\x00" * 10_000, rsv=4)) == INVALID


def test_what_is_not_compressed_is_refused():
    assert code_of(frame(BINARY, b"\xff\xff\xff", rsv=4)) == INVALID


def test_a_compressed_text_must_be_utf8():
    assert code_of(frame(TEXT, deflated(b"abc\xff"), rsv=4)) == INVALID
    assert code_of(frame(TEXT, deflated(b"abc\xff")[:-1], rsv=4, fin=False)) == INVALID


@pytest.mark.parametrize("fin", [True, False])
def test_a_bomb_is_refused_before_it_fills_the_memory(fin):
    bomb = deflated(b"\x00" * 50_000_000)
    assert len(bomb) < LIMIT
    assert code_of(frame(BINARY, bomb, fin=fin, rsv=4)) == TOO_BIG


def test_the_limit_holds_for_all_fragments_together_and_exactly():
    packed = deflated(b"a" * LIMIT)
    sink, reader = reader_for()
    reader.feed(frame(BINARY, packed[:20], rsv=4, fin=False) + frame(0, packed[20:]))
    assert sink.events == [(b"a" * LIMIT,)]
    packed = deflated(b"a" * (LIMIT + 1))
    assert code_of(frame(BINARY, packed[:20], rsv=4, fin=False) + frame(0, packed[20:])) == TOO_BIG


# -- writing


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_another_implementation_reads_what_is_written(takeover, bits):
    deflater = Deflater(Deflate(takeover, True, bits, None))
    peer = PerMessageDeflate(not takeover, False, bits, 15)
    chance = random.Random(bits)
    for size in (1, 100, 10_000, 100_000, 300):
        data = bytes(chance.choices(b"abcdef", k=size))
        item = Frame(Opcode.BINARY, deflater.deflate(data), rsv1=True)
        assert peer.decode(item).data == data
        deflater.rest()


def test_messages_that_refer_to_those_before_are_smaller():
    data = random.Random(1).randbytes(1000)
    with_context, without = Deflater(WHOLE), Deflater(WITHOUT)
    assert len(with_context.deflate(data)) == len(without.deflate(data)) > 1000
    assert len(with_context.deflate(data)) < 50
    assert len(without.deflate(data)) > 1000
    with_context.rest()
    assert len(with_context.deflate(data)) > 1000


def test_what_another_implementation_writes_is_read():
    for bits in (9, 12, 15):
        peer = PerMessageDeflate(False, False, 15, bits)
        sink, reader = reader_for(agree([("client_max_window_bits", str(bits))]))
        texts = ["a" * 5000, "some" * 300, "", "a" * 5000]
        for text in texts:
            item = peer.encode(Frame(Opcode.TEXT, text.encode()))
            reader.feed(frame(TEXT, bytes(item.data), rsv=4))
        assert sink.events == [(text,) for text in texts]
