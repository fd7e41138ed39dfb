"""Mounted aliases on connections that are open: the next answer, and what else comes of them."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from live_service import PATIENCE, receive
from proxy_upstream import Peer, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai

    if __name__ == "__main__":
        skitai.alias("@up", skitai.PROTO_HTTP, "127.0.0.1:{port}")
        with skitai.preference() as pref:
            pref.config.PROXY_TIMEOUT = 0.5
            skitai.mount("/", "@up", pref)
        skitai.run(workers=1, threads=0)
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(scope="module")
def service(launch_once, upstream):
    return launch_once({"serve.py": SERVE.format(port=upstream.port)})


@pytest.fixture
def client(service) -> Any:
    """A connection, after one request: the upstream's is open, too."""
    connection = service.connect()
    assert ask(connection, "/warm").status == 200
    return connection


def ask(connection: Any, path: str, method: str = "GET") -> Any:
    connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return receive(connection, method)


def test_answers_of_all_kinds_come_one_after_another(client, upstream):
    bodies = {"/short": b"x", "/none": b"", "/long": b"y" * 300_000, "/edge": b"z" * 65_536}
    for path, body in bodies.items():
        upstream.scripts[path] = lambda peer, asked, body=body: peer.answer(body, "X-Kind: some")
    upstream.scripts["/304"] = lambda peer, asked: peer.send(
        b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 5\r\n\r\n'
    )
    upstream.scripts["/204"] = lambda peer, asked: peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
    upstream.scripts["/chunks"] = lambda peer, asked: peer.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )
    for _ in range(3):
        for path, body in bodies.items():
            response = ask(client, path)
            assert (response.status, response.content) == (200, body)
            assert response.getheader("X-Kind") == "some"
        assert ask(client, "/304").status == 304
        assert ask(client, "/204").status == 204
        assert ask(client, "/chunks").content == b"abc"
        assert ask(client, "/warm", "HEAD").status == 200
        assert json.loads(ask(client, "/warm", "DELETE").content)["method"] == "DELETE"


def test_pipelined_requests_are_answered_in_their_order(client, upstream):
    upstream.scripts["/late"] = lambda peer, asked: (time.sleep(0.05), peer.answer(b"late"))[1]
    upstream.scripts["/soon"] = lambda peer, asked: peer.answer(b"soon")
    peer = Peer(client)
    peer.send(
        b"".join(b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in (b"late", b"soon"))
    )
    for body in (b"late", b"soon"):
        peer.until(b"\r\n\r\n")
        assert peer.take(4) == body


def test_a_connection_that_was_closed_meanwhile_is_replaced(client, upstream):
    def close_instead(peer: Peer, asked: Any) -> None:
        upstream.scripts.pop("/again", None)  # the next one gets the echo
        peer.reset()
        raise ConnectionError

    upstream.scripts["/again"] = close_instead
    before = len(upstream.asked)
    assert json.loads(ask(client, "/again").content)["target"] == "/again"
    assert [asked.target for asked in upstream.asked[before:]] == ["/again", "/again"]


@pytest.mark.parametrize(
    "answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"]
)
def test_an_answer_that_is_none_is_502_and_is_not_asked_for_again(client, upstream, answer):
    def script(peer: Peer, asked: Any) -> None:
        peer.send(answer)
        peer.socket.shutdown(1)

    upstream.scripts["/broken"] = script
    before = len(upstream.asked)
    assert ask(client, "/broken").status == 502
    assert len(upstream.asked) == before + 1
    assert ask(client, "/warm").status == 200


def test_an_answer_that_does_not_come_is_504(client, upstream):
    let_go = threading.Event()
    upstream.scripts["/silent"] = lambda peer, asked: let_go.wait(PATIENCE)
    assert ask(client, "/silent").status == 504
    let_go.set()
    assert ask(client, "/warm").status == 200


def test_a_client_that_leaves_ends_what_it_has_asked_for(service, client, upstream):
    ended = threading.Event()

    def wait(peer: Peer, asked: Any) -> None:
        client.close()
        if peer.socket.recv(1) == b"":
            ended.set()

    upstream.scripts["/wait"] = wait
    client.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
    assert ended.wait(PATIENCE)
    assert ask(service.connect(), "/warm").status == 200
    assert "Traceback" not in service.log()
