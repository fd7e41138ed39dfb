"""Requests over HTTP/3: aioquic's client, real UDP sockets."""

from __future__ import annotations

import asyncio
import os
import threading

import aioquic
import pytest
from http3_driving import Http3Serving
from serving import Gate, Toy, answer, happens, until

from skitai.server.access_log import AccessLog
from skitai.server.representation import Head
from skitai.server.websocket.options import SocketOptions
from skitai.server.websocket.session import WebSocket
from skitai.wire.http3.errors import Code
from skitai.wire.http3.quic import STREAM_WINDOW

LARGE = os.urandom(1024) * 1024


class Slow:
    """Streams a body as fast as the client takes it, and notes how far it was."""

    def __init__(self, size):
        self.size = size
        self.written = 0
        self.gone = threading.Event()

    def __call__(self, exchange):
        exchange.when_gone(self.gone.set)
        exchange.start(Head(200, "application/octet-stream"))
        self.exchange = exchange
        self.go_on()

    def go_on(self):
        while self.written < self.size:
            if self.exchange.gone:
                return
            self.written += 65536
            if not self.exchange.write(bytes(65536)):
                self.exchange.when_writable(self.go_on)
                return
        self.exchange.end([("X-Sum", "42")])


async def read_all(exchange):
    size = 0
    while block := await exchange.input.read(65536):
        size += len(block)
    answer(exchange, str(size).encode())


@pytest.fixture
def app():
    app = Toy()
    app.thread("/", lambda exchange: answer(exchange, b"hello"))
    app.loop("/loop", lambda exchange: answer(exchange, b"loop", Set_Cookie="a=1"))
    app.thread("/large", lambda exchange: answer(exchange, LARGE, kind="image/png"))
    app.thread(
        "/echo",
        lambda exchange: answer(exchange, exchange.body.read(), kind="image/png"),
        max_body=10_000_000,
    )
    app.loop("/head", lambda exchange: answer(exchange, repr(describe(exchange)).encode()))
    app.coroutine("/stream", read_all, takes_body=False, streams_body=True)
    return app


def describe(exchange):
    request = exchange.request
    facts = (request.method, request.path, request.query, request.version)
    return (*facts, exchange.channel.scheme, exchange.channel.peer[0], request.headers)


@pytest.fixture
def serve(app, tmp_path):
    """A function that runs a coroutine with a server and one client."""

    def run(talk, **options):
        with Http3Serving(app, tmp_path, **options) as serving:

            async def whole():
                async with serving.client() as client:
                    return await talk(client)

            return asyncio.run(whole())

    return run


@pytest.mark.parametrize(("path", "body"), [("/", b"hello"), ("/loop", b"loop")])
def test_an_answer_comes_from_a_thread_and_from_the_loop(serve, path, body):
    async def talk(client):
        reply = await client.get(path)
        assert (reply.status, reply.body, reply.ended) == (200, body, True)
        assert reply["server"] == "skitai"
        assert reply["content-length"] == str(len(body))
        assert reply["alt-svc"].endswith('"; ma=86400')
        assert reply["date"].endswith("GMT")

    serve(talk)


def test_the_request_is_as_with_other_versions(serve):
    async def talk(client):
        reply = await client.get("/head?a=%20b", ("cookie", "a=1"), ("cookie", "b=2"), ("x", "1"))
        *facts, headers = eval(reply.body)  # what the app has shown with repr
        assert facts == ["GET", "/head", "a=%20b", "3.0", "https", "127.0.0.1"]
        assert headers == {"cookie": "a=1; b=2", "x": "1", "host": "localhost"}

    serve(talk)


def test_head_has_the_length_and_no_body(serve):
    async def talk(client):
        client.http._check_content_length = lambda stream: None  # it takes HEAD for GET
        reply = await client.whole(client.begin("HEAD", "/large"))
        assert (reply.body, reply["content-length"]) == (b"", str(len(LARGE)))
        assert reply.ended

    serve(talk)


def test_large_bodies_go_both_ways(serve):
    async def talk(client):
        reply = await client.post("/echo", LARGE)
        assert reply.body == LARGE

    serve(talk)


def test_many_requests_at_a_time(serve):
    async def talk(client):
        replies = await asyncio.gather(*(client.get("/") for _ in range(300)))
        assert {bytes(reply.body) for reply in replies} == {b"hello"}

    serve(talk)


def test_a_body_may_come_in_pieces_and_with_trailers(serve):
    async def talk(client):
        stream = client.begin("POST", "/stream", ended=False)
        for _ in range(3):
            client.send(stream, b"abc")
            await asyncio.sleep(0)
        client.http.send_headers(stream, [(b"x-sum", b"9")], end_stream=True)
        client.transmit()
        assert (await client.whole(stream)).body == b"9"

    serve(talk)


def test_trailers_follow_the_body(app, serve):
    app.loop("/slow", Slow(200_000))

    async def talk(client):
        reply = await client.get("/slow")
        assert len(reply.body) >= 200_000
        assert reply.trailers == [(b"x-sum", b"42")]

    serve(talk)


def test_an_app_waits_for_a_slow_client(app, serve):
    slow = Slow(50_000_000)
    app.loop("/slow", slow)

    async def talk(client):
        # Its windows are never raised.
        client.quic._write_connection_limits = lambda **_: None
        client.quic._write_stream_limits = lambda **_: None
        stream = client.begin("GET", "/slow")
        await client.until(lambda: len(client.reply(stream).body) > 1_000_000)
        for _ in range(20):
            await client.ping()
        assert slow.written < 3_000_000
        client.quic.stop_stream(stream, Code.REQUEST_CANCELLED)
        client.transmit()
        await asyncio.to_thread(happens, slow.gone)

    serve(talk)


def test_a_client_waits_for_a_slow_app(app, serve):
    gate = asyncio.Event()
    loops = []

    async def read_later(exchange):
        loops.append(asyncio.get_running_loop())
        await gate.wait()
        await read_all(exchange)

    app.coroutine("/later", read_later, takes_body=False, streams_body=True)

    async def talk(client):
        stream = client.begin("POST", "/later", ended=False)
        client.send(stream, bytes(6_000_000), True)
        for _ in range(30):
            await client.ping()
        sent = client.quic._streams[stream].sender.highest_offset
        assert 256 * 1024 <= sent < 1_000_000
        assert (await client.get("/")).body == b"hello"  # others don't wait
        loops[0].call_soon_threadsafe(gate.set)
        assert (await client.whole(stream)).body == b"6000000"

    serve(talk)


def test_a_request_that_is_given_up_is_noticed(app, serve):
    gate, gone = Gate(), threading.Event()

    def wait(exchange):
        exchange.when_gone(gone.set)
        gate(exchange)

    app.thread("/wait", wait)

    async def talk(client):
        stream = client.begin("GET", "/wait")
        await asyncio.to_thread(happens, gate.entered)
        client.quic.stop_stream(stream, Code.REQUEST_CANCELLED)
        client.transmit()
        assert await asyncio.to_thread(happens, gone)
        gate.opened.set()
        assert (await client.get("/")).body == b"hello"

    serve(talk)


def test_a_half_sent_body_that_is_given_up_is_noticed(serve):
    async def talk(client):
        stream = client.begin("POST", "/stream", ended=False)
        client.send(stream, b"abc")
        await client.ping()
        client.quic.reset_stream(stream, Code.REQUEST_CANCELLED)
        client.transmit()
        assert (await client.whole(stream)).reset == Code.REQUEST_CANCELLED
        assert (await client.get("/")).body == b"hello"

    serve(talk)


def test_too_many_requests_that_are_given_up_end_the_connection(serve):
    async def talk(client):
        for _ in range(300):
            # aioquic resets a stream also where it may not open it yet.
            allowed = client.quic._remote_max_streams_bidi
            stream = client.quic.get_next_available_stream_id()
            while stream // 4 >= allowed and not client.terminated:
                await asyncio.sleep(0.001)
                allowed = client.quic._remote_max_streams_bidi
            if client.terminated:
                break
            client.begin("GET", "/", ended=False)
            client.quic.reset_stream(stream, Code.REQUEST_CANCELLED)
            client.transmit()
            await asyncio.sleep(0)
        await client.until(lambda: client.terminated)
        assert client.terminated.error_code == Code.EXCESSIVE_LOAD

    serve(talk)


def test_a_crash_is_500_and_breaks_a_started_answer_off(app, serve, caplog):
    def crash(exchange):
        raise RuntimeError("as planned")

    def crash_later(exchange):
        exchange.start(Head(200, "text/plain"))
        exchange.write(b"some")
        raise RuntimeError("as planned")

    app.loop("/crash", crash)
    app.loop("/later", crash_later)

    async def talk(client):
        assert (await client.get("/crash")).status == 500
        reply = await client.get("/later")
        assert (reply.reset, reply.ended) == (Code.INTERNAL_ERROR, False)
        assert (await client.get("/")).body == b"hello"

    serve(talk)


def test_an_unsafe_header_of_an_app_is_refused_before_anything_is_sent(app, serve):
    def split(exchange):
        try:
            answer(exchange, b"", X="a\r\nb")
        except ValueError:
            answer(exchange, b"refused")

    app.thread("/split", split)

    async def talk(client):
        assert (await client.get("/split")).body == b"refused"

    serve(talk)


def test_fields_of_a_connection_are_not_sent(app, serve):
    app.loop("/fields", lambda exchange: answer(exchange, b"", Connection="close", X_Mine="1"))

    async def talk(client):
        reply = await client.get("/fields")
        assert reply["x-mine"] == "1"
        assert b"connection" not in dict(reply.fields)

    serve(talk)


def test_a_file_is_sent(app, serve, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(LARGE)

    def send(exchange):
        descriptor = os.open(path, os.O_RDONLY)
        head = Head(200, "image/png", length=len(LARGE) + 2)
        parts = [b"<", (0, len(LARGE)), b">"]
        exchange.channel.send_file(exchange, head, descriptor, parts)

    app.thread("/file", send)

    async def talk(client):
        assert (await client.get("/file")).body == b"<" + LARGE + b">"

    serve(talk)


@pytest.mark.skipif(
    tuple(map(int, aioquic.__version__.split(".")[:2])) < (1, 7),
    reason="aioquic's older clients (Python 3.10) don't know interim answers",
)
def test_a_client_that_asks_first_is_told_to_go_on(serve):
    async def talk(client):
        stream = client.begin("POST", "/echo", ("expect", "100-continue"), ended=False)
        await client.until(lambda: client.reply(stream).interim == [100])
        client.send(stream, b"body", True)
        assert (await client.whole(stream)).body == b"body"

    serve(talk)


def test_a_body_that_is_too_large_is_413_and_the_client_may_stop(app, serve):
    app.thread("/small", lambda exchange: answer(exchange, b""), max_body=1000)

    async def talk(client):
        stream = client.begin("POST", "/small", ended=False)
        client.send(stream, bytes(2000))
        reply = await client.whole(stream)
        assert reply.status == 413
        await client.until(lambda: reply.stopped == Code.NO_ERROR)
        assert (await client.get("/")).body == b"hello"

    serve(talk)


def test_an_answer_to_half_a_request_comes_whole(app, serve):
    app.loop("/early", lambda exchange: answer(exchange, LARGE, kind="image/png"), takes_body=False)

    async def talk(client):
        stream = client.begin("POST", "/early", ("content-length", "10000000"), ended=False)
        client.send(stream, bytes(100_000))
        reply = client.reply(stream)
        await client.until(lambda: reply.stopped == Code.NO_ERROR)
        client.quic.reset_stream(stream, Code.NO_ERROR)  # what a client does then
        client.transmit()
        assert (await client.whole(stream)).body == LARGE

    serve(talk)


def test_a_websocket_speaks_over_http3(app, serve):
    closed = []

    def open_socket(exchange):
        socket = WebSocket(exchange, SocketOptions())
        socket.accept(lambda text: socket.send(text * 2), lambda *end: closed.append(end))

    app.loop("/chat", open_socket)

    async def talk(client):
        version = ("sec-websocket-version", "13")
        stream = client.begin("CONNECT", "/chat", version, protocol="websocket", ended=False)
        client.send(stream, b"\x81\x82\0\0\0\0hi")
        reply = client.reply(stream)
        await client.until(lambda: reply.body == b"\x81\x04hihi")
        client.send(stream, b"\x88\x82\0\0\0\0\x03\xe8", True)
        assert (await client.whole(stream)).body.endswith(b"\x88\x02\x03\xe8")

    serve(talk)
    assert closed == [(1000, "")]


def test_a_client_that_leaves_in_the_middle_of_a_file_leaves_no_descriptor(app, serve, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(20_000_000))
    opened = []

    def send(exchange):
        opened.append(os.open(path, os.O_RDONLY))
        head = Head(200, "image/png", length=20_000_000)
        exchange.channel.send_file(exchange, head, opened[0], [(0, 20_000_000)])

    app.loop("/file", send)

    def is_open():
        try:
            return os.readlink(f"/proc/self/fd/{opened[0]}") == str(path)
        except OSError:
            return False

    async def talk(client):
        stream = client.begin("GET", "/file")
        await client.until(lambda: len(client.reply(stream).body) > 100_000)
        assert is_open()

    serve(talk)
    until(lambda: not is_open(), "the file to be closed")


def test_requests_are_logged(serve):
    read, write = os.pipe()
    log = AccessLog(write, "w7")

    async def talk(client):
        await client.get("/?a=1", ("user-agent", "me"))
        await client.post("/echo", b"four")
        await client.get("/nothing")

    serve(talk, log=log)
    log.close()
    os.close(write)
    with open(read) as lines:
        first, second, third = lines.read().splitlines()
    assert "GET /?a=1 HTTP/3.0 0 200 5 " in first
    assert '"me" localhost' in first
    assert "POST /echo HTTP/3.0 4 200 4 " in second
    assert "GET /nothing HTTP/3.0 0 404 " in third


class Echo:
    """Sends back what comes, with a mark in front."""

    def __init__(self, exchange):
        self.events = []
        self.gone = threading.Event()
        self.tunnel = exchange.tunnel(Head(101, fields=[("X-Kind", "echo")]), self)

    def received(self, data):
        self.events.append(data)
        self.tunnel.write(b"<" + data)

    def ended(self):
        self.events.append("ended")
        self.tunnel.write(b"bye")
        self.tunnel.finish()

    def lost(self):
        self.events.append("lost")
        self.gone.set()

    def check(self, now):
        pass


@pytest.fixture
def echoes(app):
    echoes = []
    app.loop("/socket", lambda exchange: echoes.append(Echo(exchange)))
    return echoes


def test_bytes_go_both_ways_through_a_tunnel(serve, echoes):
    async def talk(client):
        stream = client.begin("CONNECT", "/socket", protocol="websocket", ended=False)
        client.send(stream, b"early")
        reply = client.reply(stream)
        await client.until(lambda: reply.body == b"<early")
        assert (reply.status, reply["x-kind"]) == (200, "echo")
        assert b"upgrade" not in dict(reply.fields)
        client.send(stream, b"two")
        await client.until(lambda: reply.body == b"<early<two")
        client.send(stream, b"", True)
        assert (await client.whole(stream)).body == b"<early<twobye"
        assert await asyncio.to_thread(happens, echoes[0].gone)

    serve(talk)
    assert b"".join(echoes[0].events[:-2]) == b"earlytwo"
    assert echoes[0].events[-2:] == ["ended", "lost"]


def test_what_comes_before_a_tunnel_is_accepted_waits_with_the_client(app, serve):
    waiting, echoes = [], []
    app.loop("/later", waiting.append)
    size = 4 * STREAM_WINDOW

    async def talk(client):
        stream = client.begin("CONNECT", "/later", protocol="websocket", ended=False)
        client.send(stream, bytes(size))
        sender = client.quic._streams[stream].sender
        # What the client could send and the server has confirmed.
        await asyncio.to_thread(
            until, lambda: sender._buffer_start >= STREAM_WINDOW, "a full window"
        )
        await client.ping()
        assert sender._buffer_start <= STREAM_WINDOW
        exchange = waiting[0]
        loop = exchange.channel.server.loop
        loop.call_soon_threadsafe(lambda: echoes.append(Sink(exchange)))
        await asyncio.to_thread(until, lambda: sender._buffer_start > size, "the rest")
        client.send(stream, b"", True)
        await client.whole(stream)

    serve(talk)
    assert sum(map(len, echoes[0].events[:-2])) == size


def test_nothing_is_kept_of_a_request_that_is_given_up_while_it_waits(app, serve):
    waiting = []
    app.loop("/later", waiting.append)

    async def talk(client):
        stream = client.begin("CONNECT", "/later", protocol="websocket", ended=False)
        client.send(stream, b"early")
        await asyncio.to_thread(until, lambda: waiting, "the request")
        held = waiting[0].channel._connection.quic.held
        await asyncio.to_thread(until, lambda: held, "the early bytes")
        client.quic.reset_stream(stream, Code.REQUEST_CANCELLED)
        client.transmit()
        await asyncio.to_thread(until, lambda: waiting[0].gone, "the end")
        assert not held

    serve(talk)


class Sink(Echo):
    """Keeps what comes."""

    def received(self, data):
        self.events.append(data)


def test_a_tunnel_ends_with_its_client(app, serve, echoes):
    async def talk(client):
        stream = client.begin("CONNECT", "/socket", protocol="websocket", ended=False)
        await client.until(lambda: client.reply(stream).fields)
        client.quic.reset_stream(stream, Code.REQUEST_CANCELLED)
        client.transmit()
        assert await asyncio.to_thread(happens, echoes[0].gone)
        other = client.begin("CONNECT", "/socket", protocol="websocket", ended=False)
        await client.until(lambda: client.reply(other).fields)

    serve(talk)
    until(lambda: echoes[1].gone.is_set(), "the end of the second")


@pytest.mark.parametrize("path", ["/", "/loop", "/pieces"])
def test_what_is_no_tunnel_is_not_called_one(app, serve, path):
    # A success would mean to the client that the other protocol is spoken (RFC 9220, 3).
    app.thread("/pieces", lambda exchange: exchange.start(Head(200, "text/plain")))

    async def talk(client):
        stream = client.begin("CONNECT", path, protocol="websocket", ended=False)
        assert (await client.whole(stream)).status == 501

    serve(talk)


def test_a_refused_tunnel_is_an_answer(app, serve):
    app.loop("/no", lambda exchange: answer(exchange, b"no", 403))

    async def talk(client):
        stream = client.begin("CONNECT", "/no", protocol="websocket", ended=False)
        client.send(stream, b"early")
        assert (await client.whole(stream)).status == 403
        stream = client.begin("CONNECT", "/no", protocol="unknown", ended=False)
        assert (await client.whole(stream)).status == 501

    serve(talk)
