"""``was.response``: status and headers, and redirects; caching is in test_response_caching."""

from __future__ import annotations

import html
import time

import pytest
from driving import answer

from skitai.wire.dates import parse_date

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


def test_a_redirect_says_where_it_leads_and_may_say_more():
    def make(was):
        return was.redirect("/a?b=<i>", 303, "moved <b>", [("Set-Cookie", "a=1"), ("X-A", "1")])

    got = answer(make)
    assert (got.status, got.text, got["X-A"]) == (303, "moved <b>", "1")
    assert got["Set-Cookie"] == "a=1"
    got = answer(lambda was: was.redirect("/", body="", headers={"Cache-Control": "no-store"}))
    assert (got.body, got.all("Cache-Control")) == (b"", ["no-store"])
    assert parse_date(got["Expires"]) == pytest.approx(time.time(), abs=5)


def test_a_redirect_may_lead_anywhere_but_stays_one_header():
    got = answer(lambda was: was.redirect("/\u2028\0\\evil.example"))
    assert got["Location"] == "/%E2%80%A8%00%5Cevil.example"


# Headers


def test_the_reason_is_the_standard_one_until_another_is_set():
    def make(was):
        reasons = [was.response.reason]
        for status in (404, "404", "404 Nobody Here", 299, "201 "):
            was.response.set_status(status)
            reasons.append(was.response.reason)
        return reasons

    assert answer(make).json == [
        "OK", "Not Found", "Not Found", "Nobody Here", "Unknown", "Created",
    ]  # fmt: skip


def test_values_are_appended_to_a_list():
    def make(was):
        response = was.response
        response.append_header("X-A", "1")
        response.append_header("x-a", 2)
        response.add_header("X-B", "1")
        response.add_header("X-B", "2")
        response.append_header("X-B", "3")
        return "x"

    got = answer(make)
    assert (got.all("X-A"), got.all("X-B")) == (["1, 2"], ["1, 2, 3"])


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": 1, "Content-Type": "text/x"},
        [("X-A", "0"), ("X-A", "1"), ("Content-Type", "text/x")],
        iter([("x-a", "1"), ("content-type", "text/x")]),
    ],
    ids=range(3),
)
def test_several_headers_are_set_at_once(headers):
    def make(was):
        was.response.add_header("X-A", "old")
        was.response.add_header("X-B", "kept")
        was.response.set_headers(headers)
        return "x"

    got = answer(make)
    assert (got.all("X-A")[-1], got["X-B"], got["Content-Type"]) == ("1", "kept", "text/x")
    assert "old" not in got.all("X-A")


def test_a_pair_may_stand_twice_in_the_headers_of_a_response():
    pairs = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]
    got = answer(lambda was: was.response("200 OK", "x", headers=pairs))
    assert got.all("Set-Cookie") == ["a=1", "b=2"]


def test_update_takes_one_header_or_several():
    def make(was):
        was.response.update("X-A", "1")
        was.response.update("X-A", "2")
        was.response.update({"X-B": "3"})
        was.response.update([("X-C", "4")])
        return [was.response["X-A"], "X-B" in was.response, "X-D" in was.response]

    got = answer(make)
    assert got.json == ["2", True, False]
    assert (got.all("X-A"), got["X-B"], got["X-C"]) == (["2"], "3", "4")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("X-A", "1\r\nSet-Cookie: a=1", "header X-A: '1.*' has a line break or NUL in it"),
        ("X-A", "a\0", "header X-A: .* has a line break or NUL"),
        ("X-A", "한", "header X-A: '한' is not Latin-1: encode it"),
        ("X-A", "\ud800", "is not Latin-1"),
        ("X A", "1", "'X A' is no name of a header"),
        ("X-A\n", "1", "is no name of a header"),
        ("", "1", "'' is no name of a header"),
        ("Überschrift", "1", "is no name of a header"),
        ("Content-Type", "text/html\r\nX: y", "header Content-Type: .* has a line break"),
    ],
)
@pytest.mark.parametrize(
    "how", ["add_header", "set_header", "append_header", "update", "__setitem__"]
)
def test_unsafe_headers_are_refused_where_they_are_set(how, name, value, message):
    def make(was):
        with pytest.raises(ValueError, match=message):
            getattr(was.response, how)(name, value)
        return "refused"

    assert answer(make).text == "refused"


@pytest.mark.parametrize("value", ["Grüße", "a\tb", "", "\x7f", 'a"b\\c', 5, None, 1.5])
def test_what_can_be_sent_is_sent(value):
    def make(was):
        was.response.set_header("X-A", value)
        return "x"

    assert answer(make)["X-A"] == str(value)
