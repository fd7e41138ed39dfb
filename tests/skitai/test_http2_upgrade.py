"""From HTTP/1.1 to HTTP/2 on one connection: prior knowledge and Upgrade, over real sockets."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from http2_raw import ACK, DATA, HEADERS, PREFACE, SETTINGS, RawClient, frame, get, settings
from serving import Serving, Toy, answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skitai.server.exchange import Exchange

SETTINGS_HEADER = base64.urlsafe_b64encode(settings((4, 3))[9:]).decode().rstrip("=")
OFFER = (
    "Host: a", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
    f"HTTP2-Settings: {SETTINGS_HEADER}",
)  # fmt: skip


def _describe(exchange: Exchange) -> None:
    request = exchange.request
    text = f"{request.version} {request.method} {request.path} {sorted(request.headers)}"
    answer(exchange, text.encode())


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    app = Toy()
    app.thread("/", _describe)
    with Serving(app) as serving:
        yield serving


def test_the_request_that_upgrades_is_stream_1(serving: Serving) -> None:
    with RawClient(serving) as client:
        client.client.send("GET / HTTP/1.1", *OFFER, "X-More: 1")
        head = client.client.read_head()
        assert (head.status, head["Connection"], head["Upgrade"]) == (101, "Upgrade", "h2c")
        client.write(PREFACE + settings())
        client.wait(HEADERS, 1)
        assert client.statuses[1] == 200
        # The settings of the header hold: a window of 3 bytes.
        assert client.wait(DATA, 1).payload == b"2.0"
        client.write(frame(8, 0, 1, (1000).to_bytes(4, "big")))
        assert client.wait(DATA, 1).payload == b" GET / ['host', 'x-more']"
        client.write(get(3))
        client.wait(HEADERS, 3)


def test_what_comes_behind_the_request_is_http2(serving: Serving) -> None:
    with RawClient(serving) as client:
        lines = "\r\n".join(("GET / HTTP/1.1", *OFFER, "", ""))
        client.write(lines.encode() + PREFACE + settings() + get(3))
        assert client.client.read_head().status == 101
        client.wait(HEADERS, 3)
        assert client.statuses[3] == 200


def test_it_waits_for_the_requests_before_it(serving: Serving) -> None:
    with RawClient(serving) as client:
        client.client.send("GET /1 HTTP/1.1", "Host: a", "", "GET / HTTP/1.1", *OFFER)
        assert client.client.read().status == 404
        assert client.client.read_head().status == 101
        client.write(PREFACE + settings())
        client.wait(HEADERS, 1)


@pytest.mark.parametrize(
    "lines",
    [
        OFFER[:3],
        (*OFFER[:3], "HTTP2-Settings: ###"),
        (*OFFER[:3], "HTTP2-Settings: AA"),
        (*OFFER, OFFER[3]),
        (*OFFER, "Via: 1.1 proxy"),
        (*OFFER, "X-Forwarded-For: 10.0.0.1"),
    ],
)
def test_other_offers_are_declined(serving: Serving, lines: tuple[str, ...]) -> None:
    with serving.connect() as client:
        client.send("GET / HTTP/1.1", *lines)
        got = client.read()
        assert (got.status, got.body[:3]) == (200, b"1.1")
        assert client.get("/").status == 200


def test_a_request_with_a_body_stays_http1(serving: Serving) -> None:
    with serving.connect() as client:
        client.send("POST / HTTP/1.1", *OFFER, "Content-Length: 2", body=b"hi")
        assert client.read().body[:3] == b"1.1"


@pytest.mark.parametrize("size", [1, 2, 3, 10, 23, 24, 30])
def test_a_preface_may_come_in_pieces(serving: Serving, size: int) -> None:
    data = PREFACE + settings() + get()
    with RawClient(serving) as client:
        for at in range(0, len(data), size):
            client.write(data[at : at + size])
        client.wait(SETTINGS, 0, ACK)
        client.wait(HEADERS, 1)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "PROPFIND"])
def test_methods_that_begin_like_the_preface(serving: Serving, method: str) -> None:
    data = f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode()
    for size in (1, 2):
        with serving.connect() as client:
            for at in range(0, len(data), size):
                client.write(data[at : at + size])
            assert client.read().status == 200
