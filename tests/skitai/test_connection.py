"""HTTP/1 connections over real sockets: their life, the order of answers, clients that leave."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest
from serving import Gate, Serving, Toy, answer, happens, until

from atila import Atila
from skitai.handlers.files import respond_file
from skitai.server import connection
from skitai.server.representation import Head
from skitai.server.streaming import IteratorStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from skitai.server.exchange import Exchange

MODES = ["thread", "loop", "coroutine"]


def echo_path(exchange: Exchange) -> None:
    answer(exchange, exchange.request.target.encode())


async def echo_path_later(exchange: Exchange) -> None:
    await asyncio.sleep(0)
    echo_path(exchange)


def three_modes() -> Toy:
    """Answers /thread, /loop and /coroutine with the target of the request."""
    app = Toy()
    app.thread("/thread", echo_path)
    app.loop("/loop", echo_path)
    app.coroutine("/coroutine", echo_path_later)
    return app


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving(three_modes()) as serving:
        yield serving


def run_on(serving: Serving, function: Callable[[], object]) -> None:
    """Call something on the server's loop and wait for it."""
    done = threading.Event()
    serving.loop.call_soon_threadsafe(lambda: (function(), done.set()))
    assert happens(done)


# -- keep-alive and close


@pytest.mark.parametrize("mode", MODES)
def test_a_1_1_connection_serves_many_requests(serving: Serving, mode: str) -> None:
    with serving.connect() as client:
        for number in range(5):
            response = client.get(f"/{mode}?{number}")
            assert (response.status, response.version) == (200, "1.1")
            assert response.body == f"/{mode}?{number}".encode()
            assert response.get("Connection") is None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "head",
    [
        ("GET /{} HTTP/1.1", "Host: a", "Connection: close"),
        ("GET /{} HTTP/1.0",),
        ("GET /{} HTTP/1.0", "Connection: close"),
    ],
    ids=["1.1 close", "1.0", "1.0 close"],
)
def test_a_connection_is_closed_after_the_last_request(
    serving: Serving, mode: str, head: tuple[str, ...]
) -> None:
    with serving.connect() as client:
        client.send(*(line.format(mode) for line in head))
        response = client.read()
        assert response.body == f"/{mode}".encode()
        assert response["Connection"] == "close"
        assert client.is_closed()


@pytest.mark.parametrize("mode", MODES)
def test_a_1_0_client_can_keep_its_connection(serving: Serving, mode: str) -> None:
    with serving.connect() as client:
        for _ in range(3):
            client.send(f"GET /{mode} HTTP/1.0", "Connection: keep-alive")
            response = client.read()
            assert response["Connection"] == "keep-alive"
            assert response.framing == "length"


def test_a_request_can_come_in_pieces(serving: Serving) -> None:
    with serving.connect() as client:
        for byte in b"GET /loop HTTP/1.1\r\nHost: a\r\n\r\n":
            client.write(bytes([byte]))
        assert client.read().body == b"/loop"


def test_what_follows_the_last_request_is_ignored(serving: Serving) -> None:
    with serving.connect() as client:
        client.write(
            b"GET /thread HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            b"GET /loop HTTP/1.1\r\nHost: a\r\n\r\n"
        )
        assert client.read().body == b"/thread"
        assert client.is_closed()


def test_an_idle_connection_is_closed_after_its_time() -> None:
    app = three_modes()
    gate = Gate()
    app.thread("/gate", gate)
    with Serving(app, keep_alive=0.1) as serving:
        busy, fresh, used = serving.connect(), serving.connect(), serving.connect()
        busy.send("GET /gate HTTP/1.1", "Host: a")
        assert used.get("/loop").status == 200
        assert fresh.is_closed()
        assert used.is_closed()
        assert happens(gate.entered)
        gate.opened.set()  # it has worked for longer than others may be idle
        assert busy.read().body == b"gate"
        assert busy.is_closed()


def test_a_draining_server_answers_and_closes(serving: Serving) -> None:
    app: Toy = serving._app
    gate = Gate()
    app.thread("/gate", gate)
    with serving.connect() as client:
        client.send("GET /gate HTTP/1.1", "Host: a")
        assert happens(gate.entered)
        draining = asyncio.run_coroutine_threadsafe(serving.server.drain(10), serving.loop)
        until(lambda: serving.server.draining, "the server drains")
        gate.opened.set()
        response = client.read()
        assert (response.body, response["Connection"]) == (b"gate", "close")
        assert client.is_closed()
    assert draining.result(10) is True


def test_every_response_has_a_date_and_the_server(serving: Serving) -> None:
    with serving.connect() as client:
        for target in ("/thread", "/nowhere"):
            response = client.get(target)
            assert abs(parsedate_to_datetime(response["Date"]).timestamp() - time.time()) < 3
            assert response["Server"] == "skitai"
        client.write(b"nonsense\r\n\r\n")
        assert client.read()["Date"]


# -- pipelining


def pipeline(targets: list[str]) -> bytes:
    return b"".join(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for target in targets)


@pytest.mark.parametrize("modes", [["thread"], ["loop"], ["coroutine"], MODES], ids=" ".join)
def test_200_requests_at_once_are_answered_in_order(serving: Serving, modes: list[str]) -> None:
    targets = [f"/{modes[number % len(modes)]}?{number}" for number in range(200)]
    with serving.connect() as client:
        client.write(pipeline(targets))
        assert [client.read().body.decode() for _ in targets] == targets
        assert client.get("/loop").body == b"/loop"


def test_fast_answers_wait_for_slow_ones() -> None:
    app = three_modes()
    gates = [Gate(f"/gate{number}") for number in range(3)]
    for gate in gates:
        app.thread(gate.name, gate)
    targets = ["/loop", "/gate0", "/loop", "/coroutine", "/gate1", "/thread", "/gate2", "/loop"]
    with Serving(app) as serving, serving.connect() as client:
        client.write(pipeline(targets))
        assert client.read().body == b"/loop"
        for gate in gates:
            assert happens(gate.entered)
            later = gates[gates.index(gate) + 1 :]
            assert not any(other.entered.is_set() for other in later)
            gate.opened.set()
        assert [client.read().body.decode() for _ in targets[1:]] == targets[1:]


def test_more_than_the_queue_holds_waits_in_the_socket() -> None:
    app = three_modes()
    gate = Gate("/gate")
    app.thread("/gate", gate)
    targets = ["/gate", *(f"/{MODES[number % 3]}?{number}" for number in range(500))]
    with Serving(app) as serving, serving.connect() as client:
        for target in targets:
            client.write(pipeline([target]))
        assert happens(gate.entered)
        gate.opened.set()
        assert [client.read().body.decode() for _ in targets] == targets


def test_order_holds_while_requests_arrive_and_threads_answer(serving: Serving) -> None:
    targets = [f"/{MODES[number * number % 3]}?{number}" for number in range(3000)]
    with serving.connect() as client:

        def send() -> None:
            for at in range(0, len(targets), 3):
                client.write(pipeline(targets[at : at + 3]))

        sender = threading.Thread(target=send)
        sender.start()
        answers = [client.read().body.decode() for _ in targets]
        sender.join()
    assert answers == targets


def test_requests_of_one_connection_never_run_at_the_same_time() -> None:
    app = Toy()
    running = 0
    most = 0

    def work(exchange: Exchange) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0)  # let another thread in
        running -= 1
        answer(exchange, b"")

    app.thread("/", work)
    with Serving(app, threads=8) as serving, serving.connect() as client:
        client.write(pipeline(["/"] * 300))
        for _ in range(300):
            assert client.read().status == 200
    assert most == 1


# -- malformed requests


def test_a_malformed_request_is_answered_and_the_connection_closed(serving: Serving) -> None:
    for data, status in (
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", 400),
        (b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
    ):
        with serving.connect() as client:
            client.write(data)
            response = client.read()
            assert response.status == status
            assert response["Connection"] == "close"
            assert response["Content-Type"] == "application/json"
            client.write(pipeline(["/loop"]))  # it is read past, not answered, and no reset follows
            assert client.is_closed()


def test_a_malformed_request_is_answered_behind_a_good_one() -> None:
    app = three_modes()
    gate = Gate()
    app.thread("/gate", gate)
    with Serving(app) as serving, serving.connect() as client:
        client.write(
            pipeline(["/gate", "/loop", "/thread"]) + b"bad \r\n\r\n" + pipeline(["/loop"])
        )
        assert happens(gate.entered)
        gate.opened.set()
        answers = [client.read() for _ in range(4)]
        assert [response.status for response in answers] == [200, 200, 200, 400]
        assert [response.get("Connection") for response in answers] == [None, None, None, "close"]
        assert client.is_closed()


def test_a_malformed_body_is_answered_and_the_connection_closed() -> None:
    app = Toy()
    gate = Gate()
    app.thread("/", gate)
    head = ("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")
    with Serving(app) as serving:
        for body in (b"x\r\n", b"3\r\nabc\r\nx\r\n", b"3\r\nabcdef\r\n"):
            with serving.connect() as client:
                client.send(*head, body=body)
                assert client.read().status == 400
                assert client.is_closed()
            with serving.connect() as client:
                client.send(*head)
                client.write(body)
                assert client.read().status == 400
                assert client.is_closed()
    assert gate.calls == 0


def test_a_malformed_body_behind_a_slow_request() -> None:
    app = Toy()
    gate = Gate()
    app.thread("/gate", gate)
    never = Gate()
    app.thread("/never", never)
    with Serving(app) as serving, serving.connect() as client:
        client.write(pipeline(["/gate"]))
        client.send("POST /never HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", body=b"x\r\n")
        assert happens(gate.entered)
        gate.opened.set()
        assert [client.read().status for _ in range(2)] == [200, 400]
        assert client.is_closed()
    assert never.calls == 0


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_served_behind_a_refused_body(mode: str) -> None:
    """The whole conversation comes in one piece: the refusal must stop what is already parsed."""
    app = three_modes()
    app.endpoints[f"/{mode}"].max_body = 10
    hidden = Gate()
    hidden.opened.set()
    app.loop("/hidden", hidden)
    with Serving(app) as serving:
        for behind in (pipeline(["/hidden"]), b"bad\r\n\r\n", b""):
            with serving.connect() as client:
                client.send(
                    f"POST /{mode} HTTP/1.1", "Host: a", "Content-Length: 11",
                    body=b"hello world" + behind,
                )  # fmt: skip
                assert client.read().status == 413
                assert client.is_closed()
    assert hidden.calls == 0


# -- methods


def shop() -> Atila:
    app = Atila("shop")

    @app.route("/items", methods=["GET", "POST"])
    def items(was):  # type: ignore[no-untyped-def]
        return "items"

    @app.get("/items/<int:number>")
    def item(was, number):  # type: ignore[no-untyped-def]
        return str(number)

    @app.delete("/items/<int:number>")
    def remove(was, number):  # type: ignore[no-untyped-def]
        return ""

    return app


def allowed(text: str) -> set[str]:
    return {method.strip() for method in text.split(",")}


def test_options_and_wrong_methods_tell_what_is_allowed() -> None:
    with Serving(shop()) as serving, serving.connect() as client:
        for target, methods in (
            ("/items", {"GET", "HEAD", "POST", "OPTIONS"}),
            ("/items/7", {"GET", "HEAD", "DELETE", "OPTIONS"}),
        ):
            for method, status in (("OPTIONS", 204), ("PUT", 405), ("PROPFIND", 405)):
                client.send(f"{method} {target} HTTP/1.1", "Host: a")
                response = client.read()
                assert response.status == status
                assert allowed(response["Allow"]) == methods
        client.send("OPTIONS * HTTP/1.1", "Host: a")
        response = client.read()
        assert response.status in (200, 204)
        assert {"GET", "HEAD", "POST", "OPTIONS"} <= allowed(response["Allow"])
        assert client.get("/items/7").body == b"7"


def test_head_is_get_without_the_body(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 300_000)
    app = Toy()
    closed: list[str] = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"first"
            yield b"second"
        finally:
            closed.append("closed")

    def stream(exchange: Exchange) -> None:
        IteratorStream(exchange, Head(200, "text/plain"), pieces(), app.pool).start()

    def file(exchange: Exchange) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        respond_file(exchange, Head(200, "text/plain"), descriptor, os.fstat(descriptor))

    app.thread("/bytes", lambda exchange: answer(exchange, b"hello", ETag='"1"', X_Y="z"))
    app.thread("/large", lambda exchange: answer(exchange, b"hello" * 10_000))
    app.loop("/nothing", lambda exchange: answer(exchange, b"", 204))
    app.loop("/error", lambda exchange: answer(exchange, b"lost", 404))
    app.thread("/stream", stream)
    app.thread("/file", file)
    with Serving(app) as serving, serving.connect() as client:
        for target in ("/bytes", "/large", "/nothing", "/error", "/stream", "/file", "/missing"):
            for version, more in (("1.1", ()), ("1.0", ("Connection: keep-alive",))):
                lines = (f"{target} HTTP/{version}", "Host: a", "Accept-Encoding: gzip", *more)
                if (target, version) == ("/stream", "1.0"):
                    continue  # its end is the end of the connection
                client.send(f"GET {lines[0]}", *lines[1:])
                full = client.read()
                client.send(f"HEAD {lines[0]}", *lines[1:])
                head = client.read("HEAD")
                assert head.status == full.status
                assert [pair for pair in head.fields if pair[0] != "Date"] == [
                    pair for pair in full.fields if pair[0] != "Date"
                ]
        assert client.get("/bytes").body == b"hello"
    assert closed == ["closed"] * 2


# -- clients that close one half, and clients that leave


@pytest.mark.parametrize("mode", MODES)
def test_a_client_that_closed_its_half_gets_its_answers(serving: Serving, mode: str) -> None:
    for _ in range(30):  # the end may come before, between and after the answers
        with serving.connect() as client:
            client.write(pipeline([f"/{mode}?1", f"/{mode}?2", f"/{mode}?3"]))
            client.half_close()
            assert [client.read().body.decode() for _ in range(3)] == [
                f"/{mode}?{number}" for number in (1, 2, 3)
            ]
            assert client.is_closed()


def test_a_client_that_closed_its_half_while_the_app_works_gets_its_answer() -> None:
    app = Toy()
    gate = Gate()
    app.thread("/", gate)
    with Serving(app) as serving, serving.connect() as client:
        client.write(pipeline(["/", "/"]))
        assert happens(gate.entered)
        client.half_close()
        (server_side,) = serving.server._connections
        until(lambda: server_side._half_closed, "the server has seen the end")
        gate.opened.set()
        answers = [client.read() for _ in range(2)]
        assert [response.body for response in answers] == [b"gate", b"gate"]
        assert [response.get("Connection") for response in answers] == [None, "close"]
        assert client.is_closed()


@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"GET", b"GET / HTTP/1.1\r\nHost: a\r\n"], ids=["0", "line", "3", "head"]
)
def test_a_client_that_closes_before_a_request_is_complete_gets_nothing(
    serving: Serving, data: bytes
) -> None:
    with serving.connect() as client:
        client.write(data)
        client.half_close()
        assert client.is_closed()


def test_a_client_that_closes_within_a_body_gets_nothing(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HALF_CLOSED_SECONDS", 0.05)
    with serving.connect() as client:
        client.send("POST /thread HTTP/1.1", "Host: a", "Content-Length: 5", body=b"hell")
        client.half_close()
        assert client.is_closed()


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_a_queued_request_whose_client_left_never_runs(
    leave: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HALF_CLOSED_SECONDS", 0.05)
    app = Toy()
    gate, never = Gate(), Gate()
    app.thread("/gate", gate)
    app.thread("/never", never)
    app.thread("/last", echo_path)
    with Serving(app, threads=1) as serving:
        busy, leaver = serving.connect(), serving.connect()
        busy.send("GET /gate HTTP/1.1", "Host: a")
        assert happens(gate.entered)
        leaver.write(pipeline(["/never", "/never"]))
        assert serving.pool
        until(lambda: serving.pool.waiting == 1, "the request is queued")
        getattr(leaver, leave)()
        until(lambda: serving.connections == 1, "the server has noticed")
        gate.opened.set()
        assert busy.read().status == 200
        assert busy.get("/last").status == 200
    assert never.calls == 0


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_pipelined_requests_of_a_client_that_left_never_run(
    leave: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HALF_CLOSED_SECONDS", 0.05)
    app = Toy()
    gate, never = Gate(), Gate()
    app.thread("/gate", gate)
    app.loop("/never", never)
    with Serving(app) as serving:
        client = serving.connect()
        client.write(pipeline(["/gate", "/never", "/never"]))
        assert happens(gate.entered)
        getattr(client, leave)()
        until(lambda: serving.connections == 0, "the server has noticed")
        gate.opened.set()
    assert (gate.calls, never.calls) == (1, 0)


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_a_running_coroutine_is_cancelled_when_its_client_leaves(
    leave: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HALF_CLOSED_SECONDS", 0.05)
    app = Toy()
    started, cancelled = threading.Event(), threading.Event()

    async def wait(exchange: Exchange) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    app.coroutine("/", wait)
    with Serving(app) as serving:
        client = serving.connect()
        client.send("GET / HTTP/1.1", "Host: a")
        assert happens(started)
        getattr(client, leave)()
        assert happens(cancelled)


def test_an_answer_for_a_client_that_left_is_dropped(serving: Serving) -> None:
    app: Toy = serving._app
    gate = Gate()
    seen: list[Exchange] = []
    answered = threading.Event()

    def work(exchange: Exchange) -> None:
        seen.append(exchange)
        gate(exchange)
        answered.set()

    app.thread("/gate", work)
    client = serving.connect()
    client.send("GET /gate HTTP/1.1", "Host: a")
    assert happens(gate.entered)
    client.reset()
    until(lambda: seen[0].gone, "the server has noticed")
    gate.opened.set()
    assert happens(answered)
    assert serving.get("/thread").status == 200


def test_no_connection_is_left_over(serving: Serving) -> None:
    clients = [serving.connect() for _ in range(50)]
    for number, client in enumerate(clients):
        client.write(pipeline(["/thread", "/loop"])[: 10 + number])
    for client in clients:
        client.close()
    until(lambda: serving.connections == 0, "all connections are gone")


# -- failures of the app


@pytest.mark.parametrize("mode", MODES)
def test_a_handler_that_fails_is_answered_with_500(mode: str) -> None:
    app = three_modes()

    def fail(exchange: Exchange) -> None:
        raise ZeroDivisionError("secret")

    async def fail_later(exchange: Exchange) -> None:
        fail(exchange)

    getattr(app, mode)("/fail", fail_later if mode == "coroutine" else fail)
    with Serving(app) as serving, serving.connect() as client:
        response = client.get("/fail")
        assert response.status == 500
        assert b"secret" not in response.body
        assert client.get("/loop").status == 200


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Name", "a\r\nX-Injected: 1"),
        ("X-Name", "a\r\n\r\n<script>"),
        ("X-Name", "a\nb"),
        ("X-Name", "a\rb"),
        ("X-Name", "a\0b"),
        ("X-Name", "한글"),
        ("X-Name\r\nX-Injected", "1"),
        ("X Name", "1"),
        ("", "1"),
        ("Content-Type", "text/html\r\nX-Injected: 1"),
    ],
)
def test_a_header_that_would_split_the_response_is_500(mode: str, name: str, value: str) -> None:
    app = three_modes()

    def inject(exchange: Exchange) -> None:
        if name == "Content-Type":
            head = Head(200, value)
        else:
            head = Head(200, "text/plain", [("X-First", "1"), (name, value)])
        exchange.respond(head, b"body")

    async def inject_later(exchange: Exchange) -> None:
        inject(exchange)

    getattr(app, mode)("/inject", inject_later if mode == "coroutine" else inject)
    with Serving(app) as serving, serving.connect() as client:
        response = client.get("/inject")
        assert response.status == 500
        assert response.get("X-Injected") is None
        assert response.get("X-First") is None
        assert client.get("/loop").status == 200


def test_a_reason_that_would_split_the_response_is_500(serving: Serving) -> None:
    app: Toy = serving._app
    app.thread("/inject", lambda e: e.respond(Head(200, reason="OK\r\nX-Injected: 1"), b""))
    with serving.connect() as client:
        assert client.get("/inject").status == 500
        assert client.get("/loop").status == 200


def test_an_app_cannot_break_the_framing(serving: Serving) -> None:
    """What frames a message is the server's; an app's own idea of it would split responses."""
    app: Toy = serving._app
    fields = [
        ("Content-Length", "3"),
        ("content-length", "1000"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Keep-Alive", "timeout=5"),
        ("Date", "yesterday"),
        ("Server", "other"),
        ("X-Kept", "1"),
    ]
    app.thread("/bytes", lambda e: e.respond(Head(200, "text/plain", list(fields)), b"hello"))

    def stream(exchange: Exchange) -> None:
        head = Head(200, "text/plain", list(fields))
        IteratorStream(exchange, head, iter([b"hel", b"lo"]), app.pool).start()

    app.thread("/stream", stream)
    with serving.connect() as client:
        for target in ("/bytes", "/stream"):
            response = client.get(target)
            assert (response.status, response.body) == (200, b"hello")
            assert response["X-Kept"] == "1"
            assert response["Server"] == "skitai"
            assert response["Date"] != "yesterday"
            assert response.get("Connection") is None
