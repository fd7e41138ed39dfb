"""Mounted aliases for clients that speak HTTP/2; the upstream speaks HTTP/1.1."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from proxy_upstream import Peer, Upstream

from tests.skitai.http2_driving import Http2Client

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai

    if __name__ == "__main__":
        skitai.alias("@up", skitai.PROTO_HTTP, "127.0.0.1:{port}")
        skitai.mount("/", "@up")
        skitai.run(workers=1, threads=0)
"""
SOCKET = [("sec-websocket-version", "13")]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def service(launch_once, upstream):
    return launch_once({"serve.py": SERVE.format(port=upstream.port)})


@pytest.fixture
def client(service) -> Iterator[Any]:
    def connect() -> SimpleNamespace:
        return SimpleNamespace(socket=service.connect())

    with Http2Client(SimpleNamespace(connect=connect)) as client:  # type: ignore[arg-type]
        yield client


def test_requests_with_bodies_and_large_answers(client, upstream):
    upstream.scripts["/large"] = lambda peer, asked: peer.answer(b"x" * 1_000_000)
    for _ in range(3):
        facts = json.loads(client.post("/echo?a=1", b"y" * 200_000).body)
        assert (facts["method"], facts["target"], len(facts["body"])) == (
            "POST",
            "/echo?a=1",
            200_000,
        )
        known = dict(facts["headers"])
        assert (known["via"], known["x-forwarded-host"]) == ("2.0 skitai", "a")
        assert client.get("/large").body == b"x" * 1_000_000
        assert client.get("/small").status == 200


def test_trailers_come_behind_the_body(client, upstream):
    upstream.scripts["/trailers"] = lambda peer, asked: peer.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
    )
    answer = client.get("/trailers")
    assert (answer.body, answer.trailers) == (b"hello", {"x-sum": "1"})


def test_a_websocket_is_an_upgrade_for_the_upstream(client, upstream):
    def echo(peer: Peer, asked: Any) -> None:
        peer.send(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello"
        )
        while data := peer.socket.recv(65536):
            peer.send(b"<" + data)
        peer.send(b"bye")
        peer.socket.close()

    upstream.scripts["/socket"] = echo
    stream = client.request("/socket", *SOCKET, method="CONNECT", ended=False, protocol="websocket")
    assert client.read_some(stream, 5) == b"hello"
    answer = client.answers[stream]
    assert answer.status == 200
    assert answer.headers["sec-websocket-protocol"] == "chat"
    assert "sec-websocket-accept" not in answer.headers
    asked = upstream.asked[-1]
    assert (asked.method, asked.get("upgrade")) == ("GET", "websocket")
    assert len(asked.get("sec-websocket-key") or "") == 24
    client.send_data(stream, b"one")
    assert client.read_some(stream, 4) == b"<one"
    client.send_data(stream, b"", ended=True)
    assert client.read(stream).body == b"bye"


def test_a_refused_websocket_leaves_the_connection_as_it_is(client, upstream):
    upstream.scripts["/no"] = lambda peer, asked: peer.answer(b"no", status="403 Forbidden")
    stream = client.request("/no", *SOCKET, method="CONNECT", ended=False, protocol="websocket")
    assert client.read(stream).status == 403
    assert client.get("/small").status == 200
