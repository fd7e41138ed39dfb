"""Request bodies over real sockets: 100-continue, sizes, slow clients; and too many of them."""

from __future__ import annotations

import gc
import os
import select
import threading
from typing import TYPE_CHECKING

import pytest
from serving import Client, Gate, Response, Serving, Toy, answer, happens, until

from skitai.server import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skitai.server.exchange import Exchange

EXPECT = "Expect: 100-continue"
CHUNKED = "Transfer-Encoding: chunked"


def echo(exchange: Exchange) -> None:
    answer(exchange, exchange.body.read() if exchange.body else b"nothing")


async def echo_later(exchange: Exchange) -> None:
    echo(exchange)


@pytest.fixture
def app() -> Toy:
    """Echoes bodies at /thread, /loop, /coroutine, up to 10 bytes at /small."""
    app = Toy()
    app.thread("/thread", echo, max_body=10_000_000)
    app.loop("/loop", echo)
    app.coroutine("/coroutine", echo_later)
    app.thread("/small", echo, max_body=10)
    return app


@pytest.fixture
def serving(app: Toy) -> Iterator[Serving]:
    with Serving(app) as serving:
        yield serving


def readable(client: Client) -> bool:
    """Whether something has come; waits a moment for it."""
    return bool(client.received) or bool(select.select([client.socket], [], [], 0.005)[0])


def dribble(client: Client, data: bytes) -> None:
    """Send the same bytes again and again, one by one, until something comes back."""
    while True:
        for byte in data:
            if readable(client):
                return
            client.write(bytes([byte]))


def send_forever(client: Client) -> None:
    while True:
        client.write(b"x" * 1000)


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


# -- reading


@pytest.mark.parametrize("target", ["/thread", "/loop", "/coroutine"])
def test_a_body_arrives(serving: Serving, target: str) -> None:
    with serving.connect() as client:
        for _ in range(2):
            for pieces in ([b"hello"], [b"\r\n\r\n"], [b"a", b"bc" * 1000, b"\0" * 70_000]):
                body = b"".join(pieces)
                client.send(f"POST {target} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}")
                client.write(body)
                assert client.read().body == body
                client.send(f"PUT {target} HTTP/1.1", "Host: a", CHUNKED, body=chunks(*pieces))
                assert client.read().body == body
            client.send(f"POST {target} HTTP/1.1", "Host: a", "Content-Length: 0")
            assert client.read().body == b"nothing"
            client.send(f"POST {target} HTTP/1.1", "Host: a", CHUNKED, body=b"0\r\n\r\n")
            assert client.read().body == b""


def test_pipelined_bodies_are_kept_apart(serving: Serving) -> None:
    data = b"".join(
        b"POST /%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
        % ((b"thread", b"loop", b"coroutine")[number % 3], number, b"x" * number)
        for number in range(1, 100)
    )
    with serving.connect() as client:
        client.write(data)
        for number in range(1, 100):
            assert client.read().body == b"x" * number


def test_a_refused_upgrade_keeps_its_body(serving: Serving) -> None:
    with serving.connect() as client:
        for _ in range(3):
            client.send(
                "POST /thread HTTP/1.1", "Host: a", "Connection: upgrade", "Upgrade: h2c",
                "Content-Length: 31", body=b"GET /thread HTTP/1.1\r\nHost: a\r\n",
            )  # fmt: skip
            response = client.read()
            assert (response.status, response.body) == (200, b"GET /thread HTTP/1.1\r\nHost: a\r\n")
        client.send("GET /thread HTTP/1.1", "Host: a")
        assert client.read().body == b"nothing"


@pytest.mark.parametrize("size", [1_000_000, 1_100_000, 5_000_000])
def test_a_large_body_arrives(serving: Serving, size: int) -> None:
    body = os.urandom(size)
    with serving.connect() as client:
        client.send("POST /thread HTTP/1.1", "Host: a", f"Content-Length: {size}", body=body)
        assert client.read().body == body


def test_the_file_of_a_large_body_is_given_back(app: Toy) -> None:
    """Python warns of files that nobody closed, which fails a test."""
    gate, entered = Gate(), threading.Event()

    def crash(exchange: Exchange) -> None:
        entered.set()
        raise ZeroDivisionError

    app.thread("/crash", crash, max_body=10_000_000)
    app.thread("/gate", gate, max_body=10_000_000)
    head = ("Host: a", "Content-Length: 2000000")
    with Serving(app) as serving:
        with serving.connect() as client:
            client.send("POST /thread HTTP/1.1", *head, body=b"x" * 2_000_000)
            assert len(client.read().body) == 2_000_000
            client.send("POST /crash HTTP/1.1", *head, body=b"x" * 2_000_000)
            assert client.read().status == 500
            client.send("POST /thread HTTP/1.1", *head, body=b"x" * 1_500_000)
            client.reset()
        with serving.connect() as client:
            client.send("POST /gate HTTP/1.1", *head, body=b"x" * 2_000_000)
            assert happens(gate.entered)
            client.reset()
        until(lambda: serving.connections == 0, "the server has noticed")
        gate.opened.set()
    gc.collect()


# -- 100-continue


@pytest.mark.parametrize("target", ["/thread", "/loop", "/coroutine"])
@pytest.mark.parametrize("expectation", [EXPECT, "expect: 100-CONTINUE", "Expect: 100-continue "])
def test_a_client_that_waits_is_told_to_send(
    serving: Serving, target: str, expectation: str
) -> None:
    with serving.connect() as client:
        for _ in range(2):
            client.send(f"POST {target} HTTP/1.1", "Host: a", "Content-Length: 5", expectation)
            interim = client.read()
            assert (interim.status, interim.fields) == (100, [])
            client.write(b"hello")
            assert client.read().body == b"hello"
            client.send(f"POST {target} HTTP/1.1", "Host: a", CHUNKED, expectation)
            assert client.read().status == 100
            client.write(chunks(b"hel", b"lo"))
            assert client.read().body == b"hello"


def test_a_client_need_not_wait(serving: Serving) -> None:
    with serving.connect() as client:
        for _ in range(3):
            client.send(
                "POST /thread HTTP/1.1", "Host: a", "Content-Length: 5", EXPECT, body=b"hello"
            )
            response = client.read()
            if response.status == 100:
                response = client.read()
            assert response.body == b"hello"


def test_a_body_that_is_not_wanted_is_not_asked_for(serving: Serving) -> None:
    for target, length, status in (("/small", 11, 413), ("/thread", 10_000_001, 413)):
        with serving.connect() as client:
            client.send(f"POST {target} HTTP/1.1", "Host: a", f"Content-Length: {length}", EXPECT)
            response = client.read()
            assert (response.status, response["Connection"]) == (status, "close")
            assert client.is_closed()


def test_an_unknown_expectation_is_417(serving: Serving) -> None:
    for expectation in ("Expect: 200-ok", "Expect: 100-continue, more", "Expect:"):
        with serving.connect() as client:
            client.send("POST /thread HTTP/1.1", "Host: a", "Content-Length: 5", expectation)
            assert client.read().status == 417
            assert client.is_closed()


def test_a_request_without_a_body_expects_nothing(serving: Serving) -> None:
    with serving.connect() as client:
        client.send("GET /thread HTTP/1.1", "Host: a", EXPECT)
        assert client.read().body == b"nothing"
        client.send("POST /thread HTTP/1.1", "Host: a", "Content-Length: 0", EXPECT)
        assert client.read().body == b"nothing"


def test_a_1_0_client_is_not_sent_interim_responses(serving: Serving) -> None:
    """RFC 9110, 10.1.1: it would take them for the answer."""
    with serving.connect() as client:
        client.send("POST /thread HTTP/1.0", "Host: a", "Content-Length: 5", EXPECT)
        client.write(b"hello")
        assert client.read().body == b"hello"


def test_the_interim_response_waits_for_its_turn(app: Toy) -> None:
    gate = Gate()
    app.thread("/gate", gate)
    with Serving(app) as serving, serving.connect() as client:
        client.send("GET /gate HTTP/1.1", "Host: a")
        client.send("POST /thread HTTP/1.1", "Host: a", "Content-Length: 5", EXPECT)
        assert happens(gate.entered)
        gate.opened.set()
        assert client.read().body == b"gate"
        assert client.read().status == 100
        client.write(b"hello")
        assert client.read().body == b"hello"


def test_a_body_whose_turn_has_not_come_does_not_pile_up(app: Toy) -> None:
    gate = Gate()
    app.thread("/gate", gate)
    size = 9_000_000
    with Serving(app) as serving, serving.connect() as client:
        client.send("GET /gate HTTP/1.1", "Host: a")
        assert happens(gate.entered)
        client.send("POST /thread HTTP/1.1", "Host: a", f"Content-Length: {size}")
        (server_side,) = serving.server._connections
        until(lambda: server_side._waiting, "the server has seen it")
        sender = threading.Thread(target=client.write, args=(b"x" * size,))
        sender.start()
        until(lambda: server_side._paused, "the server reads no more")
        assert server_side._waiting[0].body.size < 1_000_000
        gate.opened.set()
        assert client.read().body == b"gate"
        assert client.read().body == b"x" * size
        sender.join()
        client.send("GET /loop HTTP/1.1", "Host: a")
        assert client.read().body == b"nothing"


# -- bodies that are too large


def refused(client: Client) -> Response:
    """The answer to a client that has sent all of a body nobody wanted."""
    response = client.read()
    assert response.status == 413
    assert response["Connection"] == "close"
    assert b"10 bytes" in response.body
    assert client.is_closed()
    return response


def test_an_announced_body_that_is_too_large_is_413(serving: Serving) -> None:
    for size in (11, 100_000, 3_000_000):
        with serving.connect() as client:
            client.send("POST /small HTTP/1.1", "Host: a", f"Content-Length: {size}")
            client.write(b"x" * size)  # all of it: neither does it block, nor is it reset
            refused(client)


def test_a_length_beyond_all_bounds_is_413(serving: Serving) -> None:
    with serving.connect() as client:
        client.send("POST /small HTTP/1.1", "Host: a", f"Content-Length: {2**64 - 1}")
        refused(client)


def test_chunks_that_become_too_large_are_413(serving: Serving) -> None:
    for pieces in ([b"hello", b"world!"], [b"x" * 1000] * 1000):
        with serving.connect() as client:
            client.send("POST /small HTTP/1.1", "Host: a", CHUNKED)
            for piece in pieces:
                client.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            client.write(b"0\r\n\r\n")
            refused(client)


def test_a_body_that_fits_exactly(serving: Serving) -> None:
    with serving.connect() as client:
        client.send("POST /small HTTP/1.1", "Host: a", "Content-Length: 10", body=b"0123456789")
        assert client.read().body == b"0123456789"
        client.send("POST /small HTTP/1.1", "Host: a", CHUNKED, body=chunks(b"01234", b"56789"))
        assert client.read().body == b"0123456789"


def test_an_endpoint_without_a_limit_has_that_of_the_settings() -> None:
    app = Toy()
    app.thread("/", echo, max_body=None)
    with Serving(app, max_upload_size=10) as serving:
        with serving.connect() as client:
            client.send("POST / HTTP/1.1", "Host: a", "Content-Length: 10", body=b"0123456789")
            assert client.read().body == b"0123456789"
            client.send("POST / HTTP/1.1", "Host: a", "Content-Length: 11", body=b"0123456789x")
            refused(client)


def test_a_client_that_sends_on_after_its_refusal_is_left(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LINGER_SECONDS", 0.1)
    with serving.connect() as client:
        client.send("POST /small HTTP/1.1", "Host: a", "Content-Length: 1000000000")
        assert client.read().status == 413
        with pytest.raises(ConnectionError):
            send_forever(client)


# -- slow clients


STARTS = ["G", "GET /", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX: "]


@pytest.mark.parametrize("start", STARTS)
def test_a_head_that_stops_is_408(app: Toy, start: str) -> None:
    with Serving(app, header_timeout=0.1) as serving, serving.connect() as client:
        client.write(start.encode())
        response = client.read()
        assert response.status == 408
        assert response["Connection"] == "close"
        assert client.is_closed()


@pytest.mark.parametrize("start", [STARTS[1], STARTS[3]])
def test_a_head_that_trickles_is_408(app: Toy, start: str) -> None:
    with Serving(app, header_timeout=0.1) as serving, serving.connect() as client:
        client.write(start.encode())
        dribble(client, b"x")
        assert client.read().status == 408


def test_a_head_that_takes_too_long_behind_an_answered_request_is_408(app: Toy) -> None:
    with Serving(app, header_timeout=0.1) as serving, serving.connect() as client:
        client.write(b"GET /thread HTTP/1.1\r\nHost: a\r\n\r\nGET /thread HTTP/1.1\r\n")
        assert client.read().status == 200
        assert client.read().status == 408
        assert client.is_closed()


@pytest.mark.parametrize("framing", ["Content-Length: 50", CHUNKED])
@pytest.mark.parametrize("body", [b"", b"5\r\nhello"])
def test_a_body_that_stops_is_408(app: Toy, framing: str, body: bytes) -> None:
    gate = Gate()
    app.thread("/gate", gate)
    with Serving(app, network_timeout=0.1) as serving, serving.connect() as client:
        client.send("POST /gate HTTP/1.1", "Host: a", framing)
        client.write(body)
        response = client.read()
        assert response.status == 408
        assert response["Connection"] == "close"
        assert client.is_closed()
    assert gate.calls == 0


def test_a_body_that_is_promised_but_does_not_come_is_408(app: Toy) -> None:
    with Serving(app, network_timeout=0.1) as serving, serving.connect() as client:
        client.send("POST /thread HTTP/1.1", "Host: a", "Content-Length: 5", EXPECT)
        assert client.read().status == 100
        assert client.read().status == 408


def test_a_body_that_trickles_is_408(app: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MIN_BODY_RATE", 1_000_000)
    with Serving(app, network_timeout=0.2) as serving, serving.connect() as client:
        client.send("POST /thread HTTP/1.1", "Host: a", "Content-Length: 1000000")
        dribble(client, b"x")
        assert client.read().status == 408


def test_a_body_may_take_its_time_while_it_keeps_coming(app: Toy) -> None:
    size = 1_000_000
    with Serving(app, network_timeout=0.5) as serving:
        stopped, steady = serving.connect(), serving.connect()
        for client in (steady, stopped):
            client.send("POST /thread HTTP/1.1", "Host: a", f"Content-Length: {size}", body=b"x")
        sent = 1
        while not readable(stopped):  # which takes the whole timeout
            steady.write(b"x" * 500)
            sent += 500
        assert stopped.read().status == 408
        steady.write(b"x" * (size - sent))
        assert steady.read().body == b"x" * size


def test_the_time_for_a_body_begins_with_its_turn(app: Toy) -> None:
    gate = Gate()
    app.thread("/gate", gate)
    with Serving(app, network_timeout=0.3) as serving:
        client, stopped = serving.connect(), serving.connect()
        client.send("GET /gate HTTP/1.1", "Host: a")
        client.send("POST /thread HTTP/1.1", "Host: a", "Content-Length: 10", body=b"hello")
        assert happens(gate.entered)
        stopped.send("POST /thread HTTP/1.1", "Host: a", "Content-Length: 10", body=b"hello")
        assert stopped.read().status == 408
        gate.opened.set()
        assert client.read().body == b"gate"
        begin = serving.server.clock.now
        until(lambda: serving.server.clock.now > begin + 0.1, "the server has looked at the clock")
        client.write(b"world")
        response = client.read()
        assert (response.status, response.body) == (200, b"helloworld")


# -- too many


def test_a_connection_too_many_is_503(app: Toy) -> None:
    with Serving(app, max_connections=2) as serving:
        first, second = serving.connect(), serving.connect()
        for client in (first, second):
            client.send("GET /thread HTTP/1.1", "Host: a")
            assert client.read().status == 200
        for _ in range(2):
            with serving.connect() as third:
                response = third.read()
                assert response.status == 503
                assert int(response["Retry-After"]) > 0
                assert response["Connection"] == "close"
                assert third.is_closed()
        first.close()
        until(lambda: serving.connections == 1, "there is room again")
        with serving.connect() as third:
            third.send("GET /thread HTTP/1.1", "Host: a")
            assert third.read().status == 200
        second.send("GET /thread HTTP/1.1", "Host: a")
        assert second.read().status == 200


def test_a_request_too_many_is_503(app: Toy) -> None:
    gates = [Gate(f"/gate{number}") for number in range(2)]
    for gate in gates:
        app.thread(gate.name, gate)
    with Serving(app, threads=1, max_queued=1) as serving:
        assert serving.pool
        running, queued, third = (serving.connect() for _ in range(3))
        running.send("GET /gate0 HTTP/1.1", "Host: a")
        assert happens(gates[0].entered)
        queued.send("GET /gate1 HTTP/1.1", "Host: a")
        until(lambda: serving.pool.waiting == 1, "the second is queued")
        for _ in range(2):
            third.send("GET /thread HTTP/1.1", "Host: a")
            response = third.read()
            assert response.status == 503
            assert int(response["Retry-After"]) > 0
            assert response.get("Connection") is None
        third.send("GET /loop HTTP/1.1", "Host: a")
        assert third.read().status == 200
        for gate, client in zip(gates, (running, queued), strict=True):
            gate.opened.set()
            assert client.read().body == gate.name.encode()
        third.send("GET /thread HTTP/1.1", "Host: a")
        assert third.read().status == 200


def test_an_answer_that_ignores_the_body_comes_before_a_long_one_and_keeps_short_ones_alive():
    app = Toy()
    app.loop("/no", lambda exchange: answer(exchange, b"no"), takes_body=False)
    with Serving(app) as serving:
        client = serving.connect()
        client.send("POST /no HTTP/1.1", "Host: x", "Content-Length: 5", body=b"12345")
        assert client.read("POST").body == b"no"
        client.send("POST /no HTTP/1.1", "Host: x", "Content-Length: 70000000", body=b"12345")
        reply = client.read("POST")
        assert (reply.status, reply.body) == (200, b"no")
        assert reply.get("connection") == "close"


def test_a_body_that_nobody_wants_is_not_kept(app: Toy) -> None:
    gate = Gate()
    exchanges: list[Exchange] = []

    def wait(exchange: Exchange) -> None:
        exchanges.append(exchange)
        gate(exchange)

    app.thread("/gate", wait, takes_body=False)
    with Serving(app) as serving, serving.connect() as client:
        client.send("POST /gate HTTP/1.1", "Host: a", CHUNKED)
        assert happens(gate.entered)
        for _ in range(32):
            client.write(b"10000\r\n" + bytes(65536) + b"\r\n")
        assert exchanges[0].body is not None
        assert exchanges[0].body.size == 0
        gate.opened.set()
        assert client.read().body == b"gate"
        assert exchanges[0].body.size == 0


def test_an_answer_that_does_not_wait_for_the_body_may_take_longer_than_it(app: Toy) -> None:
    gate = Gate()
    app.thread("/gate", gate, takes_body=False)
    with Serving(app, network_timeout=0.1) as serving, serving.connect() as client:
        client.send("POST /gate HTTP/1.1", "Host: a", CHUNKED)
        assert happens(gate.entered)
        began = serving.server.clock.now
        until(lambda: serving.server.clock.now > began + 0.3, "the time for a body to pass")
        gate.opened.set()
        assert client.read().body == b"gate"
