"""Bodies that WSGI apps read while they arrive."""

from __future__ import annotations

import threading

import pytest
from serving import Serving, happens, until

from skitai.errors import ConfigError
from skitai.handlers.wsgi import WSGIApplication

CHUNKED = ("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")


def hosted(app, max_body=None):
    application = WSGIApplication(app, "app", max_body)
    application.streams_input = True
    return application


def lines(environ, start_response):
    """Sends each line back as soon as it is there."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for line in environ["wsgi.input"]:
        yield line.upper()


def total(environ, start_response):
    """Counts the body."""
    size = len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{size} {environ.get('CONTENT_LENGTH')}".encode()]


def test_the_app_reads_and_answers_while_the_body_arrives():
    with Serving(hosted(lines)) as serving, serving.connect() as client:
        client.send(*CHUNKED)
        client.write(b"4\r\none\n\r\n")
        assert client.read_head().status == 200
        assert client.read_chunk() == b"ONE\n"
        client.write(b"2\r\ntw\r\n")
        client.write(b"2\r\no\n\r\n")
        assert client.read_chunk() == b"TWO\n"
        client.write(b"0\r\n\r\n")
        assert client.read_chunk() == b""


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_the_whole_body_arrives(size):
    with Serving(hosted(total)) as serving:
        with serving.connect() as client:
            client.send("POST / HTTP/1.1", "Host: a", f"Content-Length: {size}", body=b"x" * size)
            assert client.read().body == f"{size} {size}".encode()
            client.send(*CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n")
            assert client.read().body == b"3 None"
        assert serving.get("/").body == b"0 None"


def test_a_body_over_the_limit_is_refused():
    with Serving(hosted(total, 10)) as serving:
        with serving.connect() as client:
            client.send("POST / HTTP/1.1", "Host: a", "Content-Length: 11")
            assert client.read().status == 413
        with serving.connect() as client:
            client.send(*CHUNKED, body=b"b\r\nhello world\r\n0\r\n\r\n")
            assert client.read().status == 413
        assert serving.get("/").status == 200


def test_a_client_that_leaves_ends_the_reading():
    begun, failures = threading.Event(), []

    def app(environ, start_response):
        begun.set()
        try:
            environ["wsgi.input"].read()
        except Exception as exc:
            failures.append(str(exc))
            raise
        return []

    with Serving(hosted(app), threads=1) as serving:
        with serving.connect() as client:
            client.send("POST / HTTP/1.1", "Host: a", "Content-Length: 11", body=b"hello")
            assert happens(begun)
        until(lambda: failures, "the failure")
        assert "the client left before the end of its request" in failures[0]


def test_a_slow_app_lets_the_client_wait():
    go_on = threading.Event()

    def app(environ, start_response):
        assert happens(go_on)
        return total(environ, start_response)

    with Serving(hosted(app)) as serving, serving.connect() as client:
        size = 40_000_000
        client.send("POST / HTTP/1.1", "Host: a", f"Content-Length: {size}")
        writer = threading.Thread(target=client.write, args=(b"x" * size,))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        go_on.set()
        assert client.read().body == f"{size} {size}".encode()
        writer.join()


def test_without_threads_nothing_can_be_read_on_the_way():
    with pytest.raises(ConfigError, match="STREAM_INPUT of app 'app' needs threads"):
        hosted(total).freeze("/", None)
