"""Streams of HTTP/2 that go on in another protocol (RFC 8441), over real sockets."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from http2_driving import Http2Client
from serving import Serving, Toy, answer, happens, until

from skitai.server.representation import Head
from skitai.server.websocket.session import SocketOptions, WebSocket
from skitai.wire.http2.connection import STREAM_WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skitai.server.exchange import Exchange


class Echo:
    """Sends back what comes, with a mark in front."""

    def __init__(self, exchange: Exchange) -> None:
        self.events: list[str] = []
        self.gone = threading.Event()
        self.exchange = exchange
        self.server = exchange.channel.server
        self.tunnel = exchange.tunnel(Head(101, fields=[("X-Kind", "echo")]), self)

    def received(self, data: bytes) -> None:
        self.events.append(data.decode())
        self.tunnel.write(b"<" + data)

    def ended(self) -> None:
        self.events.append("ended")
        self.tunnel.write(b"bye")
        self.tunnel.finish()

    def lost(self) -> None:
        self.events.append("lost")
        self.gone.set()

    def check(self, now: float) -> None:
        if self.server.draining:
            self.tunnel.finish()


@pytest.fixture
def echoes() -> list[Echo]:
    return []


@pytest.fixture
def serving(echoes: list[Echo]) -> Iterator[Serving]:
    app = Toy()
    app.loop("/echo", lambda exchange: echoes.append(Echo(exchange)))
    app.loop("/no", lambda exchange: answer(exchange, b"no", 403))
    app.loop("/later", lambda exchange: echoes.append(exchange))  # type: ignore[arg-type]
    app.loop("/socket", _open_socket)
    app.thread("/plain", lambda exchange: answer(exchange, b"hello"))
    app.thread("/pieces", lambda exchange: exchange.start(Head(200, "text/plain")))
    with Serving(app) as serving:
        yield serving


def _open_socket(exchange: Exchange) -> None:
    socket = WebSocket(exchange, SocketOptions())
    socket.accept(socket.send, lambda code, reason: None)


def connect(client: Http2Client, path: str) -> int:
    fields: list[Any] = [("sec-websocket-version", "13")]
    return client.request(path, *fields, method="CONNECT", ended=False, protocol="websocket")


def test_the_server_says_that_it_can(serving: Serving) -> None:
    with Http2Client(serving) as client:
        client.get("/no")
        assert client.settings[8] == 1


def test_bytes_go_both_ways_until_the_client_ends_its_side(
    serving: Serving, echoes: list[Echo]
) -> None:
    with Http2Client(serving) as client:
        stream = connect(client, "/echo")
        head = client.read_head(stream)
        assert (head.status, head.headers["x-kind"]) == (200, "echo")
        assert "upgrade" not in head.headers
        assert echoes[0].exchange.request.method == "GET"
        assert echoes[0].exchange.request.protocol == "websocket"
        client.send_data(stream, b"one")
        assert client.read_some(stream, 4) == b"<one"
        client.send_data(stream, b"", ended=True)
        assert client.read(stream).body == b"bye"
        assert happens(echoes[0].gone)
        assert echoes[0].events == ["one", "ended", "lost"]
        assert client.get("/no").status == 403


def test_what_comes_before_the_answer_is_kept(serving: Serving, echoes: list[Any]) -> None:
    with Http2Client(serving) as client:
        stream = connect(client, "/later")
        client.send_data(stream, b"early")
        client.h2.end_stream(stream)
        client.flush()
        until(lambda: echoes, "the request")
        serving.loop.call_soon_threadsafe(lambda: echoes.append(Echo(echoes[0])))
        assert client.read(stream).body == b"<earlybye"


def test_a_client_that_began_early_may_go_on(serving: Serving, echoes: list[Any]) -> None:
    with Http2Client(serving) as client:
        stream = connect(client, "/later")
        client.send_data(stream, b"early")
        until(lambda: echoes, "the request")
        serving.loop.call_soon_threadsafe(lambda: echoes.append(Sink(echoes[0])))
        client.read_head(stream)
        client.send_data(stream, bytes(4 * STREAM_WINDOW), ended=True)
        client.read(stream)
    assert echoes[1].size == 5 + 4 * STREAM_WINDOW


class Sink(Echo):
    """Counts what comes."""

    size = 0

    def received(self, data: bytes) -> None:
        self.size += len(data)


def test_a_refusal_is_an_answer(serving: Serving) -> None:
    with Http2Client(serving) as client:
        got = client.read(connect(client, "/no"))
        assert (got.status, got.body) == (403, b"no")


def test_a_reset_ends_the_tunnel(serving: Serving, echoes: list[Echo]) -> None:
    with Http2Client(serving) as client:
        stream = connect(client, "/echo")
        client.read_head(stream)
        client.reset(stream)
        assert happens(echoes[0].gone)
        assert echoes[0].events == ["lost"]


def test_a_lost_connection_ends_the_tunnel(serving: Serving, echoes: list[Echo]) -> None:
    with Http2Client(serving) as client:
        client.read_head(connect(client, "/echo"))
        client.raw.reset()
        assert happens(echoes[0].gone)


def test_closing_resets_the_stream(serving: Serving, echoes: list[Echo]) -> None:
    with Http2Client(serving) as client:
        stream = connect(client, "/echo")
        client.read_head(stream)
        serving.loop.call_soon_threadsafe(echoes[0].tunnel.close)
        assert client.read(stream).reset == 8
        assert happens(echoes[0].gone)


def test_a_client_that_does_not_end_its_side_is_not_waited_for_long(
    serving: Serving, echoes: list[Echo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skitai.server.http2.tunnel.LINGER_SECONDS", 0.1)
    with Http2Client(serving) as client:
        stream = connect(client, "/echo")
        client.read_head(stream)
        serving.loop.call_soon_threadsafe(echoes[0].tunnel.finish)
        assert client.read(stream).ended
        assert happens(echoes[0].gone)


def test_a_slow_client_holds_the_tunnel_up_not_the_connection(
    serving: Serving, echoes: list[Echo]
) -> None:
    with Http2Client(serving, acknowledge=False) as client:
        stream = connect(client, "/echo")
        client.read_head(stream)
        tunnel = echoes[0].tunnel
        writable = threading.Event()
        assert not tunnel.write(b"x" * 100_000)
        assert tunnel.backlog
        tunnel.when_writable(writable.set)
        assert client.get("/no").status == 403
        assert not writable.is_set()
        client.h2.acknowledge_received_data(60_000, stream)
        client.flush()
        client.read_some(stream, 100_000)
        assert happens(writable)
        assert not tunnel.backlog


def test_a_held_tunnel_gets_no_more_than_its_window(serving: Serving, echoes: list[Echo]) -> None:
    with Http2Client(serving) as client:
        stream = connect(client, "/echo")
        client.read_head(stream)
        held = threading.Event()
        serving.loop.call_soon_threadsafe(lambda: (echoes[0].tunnel.hold(), held.set()))
        assert happens(held)
        while (room := client.h2.local_flow_control_window(stream)) > 0:
            client.send_data(stream, b"y" * min(room, 10_000))
        assert client.get("/no").status == 403
        assert client.h2.local_flow_control_window(stream) == 0
        serving.loop.call_soon_threadsafe(echoes[0].tunnel.resume)
        client.send_data(stream, b"z")


def test_a_websocket_speaks_over_a_stream(serving: Serving) -> None:
    with Http2Client(serving) as client:
        stream = connect(client, "/socket")
        head = client.read_head(stream)
        assert head.status == 200
        assert "sec-websocket-accept" not in head.headers
        mask = bytes((1, 2, 3, 4))
        hidden = bytes(byte ^ mask[at % 4] for at, byte in enumerate(b"hello"))
        client.send_data(stream, b"\x81\x85" + mask + hidden)
        assert client.read_some(stream, 7) == b"\x81\x05hello"
        client.send_data(stream, b"\x88\x80" + mask)
        assert client.read(stream).body[:1] == b"\x88"


def test_an_unknown_protocol_is_refused(serving: Serving) -> None:
    with Http2Client(serving) as client:
        stream = client.request("/echo", method="CONNECT", ended=False, protocol="connect-udp")
        assert client.read(stream).status == 501


@pytest.mark.parametrize("path", ["/plain", "/pieces"])
def test_a_handler_that_knows_no_tunnels_never_seems_to_accept(serving: Serving, path: str) -> None:
    with Http2Client(serving) as client:
        assert client.read(connect(client, path)).status == 501


def test_the_end_comes_behind_what_waits(serving: Serving, echoes: list[Echo]) -> None:
    with Http2Client(serving, acknowledge=False) as client:
        stream = connect(client, "/echo")
        client.read_head(stream)
        tunnel = echoes[0].tunnel
        serving.loop.call_soon_threadsafe(
            lambda: (tunnel.write(b"x" * 100_000), tunnel.finish())  # type: ignore[func-returns-value]
        )
        client.read_some(stream, 65_535)
        client.h2.increment_flow_control_window(50_000, stream)
        client.h2.end_stream(stream)
        client.flush()
        assert len(client.read(stream).body) == 100_000 - 65_535
        assert happens(echoes[0].gone)
