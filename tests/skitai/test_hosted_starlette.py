"""Starlette's own ways through ASGI: middleware, uploads, disconnects, static files."""

from __future__ import annotations

import gzip
import threading

import pytest
from serving import Serving, happens, until
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from skitai.handlers.asgi import ASGIApplication

PIECE = b"x" * 64 * 1024


class Passing(BaseHTTPMiddleware):
    """Takes every response apart and puts it together again."""

    async def dispatch(self, request, call_next):
        response = await call_next(request)
        response.headers["x-passed"] = "yes"
        return response


async def size(request):
    return PlainTextResponse(str(len(await request.body())))


async def pieces(request):
    count = 0
    async for piece in request.stream():
        count += len(piece)
    return PlainTextResponse(str(count))


async def form(request):
    async with request.form() as form:
        content = await form["file"].read()
    return PlainTextResponse(f"{form['file'].filename} {len(content)}")


async def stream(request):
    async def made():
        for number in range(3):
            assert not await request.is_disconnected()
            yield str(number)

    return StreamingResponse(made())


async def endless(request):
    async def made():
        while True:
            yield PIECE

    return StreamingResponse(made())


async def reading(request):
    try:
        await request.body()
    except ClientDisconnect:
        request.app.state.left.set()
        raise


async def work(request):
    return PlainTextResponse("soon", background=BackgroundTask(request.app.state.done.set))


@pytest.fixture
def app(tmp_path):
    (tmp_path / "a.txt").write_text("a static file")
    routes = [
        Route("/size", size, methods=["POST"]),
        Route("/pieces", pieces, methods=["POST"]),
        Route("/form", form, methods=["POST"]),
        Route("/stream", stream),
        Route("/endless", endless),
        Route("/reading", reading, methods=["POST"]),
        Route("/work", work),
        Mount("/static", StaticFiles(directory=tmp_path)),
    ]
    middleware = [Middleware(Passing), Middleware(GZipMiddleware, minimum_size=10)]
    app = Starlette(routes=routes, middleware=middleware)
    app.state.left, app.state.done = threading.Event(), threading.Event()
    return app


@pytest.fixture
def serving(app):
    with Serving(ASGIApplication(app, "app")) as serving:
        yield serving


def post(serving, path, data, *headers):
    with serving.connect() as client:
        client.send(
            f"POST {path} HTTP/1.1", "Host: a", f"Content-Length: {len(data)}", *headers, body=data
        )
        return client.read()


@pytest.mark.parametrize("path", ["/size", "/pieces"])
@pytest.mark.parametrize("size", [0, 3, 3_000_000])
def test_bodies_of_requests_pass_through_middleware(serving, path, size):
    response = post(serving, path, b"x" * size)
    assert (response.body, response["x-passed"]) == (str(size).encode(), "yes")


def test_an_upload(serving):
    data = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        + b"x" * 2_000_000
        + b"\r\n--b--\r\n"
    )
    response = post(serving, "/form", data, "Content-Type: multipart/form-data; boundary=b")
    assert response.body == b"a.txt 2000000"


def test_a_stream_that_asks_for_its_client(serving):
    response = serving.get("/stream")
    assert (response.framing, response.body) == ("chunked", b"012")
    packed = serving.get("/stream", "Accept-Encoding: gzip")
    assert (packed["content-encoding"], gzip.decompress(packed.body)) == ("gzip", b"012")


def test_a_client_that_leaves_ends_the_stream(serving, caplog):
    client = serving.connect(receive_buffer=64 * 1024)
    client.send("GET /endless HTTP/1.1", "Host: a")
    client.read_head()
    client.reset()
    until(lambda: not serving._app._endpoint._tasks, "the end of the app")
    assert "Traceback" not in caplog.text


def test_a_client_that_leaves_in_the_middle_of_its_body(serving, app, caplog):
    client = serving.connect()
    client.send("POST /reading HTTP/1.1", "Host: a", "Content-Length: 10", body=b"x")
    client.reset()
    assert happens(app.state.left)
    assert "Traceback" not in caplog.text


def test_work_in_the_background(serving, app):
    assert serving.get("/work").body == b"soon"
    assert happens(app.state.done)


def test_static_files(serving):
    response = serving.get("/static/a.txt")
    assert (response.status, response.body) == (200, b"a static file")
    assert serving.get("/static/a.txt", f"If-None-Match: {response['etag']}").status == 304
    assert serving.get("/static/a.txt", "Range: bytes=2-7").body == b"static"
    assert serving.get("/static/no.txt").status == 404
