"""``was.request`` and the rest of ``was``: everything that a handler can ask for."""

from __future__ import annotations

import logging
import re

import pytest
from driving import Driver

from atila import API, Atila, File, HTTPError

HEADERS = {
    "Host": "example.com",
    "User-Agent": "Test/1.0",
    "Content-Type": "Text/Plain; charset=utf-8",
    "X-Two": "a, b",
}


def asked(question, method="GET", target="/x/3?q=1", headers=None, body=None, **options):
    """What ``question(was)`` says about a request."""
    app = Atila("asked")

    @app.route("/x/<int:id>", methods=["GET", "POST", "PUT", "HEAD"], **options)
    def handler(was, id, q=None, other="default"):
        return {"is": question(was)}

    got = Driver(app).request(method, target, HEADERS if headers is None else headers, body)
    assert got.status == 200, got.text
    return got.json["is"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (lambda r: r.method, "GET"),
        (lambda r: r.uri, "/x/3?q=1"),
        (lambda r: r.path, "/x/3"),
        (lambda r: r.version, "1.1"),
        (lambda r: r.scheme, "http"),
        (lambda r: r.args, {"id": 3, "q": "1", "other": "default"}),
        (lambda r: r.ARGS, {"id": 3, "q": "1", "other": "default"}),
        (lambda r: r.PARAMS, {"id": 3}),
        (lambda r: r.URL, {"q": "1"}),
        (lambda r: r.FORM, None),
        (lambda r: r.JSON, None),
        (lambda r: r.DATA, {}),
        (lambda r: r.g, {}),
        (lambda r: r.user, None),
        (lambda r: r.body.decode(), ""),
        (lambda r: r.get_body().decode(), ""),
        (lambda r: r.headers["host"], "example.com"),
        (lambda r: r.get_header("content-TYPE"), "Text/Plain; charset=utf-8"),
        (lambda r: r.get_header("X-Missing"), None),
        (lambda r: r.get_header("X-Missing", "default"), "default"),
        (lambda r: r.get_headers()[0], "host: example.com"),
        (lambda r: r.get_headers()[3], "x-two: a, b"),
        (lambda r: r.get_remote_addr(), "192.0.2.7"),
        (lambda r: r.get_user_agent(), "Test/1.0"),
        (lambda r: r.get_content_type(), "text/plain"),
        (lambda r: r.get_main_type(), "text"),
        (lambda r: r.get_sub_type(), "plain"),
        (lambda r: r.split_uri(), ["/x/3", None, "?q=1", None]),
        (lambda r: r.routed.__name__, "handler"),
    ],
    ids=range(29),
)
def test_members(question, expected):
    assert asked(lambda was: question(was.request)) == expected


@pytest.mark.parametrize("name", ["user_agent", "content_type", "main_type", "sub_type"])
def test_what_was_not_sent_is_none(name):
    assert asked(lambda was: getattr(was.request, f"get_{name}")(), headers={}) is None


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("/x/3", ["/x/3", None, None, None]),
        ("/x/3?", ["/x/3", None, "?", None]),
        ("/x/3?q=a?b;c", ["/x/3", None, "?q=a?b;c", None]),
    ],
)
def test_split_uri(target, parts):
    assert asked(lambda was: was.request.split_uri(), target=target) == parts


def test_a_parameter_of_the_path_is_split_off():
    app = Atila("split")
    app.route("/<p>")(lambda was, p: list(was.request.split_uri()))
    assert Driver(app).get("/a;v=1").json == ["/a", ";v=1", None, None]


def test_the_path_is_decoded_and_the_uri_is_not():
    app = Atila("decoded")
    app.route("/<p>")(lambda was, p: [was.request.path, was.request.uri])
    assert Driver(app).get("/%ED%95%9C").json == ["/한", "/%ED%95%9C"]


def test_the_body_can_be_read_raw_and_parsed_and_again():
    def question(was):
        request = was.request
        return [request.body.decode(), request.JSON, request.get_body().decode(), request.JSON]

    headers = {"Content-Type": "application/json"}
    text = '{"other": 1}'
    said = asked(question, "POST", headers=headers, body=text.encode())
    assert said == [text, {"other": 1}, text, {"other": 1}]


def test_headers_can_not_be_mixed_up_with_those_of_the_response():
    def question(was):
        was.response.set_header("Host", "other")
        return was.request.get_header("Host")

    assert asked(question) == "example.com"


def test_values_of_a_request_are_attributes_and_items():
    def question(was):
        g = was.request.g
        g.target = "World"
        g["n"] = 1
        assert was.request.g is g
        with pytest.raises(AttributeError):
            _ = g.missing
        return [g["target"], g.n, g.get("missing", 5), "n" in g]

    assert asked(question) == ["World", 1, 5, True]


def test_values_of_a_request_end_with_it():
    app = Atila("g")

    @app.route("/<p>")
    def handler(was, p):
        before = was.request.g.get("p")
        was.request.g.p = p
        return [before, was.request.g.p]

    driver = Driver(app)
    assert driver.get("/a").json == [None, "a"]
    assert driver.get("/b").json == [None, "b"]


def test_values_of_the_app_stay():
    app = Atila("g")
    app.g["count"] = 0
    app.g.__b__ = 2

    @app.route("/")
    def handler(was):
        was.app.g["count"] += 1
        return [app.store.count, was.app.g["__b__"]]

    driver = Driver(app)
    assert driver.get("/").json == [1, 2]
    assert driver.get("/").json == [2, 2]
    assert app.store is app.g


def test_the_route_describes_itself():
    app = Atila("routable")

    @app.route("/x/<int:n>", methods=["POST", "GET"], content_types=["text/xml"], custom=5)
    def handler(was, n, q=5, **rest):
        return {**was.request.routable, "same": was.request.routed is handler}

    got = Driver(app, point="/shop/").send("/shop/x/1", "<a/>", "text/xml").json
    assert got["methods"] == ["GET", "POST"]
    assert got["content_types"] == ["text/xml"]
    assert got["options"]["custom"] == got["custom"] == 5
    assert got["route"] == "/x/<int:n>"
    assert got["func_id"] == "handler"
    assert got["mntopt"] == {}
    assert got["args"] == ["n", "q"]
    assert got["keywords"] == "rest"
    assert got["defaults"] == {"q": 5}
    assert got["urlargs"] == 1
    assert got["same"] is True


# Parameters by where they come from


def told(method="GET", target="/x/3", headers=None, body=None):
    """All that a request says of its parameters."""
    app = Atila("told")

    @app.route("/x/<int:id>", methods=["GET", "POST", "PUT"])
    def handler(was, id=0, q="default", **rest):
        request = was.request
        names = ("args", "ARGS", "PARAMS", "URL", "FORM", "JSON", "DATA", "DEFAULT")
        return {
            **{name: getattr(request, name) for name in names},
            "same": [request.json() == request.JSON, request.form() == request.FORM]
            + [request.dict() == request.args],
            "body": request.payload.decode("latin-1"),
            "length": [request.content_length, request.get_content_length()],
        }

    answer = Driver(app).request(method, target, headers, body)
    assert answer.status == 200, answer.text
    found = answer.json
    assert found.pop("same") == [True] * 3
    assert found["args"] == found.pop("ARGS")
    return found


NOTHING = {
    "args": {"id": 3, "q": "default"},
    "PARAMS": {"id": 3},
    "URL": {},
    "FORM": None,
    "JSON": None,
    "DATA": {},
    "DEFAULT": {"id": 0, "q": "default"},
    "body": "",
    "length": [None, None],
}
JSON = {"Content-Type": "application/json; charset=utf-8"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "changes"),
    [
        ("GET", "/x/3", None, None, {}),
        (
            "GET",
            "/x/3?q=1&r=2&r=3",
            None,
            None,
            {
                "args": {"id": 3, "q": "1", "r": ["2", "3"]},
                "URL": {"q": "1", "r": ["2", "3"]},
            },
        ),
        ("GET", "/x", None, None, {"args": {"id": 0, "q": "default"}, "PARAMS": {}}),
        (
            "POST",
            "/x/3?id=4&q=5",
            JSON,
            b'{"q": [6, null]}',
            {
                "args": {"id": 3, "q": [6, None]},
                "URL": {"id": "4", "q": "5"},
                "JSON": {"q": [6, None]},
                "DATA": {"q": [6, None]},
                "body": '{"q": [6, null]}',
                "length": [16, 16],
            },
        ),
        (
            "PUT",
            "/x/3",
            FORM,
            b"id=7&a=%20b",
            {
                "args": {"id": "7", "q": "default", "a": " b"},
                "FORM": {"id": "7", "a": " b"},
                "DATA": {"id": "7", "a": " b"},
                "body": "id=7&a=%20b",
                "length": [11, 11],
            },
        ),
        (
            "POST",
            "/x/3",
            JSON,
            b"[1]",
            {"JSON": [1], "DATA": [1], "body": "[1]", "length": [3, 3]},
        ),
        ("POST", "/x/3", JSON, b"0", {"JSON": 0, "body": "0", "length": [1, 1]}),
        (
            "POST",
            "/x/3",
            {"Content-Type": "text/plain"},
            b"\xff",
            {"body": "\xff", "length": [1, 1]},
        ),
        ("POST", "/x/3", None, b"raw", {"body": "raw", "length": [3, 3]}),
        ("POST", "/x/3", FORM, b"", {"FORM": {}, "length": [0, 0]}),
    ],
)
def test_parameters_by_where_they_come_from(method, target, headers, body, changes):
    assert told(method, target, headers, body) == {**NOTHING, **changes}


def test_a_handler_without_defaults_has_none():
    app = Atila("defaults")
    app.route("/")(lambda was: [was.request.DEFAULT, was.request.args])
    assert Driver(app).get("/").json == [None, {}]


def test_an_error_page_has_a_request_without_a_route():
    app = Atila("lost")

    @app.error_handler(404)
    def lost(was, error):
        request = was.request
        facts = [request.routed, request.routable, request.DEFAULT, request.PARAMS, request.args]
        return was.API(facts=facts, env=was.env["PATH_INFO"])

    answer = Driver(app).request("GET", "/nothing?a=1", {"Accept": "text/html"})
    assert answer.status == 404
    assert answer.json == {"facts": [None, {}, None, {}, {"a": "1"}], "env": "/nothing"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [(JSON, b"{"), (JSON, b""), (JSON, b"\xff"), (FORM, b"%FF=1"), (FORM, b"a=%ED%A0%80")],
)
@pytest.mark.parametrize("name", ["args", "JSON", "FORM", "DATA"])
def test_a_body_that_cannot_be_read_is_a_bad_request(headers, body, name):
    app = Atila("broken")

    @app.route("/", methods=["POST"])
    def handler(was, **kw):
        return "read"

    @app.before_request
    def before(was):
        getattr(was.request, name)

    assert Driver(app).request("POST", "/", headers, body).status == 400


@pytest.mark.parametrize("query", ["%FF", "a=%C3", "&".join(f"a{n}=1" for n in range(1001))])
def test_a_query_that_cannot_be_read_is_a_bad_request(query):
    app = Atila("broken")
    app.route("/a")(lambda was, **kw: "read")
    app.route("/b")(lambda was: str(was.request.URL))
    driver = Driver(app)
    assert driver.get(f"/a?{query}").status == 400
    assert driver.get(f"/b?{query}").status == 400


# The rest of was


def test_was_has_its_app_and_classes():
    def question(was):
        assert (was.Error, was.API, was.File) == (HTTPError, API, File)
        assert was.request is was.request
        assert was.response is was.response
        return was.app.name

    assert asked(question) == "asked"


def test_was_takes_no_unknown_attributes():
    def question(was):
        with pytest.raises(AttributeError):
            was.misspelled = 1
        with pytest.raises(AttributeError):
            _ = was.misspelled
        return True

    assert asked(question)


@pytest.mark.parametrize(
    ("category", "level"),
    [
        ((), logging.INFO),
        (("debug",), logging.DEBUG),
        (("info",), logging.INFO),
        (("warn",), logging.WARNING),
        (("warning",), logging.WARNING),
        (("error",), logging.ERROR),
        (("fatal",), logging.CRITICAL),
        (("made up",), logging.INFO),
    ],
)
def test_was_logs_to_the_log_of_the_app(category, level, log):
    log.set_level(logging.DEBUG, "skitai.app")
    asked(lambda was: was.log("100% {done}", *category))
    (record,) = log.records
    assert (record.name, record.levelno) == ("skitai.app", level)
    assert re.fullmatch(r"100% \{done\} \[\w+/1000\]", record.getMessage())


def test_was_logs_the_exception_being_handled(log):
    def question(was):
        try:
            raise KeyError("lost")
        except KeyError:
            was.traceback()
            was.traceback("here")

    asked(question)
    first, second = log.records
    assert re.fullmatch(r"\[\w+/1000\]", first.getMessage())
    assert second.getMessage() == "[here]"
    assert "KeyError: 'lost'" in log.text


def test_paths_of_the_app(tmp_path):
    app = Atila("paths")
    Driver(app, home=tmp_path)
    assert app.joinpath("a", "../b") == str(tmp_path / "b")
    assert app.abspath("/a", "b") == "/a/b"
