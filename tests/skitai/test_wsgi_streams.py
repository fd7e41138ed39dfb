"""Bodies of hosted WSGI apps that come piece by piece: pace, length, clients that leave."""

from __future__ import annotations

import threading

import pytest
from serving import Serving, happens, until

from skitai.handlers.wsgi import WSGIApplication

PIECE = b"x" * 64 * 1024
MANY = 400  # pieces, 25 MiB: more than the kernel and the server keep for a slow client


class Stream:
    """A body in pieces; it tells how far it is, in which threads, and that it was closed."""

    def __init__(self, pieces=MANY, piece=PIECE, length=None):
        self.pieces = pieces
        self.piece = piece
        self.length = length
        self.made = 0
        self.threads = set()
        self.closed = threading.Event()

    def __call__(self, environ, start_response):
        headers = [("Content-Type", "application/octet-stream")]
        if self.length is not None:
            headers.append(("Content-Length", str(self.length)))
        if environ["PATH_INFO"] == "/short":
            start_response("200 OK", [])
            return [b"short"]
        self.write = start_response("200 OK", headers)
        return self if environ["PATH_INFO"] != "/write" else self.written()

    def written(self):
        for piece in self:
            self.write(piece)
        self.close()
        return []

    def __iter__(self):
        while self.made < self.pieces:
            self.made += 1
            self.threads.add(threading.current_thread().name)
            yield self.piece

    def close(self):
        self.closed.set()


def stalled(stream):
    """Wait until nothing more is made; how much was."""
    made = -1
    while stream.made != made:
        made = stream.made
        until_later = threading.Event()
        until_later.wait(0.1)
    return made


@pytest.fixture(params=[4, 0], ids=["threads", "loop"])
def threads(request):
    return request.param


def test_a_stream_goes_at_the_pace_of_its_client(threads):
    stream = Stream()
    with Serving(WSGIApplication(stream, "s"), threads=threads) as serving:
        client = serving.connect(receive_buffer=64 * 1024)
        client.send("GET / HTTP/1.1", "Host: a")
        client.read_head()
        until(lambda: stream.made > 1, "the first pieces")
        assert stalled(stream) < MANY
        assert serving.get("/short").body == b"short"
        received = 0
        while chunk := client.read_chunk():
            received += len(chunk)
    assert received == MANY * len(PIECE)
    assert stream.closed.is_set()
    assert len(stream.threads) == 1


def test_write_waits_for_a_slow_client():
    stream = Stream()
    with Serving(WSGIApplication(stream, "s")) as serving:
        client = serving.connect(receive_buffer=64 * 1024)
        client.send("GET /write HTTP/1.1", "Host: a")
        client.read_head()
        assert stalled(stream) < MANY
        received = 0
        while chunk := client.read_chunk():
            received += len(chunk)
    assert received == MANY * len(PIECE)


@pytest.mark.parametrize("path", ["/", "/write"])
def test_a_client_that_leaves_ends_its_stream(threads, path, caplog):
    stream = Stream(10**9)
    if path == "/write" and not threads:
        pytest.skip("on the loop write can't wait")
    with Serving(WSGIApplication(stream, "s"), threads=threads) as serving:
        client = serving.connect(receive_buffer=64 * 1024)
        client.send(f"GET {path} HTTP/1.1", "Host: a")
        client.read_head()
        stalled(stream)
        client.reset()
        if path == "/":
            assert happens(stream.closed)
        assert serving.get("/short").body == b"short"
    assert "Traceback" not in caplog.text


def test_the_first_piece_does_not_wait_for_the_second(threads):
    if not threads:
        pytest.skip("on the loop an app must not wait")
    gate = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"first"
        assert happens(gate)
        yield b"second"

    with Serving(WSGIApplication(app, "s")) as serving, serving.connect() as client:
        client.send("GET / HTTP/1.1", "Host: a")
        client.read_head()
        assert client.read_chunk() == b"first"
        gate.set()
        assert client.read_chunk() == b"second"
        assert client.read_chunk() == b""


def test_a_stream_of_known_length_keeps_the_connection(threads):
    stream = Stream(3, b"abc", length=9)
    with Serving(WSGIApplication(stream, "s"), threads=threads) as serving:
        with serving.connect() as client:
            response = client.get("/")
            assert (response.framing, response.body) == ("length", b"abcabcabc")
            assert client.get("/short").body == b"short"


def test_what_exceeds_the_length_is_cut_off_and_logged(threads, caplog):
    stream = Stream(3, b"abc", length=5)
    with Serving(WSGIApplication(stream, "s"), threads=threads) as serving:
        with serving.connect() as client:
            assert client.get("/").body == b"abcab"
            assert client.get("/short").body == b"short"
    assert "longer than its Content-Length" in caplog.text


@pytest.mark.parametrize("length", [3, 5])
def test_an_endless_stream_ends_at_its_length(threads, length, caplog):
    stream = Stream(10**9, b"abc", length=length)
    with Serving(WSGIApplication(stream, "s"), threads=threads) as serving:
        with serving.connect() as client:
            assert client.get("/").body == b"abcab"[:length]
            assert client.get("/short").body == b"short"
    assert happens(stream.closed)
    assert stream.made == 2
    assert "longer than its Content-Length" in caplog.text


def test_what_an_app_does_behind_its_last_piece_is_done(threads):
    done = []

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "3")])
        yield b"abc"
        done.append(True)

    with Serving(WSGIApplication(app, "s"), threads=threads) as serving:
        assert serving.get("/").body == b"abc"
        until(lambda: done, "the rest of the app")


def test_a_stream_that_is_too_short_is_seen_as_broken(threads, caplog):
    stream = Stream(3, b"abc", length=10)
    with Serving(WSGIApplication(stream, "s"), threads=threads) as serving:
        with pytest.raises(ConnectionError):
            serving.get("/")
    assert "1 bytes before its Content-Length" in caplog.text
    assert stream.closed.is_set()


def test_a_stream_that_fails_is_seen_as_broken(threads, caplog):
    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"first"
        raise LookupError("in the middle")

    with Serving(WSGIApplication(app, "s"), threads=threads) as serving:
        with pytest.raises(ConnectionError):
            serving.get("/")
    assert "in the middle" in caplog.text


def test_a_stream_over_http_1_0_ends_with_its_connection(threads):
    stream = Stream(2, b"abc")
    with Serving(WSGIApplication(stream, "s"), threads=threads) as serving:
        with serving.connect() as client:
            client.send("GET / HTTP/1.0")
            response = client.read()
    assert (response.framing, response.body) == ("close", b"abcabc")
