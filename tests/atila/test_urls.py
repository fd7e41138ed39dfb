"""URLs of handlers and files, and that the router finds its way back from them."""

from __future__ import annotations

import uuid

import pytest
from driving import Driver, module
from hypothesis import given, settings
from hypothesis import strategies as st

from atila import Atila
from atila.context import AppContext
from atila.was import Was
from skitai.handlers.peers import Peers
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


def test_of_several_rules_the_url_has_one_that_can_be_filled():
    app = Atila("rules")

    @app.route("/items/<int:id>")
    @app.route("/items/<int:id>/<size>/<colour>")
    def item(was, id, size="m", colour="red"):
        return [id, size, colour]

    driver = Driver(app)
    assert app.build_url("item", 7) == "/items/7"
    assert app.build_url("item", 7, "s") == "/items/7/s"
    assert app.build_url("item", 7, colour="blue") == "/items/7?colour=blue"
    assert app.build_url(item, 7, "s", "blue") == "/items/7/s/blue"
    assert driver.get("/items/7?colour=blue").json == [7, "m", "blue"]


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


# Files


@pytest.fixture
def service():
    """Two apps that know each other: shop at /shop/, blog at /blog/."""
    shop, blog = Atila("shop"), Atila("blog")
    peers = Peers()
    for app in (shop, blog):
        peers.add(app.name, app)
        app.join(peers)
        app.config.STATIC_URL = f"/{app.name}-static/"
        app.config.MEDIA_URL = f"/{app.name}-media/"

    @shop.route("/")
    def index(was):
        return "shop"

    @shop.route("/items/<int:id>")
    def show(was, id=None, page=1):
        return ["shop", id, page]

    @blog.route("/posts/<path:name>")
    def post(was, name):
        return ["blog", name]

    @blog.route("/show")
    def show(was):  # noqa: F811  # another app may have the same names
        return "blog"

    return {"shop": Driver(shop, point="/shop/"), "blog": Driver(blog, point="/blog/")}, peers


@pytest.mark.parametrize(
    ("call", "url"),
    [
        (lambda was: was.urlfor("show", 5), "/shop/items/5"),
        (lambda was: was.urlfor("shop:show", 5), "/shop/items/5"),
        (lambda was: was.urlfor("blog:show"), "/blog/show"),
        (lambda was: was.urlfor("blog:post", "a b/c:d"), "/blog/posts/a%20b/c%3Ad"),
        (lambda was: was.urlfor("blog:post", name="x"), "/blog/posts/x"),
        (lambda was: was.urlfor("blog:/any/path?q=a:b"), "/blog/any/path?q=a:b"),
        (lambda was: was.urlfor("blog:"), "/blog/"),
        (lambda was: was.urlfor("/a:b"), "/shop/a:b"),
        (lambda was: was.ab("blog:show"), "/blog/show"),
        (lambda was: was.baseurl("blog:post"), "/blog/posts/"),
        (lambda was: was.basepath("show"), "/shop/items/"),
        (lambda was: was.urlspec("blog:post")["path"], "/blog/posts/:name"),
        (lambda was: was.urlpatch("blog:show"), "/blog/show"),
        (lambda was: was.partial("blog:post", name="y"), "/blog/posts/y"),
        (lambda was: was.static("a.css"), "/shop-static/a.css"),
        (lambda was: was.static("blog:a.css"), "/blog-static/a.css"),
        (lambda was: was.static("shop:a.css"), "/shop-static/a.css"),
        (lambda was: was.static("blog:/a.css"), "/a.css"),
        (lambda was: was.media("blog:img/a.jpg"), "/blog-media/img/a.jpg"),
        (lambda was: was.media("a:b.jpg"), "/shop-media/a:b.jpg"),
        (lambda was: was.static("img/12:30.png"), "/shop-static/img/12:30.png"),
        (lambda was: was.static("blog:12:30.png"), "/blog-static/12:30.png"),
        (lambda was: was.static("img/blog:a.png"), "/shop-static/img/blog:a.png"),
        (lambda was: was.static("/blog:a.png"), "/blog:a.png"),
        (lambda was: was.apps["blog"].build_url("show"), "/blog/show"),
        (lambda was: was.app.build_url("blog:show"), "/blog/show"),
    ],
    ids=range(26),
)
def test_urls_across_apps(call, url, service):
    _, peers = service
    assert call(Was(peers["shop"], _Asked(), None)) == url


class _Asked:
    """An exchange without path and query."""

    arguments = params = body = None
    headers: dict[str, str] = {}
    method, target, path, query, version = "GET", "/", "/", "", "1.1"

    def __init__(self):
        self.request = self


def test_urls_need_no_request(service):
    _, peers = service
    was = AppContext(peers["shop"])
    assert was.urlfor("blog:show") == "/blog/show"
    assert was.static("a") == "/shop-static/a"
    assert was.baseurl("show") == "/shop/items/"


def test_an_unknown_app_is_an_unknown_resource(service):
    _, peers = service
    was = AppContext(peers["shop"])
    with pytest.raises(NameError, match="there is no resource 'nobody:show'"):
        was.urlfor("nobody:show")
    with pytest.raises(NameError, match="there is no resource 'nothing'"):
        was.urlfor("blog:nothing")


# Specs


def test_specs_of_resources(service):
    _, peers = service
    assert peers["shop"].get_urlspecs() == {
        "index": {"methods": ["GET", "POST"], "path": "/shop/", "params": [], "query": []},
        "show": {
            "methods": ["GET", "POST"],
            "path": "/shop/items/:id",
            "params": ["id"],
            "query": ["page"],
        },
    }
    assert AppContext(peers["shop"]).urlspec("index") == peers["shop"].get_urlspecs()["index"]


# The current request's values


@pytest.fixture
def patched():
    """Asks for ``/at/<a>/<int:n>`` and tells what ``was.urlpatch`` makes of it."""
    app = Atila("patched")
    said = []

    @app.route("/at/<a>/<int:n>")
    def at(was, a, n, q=None, r=None, **rest):
        call = said.pop()
        return call(was)

    @app.route("/other/<int:n>")
    def other(was, n, r=None):
        return ""

    @app.route("/number/<int:q>")
    def number(was, q):
        return ""

    @app.route("/text/<q>")
    def text(was, q):
        return ""

    @app.route("/free")
    def free(was, **kw):
        return ""

    driver = Driver(app, point="/p/")

    def ask(call, target="/p/at/x%20y/3?q=1&r=a&r=b"):
        said[:] = [call]
        answer = driver.get(target)
        return answer.text if answer.status == 200 else (answer.status, answer.text)

    return ask


@pytest.mark.parametrize(
    ("call", "url"),
    [
        (lambda was: was.urlpatch("at"), "/p/at/x%20y/3?q=1&r=a&r=b"),
        (lambda was: was.urlpatch("at", n=4), "/p/at/x%20y/4?q=1&r=a&r=b"),
        (lambda was: was.urlpatch("at", q=None), "/p/at/x%20y/3?r=a&r=b"),
        (lambda was: was.urlpatch("at", q=2, r=None, a="z"), "/p/at/z/3?q=2"),
        (lambda was: was.urlpatch("at", extra="&"), "/p/at/x%20y/3?q=1&r=a&r=b&extra=%26"),
        (lambda was: was.urlpatch("other"), "/p/other/3?r=a&r=b"),
        (lambda was: was.urlpatch("other", r=5), "/p/other/3?r=5"),
        (lambda was: was.urlpatch("number"), "/p/number/1"),
        (lambda was: was.urlpatch("free"), "/p/free?q=1&r=a&r=b&a=x+y&n=3"),
        (lambda was: was.urlpatch("free", a=None, n=None, r=[]), "/p/free?q=1"),
        (lambda was: was.urlpatch("/any"), "/p/any"),
        (lambda was: was.urlpatch(""), "/p/"),
        (lambda was: was.partial(was.request.routed, n=9), "/p/at/x%20y/9?q=1&r=a&r=b"),
    ],
    ids=range(13),
)
def test_urlpatch_keeps_what_is_not_named(call, url, patched):
    assert patched(call) == url


def test_urlpatch_takes_no_list_into_a_path(patched):
    status, text = patched(lambda was: was.urlpatch("text"), "/p/at/x/3?q=1&q=2")
    assert (status, "there is more than one q" in text) == (400, True)


@pytest.mark.parametrize("query", ["q=abc", "q=-1", "q=1&q=2", "q="])
def test_what_a_client_sends_makes_no_crash_in_urlpatch(query, patched):
    status, text = patched(lambda was: was.urlpatch("number"), f"/p/at/x/3?{query}")
    assert status == 400
    assert "can't stand for 'q' in a URL" in text


def test_a_missing_value_is_a_mistake_of_the_app(patched, log):
    status, _ = patched(lambda was: was.urlpatch("text"), "/p/at/x/3")
    assert status == 500
    assert "ValueError: text needs a value for 'q'" in log.text


# Functions with several rules


def test_of_several_rules_the_one_that_takes_the_values_is_used():
    app = Atila("rules")

    @app.route("/years/<int:year>/<int:month>")
    @app.route("/years/<int:year>")
    @app.route("/<path:rest>")
    @app.route("/")
    @app.route("/home")
    def show(was, year=None, month=None, rest="", q=None):
        return [year, month, rest, q]

    driver = Driver(app)
    urls = app.urls
    assert urls.build(show) == urls.build("show") == "/home"
    assert urls.build(show, q=1) == "/home?q=1"
    assert urls.build(show, 2020) == "/years/2020"
    assert urls.build("show", year=2020, q=1) == "/years/2020?q=1"
    assert urls.build(show, 2020, 5) == "/years/2020/5"
    assert urls.build(show, rest="a/b") == "/a/b"
    assert urls.build(show, month=5) == "/home?month=5"
    assert driver.get(urls.build(show, 2020, 5, q="x")).json == [2020, 5, "", "x"]
    assert driver.get(urls.build(show, rest="a/b")).json == [None, None, "a/b", None]


def test_two_resources_of_one_function_have_their_own_urls():
    def show(was, n):
        return n

    def mount_at(name, rule):
        return module(f"app.{name}", __mount__=lambda app: app.route(rule)(show))

    def setup(app):
        app.mount("/a", mount_at("a", "/x/<int:n>"))
        app.mount("/b", mount_at("b", "/<int:n>"))

    app = Atila("twice")
    Driver(app, module=module("app", __setup__=setup))
    assert app.urls.build("a.show", 1) == app.urls.build(show, 1) == "/a/x/1"
    assert app.urls.build("b.show", 1) == "/b/1"


@pytest.mark.parametrize(
    ("kwargs", "query"),
    [
        ({"a": []}, ""),
        ({"a": None}, ""),
        ({"a": ""}, "?a="),
        ({"a": 0}, "?a=0"),
        ({"a": [1, None]}, "?a=1&a=None"),
        ({"a": ("x", "y")}, "?a=x&a=y"),
        ({"a": True}, "?a=True"),
        ({"a b": "c d/e"}, "?a+b=c+d%2Fe"),
        ({"a": "\r\nX: y"}, "?a=%0D%0AX%3A+y"),
    ],
)
def test_queries(kwargs, query):
    app, _ = app_at()
    assert app.urls.build("plain", **kwargs) == f"/plain{query}"


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
