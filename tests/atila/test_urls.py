"""URLs of handlers and files, and that the router finds its way back from them."""

from __future__ import annotations

import uuid

import pytest
from driving import Driver
from hypothesis import given, settings
from hypothesis import strategies as st

from atila import Atila
from skitai.wire.request import split_target

ONE = uuid.UUID(int=5)


def app_at(point="/") -> tuple[Atila, Driver]:
    """An app with one handler of each kind; each answers with its name and arguments."""
    app = Atila("urls")

    @app.route("/")
    def index(was, page=None):
        return ["index", page]

    @app.route("/plain")
    def plain(was, **kw):
        return ["plain", kw]

    @app.route("/text/<p>")
    def text(was, p, page=None, size=None):
        return ["text", p, page, size]

    @app.route("/int/<int:p>")
    def number(was, p):
        return ["number", p]

    @app.route("/float/<float:p>")
    def real(was, p):
        return ["real", p]

    @app.route("/uuid/<uuid:p>")
    def unique(was, p):
        return ["unique", str(p)]

    @app.route("/path/<path:p>")
    def path(was, p):
        return ["path", p]

    @app.route("/owners/<int:owner>/pets/<pet>")
    def pets(was, owner, pet=None, q=None):
        return ["pets", owner, pet, q]

    @app.route("/한 글/100%/<p>/end")
    def literal(was, p="x"):
        return ["literal", p]

    @app.route("/books/<path:p>")
    def book(was, p="index"):
        return ["book", p]

    return app, Driver(app, point=point)


@pytest.mark.parametrize(
    ("thing", "args", "kwargs", "url"),
    [
        ("index", (), {}, "/"),
        ("index", (2,), {}, "/?page=2"),
        ("index", (), {"page": "a&b=ü"}, "/?page=a%26b%3D%C3%BC"),
        ("plain", (), {"a": 1, "b": [1, 2], "c": None}, "/plain?a=1&b=1&b=2"),
        ("plain", (), {"thing": 1, "self": 2}, "/plain?thing=1&self=2"),
        ("text", ("a",), {}, "/text/a"),
        ("text", (), {"p": "a"}, "/text/a"),
        ("text", ("a", 1, 2), {}, "/text/a?page=1&size=2"),
        ("text", ("a",), {"size": 2}, "/text/a?size=2"),
        ("text", ("a", None), {"size": 2}, "/text/a?size=2"),
        ("text", ("a b_c",), {}, "/text/a%20b_c"),
        ("text", ("a/b",), {}, "/text/a%2Fb"),
        ("text", ("100%",), {}, "/text/100%25"),
        ("text", ("?#;+",), {}, "/text/%3F%23%3B%2B"),
        ("text", (5,), {}, "/text/5"),
        ("number", (5,), {}, "/int/5"),
        ("number", ("me",), {}, "/int/me"),
        ("real", (1.5,), {}, "/float/1.5"),
        ("real", (1e-7,), {}, "/float/0.0000001"),
        ("real", (1e22,), {}, "/float/10000000000000000000000"),
        ("unique", (ONE,), {}, f"/uuid/{ONE}"),
        ("path", ("a b/c",), {}, "/path/a%20b/c"),
        ("path", ("",), {}, "/path/"),
        ("pets", (7, "rex"), {"q": 1}, "/owners/7/pets/rex?q=1"),
        ("pets", (7,), {}, "/owners/7/pets"),
        ("pets", (7, None), {"q": 1}, "/owners/7/pets?q=1"),
        ("pets", (), {"owner": 7, "pet": "rex"}, "/owners/7/pets/rex"),
        ("book", (), {}, "/books"),
        ("literal", ("y",), {}, "/%ED%95%9C%20%EA%B8%80/100%25/y/end"),
        ("/index.htm", (), {}, "/index.htm"),
        ("/a?b=c#d", (), {}, "/a?b=c#d"),
        ("", (), {}, "/"),
    ],
)
@pytest.mark.parametrize("point", ["/", "/my shop/"])
def test_urls(thing, args, kwargs, url, point):
    app, _ = app_at(point)
    base = point.rstrip("/").replace(" ", "%20")
    assert app.urls.build(thing, *args, **kwargs) == base + url


def test_was_builds_urls_of_functions_and_names():
    app = Atila("urls")

    @app.route("/show/<p>")
    def show(was, p, thing=None):
        return [was.urlfor(show, "x"), was.urlfor("show", p=p), was.urlfor(show, p, thing=p)]

    assert Driver(app).get("/show/a%20b").json == [
        "/show/x",
        "/show/a%20b",
        "/show/a%20b?thing=a+b",
    ]


@pytest.mark.parametrize(
    ("thing", "args", "kwargs", "error", "message"),
    [
        ("nothing", (), {}, NameError, "there is no resource 'nothing'"),
        (len, (), {}, NameError, "there is no resource <built-in function len>"),
        ("text", (), {}, ValueError, "text needs a value for 'p'"),
        ("text", (None,), {}, ValueError, "text needs a value for 'p'"),
        ("pets", (), {"pet": "rex"}, ValueError, "pets needs a value for 'owner'"),
        ("literal", (), {}, ValueError, "literal needs a value for 'p'"),
        ("text", ("a",), {"x": 1}, ValueError, "text has no parameter 'x'"),
        ("text", ("a",), {"p": "b"}, ValueError, "text got 'p' twice"),
        ("number", (1, 2), {}, ValueError, "number takes 1 arguments"),
        ("text", ("",), {}, ValueError, "text: '' can't stand for 'p' in a URL"),
        ("number", ("abc",), {}, ValueError, "number: 'abc' can't stand for 'p' in a URL"),
        ("number", (-1,), {}, ValueError, "number: -1 can't stand for 'p' in a URL"),
        ("number", (True,), {}, ValueError, "number: True can't stand for 'p' in a URL"),
        ("real", (-1.5,), {}, ValueError, "real: -1.5 can't stand for 'p' in a URL"),
        ("real", (float("inf"),), {}, ValueError, "real: inf can't stand for 'p' in a URL"),
        ("real", ("1.2.3",), {}, ValueError, "real: '1.2.3' can't stand for 'p' in a URL"),
        ("unique", ("5",), {}, ValueError, "unique: '5' can't stand for 'p' in a URL"),
    ],
)
def test_urls_that_cannot_be(thing, args, kwargs, error, message):
    app, _ = app_at()
    with pytest.raises(error) as refused:
        app.urls.build(thing, *args, **kwargs)
    assert str(refused.value) == message


def test_a_path_parameter_never_leads_to_another_host():
    app = Atila("urls")

    @app.route("/<path:p>")
    def page(was, p):
        return p

    driver = Driver(app)
    for value in ("/evil.example", "//evil.example/x", "/"):
        url = app.urls.build("page", value)
        assert url.startswith("/%2F")
        assert driver.get(url).text == value
    assert app.urls.build("page", "\\evil.example") == "/%5Cevil.example"


def test_the_first_of_two_handlers_keeps_the_name():
    app = Atila("urls")

    def make(path):
        @app.route(path)
        def show(was):
            return path

        return show

    first, second = make("/a"), make("/b")
    Driver(app)
    assert app.urls.build("show") == "/a"
    assert (app.urls.build(first), app.urls.build(second)) == ("/a", "/b")


def test_urls_of_files():
    app = Atila("urls")
    app.config.STATIC_URL = "/assets"
    app.config["MEDIA_URL"] = "/uploads/"

    @app.route("/")
    def index(was):
        return [
            was.static("img/logo.png"),
            was.media("a.jpg"),
            was.static("/x.css"),
            was.media("/y"),
        ]

    assert Driver(app, point="/shop/").get("/shop/").json == [
        "/assets/img/logo.png",
        "/uploads/a.jpg",
        "/x.css",
        "/y",
    ]


# There and back

SEGMENT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1)
PATH = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
FLOATS = st.floats(min_value=0, allow_infinity=False).map(abs)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.tuples(st.just("text"), SEGMENT),
        st.tuples(st.just("number"), st.integers(0, 10**39)),
        st.tuples(st.just("number"), st.sampled_from(["me", "notme", "new"])),
        st.tuples(st.just("real"), FLOATS),
        st.tuples(st.just("unique"), st.uuids()),
        st.tuples(st.just("path"), PATH),
        st.tuples(st.just("book"), PATH),
        st.tuples(st.just("literal"), SEGMENT),
        st.tuples(st.just("pets"), st.integers(0, 99), SEGMENT),
        st.tuples(st.just("pets"), st.integers(0, 99)),
    ),
    st.sampled_from(["/", "/shop/"]),
)
def test_urls_lead_back_to_their_handler_and_values(call, point):
    app, driver = AT[point]
    name, *values = call
    url = app.urls.build(name, *values)
    assert url.isascii()
    assert not url.startswith("//")
    path, query = split_target(url, "GET", {})
    assert (path.startswith(point), query) == (True, "")
    answer = driver.get(url)
    found, *arguments = answer.json
    expected = [str(value) if isinstance(value, uuid.UUID) else value for value in values]
    assert (found, arguments[: len(values)]) == (name, expected)
    assert all(value is None for value in arguments[len(values) :])


AT = {point: app_at(point) for point in ("/", "/shop/")}
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(TEXT, TEXT, max_size=4).filter(lambda fields: "was" not in fields))
def test_queries_lead_back_to_their_values(fields):
    app, driver = AT["/"]
    assert driver.get(app.urls.build("plain", **fields)).json == ["plain", fields]
