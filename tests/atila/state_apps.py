"""Apps whose functions do the same work wherever they run, and a client that keeps cookies."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from browser import Jar, SetCookie
from driving import Answer, Driver

from atila import Atila
from skitai.executors.threads import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "ds8fdsflksdjf9879dsf;?<>Asda"
WAYS = ("plain", "async", "waiting", "generator", "iterator", "async generator")


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPool]:
    made = ThreadPool(4, 100)
    yield made
    made.stop(5)


class Browser:
    """A client that keeps cookies.

    Attributes:
        jar: what it keeps.
        sent: what the last answer has set.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.jar = Jar()
        self.sent: list[SetCookie] = []

    def get(self, target: str = "/", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.jar.header:
            named["Cookie"] = self.jar.header
        answer = self.driver.request("GET", target, named)
        self.sent = self.jar.take(answer.all("Set-Cookie"))
        return answer

    def text(self, target: str = "/", **headers: str) -> str:
        answer = self.get(target, **headers)
        assert answer.status == 200, answer.text
        return answer.text

    @property
    def names(self) -> list[str]:
        return sorted(cookie.name for cookie in self.sent)


def new_app(name: str = "state") -> Atila:
    app = Atila(name)
    app.securekey = KEY
    return app


def declare(app: Atila, rule: str, way: str, work: Callable[[Any], Any]) -> None:
    """A route whose function does the same work in another way."""
    route = app.route(rule)
    if way == "plain":

        @route
        def plain(was):
            return work(was)

    elif way == "async":

        @route
        async def at_once(was):
            return work(was)

    elif way == "waiting":

        @route
        async def waiting(was):
            await asyncio.sleep(0)
            return work(was)

    elif way == "generator":

        @route
        def generator(was):
            yield work(was)

    elif way == "iterator":

        @route
        def iterator(was):
            return map(work, [was])

    else:

        @route
        async def asynchronous(was):
            await asyncio.sleep(0)
            yield work(was)


def watch(app: Atila) -> None:
    """Hooks that do nothing: the same functions run in a pipeline."""
    app.before_request(lambda was: None)
    app.finish_request(lambda was, response: None)
    app.teardown_request(lambda was: None)


@pytest.fixture(params=[(way, hooks) for way in WAYS for hooks in (False, True)], ids=str)
def running(request: pytest.FixtureRequest, pool: ThreadPool) -> Callable[..., Browser]:
    """Makes a browser for an app whose routes do some work, in each way that there is."""
    way, hooks = request.param

    def run(configure: Callable[[Atila], Any] | None = None, **routes: Any) -> Browser:
        app = new_app()
        if hooks:
            watch(app)
        for name, work in routes.items():
            declare(app, f"/{name.removeprefix('index')}", way, work)
        if configure is not None:
            configure(app)
        return Browser(Driver(app, pool=pool))

    return run


def browser_of(work: Callable[[Any], Any], **options: Any) -> Browser:
    """A browser for an app with one plain function."""
    app = new_app()
    declare(app, "/", "plain", work)
    return Browser(Driver(app, **options))


def spoil(was):
    """Leave something everywhere."""
    was.cookie["theme"] = "dark"
    was.session["user"] = "hans"
    was.mbox.send("saved")
