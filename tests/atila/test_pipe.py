"""``was.pipe``: other handlers called from a handler, as they are."""

from __future__ import annotations

import asyncio

import pytest
from driving import Driver, module

from atila import Atila
from skitai.executors.threads import ThreadPool
from skitai.handlers.peers import Peers


@pytest.fixture
def pool():
    made = ThreadPool(2, 100)
    yield made
    made.stop(5)


def seed_app():
    """The handlers of the seed's chapter."""

    def mount(app):
        @app.route("/1")
        @app.inspect(offset=int)
        def index(was, offset=1):
            return was.API(result=offset)

        @app.route("/2")
        def index2(was):
            return was.pipe(index)

        @app.route("/3")
        def index3(was):
            return was.pipe(index, offset=4)

        @app.route("/4")
        def index4(was):
            return was.pipe("index", offset="t")

        @app.route("/5")
        def index5(was):
            return was.pipe("sub.pages.toc", chapter=5)

        @app.route("/6")
        def index6(was):
            return was.pipe("sub.pages.toc", 6)

    def mount_pages(app):
        @app.route("/pages/toc/<int:chapter>")
        def toc(was, chapter):
            return f"Page tOC Chapter {chapter}"

    pages = module("myapp.services.sub.pages", __mount__=mount_pages)
    services = module(
        "myapp.services", __mount__=mount, __setup__=lambda app: app.mount("/sub", pages)
    )
    app = Atila("pipe")
    return Driver(
        app, module=module("myapp", __setup__=lambda app: app.mount("/", services)), point="/"
    )


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/1", {"result": 1}),
        ("/1?offset=3", {"result": 3}),
        ("/2", {"result": 1}),
        ("/3", {"result": 4}),
        ("/4", {"result": "t"}),
    ],
)
def test_the_seed_pipes_by_function_and_id(path, answer):
    assert seed_app().get(path).json == answer


def test_guards_of_a_piped_handler_do_not_run():
    driver = seed_app()
    assert driver.get("/1?offset=t").status == 400
    assert driver.get("/4").json == {"result": "t"}


@pytest.mark.parametrize("chapter", [5, 6])
def test_the_seed_pipes_to_another_module(chapter):
    driver = seed_app()
    assert driver.get(f"/{chapter}").text == f"Page tOC Chapter {chapter}"
    assert driver.get("/sub/pages/toc/7").text == "Page tOC Chapter 7"


def test_hints_are_not_looked_at_either():
    app = Atila("pipe")

    @app.route("/typed/<int:n>")
    def typed(was, n: int, flag: bool = False):
        return [n, flag]

    app.route("/piped")(lambda was: was.pipe(typed, "no number", flag="yes"))
    assert Driver(app).get("/piped").json == ["no number", "yes"]


def test_all_that_belongs_to_the_request_is_shared():
    app = Atila("pipe")

    @app.route("/inner")
    def inner(was):
        was.response.set_header("X-Inner", "set")
        was.request.g.inner = was.request.uri
        return was.request.routable["func_id"]

    @app.route("/outer")
    def outer(was):
        return [was.pipe(inner), was.request.g.inner]

    answer = Driver(app).get("/outer")
    assert answer.json == ["outer", "/outer"]
    assert answer["X-Inner"] == "set"


def test_errors_of_a_piped_handler_are_those_of_the_request(log):
    app = Atila("pipe")

    @app.route("/inner")
    def inner(was, n=0):
        raise was.Error("409 Conflict", f"n is {n}")

    app.route("/outer")(lambda was: was.pipe(inner, n=5))
    app.route("/wrong")(lambda was: was.pipe(inner, missing=5))
    app.route("/unknown")(lambda was: was.pipe("nobody"))
    driver = Driver(app)
    answer = driver.get("/outer")
    assert (answer.status, answer.json["more_info"]) == (409, "n is 5")
    assert driver.get("/wrong").status == 500
    assert "unexpected keyword argument 'missing'" in log.text
    assert driver.get("/unknown").status == 500
    assert "NameError: there is no resource 'nobody'" in log.text


def test_handlers_of_other_apps_are_named_with_their_app():
    shop, blog = Atila("shop"), Atila("blog")
    peers = Peers()
    for app in (shop, blog):
        peers.add(app.name, app)
        app.join(peers)

    @blog.route("/post/<int:n>")
    def post(was, n):
        return [was.app.name, n]

    shop.route("/piped")(lambda was: was.pipe("blog:post", 3))
    shop.route("/lost")(lambda was: was.pipe("post", 3))
    Driver(blog, point="/blog/")
    driver = Driver(shop, point="/shop/")
    # It works for the request, which is one of the calling app.
    assert driver.get("/shop/piped").json == ["shop", 3]
    assert driver.get("/shop/lost").status == 500


# Coroutines


def waiting_app():
    app = Atila("pipe")

    @app.route("/plain")
    def plain(was, n=1):
        return n

    @app.route("/waits")
    async def waits(was, n=1):
        await asyncio.sleep(0)
        return [n, was.request.uri]

    @app.route("/fails")
    async def fails(was):
        await asyncio.sleep(0)
        raise was.Error(409)

    app.route("/plain-waits")(lambda was: was.pipe(waits, n=2))
    app.route("/plain-fails")(lambda was: was.pipe("fails"))

    @app.route("/waits-waits")
    async def waits_waits(was):
        return await was.pipe("waits", 3)

    @app.route("/waits-plain")
    async def waits_plain(was):
        await asyncio.sleep(0)
        return [was.pipe(plain, n=4)]

    return app


def test_coroutines_are_piped_from_coroutines():
    driver = Driver(waiting_app())
    assert driver.get("/waits-waits").json == [3, "/waits-waits"]
    assert driver.get("/waits-plain").json == [4]


def test_coroutines_are_piped_from_threads(pool):
    driver = Driver(waiting_app(), pool=pool)
    assert driver.get("/plain-waits").json == [2, "/plain-waits"]
    assert driver.get("/plain-fails").status == 409


def test_generators_are_piped():
    app = Atila("pipe")

    @app.route("/pieces")
    def pieces(was, count=2):
        for number in range(count):
            yield f"{number},"

    app.route("/piped")(lambda was: was.pipe(pieces, count=3))
    assert Driver(app).get("/piped").text == "0,1,2,"
