"""Mounted aliases and was.ProxyPass: other protocols pass through, byte for byte."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from live_service import PATIENCE, eventually
from proxy_upstream import Peer, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai

    if __name__ == "__main__":
        skitai.alias("@up", skitai.PROTO_WS, "127.0.0.1:{port}")
        skitai.mount("/lb", "@up/base")
        skitai.mount("/", "proxy.py")
        skitai.run(workers=1, threads=1, drain_timeout=5)
"""
APP = """
    import atila

    app = atila.Atila(__name__)


    @app.route("/pass")
    def handed_on(was):
        return was.ProxyPass("@up/base", "ws")
"""
ASK = (
    "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSet-Cookie: a=1\r\n\r\n"
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def service(launch_once, upstream):
    return launch_once({"serve.py": SERVE.format(port=upstream.port), "proxy.py": APP})


def connect(service: Any, path: str = "/lb/ws") -> tuple[Peer, bytes]:
    """A client that has asked for a websocket, and the head of what it got."""
    client = Peer(service.connect())
    client.send(ASK.format(path=path).encode())
    return client, client.until(b"\r\n\r\n")


def echoes(upstream: Upstream) -> None:
    @upstream.script("/base/ws")
    def echo(peer: Peer, asked: Any) -> None:
        peer.send(ACCEPTED + b"hello")  # in one piece with the answer
        while data := peer.socket.recv(65536):
            peer.send(b"<" + data)
        peer.send(b"bye")
        peer.socket.close()


@pytest.mark.parametrize("path", ["/lb/ws", "/pass"])
def test_both_sides_go_on_in_the_other_protocol(service, upstream, path):
    echoes(upstream)
    client, head = connect(service, path)
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    lines = [line.lower() for line in head.split(b"\r\n")]
    assert lines.count(b"upgrade: websocket") == 1
    assert lines.count(b"connection: upgrade") == 1
    assert b"sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=" in lines
    assert b"set-cookie: a=1" in lines
    asked = upstream.asked[-1]
    assert asked.get("sec-websocket-key") == "dGhlIHNhbXBsZSBub25jZQ=="
    assert (asked.get("connection"), asked.get("upgrade")) == ("Upgrade", "websocket")
    assert asked.get("content-length") is None
    assert client.take(5) == b"hello"
    client.send(b"\x81\x00")
    assert client.take(3) == b"<\x81\x00"
    client.socket.shutdown(1)
    assert client.rest() == b"bye"


def test_what_the_client_sends_with_its_request_is_passed_on(service, upstream):
    echoes(upstream)
    client = Peer(service.connect())
    client.send(ASK.format(path="/lb/ws").encode() + b"early")
    client.until(b"\r\n\r\n")
    assert client.take(11) == b"hello<early"


def test_a_refusal_is_passed_on(service, upstream):
    @upstream.script("/base/no")
    def refuse(peer: Peer, asked: Any) -> None:
        peer.answer(b"not you", "X-Why: because", status="403 Forbidden")

    client, head = connect(service, "/lb/no")
    assert head.startswith(b"HTTP/1.1 403 Forbidden")
    assert b"X-Why: because" in head
    assert client.rest() == b"not you"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
    ],
)
def test_an_answer_in_another_protocol_is_502(service, upstream, answer):
    @upstream.script("/base/other")
    def other(peer: Peer, asked: Any) -> None:
        peer.send(answer)
        peer.rest()

    _, head = connect(service, "/lb/other")
    assert head.startswith(b"HTTP/1.1 502")


def test_an_upstream_that_ends_ends_the_client(service, upstream):
    @upstream.script("/base/end")
    def end(peer: Peer, asked: Any) -> None:
        peer.send(ACCEPTED + b"x" * 1_000_000)
        peer.socket.close()

    client, _ = connect(service, "/lb/end")
    assert client.rest() == b"x" * 1_000_000


def test_a_client_that_is_gone_ends_the_upstream(service, upstream):
    ended = threading.Event()

    @upstream.script("/base/wait")
    def wait(peer: Peer, asked: Any) -> None:
        peer.send(ACCEPTED)
        if peer.rest() == b"last words":
            ended.set()
        peer.socket.close()

    client, _ = connect(service, "/lb/wait")
    client.send(b"last words")
    client.socket.close()
    assert ended.wait(PATIENCE)


def flows(send: Any, sent: list[int], size: int) -> int:
    """How much of ``size`` goes out until nothing moves any more."""

    def run() -> None:
        for _ in range(size // 65536):
            send(bytes(65536))
            sent.append(65536)

    thread = threading.Thread(target=run)
    thread.start()
    while True:
        before = sum(sent)
        time.sleep(0.3)
        if sum(sent) == before:
            return before


def test_the_slower_side_holds_the_other_back(service, upstream):
    size = 64 * 1024 * 1024
    peers: list[Peer] = []
    go_on = threading.Event()

    @upstream.script("/base/slow")
    def slow(peer: Peer, asked: Any) -> None:
        peers.append(peer)
        peer.send(ACCEPTED)
        go_on.wait(PATIENCE)

    for towards_client in (True, False):
        go_on.clear()
        client, _ = connect(service, "/lb/slow")
        eventually(lambda: peers, "the upstream")
        peer = peers.pop()
        sender, reader = (peer, client) if towards_client else (client, peer)
        sent: list[int] = []
        assert flows(sender.send, sent, size) < size / 2
        received = 0
        while received < size:
            received += len(reader.socket.recv(1 << 20))
        assert received == size
        client.socket.close()
        go_on.set()


def test_a_drain_ends_quiet_ones_in_order(launch, upstream):
    echoes(upstream)
    service = launch({"serve.py": SERVE.format(port=upstream.port), "proxy.py": APP})
    client, _ = connect(service, "/lb/ws")
    assert client.take(5) == b"hello"
    begun = time.monotonic()
    service.send(signal.SIGTERM)
    client.send(b"still")
    assert client.take(6) == b"<still"
    assert client.rest() == b""
    assert time.monotonic() - begun < 4.5
    assert service.wait() == 0
    assert "still running" not in service.log()
