"""Sockets that live long, clients that are slow or leave, workers that end; and nothing is left."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import weakref

import pytest
from socket_driving import closing_of, new_app, sockets_of, until

import skitai

REPORTY = skitai.WS_REPORTY
KINDS = ["reporty", "nopool", "chatty", "generator", "async", "async reporty"]


def app_of_kind(kind, handle, **options):
    """An app whose /ws answers messages with ``handle(was, message)``."""

    def called(was, message, **given):
        return handle(was, message)

    async def called_async(was, message, **given):
        return handle(was, message)

    def chat(was, **given):
        while (message := (yield)) is not None:
            yield handle(was, message)

    def generator(was, **given):
        while (message := (yield was.Input())) is not None:
            yield handle(was, message)

    async def coroutine(was, **given):
        async for message in was.websocket:
            await was.websocket.send(handle(was, message))

    spec, function = {
        "reporty": (REPORTY, called),
        "nopool": (REPORTY | skitai.WS_NOPOOL, called),
        "chatty": (skitai.WS_CHATTY, chat),
        "generator": (skitai.WS_COROUTINE, generator),
        "async": (skitai.WS_COROUTINE, coroutine),
        "async reporty": (REPORTY, called_async),
    }[kind]
    app = new_app()
    app.route("/ws")(app.websocket(spec, **options)(function))
    return app


@pytest.mark.parametrize("kind", KINDS)
def test_sockets_of_many_clients_know_nothing_of_each_other(kind):
    def handle(was, message):
        was.request.g.count = was.request.g.get("count", 0) + 1
        name = was.request.args["name"]
        return f"{name} {message} {was.request.g.count} {was.websocket.client_id}"

    numbers = set()
    failures = []

    def converse(site, name):
        try:
            with site.connect(f"/ws?name={name}") as client:
                own = set()
                for count in range(1, 31):
                    client.send(f"m{count}")
                    got = client.recv().split()
                    assert got[:3] == [name, f"m{count}", str(count)]
                    own.add(got[3])
                assert len(own) == 1
                numbers.update(own)
        except BaseException as exc:
            failures.append(exc)

    with sockets_of(app_of_kind(kind, handle)) as site:
        threads = [threading.Thread(target=converse, args=(site, f"c{n}")) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not failures
        assert len(numbers) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_socket_leaves_nothing(kind):
    kept = []

    def handle(was, message):
        kept.append(weakref.ref(was.websocket))
        was.session.get("x")
        return message

    def onclose(was):
        was.session.get("x")

    with sockets_of(app_of_kind(kind, handle, onclose=onclose)) as site:
        gc.collect()
        gc.disable()  # nothing has to be searched for
        try:
            for _ in range(3):
                with site.connect("/ws") as client:
                    client.send("a")
                    assert client.recv() == "a"
            assert len(kept) == 3
            until(lambda: not any(ref() for ref in kept), "the sockets to be freed")
        finally:
            gc.enable()


def test_a_slow_client_that_leaves_a_chat():
    """What waits for the client to catch up is told of the end too."""
    app = new_app()

    @app.route("/ws")
    @app.websocket(skitai.WS_CHATTY, compress=False)
    def handler(was):
        while (yield) is not None:
            yield ["x" * 100_000] * 30

    with sockets_of(app) as site:
        with site.serving.connect(receive_buffer=4096) as client:
            client.send(
                "GET /ws HTTP/1.1",
                "Host: a",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            )
            assert client.read_head().status == 101
            (socket,) = app.websockets._sockets.values()
            client.write(b"\x81\x81\0\0\0\0a")
            until(lambda: not socket.send("more"), "the pressure")
            client.reset()
        site.emptied()


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_breaks_off_ends_its_handler(kind):
    closed = threading.Event()
    app = app_of_kind(kind, lambda was, message: message, onclose=lambda was: closed.set())
    with sockets_of(app) as site, site.connect("/ws") as client:
        client.send("a")
        assert client.recv() == "a"
        client.socket.shutdown(socket.SHUT_RDWR)
        assert closed.wait(10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_client_gets_all_in_order_and_is_waited_for(kind):
    size, count = 100_000, 200
    handled = []

    def handle(was, message):
        handled.append(message)
        return f"{message} ".ljust(size, "-")

    app = app_of_kind(kind, handle, compress=False)
    with sockets_of(app) as site, site.connect("/ws", max_queue=4, compression=None) as client:

        def ask():
            for number in range(count):
                client.send(str(number))

        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: len(handled) > 4, "the first")
        previous = -1
        while previous != len(handled):  # until nothing moves any more
            previous = len(handled)
            threading.Event().wait(0.1)
        assert len(handled) < count  # the others wait at the client
        got = [client.recv() for _ in range(count)]
        asking.join(10)
        assert [text.split(" ")[0] for text in got] == [str(number) for number in range(count)]


def test_an_endless_answer_stops_when_its_client_is_slow_or_leaves():
    made, over = [], threading.Event()

    def endless():
        try:
            while True:
                made.append(1)
                yield "x" * 100_000
        finally:
            over.set()

    for option in (skitai.WS_THREAD, skitai.WS_NOPOOL):
        app = new_app()

        @app.route("/ws")
        @app.websocket(REPORTY | option, compress=False)
        def handler(was, message):
            return endless() if message == "go" else message

        with sockets_of(app) as site:
            with site.connect("/ws") as fine:
                with site.connect("/ws", max_queue=4) as client:
                    client.send("go")
                    previous = -1
                    while previous != len(made) or not made:
                        previous = len(made)
                        threading.Event().wait(0.1)
                    fine.send("still there?")
                    assert fine.recv() == "still there?"
                    client.socket.shutdown(socket.SHUT_RDWR)
                assert over.wait(10)
        made.clear()
        over.clear()


def test_a_coroutine_that_talks_without_end_is_ended_with_its_socket(monkeypatch):
    monkeypatch.setattr("atila.websockets.talking.LAST_SECONDS", 0.05)
    app = new_app()
    over = []

    @app.route("/generator")
    @app.websocket(skitai.WS_COROUTINE)
    def generator(was):
        try:
            while 1:
                yield "x"
        finally:
            over.append("generator")

    @app.route("/async")
    @app.websocket(skitai.WS_COROUTINE)
    async def coroutine(was):
        try:
            while 1:
                await was.websocket.send("x")
                await asyncio.sleep(0)
        finally:
            over.append("coroutine")

    @app.route("/sleeps")
    @app.websocket(skitai.WS_COROUTINE)
    async def sleeps(was):
        try:
            was.websocket.send("x")
            await asyncio.sleep(3600)
        finally:
            over.append("sleeper")

    with sockets_of(app) as site:
        for path in ("/generator", "/async", "/sleeps"):
            with site.connect(path, max_queue=16) as client:
                assert client.recv() == "x"
                client.socket.shutdown(socket.SHUT_RDWR)
        site.emptied()
    assert sorted(over) == ["coroutine", "generator", "sleeper"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_ends_says_so_and_runs_the_last_hooks(kind):
    closed = threading.Event()
    app = app_of_kind(kind, lambda was, message: message, onclose=lambda was: closed.set())
    with sockets_of(app) as site, site.connect("/ws") as client:
        client.send("a")
        assert client.recv() == "a"
        drained = asyncio.run_coroutine_threadsafe(site.serving.server.drain(10), site.serving.loop)
        assert closing_of(client) == (1012, "the server restarts")
        assert drained.result(10)
        assert closed.wait(10)


def test_the_end_of_an_app_waits_for_busy_handlers():
    entered, go = threading.Event(), threading.Event()
    done = []

    def handle(was, message):
        entered.set()
        assert go.wait(10)
        done.append(message)

    app = app_of_kind("reporty", handle, onclose=lambda was: done.append("closed"))
    with sockets_of(app) as site:
        with site.connect("/ws") as client:
            client.send("a")
            assert entered.wait(10)
        stopping = threading.Thread(target=app.websockets.stop)
        stopping.start()
        assert stopping.is_alive()
        go.set()
        stopping.join(10)
        assert done == ["a", "closed"]


def test_a_client_that_leaves_in_the_middle_of_onopen():
    entered, go, closed = threading.Event(), threading.Event(), threading.Event()
    app = new_app()

    def onopen(was):
        entered.set()
        assert go.wait(10)

    @app.route("/ws")
    @app.websocket(REPORTY, 60, onopen, lambda was: closed.set())
    def handler(was, message):
        return message

    with sockets_of(app) as site:
        with site.serving.connect() as client:
            client.send(
                "GET /ws HTTP/1.1",
                "Host: a",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            )
            assert entered.wait(10)
            client.reset()
        go.set()
        assert closed.wait(10)


def test_threads_keep_sockets_that_are_gone():
    kept = []
    app = app_of_kind("reporty", lambda was, message: kept.append(was.websocket))
    with sockets_of(app) as site:
        with site.connect("/ws") as client:
            client.send("a")
            until(lambda: kept, "the socket")
        site.emptied()
        (ws,) = kept
        for _ in range(1000):
            assert ws.send("x" * 100_000)
        assert not ws.open
