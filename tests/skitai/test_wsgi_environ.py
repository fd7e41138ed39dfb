"""What a hosted WSGI app is told of a request (PEP 3333, environ Variables)."""

from __future__ import annotations

import json
import os
from wsgiref.validate import validator

import pytest
from serving import Serving

from skitai.handlers.wsgi import WSGIApplication


def show(environ, start_response):
    """Answers with the environment; the body is read in three ways."""
    read = environ["wsgi.input"]
    first = read.readline().decode()
    rest = [line.decode() for line in read]
    shown = {key: value for key, value in environ.items() if isinstance(value, (str, int, bool))}
    answer = json.dumps({**shown, "first": first, "rest": rest}).encode()
    start_response("200 OK", [("Content-Type", "application/json")])
    return [answer]


@pytest.fixture(scope="module")
def serving():
    with Serving(WSGIApplication(validator(show), "show")) as serving:
        yield serving


def asked(serving, *lines, body=b""):
    with serving.connect() as client:
        client.send(*lines, body=body)
        response = client.read()
    assert response.status == 200
    return json.loads(response.body)


def test_a_request_is_described(serving):
    environ = asked(serving, "GET /a/b?x=1&y=%20 HTTP/1.1", "Host: shop.example:8080", "X-Own: z")
    host, port = serving.address
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b",
        "QUERY_STRING": "x=1&y=%20",
        "REQUEST_URI": "/a/b?x=1&y=%20",
        "RAW_URI": "/a/b?x=1&y=%20",
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "shop.example:8080",
        "HTTP_X_OWN": "z",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "first": "",
        "rest": [],
    }
    assert {key: environ[key] for key in expected} == expected
    assert environ["REMOTE_PORT"].isdecimal()
    assert "CONTENT_LENGTH" not in environ


def test_a_path_is_bytes_in_the_clothes_of_text(serving):
    environ = asked(serving, "GET /b%C3%A9/%2F HTTP/1.1", "Host: a")
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/bé//"
    assert environ["REQUEST_URI"] == "/b%C3%A9/%2F"


def test_a_target_with_a_host_is_reduced_to_its_path(serving):
    environ = asked(serving, "GET http://other.example/p?q HTTP/1.1", "Host: a")
    names = ("HTTP_HOST", "PATH_INFO", "REQUEST_URI", "SERVER_NAME", "SERVER_PORT")
    assert [environ[name] for name in names] == [
        "other.example",
        "/p",
        "/p?q",
        "other.example",
        "80",
    ]


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("[::1]:81", "[::1]", "81"),
        ("[::1]", "[::1]", "80"),
        ("a:", "a", "80"),
        ("", "localhost", "80"),
    ],
)
def test_name_and_port_of_the_server_come_from_the_host_header(serving, host, name, port):
    environ = asked(serving, "GET / HTTP/1.1", f"Host: {host}")
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == (name, port)


def test_headers_that_could_pass_for_others_are_left_out(serving):
    environ = asked(
        serving,
        "GET / HTTP/1.1",
        "Host: a",
        "X_Forwarded_For: 6.6.6.6",
        "Proxy: http://evil.example",
        "Accept: a",
        "Accept: b",
        "Cookie: c=1",
        "Cookie: d=2",
    )
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert "HTTP_PROXY" not in environ
    assert (environ["HTTP_ACCEPT"], environ["HTTP_COOKIE"]) == ("a, b", "c=1; d=2")


def test_the_environment_of_the_process_is_not_shown(serving, monkeypatch):
    assert "PATH" in os.environ
    environ = asked(serving, "GET / HTTP/1.1", "Host: a")
    assert not {"PATH", "HOME"} & set(environ)


def test_a_trusted_proxy_tells_address_and_scheme(serving):
    environ = asked(
        serving,
        "GET / HTTP/1.1",
        "Host: a",
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-Proto: https",
    )
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.9", "https")
    assert environ["SERVER_PORT"] == "443"


@pytest.mark.parametrize("size", [2_000, 3_000_000])
def test_a_body_is_a_file_in_memory_or_on_disk(serving, size):
    body = b"one\n" + b"x" * size
    environ = asked(
        serving,
        "POST / HTTP/1.1",
        "Host: a",
        f"Content-Length: {len(body)}",
        "Content-Type: text/plain",
        body=body,
    )
    assert (environ["CONTENT_LENGTH"], environ["CONTENT_TYPE"]) == (str(len(body)), "text/plain")
    assert (environ["first"], environ["rest"]) == ("one\n", ["x" * size])
    assert not {"HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE"} & set(environ)


def test_a_chunked_body_has_a_length(serving):
    environ = asked(
        serving,
        "POST / HTTP/1.1",
        "Host: a",
        "Transfer-Encoding: chunked",
        body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )
    assert (environ["CONTENT_LENGTH"], environ["first"]) == ("5", "abcde")
    assert "HTTP_TRANSFER_ENCODING" not in environ


def test_http_1_0_is_told(serving):
    environ = asked(serving, "GET / HTTP/1.0")
    assert (environ["SERVER_PROTOCOL"], environ["SERVER_NAME"]) == ("HTTP/1.0", "localhost")


def test_a_body_above_the_limit_never_reaches_the_app():
    app = WSGIApplication(show, "show", max_body=10)
    with Serving(app) as serving, serving.connect() as client:
        client.send("POST / HTTP/1.1", "Host: a", "Content-Length: 11", body=b"x" * 11)
        assert client.read().status == 413


def test_options_for_the_server_are_answered_by_the_server(serving):
    with serving.connect() as client:
        client.send("OPTIONS * HTTP/1.1", "Host: a")
        assert client.read().status == 204


def test_a_request_for_a_websocket_is_a_get_without_one(serving):
    environ = asked(
        serving, "GET /x HTTP/1.1", "Host: a", "Connection: upgrade", "Upgrade: websocket"
    )
    assert (environ["REQUEST_METHOD"], environ["HTTP_UPGRADE"]) == ("GET", "websocket")
