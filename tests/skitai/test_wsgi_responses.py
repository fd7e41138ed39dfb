"""What a hosted WSGI app may answer, and what happens when it answers wrongly (PEP 3333)."""

from __future__ import annotations

import gzip
import io
import sys
import tempfile
from wsgiref.validate import validator

import pytest
from serving import Serving

from skitai.handlers.wsgi import WSGIApplication

TEXT = [("Content-Type", "text/plain")]


class Closing:
    """An iterable that tells whether it was closed."""

    def __init__(self, *pieces):
        self.pieces = pieces
        self.closed = 0

    def __iter__(self):
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    def close(self):
        self.closed += 1


class Producer:
    """The original system's way to stream."""

    def __init__(self, *pieces):
        self.pieces = list(pieces)

    def more(self):
        return self.pieces.pop(0) if self.pieces else b""


@pytest.fixture(params=[4, 0], ids=["threads", "loop"])
def threads(request):
    return request.param


@pytest.fixture
def ask(threads):
    """Serve an app for one request, by default a GET, and one more to see that the worker lives."""

    def ask(app, method="GET", *headers, body=b""):
        with Serving(WSGIApplication(app, "app"), threads=threads) as serving:
            with serving.connect() as client:
                client.send(f"{method} / HTTP/1.1", "Host: a", *headers, body=body)
                response = client.read(method)
            serving.get("/again")
        return response

    return ask


def answering(result, status="200 OK", headers=TEXT):
    def app(environ, start_response):
        start_response(status, list(headers))
        return result() if callable(result) else result

    return app


@pytest.mark.parametrize(
    ("result", "body", "framing"),
    [
        ([b"one"], b"one", "length"),
        ([b"one", b"two"], b"onetwo", "length"),
        ((b"one", b"", b"two"), b"onetwo", "length"),
        ([], b"", "length"),
        (b"one", b"one", "length"),
        ("é", "é".encode(), "length"),
        ("", b"", "length"),
        (["text"], b"text", "length"),
        (lambda: iter([b"", b"one", bytearray(b"two")]), b"onetwo", "chunked"),
        (lambda: iter([]), b"", "length"),
        (lambda: io.BytesIO(b"a\nb"), b"a\nb", "chunked"),
        (lambda: Producer(b"one", b"two"), b"onetwo", "chunked"),
    ],
)
def test_results(ask, result, body, framing):
    response = ask(answering(result))
    assert (response.status, response.body, response.framing) == (200, body, framing)
    assert response["Content-Type"] == "text/plain"


@pytest.mark.parametrize("result", [None, 5, [5], lambda: iter([object()])])
def test_results_that_are_no_body_are_500_and_logged(ask, result, caplog):
    assert ask(answering(result)).status == 500
    assert "TypeError" in caplog.text


def test_an_answer_without_start_response_is_500(ask, caplog):
    assert ask(lambda environ, start_response: [b"x"]).status == 500
    assert "did not call start_response" in caplog.text


def test_an_exception_is_500_and_logged(ask, caplog):
    def app(environ, start_response):
        raise LookupError("lost")

    assert ask(app).status == 500
    assert "LookupError: lost" in caplog.text


def test_sys_exit_is_500(ask, caplog):
    assert ask(lambda environ, start_response: sys.exit(1)).status == 500


@pytest.mark.parametrize("kind", ["list", "generator"])
def test_a_known_length_is_sent_in_one_piece(ask, kind):
    def app(environ, start_response):
        start_response("200 OK", [*TEXT, ("content-length", "3")])
        return [b"abc"] if kind == "list" else iter([b"abc"])

    response = ask(app)
    assert (response.framing, response["Content-Length"], response.body) == ("length", "3", b"abc")


def test_start_response_may_be_called_while_the_body_is_made(ask):
    def app(environ, start_response):
        start_response("201 Created", TEXT)
        yield b"late"

    response = ask(app)
    assert (response.status, response.reason, response.body) == (201, "Created", b"late")


def test_close_is_called_whatever_happens(ask, caplog):
    made = []

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        made.append(Closing(b"one", b"two") if environ["PATH_INFO"] == "/" else Closing(OSError()))
        return made[-1]

    assert ask(app).body == b"onetwo"
    assert [one.closed for one in made] == [1, 1]


def test_a_close_that_fails_is_logged_and_hurts_nobody(ask, caplog):
    class Failing(Closing):
        def close(self):
            raise ValueError("close failed")

    assert ask(answering(lambda: Failing(b"x"))).body == b"x"
    assert "close failed" in caplog.text


def test_write_sends_before_what_is_returned(ask):
    def app(environ, start_response):
        write = start_response("200 OK", TEXT)
        write(b"first ")
        write(b"second ")
        return [b"third"]

    response = ask(app)
    assert (response.framing, response.body) == ("chunked", b"first second third")


def test_an_error_page_replaces_a_head_that_was_not_sent(ask):
    def app(environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", "100")])
        try:
            raise KeyError("x")
        except KeyError:
            start_response("503 Sorry", [*TEXT, ("X-Why", "x")], sys.exc_info())
        return [b"sorry"]

    response = ask(app)
    assert (response.status, response.reason, response["X-Why"]) == (503, "Sorry", "x")
    assert response.body == b"sorry"


def test_a_head_that_was_sent_can_not_be_replaced(threads, caplog):
    def app(environ, start_response):
        start_response("200 OK", TEXT)(b"begun")
        try:
            raise KeyError("the reason")
        except KeyError:
            start_response("500 No", TEXT, sys.exc_info())
        return [b"never"]

    with Serving(WSGIApplication(app, "app"), threads=threads) as serving:
        with pytest.raises(ConnectionError):
            serving.get("/")
    assert "KeyError: 'the reason'" in caplog.text


@pytest.mark.parametrize(
    ("status", "headers", "message"),
    [
        ("OK", TEXT, "the status must begin with a number"),
        ("20 OK", TEXT, "the status must begin with a number"),
        ("100 Continue", TEXT, "the status must begin with a number from 200 on"),
        (200, TEXT, "the status must be text like '200 OK'"),
        ("200 OK\r\nX: y", TEXT, "line break"),
        ("200 OK", [("X", "a\r\nY: b")], "line break"),
        ("200 OK", [("X Y", "a")], "is not a token"),
        ("200 OK", [("X", "ŵ")], "UnicodeEncodeError"),
        ("200 OK", [("Transfer-Encoding", "chunked")], "is for the server"),
        ("200 OK", [("Upgrade", "x")], "is for the server"),
        ("200 OK", [("Content-Length", "-1")], "Content-Length must be a number"),
        ("200 OK", [("Content-Length", "ten")], "Content-Length must be a number"),
        ("200 OK", [("Content-Length", "4")], "Content-Length is 4, but the body has 3 bytes"),
        ("200 OK", [("Content-Length", "2")], "Content-Length is 2, but the body has 3 bytes"),
    ],
)
def test_heads_that_would_break_http_are_500(ask, caplog, status, headers, message):
    response = ask(answering([b"abc"], status, headers))
    assert response.status == 500
    assert message in caplog.text


def test_start_response_twice_is_500(ask, caplog):
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        start_response("200 OK", TEXT)
        return []

    assert ask(app).status == 500
    assert "start_response was called twice" in caplog.text


def test_a_response_that_is_over_can_not_go_on(ask):
    kept = []

    def app(environ, start_response):
        kept.append((start_response, start_response("200 OK", TEXT)))
        return [b"x"]

    assert ask(app).status == 200
    start_response, write = kept[0]
    with pytest.raises(AssertionError, match="after the end"):
        write(b"y")
    with pytest.raises(AssertionError, match="twice"):
        start_response("200 OK", TEXT)


def test_headers_of_habit_are_dropped_and_cookies_repeated(ask):
    headers = [*TEXT, ("Connection", "keep-alive"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    response = ask(answering([b"x"], headers=headers))
    assert response.get("Connection") is None
    assert [value for name, value in response.fields if name == "Set-Cookie"] == ["a=1", "b=2"]


@pytest.mark.parametrize("pieces", [[b"abc"], [b"ab", b"c"]])
def test_head_has_the_length_but_no_body(ask, pieces):
    response = ask(answering(pieces), "HEAD")
    assert (response["Content-Length"], response.body) == ("3", b"")


def test_head_of_an_app_that_leaves_the_body_out_keeps_the_length(ask):
    response = ask(answering([], headers=[*TEXT, ("Content-Length", "123")]), "HEAD")
    assert response["Content-Length"] == "123"


def test_head_of_a_stream(ask):
    made = Closing(b"one", b"two")
    response = ask(answering(made), "HEAD")
    assert (response.status, response.body) == (200, b"")
    assert made.closed == 2  # both requests got the same


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("result", [[b"x"], lambda: iter([b"x", b"y"])])
def test_statuses_without_a_body_have_none(ask, status, result):
    response = ask(answering(result, status))
    assert (response.status, response.body, response.get("Content-Length")) == (
        int(status[:3]), b"", None,
    )  # fmt: skip


def test_large_text_is_compressed_and_validators_are_heeded(ask):
    headers = [*TEXT, ("ETag", '"v1"'), ("Content-Length", "5000")]
    response = ask(answering([b"x" * 5000], headers=headers), "GET", "Accept-Encoding: gzip")
    assert gzip.decompress(response.body) == b"x" * 5000
    assert ask(answering([b"x"], headers=headers[:2]), "GET", 'If-None-Match: "v1"').status == 304


def test_validated_by_the_standard_library(ask):
    def app(environ, start_response):
        environ["wsgi.errors"].write("")
        environ["wsgi.errors"].flush()
        body = environ["wsgi.input"].read(100)
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"<")
        return [body, b">"]

    response = ask(validator(app), "POST", "Content-Length: 4", body=b"body")
    assert response.body == b"<body>"


# -- files


def wrapping(opened, headers=TEXT, block=10):
    def app(environ, start_response):
        start_response("200 OK", list(headers))
        return environ["wsgi.file_wrapper"](opened(), block)

    return app


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 20_000)
    return path


def test_a_file_is_sent_by_the_kernel(ask, path):
    opened = []

    def open_it():
        opened.append(path.open("rb"))
        return opened[-1]

    response = ask(wrapping(open_it))
    assert (response.framing, response.body) == ("length", path.read_bytes())
    assert all(file.closed for file in opened)


def test_a_file_is_sent_from_where_it_stands_up_to_its_length(ask, path):
    def open_it():
        file = path.open("rb")
        file.seek(5)
        return file

    response = ask(wrapping(open_it, [*TEXT, ("Content-Length", "7")]))
    assert response.body == b"5678901"


def test_ranges_of_a_file(ask, path):
    response = ask(wrapping(lambda: path.open("rb")), "GET", "Range: bytes=3-5")
    assert (response.status, response.body) == (206, b"345")


def test_head_of_a_file(ask, path):
    response = ask(wrapping(lambda: path.open("rb")), "HEAD")
    assert (response["Content-Length"], response.body) == ("200000", b"")


def test_an_empty_file(ask, path):
    path.write_bytes(b"")
    response = ask(wrapping(lambda: path.open("rb")))
    assert (response.status, response.body) == (200, b"")


def test_files_that_are_not_what_the_kernel_sees_are_read(ask, path):
    path.write_bytes(gzip.compress(b"unpacked"))
    assert ask(wrapping(lambda: gzip.open(path))).body == b"unpacked"
    assert ask(wrapping(lambda: io.BytesIO(b"in memory"))).body == b"in memory"


def test_a_temporary_file(ask):
    def open_it():
        file = tempfile.NamedTemporaryFile()
        file.write(b"for now")
        file.seek(0)
        return file

    response = ask(wrapping(open_it))
    assert (response.framing, response.body) == ("length", b"for now")
