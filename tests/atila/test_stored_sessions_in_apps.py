"""Sessions that a Redis server keeps, in functions that run in threads and on the loop."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from browser import Jar
from driving import HTML, Answer, Driver
from redis_server import RedisServer, redis_server

from atila import Atila
from atila.state.session_store import RedisSessionStore
from skitai.executors.threads import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

__all__ = ["redis_server"]

KEY = "ds8fdsflksdjf9879dsf;?<>Asda"
WAYS = ("plain", "generator", "async", "async generator")
CALL = {"Content-Type": "application/json-rpc"}


class WatchedStore(RedisSessionStore):
    """Remembers in which threads it has worked."""

    threads: list[threading.Thread]

    def _call(self, *args: Any, **options: Any) -> Any:
        self.threads.append(threading.current_thread())
        return super()._call(*args, **options)


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[WatchedStore]:
    """A store, which nothing may have used on the loop when the test ends."""
    made = WatchedStore(redis_server.url)
    made.threads = []
    yield made
    assert threading.main_thread() not in made.threads


@pytest.fixture
def kept(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """The server, emptied."""
    with redis_server.client() as client:
        client.flushdb()
        yield client


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPool]:
    made = ThreadPool(4, 100)
    yield made
    made.stop(5)


class Browser:
    """A client that keeps cookies."""

    def __init__(self, app: Atila, pool: ThreadPool | None) -> None:
        self.driver = Driver(app, pool=pool)
        self.jar = Jar()

    def request(
        self, method: str, target: str, headers: dict[str, str], body: bytes | None = None
    ) -> Answer:
        cookies = {"Cookie": self.jar.header} if self.jar.header else {}
        answer = self.driver.request(method, target, {**headers, **cookies}, body)
        self.sent = self.jar.take(answer.all("Set-Cookie"))
        return answer

    def get(self, target: str = "/", **headers: str) -> Answer:
        return self.request("GET", target, headers)


def new_app(store: Any, hooks: bool = False) -> Atila:
    app = Atila("stored")
    app.securekey = KEY
    app.session_store = store
    if hooks:
        app.finish_request(lambda was, response: None)
    return app


def declare(app: Atila, way: str, work: Callable[[Any], Any]) -> None:
    """A route that does the same work in another way; coroutines load the session first."""
    route = app.route("/")
    if way == "plain":

        @route
        def plain(was):
            return work(was)

    elif way == "generator":

        @route
        def generator(was):
            yield work(was)

    elif way == "async":

        @route
        async def waiting(was):
            await was.session.load()
            return work(was)

    else:

        @route
        async def pieces(was):
            await was.session.load()
            yield work(was)


def count(was):
    was.session["n"] = (was.session["n"] or 0) + 1
    return f"{was.session['n']}"


@pytest.mark.parametrize("hooks", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_a_session_is_kept_and_the_loop_never_waits(store, kept, pool, way, hooks):
    app = new_app(store, hooks)
    declare(app, way, count)
    browser = Browser(app, pool)
    assert [browser.get().text for _ in range(3)] == ["1", "2", "3"]
    assert len(kept.keys()) == 1
    assert len(store.threads) == 5


def refuse(was):
    count(was)
    raise was.Error("403 Forbidden")


def crash(was):
    count(was)
    return 1 // 0


def return_what_has_no_form(was):
    count(was)
    return {"a": object()}


def return_surrogates(was):
    count(was)
    return "\ud800"


FAILURES = {
    "refused": (refuse, 403),
    "crashed": (crash, 500),
    "no form": (return_what_has_no_form, 500),
    "surrogates": (return_surrogates, 500),
}


@pytest.mark.parametrize("hooks", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("work", "status"), FAILURES.values(), ids=list(FAILURES))
def test_an_error_keeps_nothing(store, kept, pool, way, hooks, work, status, log):
    app = new_app(store, hooks)
    declare(app, way, work)
    browser = Browser(app, pool)
    assert browser.get().status == status
    assert browser.sent == []
    assert kept.keys() == []


@pytest.mark.parametrize("way", ["plain", "async"])
def test_an_error_leaves_the_session_as_it_was(store, kept, pool, way):
    app = new_app(store)
    declare(app, way, lambda was: refuse(was) if was.session["n"] else count(was))
    browser = Browser(app, pool)
    browser.get()
    before = [kept.get(key) for key in kept.keys()]
    assert browser.get().status == 403
    assert [kept.get(key) for key in kept.keys()] == before


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_page_of_an_error_has_a_session(store, kept, pool, way, asynchronous):
    app = new_app(store)
    declare(app, way, refuse)

    async def page_on_loop(was, error):
        await was.session.load()
        return count(was)

    app.default_error_handler(page_on_loop if asynchronous else lambda was, error: count(was))
    browser = Browser(app, pool)
    for number in ("1", "2"):
        answer = browser.get(**HTML)
        assert (answer.status, answer.text) == (403, number)


def test_the_page_of_a_path_without_a_route_has_a_session(store, kept, pool):
    app = new_app(store)
    app.default_error_handler(lambda was, error: count(was))
    browser = Browser(app, pool)
    assert [browser.get("/nothing", **HTML).text for _ in range(2)] == ["1", "2"]


@pytest.mark.parametrize("way", WAYS)
def test_a_hook_that_answers_for_a_failure_has_a_session(store, kept, pool, way, log):
    app = new_app(store)
    app.failed_request(lambda was, info: count(was))
    declare(app, way, crash)
    browser = Browser(app, pool)
    assert [browser.get().text for _ in range(2)] == ["1", "2"]


def test_a_hook_in_a_thread_loads_the_session_for_a_coroutine(store, kept, pool):
    app = new_app(store)
    app.before_request(lambda was: was.session["n"] and None)

    @app.route("/")
    async def index(was):
        return count(was)

    browser = Browser(app, pool)
    assert [browser.get().text for _ in range(2)] == ["1", "2"]


def test_a_coroutine_loads_each_session_that_it_mounts(store, kept, pool):
    app = new_app(store)

    @app.route("/")
    async def index(was):
        was.session.mount("ADMIN", path="/")
        await was.session.load()
        return count(was)

    browser = Browser(app, pool)
    assert [browser.get().text for _ in range(2)] == ["1", "2"]
    assert list(browser.jar.cookies) == ["ATLSES_ADMIN"]


def test_a_revocable_token_in_coroutines(store, kept, pool):
    app = new_app(store)

    @app.route("/make")
    async def make(was):
        with was.session.mounted("reset"):
            await was.session.load()
        return was.encode_ott("hans", 60, "reset")

    @app.route("/use")
    async def use(was, token):
        with was.session.mounted("reset"):
            await was.session.load()
        value = was.decode_ott(token)
        was.revoke_ott(token)
        return str(value)

    browser = Browser(app, pool)
    token = browser.get("/make").text
    assert [browser.get(f"/use?token={token}").text for _ in range(2)] == ["hans", "None"]
    assert kept.keys() == []


@pytest.mark.parametrize("way", ["plain", "async"])
def test_remote_calls_have_a_session_too(store, kept, pool, way):
    app = new_app(store)

    @app.route("/count")
    def plain(was):
        return count(was)

    @app.route("/later")
    async def later(was):
        await was.session.load()
        return count(was)

    @app.route("/broken")
    async def broken(was):
        await was.session.load()
        count(was)
        return {"a": object()}

    def call(method):
        body = {"jsonrpc": "2.0", "method": method, "id": 1}
        return browser.request("POST", "/", CALL, json.dumps(body).encode()).json

    browser = Browser(app, pool)
    method = "count" if way == "plain" else "later"
    assert [call(method)["result"] for _ in range(2)] == ["1", "2"]
    assert "error" in call("broken")
    assert browser.sent == []
    assert call(method)["result"] == "3"


# -- what goes wrong


@pytest.mark.parametrize("way", ["async", "async generator"])
def test_a_coroutine_that_forgets_to_load_is_told(redis_server, pool, way, log):
    app = new_app(RedisSessionStore(redis_server.url))
    if way == "async":

        @app.route("/")
        async def index(was):
            return count(was)

    else:

        @app.route("/")
        async def pieces(was):
            yield count(was)

    assert Browser(app, pool).get().status == 500
    assert "`await was.session.load()`" in log.text


def test_a_service_without_threads_is_told(redis_server, log):
    app = new_app(RedisSessionStore(redis_server.url))
    declare(app, "plain", count)
    assert Browser(app, None).get().status == 500
    assert "plain functions need threads" in log.text


@pytest.mark.parametrize("way", WAYS)
def test_while_the_server_is_away_it_is_502_and_pages_without_session_work(
    tmp_path, pool, way, log
):
    app = new_app(RedisSessionStore(f"unix://{tmp_path}/nobody.sock"))
    app.default_error_handler(lambda was, error: "<p>come back later</p>")
    declare(app, way, count)

    @app.route("/free")
    async def free(was):
        await asyncio.sleep(0)
        return "free"

    browser = Browser(app, pool)
    assert browser.get().json["code"] == 50200
    answer = browser.get(**HTML)
    assert (answer.status, answer.text) == (502, "<p>come back later</p>")
    assert browser.get("/free").text == "free"
    assert "Redis failed" in log.text
