"""Request hooks and events around handlers that run in a thread, on the loop, and as coroutines."""

from __future__ import annotations

import asyncio
import threading

import pytest
from driving import HTML, Channel, Driver

from atila import Atila
from atila.invoking import in_pool
from skitai.executors.threads import ThreadPool
from skitai.server.exchange import ClientGone

RUNTIMES = ("thread", "loop", "coroutine")


@pytest.fixture(params=RUNTIMES)
def runtime(request):
    """Where the handlers of a test run; ``handler`` makes one for it, ``drive`` a driver."""
    pool = ThreadPool(2, 100) if request.param == "thread" else None
    yield Runtime(request.param, pool)
    if pool is not None:
        pool.stop(5)


class Runtime:
    def __init__(self, kind: str, pool: ThreadPool | None) -> None:
        self.kind = kind
        self.pool = pool

    def route(self, app, rule, function, **options):
        """Declare a handler that is a plain function, or a coroutine function doing the same."""
        if self.kind == "coroutine":

            async def asynchronous(was, **kwargs):
                await asyncio.sleep(0)
                return function(was, **kwargs)

            return app.route(rule, **options)(asynchronous)

        def plain(was, **kwargs):
            return function(was, **kwargs)

        return app.route(rule, **options)(plain)

    def drive(self, app, **options):
        return Driver(app, pool=self.pool, **options)


class Trace(list):
    """What ran, in order; hooks and events write into it."""

    def hook(self, name, result=None):
        def run(was, *args):
            self.append(name)
            return result

        return run

    def watch(self, app):
        for name in ("before_request", "finish_request", "failed_request", "teardown_request"):
            getattr(app, name)(self.hook(f"{name} hook"))
            app.on(name)(self.hook(f"{name} event"))
        app.on("request:finished")(self.hook("finished event"))
        return self


SUCCESS = [
    "before_request hook", "before_request event", "handler", "finish_request hook",
    "finish_request event", "teardown_request hook", "teardown_request event", "finished event",
]  # fmt: skip
FAILURE = [
    "before_request hook", "before_request event", "handler", "failed_request hook",
    "failed_request event", "teardown_request hook", "teardown_request event", "finished event",
]  # fmt: skip


def traced(runtime, function, **options):
    app, trace = Atila("traced"), Trace()
    trace.watch(app)

    def handler(was, **kwargs):
        trace.append("handler")
        return function(was, **kwargs)

    runtime.route(app, "/", handler)
    return runtime.drive(app, **options), trace


def test_hooks_run_around_a_handler_that_succeeds(runtime):
    driver, trace = traced(runtime, lambda was: "fine")
    assert driver.get("/").text == "fine"
    wait_for(trace, len(SUCCESS))
    assert trace == SUCCESS


def wait_for(trace, length):
    """A thread may still be behind its answer."""
    done = threading.Event()
    for _ in range(500):
        if len(trace) >= length:
            return
        done.wait(0.01)


@pytest.mark.parametrize(
    ("failure", "status"),
    [(RuntimeError("broken"), 500), (SystemExit(1), 500), ("error", 418)],
)
def test_hooks_run_around_a_handler_that_fails(runtime, failure, status, log):
    def fail(was):
        raise was.Error("418 Teapot") if failure == "error" else failure

    driver, trace = traced(runtime, fail)
    assert driver.get("/").status == status
    wait_for(trace, len(FAILURE))
    assert trace == FAILURE


def test_an_error_that_is_returned_is_a_failure(runtime):
    driver, trace = traced(runtime, lambda was: was.response("409 Conflict"))
    assert driver.get("/").status == 409
    wait_for(trace, len(FAILURE))
    assert trace == FAILURE


@pytest.mark.parametrize(
    "make",
    [
        lambda was: was.File("/no/such/file"),
        lambda was: was.File("/"),
        lambda was: was.File("a\0b"),
        lambda was: was.Static("missing.css"),
    ],
)
def test_a_file_that_is_not_there_is_a_failure(runtime, make):
    driver, trace = traced(runtime, make)
    assert driver.get("/").status == 404
    wait_for(trace, len(FAILURE))
    assert trace == FAILURE


def test_a_file_that_is_there_is_a_success(runtime, tmp_path):
    (tmp_path / "x").write_text("content")
    driver, trace = traced(runtime, lambda was: was.File(tmp_path / "x"))
    assert driver.get("/").text == "content"
    wait_for(trace, len(SUCCESS))
    assert trace == SUCCESS


@pytest.mark.parametrize("status", ["304 Not Modified", "303 See Other", "204 No Content"])
def test_a_status_below_400_that_is_raised_is_no_failure(runtime, status):
    def say(was):
        was.response.set_header("X-Kept", "yes")
        raise was.Error(status)

    driver, trace = traced(runtime, say)
    got = driver.get("/")
    assert (got.status, got["X-Kept"], got.body) == (int(status[:3]), "yes", b"")
    wait_for(trace, len(SUCCESS))
    assert trace == SUCCESS


def test_routing_errors_concern_no_hook(runtime):
    driver, trace = traced(runtime, lambda was: "")
    assert [driver.get("/none").status, driver.request("PUT", "/").status] == [404, 405]
    assert trace == []


def test_before_request_may_answer_itself(runtime):
    app, trace = Atila("early"), Trace()
    trace.watch(app)
    app.before_request(lambda was: "early")
    runtime.route(app, "/", trace.hook("handler"))
    assert runtime.drive(app).get("/").text == "early"
    expected = [name for name in SUCCESS if not name.startswith(("before", "handler"))]
    wait_for(trace, len(expected))
    assert trace == expected


def test_a_failing_before_request_skips_its_event_and_the_handler(runtime, log):
    app, trace = Atila("early"), Trace()
    trace.watch(app)

    @app.before_request
    def refuse(was):
        raise was.Error("400 Bad Request", "no")

    runtime.route(app, "/", trace.hook("handler"))
    got = runtime.drive(app).get("/")
    assert (got.status, got.json["more_info"]) == (400, "no")
    expected = [name for name in FAILURE if not name.startswith(("before", "handler"))]
    wait_for(trace, len(expected))
    assert trace == expected


def test_finish_request_gets_the_response_and_may_replace_it(runtime):
    app = Atila("finish")

    @app.finish_request
    def finish(was, response):
        was.response.add_header("X-Custom", "some-value")
        return response + "--"

    runtime.route(app, "/", lambda was: "text")
    got = runtime.drive(app).get("/")
    assert (got.text, got["X-Custom"]) == ("text--", "some-value")


def test_finish_request_may_be_written_without_the_response(runtime):
    app = Atila("finish")
    app.finish_request(lambda was: was.response.set_header("X-Old", "yes"))
    runtime.route(app, "/", lambda was: "text")
    got = runtime.drive(app).get("/")
    assert (got.text, got["X-Old"]) == ("text", "yes")


def test_a_failing_finish_request_is_a_failure(runtime, log):
    app, failures = Atila("finish"), []

    @app.finish_request
    def finish(was, response):
        raise ValueError("finish")

    @app.failed_request
    def failed(was, expt):
        failures.append(expt[0])

    runtime.route(app, "/", lambda was: "text")
    assert runtime.drive(app).get("/").status == 500
    assert failures == [ValueError]


def test_what_failed_request_returns_is_the_response(runtime, log):
    app = Atila("failed")

    @app.failed_request
    def failed(was, expt):
        kind, exc, frames = expt
        assert frames is not None
        return was.API(rescued=f"{kind.__name__}: {exc}")

    def boom(was):
        raise KeyError("x")

    runtime.route(app, "/", boom)
    got = runtime.drive(app).get("/")
    assert (got.status, got.json) == (200, {"rescued": "KeyError: 'x'"})
    assert "KeyError" in log.text, "a rescued crash is still logged"


@pytest.mark.parametrize("name", ["failed_request", "teardown_request"])
def test_a_hook_that_fails_at_the_end_is_only_logged(runtime, name, log):
    app = Atila("late")

    def late(was, *args):
        raise ValueError("late trouble")

    def missing(was):
        raise was.Error(404)

    getattr(app, name)(late)
    runtime.route(app, "/", missing)
    assert runtime.drive(app).get("/").status == 404
    wait_until(lambda: "late trouble" in log.text)


def wait_until(condition):
    done = threading.Event()
    for _ in range(500):
        if condition():
            return
        done.wait(0.01)
    pytest.fail("it never happened")


@pytest.mark.parametrize("name", ["before_request", "finish_request"])
def test_coroutine_functions_may_be_hooks_of_any_handler(name):
    app, trace = Atila("mixed"), []

    @getattr(app, name)
    async def hook(was, *response):
        await asyncio.sleep(0)
        trace.append(threading.current_thread().name)

    @app.route("/plain")
    def plain(was):
        return threading.current_thread().name

    @app.route("/async")
    async def coroutine(was):
        return threading.current_thread().name

    here = threading.current_thread().name
    pool = ThreadPool(1, 10, name="pool")
    try:
        driver = Driver(app, pool=pool)
        assert driver.get("/plain").text == "pool-0"
        assert driver.get("/async").text == here
    finally:
        pool.stop(5)
    assert trace == [here, here]


def test_a_coroutine_function_may_tear_down():
    app, trace = Atila("mixed"), []

    @app.teardown_request
    async def teardown(was):
        await asyncio.sleep(0)
        trace.append("teardown")

    @app.route("/")
    async def coroutine(was):
        return ""

    Driver(app).get("/")
    assert trace == ["teardown"]


def test_plain_hooks_of_coroutines_run_in_a_thread():
    app, threads = Atila("mixed"), []
    app.before_request(lambda was: threads.append(threading.current_thread().name))

    @app.route("/")
    async def coroutine(was):
        threads.append(threading.current_thread().name)
        return ""

    pool = ThreadPool(1, 10, name="pool")
    try:
        Driver(app, pool=pool).get("/")
    finally:
        pool.stop(5)
    assert threads == ["pool-0", threading.current_thread().name]


# Streams


def stream_app(runtime, pieces, trace):
    app = Atila("stream")
    trace.watch(app)
    runtime.route(app, "/", lambda was: pieces(was))
    return app


def test_a_plain_hook_ends_before_what_follows_when_the_client_leaves():
    trace, pool = Trace(), ThreadPool(4, 100)
    entered, opened = threading.Event(), threading.Event()

    def before(was):
        entered.set()
        opened.wait(10)
        trace.append("before")

    async def run():
        loop = asyncio.get_running_loop()
        task = loop.create_task(in_pool(pool, before, None))
        await asyncio.to_thread(entered.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        opened.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        trace.append("after")

    try:
        asyncio.run(run())
    finally:
        pool.stop(5)
    assert trace == ["before", "after"]


@pytest.mark.parametrize("failure", [None, RuntimeError("broken")])
def test_a_cancelled_call_of_a_thread_never_hangs(failure):
    """Whenever it is cancelled: before the function begins, while it runs, when it has ended."""
    pool = ThreadPool(1, 100)

    def function():
        if failure is not None:
            raise failure

    async def run():
        for turns in [*range(30)] * 5:
            task = asyncio.get_running_loop().create_task(in_pool(pool, function))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait((task,), timeout=10)
            assert task.done()
            assert task.cancelled() or task.exception() is failure

    try:
        asyncio.run(run())
    finally:
        pool.stop(5)


def test_hooks_of_a_stream_run_when_its_last_piece_is_made(runtime):
    trace = Trace()

    def pieces(was):
        for number in range(3):
            trace.append(f"piece {number}")
            yield f"{number}"

    got = runtime.drive(stream_app(runtime, pieces, trace), slow=True).get("/")
    assert got.text == "012"
    wait_for(trace, 10)
    assert trace == [
        "before_request hook", "before_request event", "piece 0", "piece 1", "piece 2",
        *SUCCESS[3:],
    ]  # fmt: skip


def test_a_stream_that_fails_halfway_is_a_failure(runtime, log):
    trace = Trace()

    def pieces(was):
        yield "one"
        raise RuntimeError("halfway")

    got = runtime.drive(stream_app(runtime, pieces, trace)).get("/")
    assert (got.body, got.broken) == (b"", True) or got.writes == [b"one"]
    wait_for(trace, 7)
    assert trace == [name for name in FAILURE if name != "handler"]


def test_a_stream_that_fails_at_once_gets_an_error_answer(runtime, log):
    trace = Trace()

    def pieces(was):
        raise was.Error("503 Service Unavailable")
        yield ""

    got = runtime.drive(stream_app(runtime, pieces, trace)).get("/")
    assert got.status == 503
    wait_for(trace, 7)
    assert trace == [name for name in FAILURE if name != "handler"]


def test_a_stream_whose_head_fails_is_torn_down_too(runtime, log):
    trace = Trace()

    def pieces(was):
        yield "never"

    def handler(was):
        was.session["much"] = "x" * 5000
        return pieces(was)

    app = Atila("stream")
    app.securekey = "k" * 32
    trace.watch(app)
    runtime.route(app, "/", handler)
    assert runtime.drive(app).get("/").status == 500
    expected = [name for name in FAILURE if name != "handler"]
    wait_for(trace, len(expected))
    assert trace == expected


def test_teardown_runs_when_the_client_leaves_a_stream(runtime):
    trace = Trace()

    def pieces(was):
        try:
            while True:
                yield "more"
        finally:
            trace.append("closed")

    runtime.drive(stream_app(runtime, pieces, trace), leave_after=2).get("/")
    wait_for(trace, 6)
    assert trace == [
        "before_request hook", "before_request event", "closed", "teardown_request hook",
        "teardown_request event", "finished event",
    ]  # fmt: skip


def test_teardown_runs_though_the_loop_hears_later_that_the_client_left(runtime, monkeypatch):
    class LateChannel(Channel):
        def write(self, exchange, data):
            if len(self.answer.writes) < 2:
                return super().write(exchange, data)
            self.server.loop.call_soon_threadsafe(exchange.lost)
            self._end(exchange)
            raise ClientGone

    monkeypatch.setattr("driving.Channel", LateChannel)
    trace = Trace()

    def pieces(was):
        while True:
            yield "more"

    runtime.drive(stream_app(runtime, pieces, trace)).get("/")
    wait_for(trace, 5)
    assert trace == [
        "before_request hook", "before_request event", "teardown_request hook",
        "teardown_request event", "finished event",
    ]  # fmt: skip


def test_hooks_of_an_asynchronous_stream_run_at_its_end():
    app, trace = Atila("stream"), Trace()
    trace.watch(app)

    @app.route("/")
    async def handler(was):
        for number in range(2):
            await asyncio.sleep(0)
            trace.append(f"piece {number}")
            yield f"{number}"

    assert Driver(app).get("/").text == "01"
    assert trace == [
        "before_request hook", "before_request event", "piece 0", "piece 1", *SUCCESS[3:],
    ]  # fmt: skip


def test_head_of_a_stream_ends_it_with_all_hooks(runtime):
    trace = Trace()

    def pieces(was):
        yield "one"
        yield "two"

    got = runtime.drive(stream_app(runtime, pieces, trace)).request("HEAD", "/")
    assert (got.status, got.body) == (200, b"")
    wait_for(trace, 7)
    assert trace == [name for name in SUCCESS if name != "handler"]


# Events


def test_event_handlers_change_nothing(runtime, log):
    app = Atila("events")

    @app.on("before_request")
    def before(was):
        raise was.Error("403 Forbidden")

    @app.on("finish_request")
    def finish(was, response):
        return "another"

    runtime.route(app, "/", lambda was: "text")
    assert runtime.drive(app).get("/").text == "text"
    assert "before_request" in log.text


def test_an_event_emitted_in_a_request_brings_its_was(runtime):
    app, seen = Atila("events"), []
    app.on("custom")(lambda was, detail: seen.append((was.request.path, detail)))

    def handler(was):
        app.emit("custom", "detail")
        return ""

    runtime.route(app, "/here", handler)
    driver = runtime.drive(app)
    driver.get("/here")
    assert seen == [("/here", "detail")]
    app.emit("other")


def test_request_globals_are_those_of_one_request(runtime):
    app = Atila("globals")

    @app.before_request
    def before(was):
        assert "START" not in was.request.g
        was.request.g["START"] = was.request.path

    runtime.route(app, "/<name>", lambda was, name: was.request.g.START)
    driver = runtime.drive(app)
    assert [driver.get(f"/{name}").text for name in "abc"] == ["/a", "/b", "/c"]


# Error handlers


def error_app(runtime):
    app = Atila("errors")

    @app.default_error_handler
    def default(was, error):
        was.response.set_header("X-Page", "default")
        return f"{error['code']} {error['message']}: {error['detail']}"

    @app.error_handler(404)
    async def missing(was, error):
        return f"nothing at {error['url']}"

    def fail(was):
        was.response.set_header("WWW-Authenticate", "Bearer")
        was.response.set_header("ETag", '"1"')
        raise was.Error("401 Unauthorized", "who are you?")

    def crash(was):
        raise RuntimeError("secret")

    runtime.route(app, "/fail", fail)
    runtime.route(app, "/crash", crash)
    return runtime.drive(app)


def test_error_pages_are_rendered_by_the_app_for_browsers(runtime, log):
    driver = error_app(runtime)
    got = driver.html("/fail")
    assert (got.status, got.text) == (401, "401 Unauthorized: who are you?")
    assert (got["WWW-Authenticate"], got["ETag"], got["X-Page"]) == ("Bearer", None, "default")
    assert got["Content-Type"] == "text/html; charset=utf-8"
    got = driver.html("/crash")
    assert (got.status, got.text) == (500, "500 Internal Server Error: ")
    got = driver.request("GET", "/none", {"Host": "a.b", **HTML})
    assert (got.status, got.text) == (404, "nothing at http://a.b/none")
    assert driver.request("PUT", "/fail", HTML).text == "405 Method Not Allowed: "


def test_programs_get_the_json_shape_whatever_the_app_renders(runtime, log):
    driver = error_app(runtime)
    assert driver.get("/fail").json["message"] == "unauthorized"
    assert driver.get("/none").json["code"] == 40400


@pytest.mark.parametrize("content", ["", None])
def test_an_error_handler_without_content_leaves_the_usual_page(runtime, content):
    app = Atila("errors")
    app.default_error_handler(lambda was, error: content)
    got = runtime.drive(app).html("/none")
    assert (got.status, "404 Not Found" in got.text) == (404, True)


def test_an_error_handler_that_fails_leaves_the_usual_page(runtime, log):
    app = Atila("errors")

    @app.default_error_handler
    def broken(was, error):
        raise ValueError("in the handler")

    runtime.route(app, "/", lambda was: was.response("410 Gone"))
    driver = runtime.drive(app)
    assert (driver.html("/").status, "in the handler" in log.text) == (410, True)
    assert driver.html("/none").status == 404


def test_an_error_handler_needs_an_error_status():
    app = Atila("errors")
    for code in (200, "404", None):
        with pytest.raises(Exception, match="error status|function"):
            app.error_handler(code)(None if code is None else lambda was, error: "")
