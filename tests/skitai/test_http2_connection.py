"""HTTP/2 over real sockets, with the library h2 as the client."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from http2_driving import Http2Client
from serving import Gate, Serving, Toy, answer, happens

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
