"""What a client of HTTP/2 can do to a server, and what it gets for it, over real sockets."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from http2_raw import (
    ACK,
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    RawClient,
    block,
    field,
    frame,
    get,
    headers,
    post,
    request,
    settings,
    window_update,
    word,
)
from serving import Gate, Serving, Toy, answer, happens, until

from skitai.errors import HTTPError
from skitai.server.representation import Head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skitai.server.exchange import Exchange


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    app = Toy()
    app.thread("/", lambda exchange: answer(exchange, b"served"))
    app.loop("/wait", lambda exchange: None)
    app.thread("/post", lambda exchange: answer(exchange, b"posted"))
    with Serving(app, max_header_size=4096, max_headers=20) as serving:
        yield serving


DEPENDENCY = word(0) + b"\x10"
FLOODS = {
    "PING": frame(PING, 0, 0, bytes(8)) * 2000,
    "answers to PING": frame(PING, ACK, 0, bytes(8)) * 2000,
    "SETTINGS": settings((3, 100)) * 2000,
    "many settings in one frame": settings(*[(0xFF, 1)] * 2000) * 10,
    "acknowledged settings": frame(SETTINGS, ACK) * 2000,
    "PRIORITY": frame(PRIORITY, 0, 1, DEPENDENCY) * 2000,
    "empty DATA": post(1, "/wait") + frame(DATA, 0, 1) * 2000,
    "DATA with nothing but padding": post(1, "/wait") + frame(DATA, 8, 1, b"\1\0") * 2000,
    "small WINDOW_UPDATE": window_update(0, 1) * 2000,
    "unknown frames": frame(200, 0, 0) * 2000,
    "RST_STREAM of closed streams": get(1, "/wait") + frame(RST_STREAM, 0, 1, word(8)) * 2000,
    "rapid reset": b"".join(
        get(at, "/wait") + frame(RST_STREAM, 0, at, word(CANCEL)) for at in range(1, 2001, 2)
    ),
    "resets that the server is led to": b"".join(
        get(at, "/wait") + window_update(at, 0) for at in range(1, 2001, 2)
    ),
    "CONTINUATION without an end": headers(block(request()), 1, END_STREAM)
    + frame(CONTINUATION, 0, 1, b"x" * 100) * 2000,
    "empty CONTINUATION": headers(block(request()), 1, END_STREAM)
    + frame(CONTINUATION, 0, 1) * 2000,
    "refused streams": b"".join(get(at, "/wait") for at in range(1, 2001, 2)),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_its_connection_and_no_other(serving: Serving, name: str) -> None:
    with RawClient(serving) as client, RawClient(serving) as other:
        client.begin()
        other.begin()
        client.write(FLOODS[name])
        assert client.goaway_code() == ENHANCE_YOUR_CALM
        other.write(get())
        other.wait_for_end(1)


def test_a_few_of_everything_are_no_flood(serving: Serving) -> None:
    with RawClient(serving) as client:
        client.begin()
        for at in range(1, 401, 2):
            client.write(
                frame(PING, 0, 0, bytes(8)) + frame(PRIORITY, 0, at, DEPENDENCY)
                + get(at) + window_update(0, 13) + window_update(at, 13)
            )  # fmt: skip
            client.wait_for_end(at)


def test_header_bombs_are_defused(serving: Serving) -> None:
    bomb = field("x-a", "y" * 3900, 0x40) + b"\xbe" * 10_000
    with RawClient(serving) as client:
        client.begin()
        client.write(headers(block(request()) + bomb))
        assert client.goaway_code() == COMPRESSION_ERROR


@pytest.mark.parametrize(
    "more",
    [
        [("x-a", "y" * 4000), ("x-b", "y" * 1000)],
        [(f"x-{at}", "1") for at in range(30)],
    ],
)
def test_headers_beyond_the_limit_are_431(serving: Serving, more: list[tuple[str, str]]) -> None:
    with RawClient(serving) as client:
        client.begin()
        client.write(headers(block(request("/", *more))))
        client.wait_for_end(1)
        assert client.statuses[1] == 431
        client.write(get(3))
        client.wait_for_end(3)
        assert client.statuses[3] == 200


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/" + "x" * 9000, 414), ("/%zz", 400), ("/a b", 400), ("/a#b", 400), ("http://a/", 400),
        ("*", 400),
    ],
)  # fmt: skip
def test_bad_targets_are_answered(target: str, status: int) -> None:
    app = Toy()
    with Serving(app) as serving, RawClient(serving) as client:
        client.begin()
        client.write(headers(block(request(target))[:8000], 1, END_STREAM))
        client.write(frame(CONTINUATION, END_HEADERS, 1, block(request(target))[8000:]))
        client.wait_for_end(1)
        assert client.statuses[1] == status


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([(":method", "CONNECT"), (":authority", "a:443")], 501),
        ([(":method", "GET"), (":scheme", "http"), (":path", "/")], 400),
        ([(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "u@a")], 400),
        ([(":method", "BREW"), (":scheme", "http"), (":path", "/"), (":authority", "a")], 200),
        ([(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "b")], 200),
    ],
)
def test_unusual_requests(serving: Serving, fields: list[tuple[str, str]], status: int) -> None:
    with RawClient(serving) as client:
        client.begin()
        client.write(headers(block(fields)))
        client.wait_for_end(1)
        assert client.statuses[1] == status


@pytest.mark.parametrize(
    "fields",
    [
        [(":method", "CONNECT"), (":authority", "a"), (":path", "/")],
        [(":method", "CONNECT"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
        request("/", (":protocol", "websocket")),
        request("/", ("host", "b")),
        request("/", ("content-length", "1")),
        request("/", ("content-length", "x")),
        request("/", ("content-length", "1"), ("content-length", "1")),
        request("/", ("x-a", "b\nc")),
        request("/", ("x-a", " b")),
        request("/", ("x a", "b")),
        request("/", ("", "b")),
        request("/", ("transfer-encoding", "chunked")),
        request("/", ("upgrade", "h2c")),
        request(method="get"),
        [(":method", "GET"), (":scheme", "ftp"), (":path", "/"), (":authority", "a")],
    ],
    ids=str,
)
def test_malformed_requests_are_reset(serving: Serving, fields: list[tuple[str, str]]) -> None:
    with RawClient(serving) as client:
        client.begin()
        client.write(headers(block(fields)))
        assert client.reset_code(1) == 1
        assert client.answers_pings()


def test_trailers_that_are_malformed(serving: Serving) -> None:
    with RawClient(serving) as client:
        client.begin()
        client.write(post(1, "/wait") + headers(block([("X-Bad", "1")])))
        assert client.reset_code(1) == 1


def test_a_client_that_does_not_read_is_left(serving: Serving) -> None:
    gone = threading.Event()
    app = Toy()

    def large(exchange: Exchange) -> None:
        exchange.when_gone(gone.set)
        exchange.start(Head(200, "text/plain"))
        exchange.write(b"x" * 100_000)

    app.loop("/", large)
    with Serving(app, network_timeout=0.3) as other, RawClient(other) as client:
        client.begin((4, 0))
        client.write(get())
        assert client.reset_code(1) == CANCEL
        assert happens(gone)
        assert client.answers_pings()


def test_a_client_whose_socket_is_full_is_left() -> None:
    app = Toy()
    app.thread("/", lambda exchange: answer(exchange, b"x" * 30_000_000))
    with Serving(app, network_timeout=0.3) as other, RawClient(other, 4096) as client:
        client.begin((4, 2**31 - 1))
        client.write(window_update(0, 2**30) + get())
        until(lambda: other.connections == 0, "the server to give up")


def test_requests_without_reading_the_answers_are_bounded() -> None:
    """Heads of answers are under no flow control; what piles up must not grow for ever."""
    app = Toy()
    served = []

    def empty(exchange: Exchange) -> None:
        served.append(1)
        answer(exchange, b"", 200, x="y" * 4000)

    app.loop("/", empty)
    with Serving(app, network_timeout=0.5) as other, RawClient(other, 4096) as client:
        client.begin()
        client.client.socket.settimeout(0.2)
        try:
            for at in range(1, 40_001, 2):
                client.client.write(get(at))
        except OSError:
            pass
        assert len(served) < 5000
        until(lambda: other.connections == 0, "the server to give up")


def test_bodies_that_take_too_long_are_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skitai.server.http2.stream.LINGER_SECONDS", 0.1)
    app = Toy()
    app.thread("/", lambda exchange: answer(exchange, b"never"))
    with Serving(app, network_timeout=0.2) as other, RawClient(other) as client:
        client.begin()
        client.write(post(1))
        client.wait_for_end(1)
        assert client.statuses[1] == 408
        assert client.reset_code(1) == 0


def test_headers_that_take_too_long(serving: Serving) -> None:
    app = Toy()
    with Serving(app, header_timeout=0.2) as other, RawClient(other) as client:
        client.begin()
        client.write(headers(block(request()), 1, END_STREAM))
        client.write(frame(CONTINUATION, 0, 1, b""))
        assert client.goaway_code() == ENHANCE_YOUR_CALM


def test_a_preface_that_is_never_complete() -> None:
    with Serving(Toy(), header_timeout=0.2) as other, other.connect() as client:
        client.write(b"PRI * HTTP/2")
        assert client.read().status in (400, 408)
        assert client.is_closed()


def test_an_idle_connection_is_closed_in_order_even_if_it_pings() -> None:
    with Serving(Toy(), keep_alive=0.3) as other, RawClient(other) as client:
        client.begin()
        assert client.answers_pings()
        assert client.goaway_code() == 0


def test_a_drain_ends_a_connection_behind_its_last_answer() -> None:
    gate = Gate()
    app = Toy()
    app.thread("/slow", gate)
    app.loop("/", lambda exchange: answer(exchange, b"late"))
    with Serving(app) as other, RawClient(other) as client:
        client.begin()
        client.write(get(1, "/slow"))
        assert client.answers_pings()
        other.loop.call_soon_threadsafe(_drain, other)
        client.write(get(3))
        client.wait_for_end(3)
        assert client.answers_pings()
        gate.opened.set()
        client.wait_for_end(1)
        assert client.wait(GOAWAY).payload == word(3) + word(0)
        assert client.client.is_closed()


def test_a_drain_ends_idle_connections() -> None:
    with Serving(Toy()) as other, RawClient(other) as client:
        client.begin()
        other.loop.call_soon_threadsafe(_drain, other)
        assert client.goaway_code() == 0


def test_a_drain_announces_its_end_to_a_busy_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skitai.server.http2.connection.ANNOUNCE_SECONDS", 0.05)
    opened = threading.Event()
    app = Toy()

    def slow(exchange: Exchange) -> None:
        assert happens(opened)
        answer(exchange, b"done")

    app.thread("/slow", slow)
    app.loop("/", lambda exchange: answer(exchange, b"late"))
    with Serving(app) as other, RawClient(other) as client:
        client.begin()
        client.write(get(1, "/slow"))
        assert client.answers_pings()
        other.loop.call_soon_threadsafe(_drain, other)
        # Announced, not final: a request that was on its way is served.
        assert client.wait(GOAWAY).payload == word(2**31 - 1) + word(0)
        client.write(get(3))
        client.wait_for_end(3)
        assert client.wait(GOAWAY).payload == word(3) + word(0)
        client.write(get(5))  # passed over
        assert client.answers_pings()
        opened.set()
        client.wait_for_end(1)
        assert client.client.is_closed()
        assert sorted(client.statuses) == [1, 3]


def _drain(serving: Serving) -> None:
    serving.server.draining = True
    serving.server.draining_since = serving.server.clock.now


def test_too_many_connections() -> None:
    app = Toy()
    with Serving(app, max_connections=1) as other, RawClient(other) as first:
        first.begin()
        with other.connect() as second:
            assert second.read().status == 503


def test_nothing_is_served_behind_an_error(serving: Serving) -> None:
    app = Toy()
    seen = []
    app.loop("/", lambda exchange: seen.append(1))
    with Serving(app) as other, RawClient(other) as client:
        client.begin()
        client.write(frame(PING, 0, 1, bytes(8)) + get())
        assert client.goaway_code() == 1
        assert seen == []


def test_a_half_closed_client_gets_its_answers(serving: Serving) -> None:
    with RawClient(serving) as client:
        client.begin()
        client.write(get(1) + get(3))
        client.client.half_close()
        client.wait_for_end(1)
        if 3 not in client.statuses:
            client.wait(HEADERS, 3)


def test_a_client_that_is_gone_ends_its_requests() -> None:
    gone = threading.Event()
    app = Toy()
    app.loop("/", lambda exchange: exchange.when_gone(gone.set))
    with Serving(app) as other, RawClient(other) as client:
        client.begin()
        client.write(get())
        until(lambda: other.connections, "the connection")
        client.answers_pings()
        client.client.reset()
        assert happens(gone)


def test_a_slow_reader_gets_everything() -> None:
    app = Toy()
    app.thread("/", lambda exchange: answer(exchange, b"x" * 8_000_000, kind="image/png"))
    with Serving(app) as other, RawClient(other, 4096) as client:
        client.begin((4, 2**31 - 1))
        client.write(window_update(0, 2**30) + get(1) + get(3))
        sizes = {1: 0, 3: 0}
        while 0 in sizes.values() or min(sizes.values()) < 8_000_000:
            got = client.read()
            if got.kind == DATA:
                sizes[got.stream] += len(got.payload)
        assert sizes == {1: 8_000_000, 3: 8_000_000}
        assert client.answers_pings()


def test_requests_are_read_again_when_the_answers_are() -> None:
    app = Toy()
    app.loop("/", lambda exchange: answer(exchange, b"", 200, x="y" * 4000))
    with Serving(app) as other, RawClient(other, 4096) as client:
        client.begin()
        count = 6000
        sending = threading.Thread(
            target=client.write, args=(b"".join(get(2 * at + 1) for at in range(count)),)
        )
        sending.start()
        client.wait_for_end(2 * count - 1)
        sending.join()
        assert len(client.statuses) == count


def test_the_last_word_comes_behind_what_waits() -> None:
    app = Toy()
    app.thread("/", lambda exchange: answer(exchange, b"x" * 8_000_000, kind="image/png"))
    with Serving(app) as other, RawClient(other, 4096) as client:
        client.begin((4, 2**31 - 1))
        client.write(window_update(0, 2**30) + get(1))
        client.wait(DATA, 1)
        client.write(frame(PING, 0, 1, bytes(8)))
        assert client.goaway_code() == 1


def test_a_streamed_body_that_takes_too_long_is_408() -> None:
    app = Toy()

    async def read(exchange: Exchange) -> None:
        assert exchange.input is not None
        try:
            await exchange.input.read(10)
        except HTTPError as exc:
            exchange.fail(exc)

    app.coroutine("/", read, takes_body=False, streams_body=True)
    with Serving(app, network_timeout=0.2) as other, RawClient(other) as client:
        client.begin()
        client.write(post(1))
        client.wait_for_end(1)
        assert client.statuses[1] == 408
        client.write(frame(DATA, END_STREAM, 1))
        assert client.answers_pings()


@pytest.mark.parametrize("first", [frame(PING, 0, 0, bytes(8)), frame(SETTINGS, ACK), get()])
def test_settings_come_first(serving: Serving, first: bytes) -> None:
    with RawClient(serving) as client:
        client.write(PREFACE + first)
        assert client.goaway_code() == 1


def test_an_app_may_answer_a_client_that_has_left() -> None:
    gate, gone = Gate(), threading.Event()
    app = Toy()

    def wait(exchange: Exchange) -> None:
        exchange.when_gone(gone.set)
        gate(exchange)

    app.thread("/", wait)
    with Serving(app) as other, RawClient(other) as client:
        client.begin()
        client.write(get())
        assert happens(gate.entered)
        client.write(frame(RST_STREAM, 0, 1, word(CANCEL)))
        assert happens(gone)
        gate.opened.set()
        client.write(get(3, "/nothing"))
        client.wait_for_end(3)
        assert 1 not in client.statuses


def test_a_body_of_a_half_closed_client_is_lost() -> None:
    lost = threading.Event()
    app = Toy()

    async def read(exchange: Exchange) -> None:
        assert exchange.input is not None
        try:
            await exchange.input.read(10)
        except HTTPError as exc:
            lost.set()
            exchange.fail(exc)

    app.coroutine("/", read, takes_body=False, streams_body=True)
    with Serving(app) as other, RawClient(other) as client:
        client.begin()
        client.write(post(1))
        client.client.half_close()
        assert happens(lost)
        client.wait_for_end(1)
        assert client.statuses[1] == 400


def test_a_client_may_give_back_each_piece_of_a_stream() -> None:
    app = Toy()

    def stream(exchange: Exchange) -> None:
        exchange.start(Head(200, "text/plain"))
        for _ in range(1200):
            exchange.write(b"x" * 40)
        exchange.end()

    app.thread("/", stream)
    with Serving(app) as other, RawClient(other) as client:
        client.begin()
        client.write(get())
        while True:
            got = client.read()
            if got.kind == DATA:
                if got.flags & END_STREAM:
                    break
                size = len(got.payload)
                client.write(window_update(0, size) + window_update(1, size))
        assert client.answers_pings()
