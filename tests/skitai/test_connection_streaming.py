"""Streamed, large and file bodies over real sockets: framing, failures, and slow readers."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from serving import Client, Serving, Toy, answer, happens, until

from skitai.handlers.files import respond_file
from skitai.server.exchange import ClientGone
from skitai.server.representation import Head
from skitai.server.streaming import IteratorStream, stream_async

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

    from skitai.server.exchange import Exchange

KINDS = ["thread", "loop", "async"]
SMALL_BUFFER = 4096  # bytes; what a slow reader's kernel holds, more or less
# Bytes that a fast kernel may hold for a client that reads nothing; beyond it nothing may be made.
IN_FLIGHT = 10_000_000


def head() -> Head:
    return Head(200, "text/plain")


async def later(pieces: Iterable[Any]) -> AsyncGenerator[Any, None]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


def add_stream(
    app: Toy, kind: str, path: str, make: Callable[[], Iterable[Any]], **options: Any
) -> None:
    """Stream what ``make`` gives: from a thread, on the loop, or as an asynchronous generator."""

    def stream(exchange: Exchange) -> None:
        pool = app.pool if kind == "thread" else None
        IteratorStream(exchange, head(), iter(make()), pool).start()

    async def stream_later(exchange: Exchange) -> None:
        await stream_async(exchange, head, later(make()))

    if kind == "async":
        app.coroutine(path, stream_later, **options)
    else:
        getattr(app, kind)(path, stream, **options)


def file_handler(path: Path) -> Callable[[Exchange], None]:
    def send(exchange: Exchange) -> None:
        descriptor = os.open(path, os.O_RDONLY)
        respond_file(
            exchange, Head(200, "application/octet-stream"), descriptor, os.fstat(descriptor)
        )

    return send


def open_files(path: Path) -> int:
    """How often this process has the file open."""
    links = Path("/proc/self/fd").iterdir()
    return sum(1 for link in links if os.path.realpath(link) == str(path.resolve()))


# -- framing


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_chunked_for_1_1(kind: str) -> None:
    app = Toy()
    add_stream(app, kind, "/", lambda: [b"one", "zwei é", b"", bytearray(b"3"), memoryview(b"4")])
    with Serving(app) as serving, serving.connect() as client:
        for _ in range(3):
            response = client.get("/")
            assert response.framing == "chunked"
            assert response.chunks == [b"one", "zwei é".encode(), b"3", b"4"]
            assert response["Content-Type"] == "text/plain"
            assert response.get("Connection") is None
        client.send("GET / HTTP/1.1", "Host: a", "Connection: close")
        response = client.read()
        assert (response.framing, response["Connection"]) == ("chunked", "close")
        assert client.is_closed()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("header", ["X: y", "Connection: keep-alive"])
def test_a_stream_ends_with_the_connection_for_1_0(kind: str, header: str) -> None:
    app = Toy()
    add_stream(app, kind, "/", lambda: [b"one", b"two"] * 1000)
    with Serving(app) as serving, serving.connect() as client:
        client.send("GET / HTTP/1.0", header)
        response = client.read()
        assert response.framing == "close"
        assert response["Connection"] == "close"
        assert response.body == b"onetwo" * 1000


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [[], [b""], ["", b""]], ids=["none", "one", "two"])
def test_an_empty_stream(kind: str, pieces: list[Any]) -> None:
    app = Toy()
    add_stream(app, kind, "/", lambda: pieces)
    with Serving(app) as serving, serving.connect() as client:
        for _ in range(2):
            response = client.get("/")
            assert (response.status, response.framing, response.body) == (200, "chunked", b"")


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_arrive_when_they_are_made(kind: str) -> None:
    app = Toy()
    steps = [threading.Event() for _ in range(3)]

    def pieces() -> Iterator[bytes]:
        yield b"first"
        for number, step in enumerate(steps):
            assert kind == "loop" or happens(step)
            yield b"step %d" % number

    add_stream(app, kind, "/", pieces)
    with Serving(app) as serving, serving.connect() as client:
        client.send("GET / HTTP/1.1", "Host: a")
        assert client.read_head().status == 200
        assert client.read_chunk() == b"first"
        for number, step in enumerate(steps):
            step.set()
            assert client.read_chunk() == b"step %d" % number
        assert client.read_chunk() == b""


def test_a_stream_runs_on_the_loop_when_there_are_no_threads() -> None:
    app = Toy()
    add_stream(app, "thread", "/", lambda: (b"%d," % number for number in range(1000)))
    with Serving(app, threads=0) as serving, serving.connect() as client:
        assert client.get("/").body.count(b",") == 1000


def test_a_response_can_be_written_by_hand() -> None:
    app = Toy()

    def write(exchange: Exchange) -> None:
        exchange.start(Head(200, "text/plain", length=6))
        exchange.write(b"abc")
        exchange.write(b"")
        exchange.write(b"def")
        exchange.end()

    app.thread("/", write)
    with Serving(app) as serving, serving.connect() as client:
        for _ in range(2):
            response = client.get("/")
            assert (response.framing, response.body) == ("length", b"abcdef")


# -- failures


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "bad", [ZeroDivisionError("secret"), 5, None], ids=["raise", "int", "None"]
)
def test_a_stream_that_fails_before_its_first_piece_is_500(kind: str, bad: Any) -> None:
    app = Toy()
    closed = threading.Event()

    def pieces() -> Iterator[Any]:
        try:
            if isinstance(bad, Exception):
                raise bad
            yield bad
        finally:
            closed.set()

    add_stream(app, kind, "/", pieces)
    app.loop("/next", lambda exchange: answer(exchange, b"next"))
    with Serving(app) as serving, serving.connect() as client:
        response = client.get("/")
        assert (response.status, response.framing) == (500, "length")
        assert b"secret" not in response.body
        assert happens(closed)
        assert client.get("/next").body == b"next"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("bad", [ZeroDivisionError("secret"), 5], ids=["raise", "int"])
def test_a_stream_that_fails_later_is_broken_off(kind: str, version: str, bad: Any) -> None:
    app = Toy()
    closed = threading.Event()

    def pieces() -> Iterator[Any]:
        try:
            yield b"first"
            if isinstance(bad, Exception):
                raise bad
            yield bad
        finally:
            closed.set()

    add_stream(app, kind, "/", pieces)
    with Serving(app) as serving, serving.connect() as client:
        client.send(f"GET / HTTP/{version}", "Host: a")
        with pytest.raises(ConnectionError):  # the end of the connection is no end of the body
            client.read()
        assert happens(closed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_closed_when_its_client_leaves(kind: str) -> None:
    app = Toy()
    closed = threading.Event()

    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000
        finally:
            closed.set()

    add_stream(app, kind, "/", pieces)
    with Serving(app) as serving:
        for leave in ("reset", "close"):
            closed.clear()
            client = serving.connect(SMALL_BUFFER)
            client.send("GET / HTTP/1.1", "Host: a")
            assert client.read_head().status == 200
            assert client.read_chunk() == b"x" * 10_000
            getattr(client, leave)()
            assert happens(closed)
        until(lambda: serving.connections == 0, "the connections are gone")


def test_writing_to_a_client_that_left_tells_so() -> None:
    app = Toy()
    told = threading.Event()
    gone = threading.Event()

    def write(exchange: Exchange) -> None:
        exchange.on_gone = gone.set
        exchange.start(Head(200, "text/plain"))
        exchange.write(b"first")
        assert happens(gone)
        with pytest.raises(ClientGone):
            exchange.write(b"second")
        exchange.end()  # no harm
        told.set()

    app.thread("/", write)
    with Serving(app) as serving:
        client = serving.connect()
        client.send("GET / HTTP/1.1", "Host: a")
        assert client.read_head().status == 200
        client.reset()
        assert happens(told)


# -- slow readers


def backlogged(serving: Serving) -> bool:
    """Whether every client lets the server wait."""
    outputs = [getattr(each, "_output", None) for each in list(serving.server._connections)]
    return bool(outputs) and all(output is not None and output.backlog for output in outputs)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_waits_for_a_slow_reader(kind: str) -> None:
    app = Toy()
    piece = os.urandom(50_000)
    count = 1000
    made = 0

    def pieces() -> Iterator[bytes]:
        nonlocal made
        for _ in range(count):
            made += 1
            yield piece

    add_stream(app, kind, "/", pieces)
    app.thread("/other", lambda exchange: answer(exchange, b"other"))
    with Serving(app, threads=1) as serving, serving.connect(SMALL_BUFFER) as client:
        client.send("GET / HTTP/1.1", "Host: a")
        assert client.read_head().status == 200
        until(lambda: backlogged(serving), "the client is too slow")
        for _ in range(20):  # a waiting stream holds no thread, and makes nothing
            assert serving.get("/other").body == b"other"
        until(lambda: backlogged(serving), "the others are gone")
        waiting = made
        assert made * len(piece) < IN_FLIGHT
        assert serving.get("/other").body == b"other"
        assert made == waiting
        for _ in range(count):
            assert client.read_chunk() == piece
        assert client.read_chunk() == b""
        assert made == count


def test_a_large_body_waits_for_a_slow_reader() -> None:
    app = Toy()
    body = os.urandom(20_000_000)
    app.thread("/", lambda exchange: answer(exchange, body, kind="application/octet-stream"))
    app.thread("/other", lambda exchange: answer(exchange, b"other"))
    with Serving(app, threads=1) as serving, serving.connect(SMALL_BUFFER) as client:
        client.send("GET / HTTP/1.1", "Host: a")
        until(lambda: backlogged(serving), "the client is too slow")
        assert serving.get("/other").body == b"other"
        client.send("GET /other HTTP/1.1", "Host: a")
        assert client.read().body == body
        assert client.read().body == b"other"


@pytest.mark.parametrize("kind", ["bytes", "stream", "file"])
def test_a_reader_that_stops_is_left(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(20_000_000))
    app = Toy()
    closed = threading.Event()

    def pieces() -> Iterator[bytes]:
        try:
            while True:
                yield bytes(50_000)
        finally:
            closed.set()

    app.thread("/bytes", lambda exchange: answer(exchange, bytes(20_000_000), kind="a/b"))
    app.thread("/file", file_handler(path))
    add_stream(app, "thread", "/stream", pieces)
    with Serving(app, network_timeout=0.2) as serving:
        client = serving.connect(SMALL_BUFFER)
        client.send(f"GET /{kind} HTTP/1.1", "Host: a")
        assert client.read_head().status == 200
        until(lambda: serving.connections == 0, "the server gives up")
        assert kind != "stream" or happens(closed)
        until(lambda: open_files(path) == 0, "the file is given back")


# -- files


def test_a_file_is_sent_whole_and_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = os.urandom(5_000_000)
    path.write_bytes(content)
    app = Toy()
    app.thread("/", file_handler(path))
    with Serving(app) as serving, serving.connect() as client:
        response = client.get("/")
        assert response.body == content
        assert response["Accept-Ranges"] == "bytes"
        for text, start, stop in (
            ("bytes=0-0", 0, 1),
            ("bytes=1000-3999999", 1000, 4_000_000),
            ("bytes=-5", 4_999_995, 5_000_000),
            ("bytes=4999999-", 4_999_999, 5_000_000),
            ("bytes=4999990-9999999", 4_999_990, 5_000_000),
        ):
            response = client.get("/", f"Range: {text}")
            assert response.status == 206
            assert response["Content-Range"] == f"bytes {start}-{stop - 1}/5000000"
            assert response.body == content[start:stop]
        response = client.get("/", "Range: bytes=0-9,2000000-3999999,-10")
        assert response.status == 206
        assert response["Content-Type"].startswith("multipart/byteranges; boundary=")
        for start, stop in ((0, 10), (2_000_000, 4_000_000), (4_999_990, 5_000_000)):
            part = f"Content-Range: bytes {start}-{stop - 1}/5000000\r\n\r\n".encode()
            assert part + content[start:stop] + b"\r\n--" in response.body
        assert client.get("/", "Range: bytes=5000000-").status == 416
        etag = client.get("/")["ETag"]
        response = client.get("/", f"If-None-Match: {etag}")
        assert (response.status, response["ETag"]) == (304, etag)
        assert client.get("/", 'If-Match: "other"').status == 412
    assert open_files(path) == 0


def test_an_empty_file_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    app = Toy()
    app.thread("/", file_handler(path))
    with Serving(app) as serving, serving.connect() as client:
        for _ in range(2):
            response = client.get("/")
            assert (response.status, response.framing, response.body) == (200, "length", b"")
    assert open_files(path) == 0


def test_a_file_is_given_back_when_its_client_leaves(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(30_000_000))
    app = Toy()
    app.thread("/", file_handler(path))
    with Serving(app) as serving:
        for leave in ("reset", "close"):
            client = serving.connect(SMALL_BUFFER)
            client.send("GET / HTTP/1.1", "Host: a")
            assert client.read_head().status == 200
            assert open_files(path) == 1
            getattr(client, leave)()
            until(lambda: open_files(path) == 0, "the file is given back")


def test_a_file_that_shrinks_while_it_is_sent_is_broken_off(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(30_000_000))
    app = Toy()
    app.thread("/", file_handler(path))
    with Serving(app) as serving, serving.connect(SMALL_BUFFER) as client:
        client.send("GET / HTTP/1.1", "Host: a")
        until(lambda: backlogged(serving), "the client is too slow")
        os.truncate(path, 1000)
        with pytest.raises(ConnectionError):
            client.read()
    assert open_files(path) == 0


# -- all together


def content_of(number: int) -> bytes:
    """Bodies from nothing to 2 MB, each different in every place."""
    size = (0, 1, 900, 5_000, 63_000, 65_536, 300_000, 2_000_000)[number * 5 % 8] + number
    block = b"%08d|" % number + bytes(range(256)) * 16
    return (block * (size // len(block) + 1))[:size]


def six_ways(folder: Path, count: int) -> Toy:
    """Answers /0 to /5 with ``content_of`` the query, each in another way."""
    app = Toy()

    def number_of(exchange: Exchange) -> int:
        return int(exchange.request.query)

    def whole(exchange: Exchange) -> None:
        answer(exchange, content_of(number_of(exchange)), kind="application/octet-stream")

    def pieces_of(exchange: Exchange) -> list[bytes]:
        content = content_of(number_of(exchange))
        return [content[at : at + 30_000] for at in range(0, len(content), 30_000)]

    def stream(exchange: Exchange) -> None:
        IteratorStream(exchange, head(), iter(pieces_of(exchange)), app.pool).start()

    async def whole_later(exchange: Exchange) -> None:
        whole(exchange)

    async def stream_later(exchange: Exchange) -> None:
        await stream_async(exchange, head, later(pieces_of(exchange)))

    def file(exchange: Exchange) -> None:
        file_handler(folder / exchange.request.query)(exchange)

    for number in range(count):
        (folder / str(number)).write_bytes(content_of(number))
    app.thread("/0", whole)
    app.thread("/1", stream)
    app.coroutine("/2", whole_later)
    app.coroutine("/3", stream_later)
    app.thread("/4", file)
    app.loop("/5", whole)
    return app


def test_partial_writes_keep_the_order_of_many_pipelined_answers(tmp_path: Path) -> None:
    count = 24
    problems: list[str] = []

    def talk(client: Client, offset: int) -> None:
        lines = [f"GET /{(number + offset) % 6}?{number} HTTP/1.1" for number in range(count)]
        client.write("".join(f"{line}\r\nHost: a\r\n\r\n" for line in lines).encode())
        for number in range(count):
            if client.read().body != content_of(number):
                problems.append(f"answer {number} of client {offset}")
                return

    with Serving(six_ways(tmp_path, count)) as serving:
        talkers = [
            threading.Thread(
                target=talk,
                args=(serving.connect(SMALL_BUFFER if offset % 2 else 0), offset),
            )
            for offset in range(6)
        ]
        for talker in talkers:
            talker.start()
        for talker in talkers:
            talker.join(60)
    assert problems == []
