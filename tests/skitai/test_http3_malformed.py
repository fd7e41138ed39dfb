"""What breaks the rules of HTTP/3 gets the error that RFC 9114 names, and others go on."""

from __future__ import annotations

import asyncio
import contextlib

import pylsqpack
import pytest
from aioquic.buffer import encode_uint_var
from http3_driving import Http3Serving
from serving import Toy, answer, until

from skitai.wire.http3.errors import Code

GET = [
    (b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/"),
]  # fmt: skip
POST = [(b":method", b"POST"), *GET[1:3], (b":path", b"/body")]
CONNECT = [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket")]


def frame(kind, payload):
    return encode_uint_var(kind) + encode_uint_var(len(payload)) + payload


def head(fields):
    return frame(1, pylsqpack.Encoder().encode(0, fields)[1])


def single(kind, data=b""):
    return encode_uint_var(kind) + data


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    app = Toy()
    app.loop("/", lambda exchange: answer(exchange, b"hello"))
    app.thread("/body", lambda exchange: answer(exchange, exchange.body.read()))
    options = {"max_request_line": 100, "max_header_size": 1000, "max_headers": 10}
    with Http3Serving(app, tmp_path_factory.mktemp("http3"), **options) as serving:
        yield serving


def ask(serving, talk):
    async def whole():
        async with serving.client() as client:
            return await talk(client)

    return asyncio.run(whole())


def without(name):
    return [pair for pair in GET if pair[0] != name]


def with_(*pairs):
    return [*GET, *pairs]


MALFORMED = [
    without(b":method"),
    without(b":scheme"),
    without(b":path"),
    with_((b":method", b"GET")),
    with_((b"x", b"1"), (b":protocol", b"websocket")),
    with_((b":status", b"200")),
    with_((b":unknown", b"1")),
    with_((b":protocol", b"websocket")),
    [(b"x", b"1"), *GET],
    with_((b"X", b"1")),
    with_((b"a b", b"1")),
    with_((b"x", b"a\nb")),
    with_((b"x", b"a\0b")),
    with_((b"x", b" a")),
    with_((b"x", b"a ")),
    with_((b"connection", b"close")),
    with_((b"upgrade", b"websocket")),
    with_((b"transfer-encoding", b"chunked")),
    with_((b"keep-alive", b"1")),
    with_((b"proxy-connection", b"1")),
    with_((b"te", b"gzip")),
    with_((b"host", b"b")),
    with_((b"content-length", b"-1")),
    with_((b"content-length", b"1")),
    with_((b"content-length", b"0"), (b"content-length", b"0")),
    [(b":method", b"G ET"), *GET[1:]],
    [*GET[:3], (b":path", b"")],
    [(b":method", b"CONNECT"), (b":authority", b"a"), (b":path", b"/")],
    [(b":method", b"CONNECT")],
]


def test_a_malformed_head_is_an_error_of_its_stream_only(serving):
    async def talk(client):
        for fields in MALFORMED:
            reply = await client.whole(client.raw(head(fields), ended=True))
            assert (reply.reset, reply.fields) == (Code.MESSAGE_ERROR, []), fields
        assert (await client.get("/")).body == b"hello"

    ask(serving, talk)


ANSWERED = [
    ([], 431),  # a field section that is not looked into
    ([(b":method", b"BREW"), *GET[1:]], 200),  # the app's handler decides
    (without(b":authority"), 400),
    ([*GET[:3], (b":path", b"no-slash")], 400),
    ([(b":method", b"CONNECT"), (b":authority", b"a:443")], 501),
    ([*CONNECT[:-1], (b":protocol", b"mystery")], 501),
    ([*GET[:3], (b":path", b"/" + b"a" * 200)], 414),
    ([*GET[:3], (b":path", b"/%zz")], 400),
    ([*GET[:3], (b":path", b"/#a")], 400),
    ([*GET[:3], (b":path", b"/a b")], 400),
    ([*GET[:2], (b":authority", b"a b"), GET[3]], 400),
    (with_((b"x", b"a" * 1100)), 431),
    (with_(*((b"x%d" % number, b"a") for number in range(11))), 431),
    (with_((b"te", b"trailers")), 200),
    ([*GET[:2], GET[3], (b"host", b"a")], 200),
    (with_((b"host", b"a")), 200),
]


def test_a_head_that_is_not_served_gets_an_answer(serving):
    async def talk(client):
        for fields, status in ANSWERED:
            frames = head(fields) if fields else frame(1, bytes(100_000))
            reply = await client.whole(client.raw(frames, ended=True))
            assert (reply.reset, reply.fields and reply.status) == (None, status), fields
        assert (await client.get("/")).body == b"hello"

    ask(serving, talk)


BROKEN_BODIES = [
    (head([*POST, (b"content-length", b"3")]) + frame(0, b"abcd"), Code.MESSAGE_ERROR),
    (head([*POST, (b"content-length", b"3")]) + frame(0, b"ab"), Code.MESSAGE_ERROR),
    (head(POST) + frame(0, b"a") + head([(b":path", b"/")]), Code.MESSAGE_ERROR),
    (head(POST) + frame(0, b"a") + head([(b"X", b"1")]), Code.MESSAGE_ERROR),
    (head(POST) + frame(1, bytes(100_000)), Code.EXCESSIVE_LOAD),
    (b"", Code.REQUEST_INCOMPLETE),
    (frame(0x21, b"unknown"), Code.REQUEST_INCOMPLETE),
]


def test_a_malformed_body_is_an_error_of_its_stream_only(serving):
    async def talk(client):
        for frames, code in BROKEN_BODIES:
            assert (await client.whole(client.raw(frames, ended=True))).reset == code, frames
        assert (await client.get("/")).body == b"hello"

    ask(serving, talk)


BROKEN_STREAMS = [
    (frame(0, b"a"), Code.FRAME_UNEXPECTED),
    (frame(4, b""), Code.FRAME_UNEXPECTED),
    (frame(5, b"\0"), Code.FRAME_UNEXPECTED),
    (frame(7, b"\0"), Code.FRAME_UNEXPECTED),
    (frame(13, b"\0"), Code.FRAME_UNEXPECTED),
    (frame(2, b"\0"), Code.FRAME_UNEXPECTED),
    (head(POST) + 2 * head([(b"x", b"1")]), Code.FRAME_UNEXPECTED),
    (head(POST) + b"\0\5ab", Code.FRAME_ERROR),
    (head(POST)[:-1], Code.FRAME_ERROR),
    (b"\x40", Code.FRAME_ERROR),
    (frame(1, b""), Code.DECOMPRESSION_FAILED),
    (frame(1, b"\xff\xff\xff\xff"), Code.DECOMPRESSION_FAILED),
    (frame(1, b"\2\0\x80"), Code.DECOMPRESSION_FAILED),
]


def test_a_broken_request_stream_ends_the_connection(serving):
    async def break_it(frames):
        async with serving.client() as client:
            client.raw(frames, ended=True)
            return await ended(client)

    cases, codes = zip(*BROKEN_STREAMS, strict=True)
    assert all_of(break_it(frames) for frames in cases) == list(codes)


async def ended(client):
    with contextlib.suppress(asyncio.TimeoutError):
        await client.until(lambda: client.terminated)
    return client.terminated and client.terminated.error_code


def all_of(talks):
    async def whole():
        return await asyncio.gather(*talks)

    return asyncio.run(whole())


def control(*frames):
    return single(0, b"".join(frames))


SETTINGS = frame(4, b"")


BROKEN_CONNECTIONS = [
    (control(frame(0x21, b"")), False, Code.MISSING_SETTINGS),
    (control(frame(7, b"\0")), False, Code.MISSING_SETTINGS),
    (control(SETTINGS, SETTINGS), False, Code.FRAME_UNEXPECTED),
    (control(SETTINGS, frame(0, b"a")), False, Code.FRAME_UNEXPECTED),
    (control(SETTINGS, head(GET)), False, Code.FRAME_UNEXPECTED),
    (control(SETTINGS, frame(8, b"a")), False, Code.FRAME_UNEXPECTED),
    (control(frame(4, b"\6")), False, Code.FRAME_ERROR),
    (control(frame(4, b"\2\0")), False, Code.SETTINGS_ERROR),
    (control(frame(4, b"\6\0\6\0")), False, Code.SETTINGS_ERROR),
    (control(frame(4, b"\x08\2")), False, Code.SETTINGS_ERROR),
    (control(frame(4, bytes(5000))), False, Code.EXCESSIVE_LOAD),
    (control(SETTINGS, frame(13, b"")), False, Code.FRAME_ERROR),
    (control(SETTINGS, frame(13, b"\0\0")), False, Code.FRAME_ERROR),
    (control(SETTINGS, frame(13, b"\2"), frame(13, b"\1")), False, Code.ID_ERROR),
    (control(SETTINGS, frame(3, b"\0")), False, Code.ID_ERROR),
    (control(SETTINGS, frame(7, b"\0"), frame(7, b"\4")), False, Code.ID_ERROR),
    (control(SETTINGS), True, Code.CLOSED_CRITICAL_STREAM),
    (single(1, b"\0"), False, Code.STREAM_CREATION_ERROR),
    (single(2, b"\x3f\x61"), False, Code.ENCODER_STREAM_ERROR),
    (single(2, b"\x41a\1b"), False, Code.ENCODER_STREAM_ERROR),
    (single(3, b"\x01"), False, Code.DECODER_STREAM_ERROR),
    (single(2), True, Code.CLOSED_CRITICAL_STREAM),
    (single(3), True, Code.CLOSED_CRITICAL_STREAM),
]


def test_a_broken_stream_of_the_connection_ends_it(serving):
    async def break_it(data, last):
        async with serving.client(bare=True) as client:
            await client.get("/")
            stream = client.quic.get_next_available_stream_id(is_unidirectional=True)
            client.raw(data, last, stream)
            return await ended(client)

    found = all_of(break_it(data, last) for data, last, _ in BROKEN_CONNECTIONS)
    assert found == [code for *_, code in BROKEN_CONNECTIONS]


def test_a_second_control_stream_ends_the_connection(serving):
    async def talk(client):
        stream = client.quic.get_next_available_stream_id(is_unidirectional=True)
        client.raw(control(SETTINGS), False, stream)
        await client.until(lambda: client.terminated)
        assert client.terminated.error_code == Code.STREAM_CREATION_ERROR

    ask(serving, talk)


def test_what_is_unknown_is_passed_over(serving):
    async def talk(client):
        stream = client.quic.get_next_available_stream_id(is_unidirectional=True)
        client.raw(single(0x21, b"anything"), False, stream)
        control_stream = client.http._local_control_stream_id
        client.raw(frame(0x21, b"x" * 5000) + frame(0xF0700, b"p"), False, control_stream)
        frames = frame(0x21, b"y" * 5000) + head(GET) + frame(0x21, b"")
        assert (await client.whole(client.raw(frames, ended=True))).body == b"hello"
        await client.until(lambda: client.reply(stream).stopped == Code.STREAM_CREATION_ERROR)

    ask(serving, talk)


def test_nothing_is_kept_of_streams_that_were_broken_off(serving):
    async def talk(client):
        await client.get("/")

        def rests():  # a client that was in doubt has begun a second connection
            return any(each.http3._type_rests for each in serving.listener._all())

        for _ in range(5):
            stream = client.quic.get_next_available_stream_id(is_unidirectional=True)
            client.raw(b"\x40", False, stream)  # half of a type
            await asyncio.to_thread(until, rests, "the half")
            client.quic.reset_stream(stream, Code.NO_ERROR)
            client.transmit()
            await asyncio.to_thread(until, lambda: not rests(), "the end of the stream")

    ask(serving, talk)


@pytest.mark.parametrize("size", [1, 7])
def test_frames_may_come_in_any_pieces(serving, size):
    frames = head(POST) + frame(0, b"abc") + frame(0, b"") + frame(0x21, b"z") + frame(0, b"def")
    frames += head([(b"x", b"1")])

    async def talk(client):
        stream = client.quic.get_next_available_stream_id()
        for start in range(0, len(frames), size):
            client.raw(frames[start : start + size], False, stream)
        client.raw(b"", True, stream)
        assert (await client.whole(stream)).body == b"abcdef"

    ask(serving, talk)
