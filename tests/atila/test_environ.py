"""``was.env``: what PEP 3333 asks for, and what a client must not be able to put there."""

from __future__ import annotations

import os
import sys
import warnings
from wsgiref.util import request_uri
from wsgiref.validate import check_environ

import pytest
from driving import Driver

from atila import Atila

HEADERS = {
    "Host": "example.com:8080",
    "User-Agent": "Test/1.0",
    "X-Two": "a, b",
    "Cookie": "a=1; b=2",
}


def environ(method="GET", target="/x", headers=None, body=None, point="/"):
    """The environment that a handler finds, and what it can read from ``wsgi.input``."""
    app = Atila("env")
    found = {}

    @app.route("/", methods=["GET", "POST", "PUT", "HEAD"])
    @app.route("/<path:rest>", methods=["GET", "POST", "PUT", "HEAD"])
    def handler(was, **parameters):
        assert was.env is was.request.env
        env = was.env
        check_environ(env)
        found.update(env, content=env["wsgi.input"].read(), uri=request_uri(env))
        return "ok"

    driver = Driver(app, point=point)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = driver.request(method, target, HEADERS if headers is None else headers, body)
    assert answer.status == 200, answer.text
    return found


def test_the_environment_of_a_request():
    env = environ(target="/a%20b/%ED%95%9C?q=%20&x")
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a b/\xed\x95\x9c",
        "QUERY_STRING": "q=%20&x",
        "REQUEST_URI": "/a%20b/%ED%95%9C?q=%20&x",
        "REQUEST_VERSION": "1.1",
        "SERVER_NAME": "example.com",
        "SERVER_PORT": "8080",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_SOFTWARE": "skitai",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "41000",
        "HTTP_HOST": "example.com:8080",
        "HTTP_USER_AGENT": "Test/1.0",
        "HTTP_X_TWO": "a, b",
        "HTTP_COOKIE": "a=1; b=2",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "skitai.process": os.getpid(),
        "content": b"",
    }
    assert {name: env.get(name) for name in expected} == expected
    assert env["wsgi.errors"] is sys.stderr
    assert env["uri"] == "http://example.com:8080/a%20b/%ED%95%9C?q=%20&x"
    assert "CONTENT_LENGTH" not in env
    assert "CONTENT_TYPE" not in env


def test_the_point_of_the_app_is_the_script_name():
    env = environ(target="/my%20shop/a", point="/my shop/")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("/my shop", "/a")
    env = environ(target="/shop/", point="/shop/")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("/shop", "/")
    env = environ(target="/", point="/")
    assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("", "/")


def test_the_body_is_its_input():
    headers = {"Host": "a", "Content-Type": "text/plain", "Content-Length": "4"}
    env = environ("PUT", headers=headers, body=b"text")
    assert env["content"] == b"text"
    assert (env["CONTENT_LENGTH"], env["CONTENT_TYPE"]) == ("4", "text/plain")
    assert "HTTP_CONTENT_TYPE" not in env
    assert "HTTP_CONTENT_LENGTH" not in env


def test_a_body_in_chunks_has_a_length_too():
    env = environ("POST", headers={"Host": "a", "Transfer-Encoding": "chunked"}, body=b"x" * 3)
    assert (env["CONTENT_LENGTH"], env["content"]) == ("3", b"xxx")


def test_a_body_that_was_parsed_can_be_read_again():
    app = Atila("env")

    @app.route("/")
    def handler(was, a):
        return [a, was.env["wsgi.input"].read().decode(), was.request.get_body().decode()]

    assert Driver(app).json("/", {"a": 1}).json == [1, '{"a": 1}', '{"a": 1}']


def test_a_large_body_is_its_input_too():
    data = b"0123456789" * 200_000
    assert environ("POST", headers={"Host": "a"}, body=data)["content"] == data


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("example.com", "example.com", "80"),
        ("example.com:81", "example.com", "81"),
        ("example.com:", "example.com", "80"),
        ("127.0.0.1:5000", "127.0.0.1", "5000"),
        ("[::1]", "[::1]", "80"),
        ("[::1]:81", "[::1]", "81"),
        ("[::1]:", "[::1]", "80"),
        ("", "localhost", "80"),
        (None, "localhost", "80"),
    ],
)
def test_name_and_port_of_the_server(host, name, port):
    env = environ(headers={} if host is None else {"Host": host})
    assert (env["SERVER_NAME"], env["SERVER_PORT"]) == (name, port)


def test_a_header_with_an_underscore_stands_for_no_other():
    headers = {"Host": "a", "X_Forwarded_For": "127.0.0.1", "Content_Length": "5", "A_B": "c"}
    env = environ(headers=headers)
    assert not {"HTTP_X_FORWARDED_FOR", "HTTP_CONTENT_LENGTH", "CONTENT_LENGTH", "HTTP_A_B"} & {
        *env
    }
    headers = {"Host": "a", "X-Forwarded-For": "1.2.3.4", "X_Forwarded_For": "127.0.0.1"}
    assert environ(headers=headers)["HTTP_X_FORWARDED_FOR"] == "1.2.3.4"


def test_the_seed_asks_for_the_user_agent():
    app = Atila("env")
    app.route("/")(lambda was: was.env.get("HTTP_USER_AGENT", "Unknown Agent"))
    driver = Driver(app)
    assert driver.get("/", User_Agent="Test").text == "Test"
    assert driver.get("/").text == "Unknown Agent"
