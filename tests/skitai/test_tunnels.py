"""A connection that goes on in another protocol, over real sockets."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from serving import Serving, Toy, answer, happens, until

from skitai.server.representation import Head

UPGRADE = ("GET /echo HTTP/1.1", "Host: a", "Connection: Upgrade", "Upgrade: websocket")


class Echo:
    """Sends back what comes, with a mark in front."""

    def __init__(self, exchange: Any) -> None:
        self.events: list[str] = []
        self.gone = threading.Event()
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
def echoes():
    return []


@pytest.fixture
def serving(echoes):
    app = Toy()
    app.loop("/echo", lambda exchange: echoes.append(Echo(exchange)))
    app.loop("/no", lambda exchange: answer(exchange, b"no", 403))
    with Serving(app) as serving:
        yield serving


def test_bytes_go_both_ways_until_the_client_closes_its_half(serving, echoes):
    with serving.connect() as client:
        client.send(*UPGRADE)
        head = client.read()
        assert (head.status, head["Connection"], head["Upgrade"]) == (101, "Upgrade", "websocket")
        assert (head["X-Kind"], head.get("Content-Length")) == ("echo", None)
        client.write(b"one")
        assert client.take(4) == b"<one"
        client.half_close()
        assert client.take(3) == b"bye"
        assert client.is_closed()
        assert happens(echoes[0].gone)
    assert echoes[0].events == ["one", "ended", "lost"]


def test_what_comes_with_the_request_is_for_the_other_protocol(serving):
    with serving.connect() as client:
        client.send(*UPGRADE, body=b"early")
        client.read()
        assert client.take(6) == b"<early"


def test_it_waits_for_the_requests_before_it(serving):
    with serving.connect() as client:
        client.send("GET /no HTTP/1.1", "Host: a", "", *UPGRADE, body=b"x")
        assert client.read().status == 403
        assert client.read().status == 101
        assert client.take(2) == b"<x"


def test_a_refused_upgrade_ends_the_connection(serving):
    with serving.connect() as client:
        client.send(*("GET /no HTTP/1.1", *UPGRADE[1:]), body=b"never looked at")
        refusal = client.read()
        assert (refusal.status, refusal["Connection"]) == (403, "close")
        assert client.is_closed()


def test_a_client_that_leaves_is_noticed_once(serving, echoes):
    client = serving.connect()
    client.send(*UPGRADE)
    client.read()
    client.reset()
    until(lambda: echoes and happens(echoes[0].gone), "the end")
    assert echoes[0].events == ["lost"]
    until(lambda: not serving.connections, "the connection to be forgotten")


def test_a_tunnel_counts_as_a_connection_and_hears_of_the_drain(serving, echoes):
    client = serving.connect()
    client.send(*UPGRADE)
    client.read()
    assert serving.connections == 1


@pytest.mark.parametrize("headers", [("Upgrade: websocket",), ("Connection: upgrade",)])
def test_half_a_wish_for_another_protocol_is_none(serving, headers):
    with serving.connect() as client:
        client.send("GET /no HTTP/1.1", "Host: a", *headers)
        assert client.read().get("Connection") != "close"
        assert client.get("/no").status == 403


def test_a_receiver_that_fails_over_its_clock_takes_the_time_limits_of_nobody_else(
    serving, echoes, caplog
):
    client = serving.connect()
    client.send(*UPGRADE)
    client.read()
    until(lambda: echoes, "the tunnel")
    with serving.connect() as other:
        assert other.get("/no").status == 403

        def fail(now):
            raise RuntimeError("no time")

        echoes[0].check = fail
        assert client.is_closed()
        assert happens(echoes[0].gone)
        checked = threading.Event()
        (connection,) = serving.server._connections
        serving.loop.call_soon_threadsafe(
            serving.server._connections.add, Watching(connection, checked)
        )
        assert happens(checked)
    assert "a connection failed: closed" in caplog.text


class Watching:
    """Stands for a connection and takes itself away when its time is looked at."""

    def __init__(self, connection, checked):
        self._connections = connection.server._connections
        self._checked = checked

    def check(self, now):
        self._connections.discard(self)
        self._checked.set()
