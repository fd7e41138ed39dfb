"""Start and end of hosted ASGI apps (ASGI, Lifespan Protocol)."""

from __future__ import annotations

import asyncio

import pytest
import uvloop
from asgi_calls import START, body
from serving import Serving

from skitai.errors import StartupError
from skitai.handlers.asgi import ASGIApplication


class App:
    """Records its life; ``fails`` at a stage; shows what is in the state."""

    def __init__(self, fails=""):
        self.fails = fails
        self.events = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "http":
            state = scope["state"]
            await send(START)
            await send(body(repr(state).encode()))
            state["mine"] = "of one request"
            return
        assert scope["asgi"]["version"] == "3.0"
        scope["state"]["pool"] = "made at the start"
        for stage in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{stage}"
            self.events.append(stage)
            if self.fails == stage:
                await send({"type": f"lifespan.{stage}.failed", "message": f"no {stage}"})
                raise RuntimeError("as Starlette does")
            await send({"type": f"lifespan.{stage}.complete"})


def test_the_state_of_the_lifespan_is_in_each_scope_as_a_copy(caplog):
    app = App()
    hosting = ASGIApplication(app, "app")
    with Serving(hosting) as serving:
        hosting.started(serving.loop)
        for _ in range(2):
            assert serving.get("/").body == b"{'pool': 'made at the start'}"
        assert app.events == ["startup"]
        hosting.cleanup()
        assert app.events == ["startup", "shutdown"]
        hosting.cleanup()
    assert app.events == ["startup", "shutdown"]
    assert "ERROR" not in caplog.text


def test_an_app_that_can_not_start_says_why():
    hosting = ASGIApplication(App("startup"), "shop")
    with Serving(hosting) as serving:
        with pytest.raises(StartupError, match="app 'shop' can't be started: no startup"):
            hosting.started(serving.loop)
        hosting.cleanup()


def test_an_app_that_can_not_stop_is_logged(caplog):
    hosting = ASGIApplication(App("shutdown"), "shop")
    with Serving(hosting) as serving:
        hosting.started(serving.loop)
        hosting.cleanup()
    assert "app shop failed while it stopped: no shutdown" in caplog.text


async def raising(scope, receive, send):
    assert scope["type"] == "http"
    assert "state" not in scope
    await send(START)
    await send(body(b"fine"))


async def leaving(scope, receive, send):
    if scope["type"] == "http":
        await raising(scope, receive, send)


@pytest.mark.parametrize("app", [raising, leaving])
def test_an_app_may_know_nothing_of_it(app, caplog):
    hosting = ASGIApplication(app, "bare")
    with Serving(hosting) as serving:
        hosting.started(serving.loop)
        assert serving.get("/").body == b"fine"
        hosting.cleanup()
    assert "Traceback" not in caplog.text


def test_an_app_may_be_over_before_its_end():
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.complete"})

    hosting = ASGIApplication(app, "app")
    with Serving(hosting) as serving:
        hosting.started(serving.loop)
        hosting.cleanup()


@pytest.mark.parametrize(
    "message", ["lifespan.shutdown.complete", "http.response.start", "lifespan.startup.complete"]
)
def test_wrong_messages_are_refused(message):
    refused = []

    async def app(scope, receive, send):
        if "startup" in message:
            await send({"type": "lifespan.startup.complete"})
        try:
            await send({"type": message})
        except RuntimeError as exc:
            refused.append(str(exc))

    hosting = ASGIApplication(app, "app")
    with Serving(hosting) as serving:
        hosting.started(serving.loop)
        hosting.cleanup()
    assert message in refused[0]


def test_the_end_comes_also_when_the_loop_stands_still():
    app = App()
    hosting = ASGIApplication(app, "app")
    hosting.freeze("/", None)
    loop = uvloop.new_event_loop()
    loop.run_until_complete(asyncio.wait_for(_started(hosting, loop), 10))
    hosting.cleanup()
    loop.close()
    hosting.cleanup()
    assert app.events == ["startup", "shutdown"]


async def _started(hosting, loop):
    await asyncio.to_thread(hosting.started, loop)
