"""Hosted apps are the same over HTTP/2 as over HTTP/1.1."""

from __future__ import annotations

import threading

import httpx
import pytest
from asgi_calls import START, body, start
from serving import Serving, happens

from skitai.handlers.asgi import ASGIApplication
from skitai.handlers.wsgi import WSGIApplication

PIECE = b"x" * 64 * 1024
MANY = 100


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(PIECE * 10)
    return path


def wsgi(file):
    def app(environ, start_response):
        assert environ["SERVER_PROTOCOL"] == "HTTP/2"
        start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "keep-alive")])
        kind = environ["PATH_INFO"]
        if kind == "/size":
            return [str(len(environ["wsgi.input"].read())).encode()]
        if kind == "/file":
            return environ["wsgi.file_wrapper"](file.open("rb"))
        if kind == "/stream":
            return (PIECE for _ in range(MANY))
        return [environ["HTTP_HOST"].encode()]

    return WSGIApplication(app, "wsgi")


async def answer(scope, receive, send, path):
    assert scope["http_version"] == "2"
    assert not any(name.startswith(b":") for name, _ in scope["headers"])
    size = 0
    while (message := await receive())["more_body"]:
        size += len(message["body"])
    if scope["path"] == "/stream":
        await send(start(200, ("connection", "keep-alive")))
        for _ in range(MANY):
            await send(body(PIECE, True))
        await send(body())
        return
    await send(START)
    if scope["path"] == "/file":
        await send({"type": "http.response.pathsend", "path": str(path)})
    elif scope["path"] == "/size":
        await send(body(str(size + len(message["body"])).encode()))
    else:
        await send(body(dict(scope["headers"])[b"host"]))


def asgi(file):
    async def app(scope, receive, send):
        await answer(scope, receive, send, file)

    return ASGIApplication(app, "asgi")


@pytest.mark.parametrize("make", [wsgi, asgi])
def test_bodies_files_and_streams(make, file):
    with Serving(make(file)) as serving:
        place = f"http://127.0.0.1:{serving.address[1]}"
        with httpx.Client(http1=False, http2=True, base_url=place, timeout=10) as client:
            response = client.get("/")
            assert (response.http_version, response.text) == (
                "HTTP/2",
                place.removeprefix("http://"),
            )
            assert client.post("/size", content=PIECE * 40).text == str(40 * len(PIECE))
            assert client.post("/size", content=iter([b"ab", b"c"])).text == "3"
            assert client.get("/file").content == file.read_bytes()
            assert client.head("/file").content == b""
            assert client.get("/file", headers={"Range": "bytes=1-2"}).content == b"xx"
            response = client.get("/stream")
            assert len(response.content) == MANY * len(PIECE)
            assert "connection" not in response.headers


def test_a_client_that_leaves_ends_its_stream():
    over = threading.Event()

    async def app(scope, receive, send):
        try:
            await send(START)
            while True:
                await send(body(PIECE, True))
        except OSError:
            over.set()

    with Serving(ASGIApplication(app, "app")) as serving:
        place = f"http://127.0.0.1:{serving.address[1]}"
        with httpx.Client(http1=False, http2=True, base_url=place, timeout=10) as client:
            with client.stream("GET", "/") as response:
                assert response.status_code == 200
        assert happens(over)
