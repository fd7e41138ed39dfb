"""``was.response``: status and headers that a handler sets, and redirects."""

from __future__ import annotations

import html

import pytest
from driving import answer

JSON = "application/json"
PAGE = "text/html; charset=utf-8"


# was.response(...)


def test_response_sets_everything_at_once():
    def make(was):
        return was.response("201 Created", "body", headers=[("Content-Type", "text/x"), ("A", "1")])

    got = answer(make)
    assert (got.status, got["Content-Type"], got["A"], got.text) == (201, "text/x", "1", "body")
    got = answer(lambda was: was.response(202, {"a": 1}, headers={"A": "2"}))
    assert (got.status, got["Content-Type"], got["A"], got.json) == (202, JSON, "2", {"a": 1})


def test_response_without_a_body():
    got = answer(lambda was: was.response())
    assert (got.status, got.body) == (200, b"")
    got = answer(lambda was: was.response("204 No Content"))
    assert (got.status, got.body, got["Content-Length"]) == (204, b"", None)
    got = answer(lambda was: was.response("404 Not Found"))
    assert (got.status, got.json) == (404, {"code": 40400, "message": "not found"})


def test_response_without_a_body_keeps_its_headers():
    headers = {"WWW-Authenticate": 'Bearer realm="App"'}
    got = answer(lambda was: was.response("401 Unauthorized", headers=headers))
    assert (got.status, got["WWW-Authenticate"]) == (401, 'Bearer realm="App"')


def test_headers_are_set_added_read_and_removed():
    def make(was):
        response = was.response
        response.add_header("X-A", 1)
        response.add_header("x-a", 2)
        response.set_header("X-B", "old")
        response.set_header("x-b", "new")
        response["X-C"] = "3"
        response["X-D"] = "4"
        response.del_header("X-c")
        del response["x-d"]
        response.set_header("Content-Type", "text/a")
        return [
            response.get_header("X-A"),
            response.get_header("Accept", "none"),
            response.get_header("Accept"),
            response["x-B"],
            response["content-TYPE"],
            response.status_code,
        ]

    got = answer(make)
    assert got.json == ["1", "none", None, "new", "text/a", 200]
    assert (got.all("X-A"), got["X-B"], got["X-C"], got["X-D"]) == (["1", "2"], "new", None, None)


def test_a_removed_content_type_is_that_of_the_result_again():
    def make(was):
        was.response.content_type = "text/plain"
        was.response.del_header("Content-Type")
        return "x"

    assert answer(make)["Content-Type"] == PAGE


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection"])
def test_framing_is_left_to_the_engine(name):
    got = answer(lambda was: was.response("200 OK", "body", headers=[(name, "chunked")]))
    assert (got.text, got["Content-Length"]) == ("body", "4")
    assert "chunked" not in [value for _, value in got.headers]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "1\r\nSet-Cookie: a=1"),
        ("X-A", "1\nSet-Cookie: a=1"),
        ("X-A", "1\0"),
        ("X-A", "한"),
        ("X A", "1"),
        ("X-A:", "1"),
        ("X-A\r\nB", "1"),
        ("", "1"),
        ("Content-Type", "text/html\r\nSet-Cookie: a=1"),
    ],
)
def test_unsafe_headers_are_refused(name, value, log):
    got = answer(lambda was: was.response("200 OK", "x", headers=[(name, value)]))
    assert (got.status, got["Set-Cookie"], got["X-A"]) == (500, None, None)
    assert "ValueError" in log.text or "UnicodeEncodeError" in log.text


def test_unsafe_headers_are_refused_on_errors_and_streams_too(log):
    def failing(was):
        was.response.add_header("X-A", "1\r\nSet-Cookie: a=1")
        raise was.Error("404 Not Found")

    assert answer(failing).status == 500

    def streaming(was):
        was.response.add_header("X-A", "1\r\nSet-Cookie: a=1")
        return iter(["a"])

    got = answer(streaming)
    assert (got.status, got["Set-Cookie"]) == (500, None)


# Redirects


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/a?b=c#d", "/a?b=c#d"),
        ("https://example.com/ü x", "https://example.com/%C3%BC%20x"),
        ("/a%20b", "/a%20b"),
        ("/a\r\nSet-Cookie: b=c", "/a%0D%0ASet-Cookie:%20b=c"),
        ("http://[::1]:80/", "http://[::1]:80/"),
    ],
)
def test_redirects(url, location):
    got = answer(lambda was: was.redirect(url))
    assert (got.status, got.reason, got["Location"]) == (302, "Object Moved", location)
    assert (got["Cache-Control"], got["Content-Type"]) == ("max-age=0", PAGE)
    assert got.text == f'<a href="{html.escape(location)}">moved</a>\n'


def test_a_redirect_has_the_status_that_was_asked_for():
    assert answer(lambda was: was.redirect("/", "301 Moved Permanently")).status == 301
    assert answer(lambda was: was.redirect("/", status=307)).status == 307


def test_a_redirect_keeps_other_headers():
    def make(was):
        was.response.add_header("X-A", "1")
        return was.redirect("/x")

    assert answer(make)["X-A"] == "1"
