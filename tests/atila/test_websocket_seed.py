"""The seed's chapter Websocket: every example of it, over real sockets."""

from __future__ import annotations

import asyncio
import threading

import pytest
from browser import Jar
from socket_driving import new_app, sockets_of, until

import skitai


def test_chatty():
    app = new_app()

    @app.route("/echo")
    @app.websocket(skitai.WS_CHATTY, 60)
    def websocket(was):
        while 1:
            msg = yield
            if not msg:
                break
            yield "ECHO: " + msg

    with sockets_of(app) as site, site.connect("/echo") as client:
        for text in ("one", "two", "three"):
            client.send(text)
            assert client.recv() == "ECHO: " + text


def test_coroutine():
    app = new_app()

    @app.route("/echo_coroutine")
    @app.websocket(skitai.WS_COROUTINE, 60)
    def websocket(was):
        while 1:
            msg = yield was.Input()
            if not msg:
                break

            yield (yield asyncio.sleep(0, "fetched " + msg))

    with sockets_of(app) as site, site.connect("/echo_coroutine") as client:
        client.send("page")
        assert client.recv() == "fetched page"


def test_reporty():
    app = new_app()

    @app.route("/echo")
    @app.websocket(skitai.WS_REPORTY, 60)
    def websocket(was, msg, **options):
        was.websocket.send("welcome")
        return "ECHO: " + msg

    with sockets_of(app) as site, site.connect("/echo") as client:
        client.send("hello")
        assert [client.recv(), client.recv()] == ["welcome", "ECHO: hello"]


def test_reporty_without_the_pool():
    app = new_app()
    threads = []

    @app.route("/websocket")
    @app.websocket(skitai.WS_REPORTY | skitai.WS_NOPOOL, 1200)
    def websocket(was, message, **options):
        threads.append(threading.current_thread())
        return "started"

    with sockets_of(app) as site, site.connect("/websocket") as client:
        client.send("go")
        assert client.recv() == "started"
        assert threads == [site.serving._thread]


@pytest.mark.parametrize("option", [skitai.WS_THREAD, skitai.WS_THREADSAFE])
def test_threads_send_long_after_the_handler_has_returned(option):
    app = new_app()
    go = threading.Event()
    threads = []

    def count(ws):
        go.wait(10)
        for i in range(100):
            ws.send(f"send {i}")

    @app.route("/websocket")
    @app.websocket(skitai.WS_REPORTY | option, 1200)
    def websocket(was, message, **options):
        if message == "count":
            for _ in range(2):
                threads.append(threading.Thread(target=count, args=(was.websocket,)))
                threads[-1].start()
        return "started"

    with sockets_of(app) as site, site.connect("/websocket") as client:
        client.send("count")
        assert client.recv() == "started"
        go.set()
        got = [client.recv() for _ in range(200)]
        assert sorted(got) == sorted([f"send {i}" for i in range(100)] * 2)
    for thread in threads:
        thread.join(10)


def test_hooks_and_a_message_from_another_resource(capsys):
    app = new_app()
    closed = threading.Event()

    def onopen(was):
        was.request.session.set("WS_ID", was.websocket.client_id)
        print("websocket opened with", was.request.ARGS["options"])

    def onclose(was):
        was.request.session.remove("WS_ID")
        closed.set()

    @app.route("/websocket")
    @app.websocket(skitai.WS_REPORTY, 60, onopen=onopen, onclose=onclose)
    def websocket(was, message):
        return "you said: " + message

    @app.route("/item_in_stock")
    def item_in_stock(was):
        app.websocket_send(was.request.session.get("WS_ID"), "Item In Stock!")
        return ""  # the seed's returns nothing, which is no response

    with sockets_of(app) as site:
        jar = Jar()
        with site.connect("/websocket?options=all") as client:
            jar.take(client.response.headers.get_all("Set-Cookie"))
            client.send("hi")
            assert client.recv() == "you said: hi"
            assert site.get("/item_in_stock", f"Cookie: {jar.header}").status == 200
            assert client.recv() == "Item In Stock!"
            assert "websocket opened with all" in capsys.readouterr().out
        assert closed.wait(10)
        until(lambda: not len(app.websockets), "the end")
        assert site.get("/item_in_stock", f"Cookie: {jar.header}").status == 200
        assert site.get("/item_in_stock").status == 200
