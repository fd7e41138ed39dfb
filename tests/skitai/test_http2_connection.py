"""HTTP/2 over real sockets, with the library h2 as the client."""

from __future__ import annotations

import os
import random
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest
from http2_driving import Http2Client
from serving import Gate, Serving, Toy, answer, happens, until

from skitai.errors import HTTPError
from skitai.server.access_log import AccessLog
from skitai.server.representation import Head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skitai.server.exchange import Exchange


async def _echo_pieces(exchange: Exchange) -> None:
    """Sends back what comes, while it comes, and the number of pieces behind it."""
    assert exchange.input is not None
    exchange.start(Head(200, "application/octet-stream"))
    size = 0
    while piece := await exchange.input.read(65536):
        size += len(piece)
        exchange.write(piece)
    exchange.end([("X-Size", str(size)), ("grpc-status", "0")])


def _describe(exchange: Exchange) -> None:
    request = exchange.request
    body = exchange.body.read() if exchange.body else b""
    headers = ",".join(f"{name}={text}" for name, text in request.headers.items())
    line = f"{request.method} {request.path} {request.query} {request.version} {headers} "
    answer(exchange, line.encode() + body)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def serving(gate: Gate) -> Iterator[Serving]:
    app = Toy()
    app.thread("/", _describe, max_body=10_000_000)
    app.loop("/loop", _describe)
    app.thread("/gate", gate)
    app.coroutine("/echo", _echo_pieces, takes_body=False, streams_body=True)
    app.thread("/large", lambda exchange: answer(exchange, b"x" * 1_000_000))
    with Serving(app, max_upload_size=100_000_000) as serving:
        yield serving
        gate.opened.set()


def test_a_request_and_its_answer(serving: Serving) -> None:
    with Http2Client(serving) as client:
        got = client.get("/?a=1", ("cookie", "a=1"), ("cookie", "b=2"), ("x-y", "z"))
        assert got.status == 200
        assert got.headers["content-type"] == "text/plain"
        assert (got.headers["server"], "date" in got.headers) == ("skitai", True)
        assert got.headers["content-length"] == str(len(got.body))
        assert got.body == b"GET / a=1 2.0 host=a,cookie=a=1; b=2,x-y=z "


def test_a_body_of_any_size_arrives(serving: Serving) -> None:
    with Http2Client(serving) as client:
        for size in (1, 70_000, 3_000_000):
            got = client.post("/", b"y" * size)
            assert got.body.endswith(b" " + b"y" * size)


def test_many_streams_are_answered_side_by_side(serving: Serving, gate: Gate) -> None:
    with Http2Client(serving) as client:
        slow = client.request("/gate")
        fast = [client.request("/loop") for _ in range(100)]
        assert [client.read(stream).status for stream in fast] == [200] * 100
        gate.opened.set()
        assert client.read(slow).body == b"gate"


def test_large_answers_side_by_side(serving: Serving) -> None:
    with Http2Client(serving, window=100_000) as client:
        streams = [client.request("/large") for _ in range(4)]
        answers = [client.read(stream) for stream in streams]
        assert [len(got.body) for got in answers] == [1_000_000] * 4


def test_bodies_go_both_ways_at_once_and_end_with_trailers(serving: Serving) -> None:
    with Http2Client(serving) as client:
        stream = client.request("/echo", method="POST", ended=False)
        for piece in (b"one", b"two" * 1000):
            client.send_data(stream, piece)
            assert client.read_some(stream, len(piece)) == piece
        client.send_data(stream, b"", ended=True)
        got = client.read(stream)
        assert got.trailers == {"x-size": "3003", "grpc-status": "0"}


def test_a_client_that_resets_a_stream_ends_its_request(serving: Serving, gate: Gate) -> None:
    gone = threading.Event()
    app: Any = Toy()
    app.loop("/wait", lambda exchange: exchange.when_gone(gone.set))
    with Serving(app) as other, Http2Client(other) as client:
        client.reset(client.request("/wait"))
        assert happens(gone)
        assert client.get("/nothing").status == 404


def test_head_and_empty_answers(serving: Serving) -> None:
    with Http2Client(serving) as client:
        got = client.read(client.request("/large", method="HEAD"))
        assert (got.headers["content-length"], got.body) == ("1000000", b"")


def test_every_stream_has_a_line_in_the_access_log() -> None:
    app = Toy()
    waiting: list[Exchange] = []
    app.thread("/", lambda exchange: answer(exchange, b"hello"))
    app.loop("/wait", waiting.append)
    reader, writer = os.pipe()
    log = AccessLog(writer, "w0")
    try:
        with Serving(app, log=log) as serving, Http2Client(serving) as client:
            client.get("/?a=1", ("user-agent", "me"))
            client.post("/nothing", b"12345")
            client.reset(client.request("/wait"))
            client.get("/")
    finally:
        log.close()
        os.close(writer)
    lines = os.read(reader, 1 << 16).decode().splitlines()
    os.close(reader)
    assert [re.sub(r" [0-9.]+ms ", " ", line.split("] ")[1]) for line in lines] == [
        '127.0.0.1 GET /?a=1 HTTP/2.0 0 200 5 "me" a "-"',
        '127.0.0.1 POST /nothing HTTP/2.0 5 404 0 "-" a "-"',
        '127.0.0.1 GET /wait HTTP/2.0 0 499 0 "-" a "-"',
        '127.0.0.1 GET / HTTP/2.0 0 200 5 "-" a "-"',
    ]


def test_an_expectation_is_met(serving: Serving) -> None:
    with Http2Client(serving) as client:
        stream = client.request("/", ("expect", "100-continue"), method="POST", ended=False)
        while not client.answers[stream].interim:
            client.receive()
        client.send_data(stream, b"body", ended=True)
        got = client.read(stream)
        assert (got.interim, got.status, got.body[-5:]) == ([100], 200, b" body")


def test_an_answer_before_the_end_of_the_body(serving: Serving) -> None:
    with Http2Client(serving) as client:
        stream = client.request("/large", method="POST", ended=False)
        client.send_data(stream, b"x" * 2_000_000, ended=True)
        assert client.read(stream).status == 413
        assert client.get("/loop").status == 200


def test_an_app_that_breaks_off_resets_its_stream(serving: Serving) -> None:
    def broken(exchange: Exchange) -> None:
        exchange.start(Head(200, "text/plain"))
        exchange.write(b"half")
        raise RuntimeError("on purpose")

    app = Toy()
    app.thread("/", broken)
    with Serving(app) as other, Http2Client(other) as client:
        got = client.get("/")
        assert (got.status, got.body, got.reset, got.ended) == (200, b"half", 2, False)


def test_who_answers_second_is_not_heard() -> None:
    def twice(exchange: Exchange) -> None:
        answer(exchange, b"x" * 1_000_000)
        exchange.fail(HTTPError(408))

    app = Toy()
    app.thread("/", twice)
    app.loop("/other", lambda exchange: answer(exchange, b"ok"))
    with Serving(app) as other, Http2Client(other) as client:
        got = client.get("/")
        assert (got.status, len(got.body)) == (200, 1_000_000)
        assert client.get("/other").body == b"ok"


def test_fields_of_all_responses_are_there() -> None:
    app = Toy()
    app.loop("/", lambda exchange: answer(exchange, b""))
    with Serving(app) as serving:
        serving.loop.call_soon_threadsafe(serving.server.add_common_field, "Alt-Svc", "h3")
        with Http2Client(serving) as client:
            assert client.get("/").headers["alt-svc"] == "h3"


def test_a_slow_reader_of_a_stream_holds_its_app_up(serving: Serving) -> None:
    written = []
    app = Toy()

    def endless(exchange: Exchange) -> None:
        def more() -> None:
            while not exchange.gone:
                written.append(1)
                if not exchange.write(b"x" * 1000):
                    exchange.when_writable(more)
                    return

        exchange.start(Head(200, "text/plain"))
        more()

    app.loop("/", endless)
    with Serving(app) as other, Http2Client(other, acknowledge=False) as client:
        stream = client.request("/")
        client.read_some(stream, 65535)
        assert len(written) == 66
        client.h2.increment_flow_control_window(5000, stream)
        client.flush()
        client.read_some(stream, 5000)
        until(lambda: len(written) == 71, "the next piece that does not fit")
        client.reset(stream)


def test_clients_that_come_and_go_get_what_is_theirs() -> None:
    """Answers from threads and from the loop, resets and small windows, all at the same time."""
    app = Toy()

    def sized(exchange: Exchange) -> None:
        size = int(exchange.request.query)
        answer(exchange, bytes([size % 251]) * size, kind="image/png")

    app.thread("/thread", sized)
    app.loop("/loop", sized)
    failures: list[BaseException] = []

    def use(seed: int) -> None:
        chance = random.Random(seed)
        try:
            for _ in range(8):
                with Http2Client(serving, window=chance.choice([100, 5000, 1_000_000])) as client:
                    _use(client, chance)
        except BaseException as exc:
            failures.append(exc)

    with Serving(app) as serving:
        users = [threading.Thread(target=use, args=(seed,)) for seed in range(3)]
        for user in users:
            user.start()
        for user in users:
            user.join()
    assert failures == []


def _use(client: Http2Client, chance: random.Random) -> None:
    sizes = [0, 1, 50] if client.window < 1000 else [0, 20, 20_000, 100_000]
    streams = {}
    for _ in range(30):
        size = chance.choice(sizes)
        stream = client.request(f"{chance.choice(['/thread', '/loop'])}?{size}")
        if chance.random() < 0.1:
            client.reset(stream)
        else:
            streams[stream] = size
    for stream, size in streams.items():
        got = client.read(stream)
        assert (got.status, got.body) == (200, bytes([size % 251]) * size)
