"""Mounted aliases: what an upstream is asked, what clients get, who may ask."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from live_service import PATIENCE, receive
from proxy_upstream import Peer, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

SECRET = "a secret that is long enough for HMAC"
SERVE = """
    import skitai

    if __name__ == "__main__":
        skitai.mount("/lb", "@both")
        skitai.alias("@one", skitai.PROTO_HTTP, "127.0.0.1:{one}")
        skitai.alias("@both", skitai.PROTO_HTTP, ["127.0.0.1:{one} 3", "127.0.0.1:{two} 1"])
        skitai.alias("@half", skitai.PROTO_HTTP, ["127.0.0.1:{dead} 9", "127.0.0.1:{two}"])
        skitai.alias("@dead", skitai.PROTO_HTTP, "127.0.0.1:{dead}")
        skitai.alias("@far", skitai.PROTO_HTTP, "127.0.0.1:{one}", source="10.0.0.0/8, 192.168.1.1")
        skitai.alias("@near", skitai.PROTO_HTTP, "127.0.0.1:{one}", source="127.0.0.0/8")
        skitai.alias("@staff", skitai.PROTO_HTTP, "127.0.0.1:{one}", role="staff, admin")
        with skitai.preference() as pref:
            pref.config.PROXY_KEEP_HOST = True
            pref.config.PROXY_TIMEOUT = 0.5
            pref.config.MAX_UPLOAD_SIZE = 100_000
            skitai.mount("/api", "@one/base/a b", pref)
        skitai.mount("/half", "@half")
        skitai.mount("/dead", "@dead")
        skitai.mount("/far", "@far")
        skitai.mount("/near", "@near")
        with skitai.preference() as pref:
            pref.securekey = "{secret}"
            skitai.mount("/staff", "@staff", pref)
        skitai.mount("/", "@one", host="one.example")
        skitai.run(workers=1, threads=0, trusted_proxies=())
"""


@pytest.fixture(scope="module")
def upstreams() -> Iterator[tuple[Upstream, Upstream]]:
    one, two = Upstream(), Upstream()
    yield one, two
    one.close()
    two.close()


@pytest.fixture(scope="module")
def service(launch_once, upstreams):
    one, two = upstreams
    with socket.create_server(("127.0.0.1", 0)) as unused:
        dead = unused.getsockname()[1]
    text = SERVE.replace("a b", "a%20b")
    return launch_once(
        {
            "serve.py": text.format(one=one.port, two=two.port, dead=dead, secret=SECRET),
        }
    )


@pytest.fixture
def one(upstreams) -> Upstream:
    return upstreams[0]


def ask(service: Any, path: str, method: str = "GET", body: bytes = b"", *headers: str) -> Any:
    lines = [f"{method} {path} HTTP/1.1", *headers]
    if not any(line.lower().startswith("host:") for line in headers):
        lines.append("Host: here.example")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    connection = service.connect()
    connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    return receive(connection, method)


def told(service: Any, path: str, *more: Any) -> dict[str, Any]:
    """What the upstream was asked for a request."""
    response = ask(service, path, *more)
    assert response.status == 200, response.content
    facts: dict[str, Any] = json.loads(response.content)
    return facts


def header(facts: dict[str, Any], name: str) -> str | None:
    values = [value for key, value in facts["headers"] if key == name]
    assert len(values) < 2, values
    return values[0] if values else None


# -- what the upstream is asked


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/lb/", "/"),
        ("/lb/a/b?x=1&y=%20", "/a/b?x=1&y=%20"),
        ("/lb/a%2Fb%20c", "/a%2Fb%20c"),
        ("/l%62/a%20b", "/a%20b"),
        ("http://here.example/lb/x?y", "/x?y"),
        ("/api/", "/base/a%20b/"),
        ("/api/v1/", "/base/a%20b/v1/"),
        ("/api//x", "/base/a%20b//x"),
    ],
)
def test_the_point_is_taken_away_and_the_base_put_before_the_path(service, path, target):
    assert told(service, path)["target"] == target


def test_a_point_is_matched_by_segments_and_its_slash_is_added(service):
    assert ask(service, "/lbx").status == 404
    response = ask(service, "/lb?a=1")
    assert (response.status, response.getheader("Location")) == (308, "/lb/?a=1")


@pytest.mark.parametrize("path", ["/lb/../x", "/lb/%2e%2e/x", "/lb/a/./b", "/api/.."])
def test_no_path_leads_out_of_the_base(service, path):
    assert ask(service, path).status in (400, 404)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_all_methods_are_passed_on_with_their_bodies(service, method):
    facts = told(service, "/lb/x", method, b"some body")
    assert (facts["method"], facts["body"]) == (method, "some body")


def test_head_gets_the_headers_of_get(service):
    response = ask(service, "/lb/x", "HEAD")
    assert (response.status, response.content) == (200, b"")
    assert int(response.getheader("Content-Length")) > 100


def test_the_server_itself_answers_for_itself(service):
    assert ask(service, "*", "OPTIONS").status == 204


def test_headers_tell_of_the_client_not_of_its_connection(service, one):
    facts = told(
        service, "/api/x", "GET", b"", "Host: shop.example", "Connection: keep-alive, x-hop",
        "X-Hop: 1", "TE: trailers", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https",
        "X-Kept: 1",
    )  # fmt: skip
    assert header(facts, "host") == "shop.example"
    assert header(facts, "x-forwarded-for") == "1.2.3.4, 127.0.0.1"
    assert header(facts, "x-forwarded-proto") == "http"
    assert header(facts, "x-forwarded-host") == "shop.example"
    assert header(facts, "x-kept") == "1"
    assert [header(facts, name) for name in ("x-hop", "te", "connection")] == [None] * 3
    assert header(told(service, "/near/x"), "host") == f"127.0.0.1:{one.port}"


def test_a_host_of_its_own(service):
    assert told(service, "/some/where", "GET", b"", "Host: one.example")["target"] == "/some/where"
    assert ask(service, "/some/where").status == 404


# -- balancing


def test_members_get_shares_as_their_weights_are(service, one):
    ports = [told(service, "/lb/x")["port"] for _ in range(40)]
    assert ports.count(one.port) == 30


def test_another_member_is_asked_when_one_can_not_be_reached(service, upstreams):
    for method in ("GET", "POST"):
        assert told(service, "/half/x", method, b"body" * 5000)["port"] == upstreams[1].port


def test_502_when_nobody_can_be_reached(service):
    response = ask(service, "/dead/x")
    assert response.status == 502
    assert "127.0.0.1" not in response.content.decode()
    service.wait_for_log(r"GET /dead/x failed: .*no connection to 127\.0\.0\.1")


def test_504_when_the_upstream_takes_too_long(service, one):
    let_go = threading.Event()

    @one.script("/base/a%20b/slow")
    def slow(peer: Peer, asked: Any) -> None:
        let_go.wait(PATIENCE)
        peer.socket.close()

    begun = time.monotonic()
    assert ask(service, "/api/slow").status == 504
    assert 0.4 < time.monotonic() - begun < 5
    let_go.set()


def test_502_for_what_is_no_http_and_for_a_protocol_that_nobody_asked_for(service, one):
    @one.script("/garbage")
    def garbage(peer: Peer, asked: Any) -> None:
        peer.send(b"SSH-2.0-OpenSSH\r\n")

    @one.script("/switch")
    def switch(peer: Peer, asked: Any) -> None:
        peer.send(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")

    assert [ask(service, f"/near{path}").status for path in ("/garbage", "/switch")] == [502, 502]


# -- bodies


def test_answers_come_as_they_are(service, one):
    @one.script("/teapot")
    def teapot(peer: Peer, asked: Any) -> None:
        peer.answer(
            b"short", "Set-Cookie: a=1", "Set-Cookie: b=2", "Keep-Alive: timeout=5", "X-Mine: x",
            status="418 I am a teapot",
        )  # fmt: skip

    response = ask(service, "/near/teapot")
    assert (response.status, response.reason) == (418, "I am a teapot")
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert (response.getheader("X-Mine"), response.getheader("Keep-Alive")) == ("x", None)
    assert response.content == b"short"


def test_events_arrive_when_they_are_sent(service, one):
    seen = [threading.Event() for _ in range(3)]

    @one.script("/events")
    def events(peer: Peer, asked: Any) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for number, event in enumerate(seen):
            peer.send(b"data: %d\n\n" % number)
            assert event.wait(PATIENCE)
        peer.socket.close()

    client = Peer(service.connect())
    client.send(b"GET /near/events HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"chunked" in client.until(b"\r\n\r\n")
    for number, event in enumerate(seen):
        assert client.until(b"\r\n") == b"9"
        assert client.until(b"\r\n") == b"data: %d\n\n" % number
        event.set()
    assert client.until(b"\r\n\r\n") == b"0"


def test_trailers_come_to_those_who_take_them(service, one):
    @one.script("/trailers")
    def trailers(peer: Peer, asked: Any) -> None:
        peer.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
            b"0\r\nX-Sum: 1\r\nKeep-Alive: 5\r\n\r\n"
        )

    for line, expected in ((b"TE: trailers\r\n", b"X-Sum: 1\r\n"), (b"", b"")):
        client = Peer(service.connect())
        client.send(b"GET /near/trailers HTTP/1.1\r\nHost: a\r\n%b\r\n" % line)
        client.until(b"\r\n\r\n")
        end = b"5\r\nhello\r\n0\r\n%b\r\n" % expected
        assert client.take(len(end)) == end


def test_a_body_is_passed_on_while_it_comes_with_100_continue(service, one):
    half_way = threading.Event()

    @one.script("/slowly")
    def slowly(peer: Peer, asked: Any) -> None:
        assert asked.get("expect") is None
        peer.take(70_000)
        half_way.set()
        peer.take(70_000)
        peer.answer(b"thanks")

    client = Peer(service.connect())
    client.send(
        b"POST /near/slowly HTTP/1.1\r\nHost: a\r\nContent-Length: 140000\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
    client.send(b"x" * 70_000)
    assert half_way.wait(PATIENCE)
    client.send(b"x" * 70_000)
    assert b"200 OK" in client.until(b"\r\n\r\n")
    assert client.take(6) == b"thanks"


def test_chunked_bodies_are_passed_on_chunked(service):
    client = Peer(service.connect())
    client.send(
        b"POST /lb/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    head = client.until(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    facts = json.loads(client.take(length))
    assert (facts["body"], header(facts, "transfer-encoding")) == ("abcde", "chunked")


def test_a_body_that_is_too_large_is_refused(service, one):
    before = len(one.asked)
    assert ask(service, "/api/x", "POST", b"x" * 100_001).status == 413
    assert len(one.asked) == before
    client = Peer(service.connect())
    client.send(b"POST /api/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send((b"8000\r\n%b\r\n" % bytes(0x8000)) * 4)
    assert b" 413 " in client.until(b"\r\n\r\n")


def test_a_slow_client_holds_the_upstream_back(service, one):
    size = 64 * 1024 * 1024
    sent = []

    @one.script("/large")
    def large(peer: Peer, asked: Any) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            peer.send(bytes(65536))
            sent.append(65536)

    client = Peer(service.connect())
    client.send(b"GET /near/large HTTP/1.1\r\nHost: a\r\n\r\n")
    client.until(b"\r\n\r\n")
    while True:  # until nothing moves any more
        before = sum(sent)
        time.sleep(0.3)
        if sum(sent) == before:
            break
    assert before < size / 2
    while client.socket.recv(1 << 20) and sum(sent) < size:
        pass


def test_an_answer_that_breaks_off_is_broken_off(service, one):
    @one.script("/half")
    def half(peer: Peer, asked: Any) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000)
        peer.socket.close()

    client = Peer(service.connect())
    client.send(b"GET /near/half HTTP/1.1\r\nHost: a\r\n\r\n")
    client.until(b"\r\n\r\n")
    with pytest.raises(ConnectionError):
        client.take(200_000)


def test_the_upstream_hears_that_the_client_has_left(service, one):
    noticed = threading.Event()

    @one.script("/endless")
    def endless(peer: Peer, asked: Any) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                peer.send(b"tick")
                time.sleep(0.01)
        except OSError:
            noticed.set()
            raise

    client = Peer(service.connect())
    client.send(b"GET /near/endless HTTP/1.1\r\nHost: a\r\n\r\n")
    client.until(b"tick")
    client.socket.close()
    assert noticed.wait(PATIENCE)


def test_a_client_that_leaves_its_upload_is_no_failure_of_ours(service, one):
    noticed = threading.Event()

    @one.script("/early")
    def early(peer: Peer, asked: Any) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\n\r\ntick")
        try:
            peer.rest()
        finally:
            noticed.set()

    client = Peer(service.connect())
    client.send(b"POST /near/early HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbegin")
    client.until(b"tick")
    client.socket.close()
    assert noticed.wait(PATIENCE)
    assert ask(service, "/near/x").status == 200
    assert "POST /near/early failed" not in service.log()


# -- who may


def test_only_some_addresses_may(service):
    assert ask(service, "/far/x").status == 403
    assert ask(service, "/near/x").status == 200


@pytest.mark.parametrize(
    ("claims", "key", "status"),
    [
        ({"role": "staff"}, SECRET, 200),
        ({"roles": ["guest", "admin"]}, SECRET, 200),
        ({"roles": ["guest"]}, SECRET, 403),
        ({"roles": 5}, SECRET, 403),
        ({}, SECRET, 403),
        ({"role": "staff"}, "another secret that is long enough to be", 401),
        ({"role": "staff", "exp": 1}, SECRET, 401),
    ],
)
def test_only_some_roles_may(service, claims, key, status):
    token = jwt.encode(claims, key, algorithm="HS256")
    response = ask(service, "/staff/x", "GET", b"", f"Authorization: Bearer {token}")
    assert response.status == status
    if status == 401:
        assert response.getheader("WWW-Authenticate") == 'Bearer error="invalid_token"'


def test_without_a_token_there_is_no_role(service):
    for line in ("X: 1", "Authorization: Basic YTpi", "Authorization: Bearer x.y.z"):
        response = ask(service, "/staff/x", "GET", b"", line)
        assert response.status == 401
        assert response.getheader("WWW-Authenticate").startswith("Bearer")
