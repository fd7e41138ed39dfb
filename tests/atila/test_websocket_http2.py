"""Websockets of apps over streams of HTTP/2 (RFC 8441): handlers don't notice."""

from __future__ import annotations

import threading

import pytest
from browser import Jar
from socket_driving import new_app, sockets_of

import skitai

# Its directory is on the path when socket_driving has been imported.
from http2_driving import Http2Client  # isort: skip

MASK = bytes(4)


def text_of(message):
    return bytes((0x81, 0x80 | len(message))) + MASK + message.encode()


def connect(client, path, *fields):
    fields = [("sec-websocket-version", "13"), *fields]
    return client.request(path, *fields, method="CONNECT", ended=False, protocol="websocket")


def make_app(closed):
    app = new_app()

    def onopen(was):
        was.session.set("id", was.websocket.client_id)
        return "welcome"

    def onclose(was):
        closed.release()

    hooks = {"onopen": onopen, "onclose": onclose}

    @app.route("/reporty")
    @app.websocket(skitai.WS_REPORTY, **hooks)
    def reporty(was, message):
        return f"{was.request.version} {message}"

    @app.route("/chatty")
    @app.websocket(skitai.WS_CHATTY, **hooks)
    def chatty(was):
        while (message := (yield)) is not None:
            yield f"{was.request.version} {message}"

    @app.route("/async")
    @app.websocket(skitai.WS_COROUTINE, **hooks)
    async def coroutine(was):
        async for message in was.websocket:
            await was.websocket.send(f"{was.request.version} {message}")

    return app


@pytest.mark.parametrize("path", ["/reporty", "/chatty", "/async"])
def test_sockets_share_a_connection_and_end_apart(path):
    closed = threading.Semaphore(0)
    with sockets_of(make_app(closed)) as site, Http2Client(site.serving) as client:
        streams = [connect(client, path) for _ in range(3)]
        for stream in streams:
            head = client.read_head(stream)
            assert head.status == 200
            cookies = [text for name, text in head.fields if name == "set-cookie"]
            assert len(Jar().take(cookies)) == 1
            assert client.read_some(stream, 9) == b"\x81\x07welcome"
            client.send_data(stream, text_of("hello"))
            assert client.read_some(stream, 11) == b"\x81\x092.0 hello"
        client.reset(streams[0])
        assert closed.acquire(timeout=10)
        client.send_data(streams[1], b"\x88\x80" + MASK)
        assert client.read(streams[1]).body == b"\x88\x00"
        assert closed.acquire(timeout=10)
        client.send_data(streams[2], text_of("still"))
        assert client.read_some(streams[2], 11) == b"\x81\x092.0 still"
        client.socket.close()
        assert closed.acquire(timeout=10)


def test_handshakes_are_refused_as_requests_are():
    with sockets_of(make_app(threading.Semaphore(0))) as site:
        with Http2Client(site.serving) as client:
            elsewhere = ("origin", "https://evil.example")
            assert client.read(connect(client, "/nothing")).status == 404
            assert client.read(connect(client, "/reporty", elsewhere)).status == 403
            assert client.get("/reporty").status == 400
            assert client.get("/nothing").status == 404
