"""What handlers return, and the responses that it becomes."""

from __future__ import annotations

from collections import deque

import pytest
from driving import HTML, Driver, answer, returning

from atila import API, Atila, HTTPError

PAGE = "text/html; charset=utf-8"
JSON = "application/json"


# Text and bytes


@pytest.mark.parametrize(
    ("result", "body"),
    [("Grüße", "Grüße".encode()), (b"\x00\xff", b"\x00\xff"), (bytearray(b"ab"), b"ab")],
)
def test_text_and_bytes_are_html(result, body):
    got = answer(lambda was: result)
    assert (got.status, got["Content-Type"], got.body) == (200, PAGE, body)
    assert got["Content-Length"] == str(len(body))


@pytest.mark.parametrize("result", ["", b""])
def test_an_empty_result_has_no_type(result):
    got = answer(lambda was: result)
    assert (got.status, got["Content-Type"], got["Content-Length"]) == (200, None, "0")


def test_subclasses_are_what_they_extend():
    class Text(str):
        pass

    class Pairs(dict):
        pass

    assert answer(lambda was: Text("a")).text == "a"
    assert answer(lambda was: Pairs(a=1)).json == {"a": 1}


def test_status_and_headers_are_set_before_returning():
    def make(was):
        was.response.set_status("201 Created")
        was.response.set_header("X-Server", "skitai")
        was.response["Content-Type"] = "text/plain"
        return "hello"

    got = answer(make)
    assert (got.status, got.reason, got["X-Server"]) == (201, "Created", "skitai")
    assert got.all("Content-Type") == ["text/plain"]


def test_a_status_may_have_its_own_reason():
    got = answer(lambda was: was.response("488 Not My Fault", "x"))
    assert (got.status, got.reason) == (488, "Not My Fault")


@pytest.mark.parametrize("status", ["abc", "20", "2000 OK", "99 Low", "200 a\r\nb", 0, None])
def test_what_is_no_status_is_a_crash(status, log):
    assert answer(lambda was: was.response.set_status(status) or "x").status == 500
    assert "ValueError" in log.text


# JSON


@pytest.mark.parametrize(
    "result", [{}, {"a": [1, None, True, 1.5, "ü"]}, [], [1, {"b": 2}], (1, 2), {"": {}}]
)
def test_containers_are_json(result):
    got = answer(lambda was: result)
    assert (got.status, got["Content-Type"]) == (200, JSON)
    assert got.json == (list(result) if isinstance(result, tuple) else result)


def test_json_is_compact_and_not_escaped():
    assert answer(lambda was: {"ü": "한/<"}).text == '{"ü":"한/<"}'


# was.API


@pytest.mark.parametrize(
    ("api", "status", "data"),
    [
        (API(), 200, {}),
        (API({"a": 1}), 200, {"a": 1}),
        (API(a=1, b=2), 200, {"a": 1, "b": 2}),
        (API({"a": 1, "b": 1}, b=2), 200, {"a": 1, "b": 2}),
        (API("201 Created"), 201, {}),
        (API("201 Created", {"data": 1}, data=2), 201, {"data": 2}),
        (API("201 Created", data=1), 201, {"data": 1}),
        (API(201, {"a": 1}), 201, {"a": 1}),
        (API(None, {"a": 1}), 200, {"a": 1}),
        (API(None), 200, {}),
        (API("200 OK", None, a=1), 200, {"a": 1}),
        (API("404 Not Found", a=1), 404, {"a": 1}),
        (API(status=5, data={}, self="me"), 200, {"status": 5, "data": {}, "self": "me"}),
    ],
    ids=range(13),
)
def test_forms_of_api(api, status, data):
    got = answer(lambda was: api)
    assert (got.status, got["Content-Type"], got.json) == (status, JSON, data)


@pytest.mark.parametrize(
    "arguments", [([1],), ({"a": 1}, {"b": 1}), ("200 OK", [1]), (True,), (1.5,), (None, None, 1)]
)
def test_other_arguments_of_api_are_refused(arguments):
    with pytest.raises(TypeError, match=r"was\.API takes a status and a dictionary, not "):
        API(*arguments)


def test_an_api_can_be_changed_before_it_is_returned():
    def make(was):
        api = was.API(a=1)
        api["b"] = api["a"] + 1
        api.set("c", api.get("missing", 3))
        return api

    assert answer(make).json == {"a": 1, "b": 2, "c": 3}


def test_an_api_does_not_change_the_dictionary_it_was_made_from():
    shared = {"a": 1}
    API(shared)["b"] = 2
    API("200 OK", shared, c=3)
    assert shared == {"a": 1}


def test_the_status_of_api_wins_and_the_response_keeps_its_headers():
    def make(was):
        was.response.set_status(202)
        was.response.add_header("X-A", "1")
        was.response.add_header("X-A", "2")
        return was.API("201 Created") if "api" in was.request.URL else was.API()

    assert answer(make).status == 202
    app = Atila("both")
    app.route("/")(lambda was, api=0: make(was))
    got = Driver(app).get("/?api")
    assert (got.status, got.all("X-A")) == (201, ["1", "2"])


# What is no response


@pytest.mark.parametrize(
    "result", [None, 5, True, 1.5, object(), {1}, range(3), deque("a"), {}.keys(), ValueError("x")]
)
def test_other_results_are_a_crash_that_names_the_handler(result, log):
    got = answer(lambda was: result)
    assert (got.status, got.json) == (500, {"code": 50000, "message": "internal server error"})
    kind = type(result).__name__
    assert f"handler returning.<locals>.handler returned {kind}, which is no response" in log.text


def test_a_coroutine_that_returns_nothing_is_a_crash(log):
    app = Atila("nothing")

    @app.route("/")
    async def handler(was):
        pass

    assert Driver(app).get("/").status == 500
    assert ".handler returned NoneType, which is no response" in log.text


def test_an_error_may_be_returned():
    got = answer(lambda was: was.Error("409 Conflict", "again"))
    assert (got.status, got.json["more_info"]) == (409, "again")

    class Teapot(HTTPError):
        def __init__(self):
            super().__init__(418, "short and stout")

    assert answer(lambda was: Teapot()).status == 418
    page = returning(lambda was: Teapot()).request("GET", "/", HTML)
    assert "short and stout" in page.text
