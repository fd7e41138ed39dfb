"""Errors with a status, crashes, and what their clients and the log get to see."""

from __future__ import annotations

import asyncio
import functools
import re
import sys

import pytest
from driving import HTML, Channel, Driver

from atila import Atila, HTTPError
from skitai.server.body import RequestBody
from skitai.server.exchange import Exchange
from skitai.wire.request import Request

CRASH = {"code": 50000, "message": "internal server error"}


ASSERTING = """
def handler(was, n):
    assert int(n) > 3, was.Error("488 Not My Fault", "too small", 5)
    return "ok"
"""


def boom(was):
    word = "<b>hunter2</b>"
    raise RuntimeError(f"no {word}")


def driver_of(handler, **options) -> Driver:
    app = Atila("errors")
    app.route("/")(handler)
    return Driver(app, **options)


def raising(error):
    def handler(was):
        raise error(was) if callable(error) else error

    return handler


# was.Error


@pytest.mark.parametrize(
    ("arguments", "status", "reason", "shape"),
    [
        (("400 Bad Request",), 400, "Bad Request", {"code": 40000, "message": "bad request"}),
        ((404,), 404, "Not Found", {"code": 40400, "message": "not found"}),
        (("404",), 404, "Not Found", {"code": 40400, "message": "not found"}),
        ((), 500, "Internal Server Error", CRASH),
        (("404 없음",), 404, "Not Found", {"code": 40400, "message": "없음"}),
        (
            ("400 Bad Request", "missing user ID"),
            400,
            "Bad Request",
            {"code": 40000, "message": "bad request", "more_info": "missing user ID"},
        ),
        (
            ("400 Bad Request", "missing user ID", 40011),
            400,
            "Bad Request",
            {"code": 40011, "message": "bad request", "more_info": "missing user ID"},
        ),
        (
            ("488 Not My Fault", "über <b>"),
            488,
            "Not My Fault",
            {"code": 48800, "message": "not my fault", "more_info": "über <b>"},
        ),
        ((499,), 499, "Unknown", {"code": 49900, "message": "unknown"}),
        ((599, "", 7), 599, "Unknown", {"code": 7, "message": "unknown"}),
    ],
    ids=range(10),
)
def test_errors_as_json(arguments, status, reason, shape, log):
    got = driver_of(raising(lambda was: was.Error(*arguments))).get("/")
    assert (got.status, got.reason, got["Content-Type"]) == (status, reason, "application/json")
    assert got.json == shape
    assert not log.records  # an error that the app means is no news


def test_the_shape_depends_on_accept():
    driver = driver_of(raising(lambda was: was.Error("404 Not Found", "no <b>")))
    for accept in ("text/html", "application/json, text/html", "text/html;q=0.1, */*"):
        got = driver.get("/", accept=accept)
        assert got["Content-Type"] == "text/html; charset=utf-8"
        assert "<h1>404 Not Found</h1>" in got.text
        assert "no &lt;b&gt;" in got.text
        assert "<b>" not in got.text
    for accept in ("", "*/*", "application/json", "text/plain", "image/png"):
        assert driver.get("/", accept=accept).json["more_info"] == "no <b>"


def test_what_routing_refuses_has_the_same_shapes():
    driver = driver_of(lambda was: "x")
    assert driver.get("/nothing").json == {"code": 40400, "message": "not found"}
    assert "<h1>404 Not Found</h1>" in driver.html("/nothing").text
    assert driver.request("PUT", "/").json == {"code": 40500, "message": "method not allowed"}
    assert "<h1>405 Method Not Allowed</h1>" in driver.request("PUT", "/", HTML).text
    got = driver.request("HEAD", "/nothing")
    assert (got.status, got.body) == (404, b"")


def test_an_assertion_may_carry_an_error():
    scope = {}
    exec(ASSERTING, scope)  # pytest changes what assertions of its own modules raise
    driver = driver_of(scope["handler"])
    assert driver.get("/?n=4").text == "ok"
    got = driver.get("/?n=3")
    assert (got.status, got.reason) == (488, "Not My Fault")
    assert got.json == {"code": 5, "message": "not my fault", "more_info": "too small"}


@pytest.mark.parametrize("message", [(), ("text",), (404,), (HTTPError,)])
def test_other_assertions_are_crashes(message, log):
    got = driver_of(raising(AssertionError(*message))).get("/")
    assert (got.status, got.json) == (500, CRASH)
    assert "AssertionError" in log.text


@pytest.mark.parametrize("status", ["OK", "1000", "20", "404 a\r\nb", None, 99, 1.5])
def test_an_error_needs_a_status(status, log):
    assert driver_of(raising(lambda was: was.Error(status))).get("/").status == 500
    assert "status" in log.text


def test_an_error_may_also_be_a_success():
    got = driver_of(raising(lambda was: was.Error("204 No Content"))).get("/")
    assert (got.status, got.body, got["Content-Length"]) == (204, b"", None)
    got = driver_of(raising(lambda was: was.Error("200 OK", "fine"))).get("/")
    assert (got.status, got.json["more_info"]) == (200, "fine")


def test_headers_that_belong_to_an_error_are_kept():
    def handler(was):
        was.response.set_status("201 Created")
        was.response.content_type = "text/csv"
        for name, value in {
            "WWW-Authenticate": "Bearer",
            "Retry-After": "5",
            "Set-Cookie": "a=1",
            "ETag": '"x"',
            "Cache-Control": "max-age=60",
            "Content-Disposition": "attachment",
        }.items():
            was.response.set_header(name, value)
        raise was.Error("401 Unauthorized")

    got = driver_of(handler).get("/")
    assert (got.status, got.reason) == (401, "Unauthorized")
    assert {name for name, _ in got.headers} == {
        "Server",
        "Content-Type",
        "Content-Length",
        "WWW-Authenticate",
        "Retry-After",
    }
    assert got["Content-Type"] == "application/json"


def test_a_crash_keeps_no_headers(log):
    def handler(was):
        was.response.set_header("Retry-After", "5")
        raise KeyError("x")

    assert driver_of(handler).get("/")["Retry-After"] is None


# Crashes


def test_a_crash_in_production_tells_nothing(log):
    driver = driver_of(boom)
    got = driver.get("/")
    assert (got.status, got.json) == (500, CRASH)
    page = driver.html("/")
    assert (page.status, page["Content-Type"]) == (500, "text/html; charset=utf-8")
    for word in ("hunter2", "RuntimeError", "Traceback", "test_errors"):
        assert word not in page.text


def test_a_crash_is_logged_with_its_traceback_and_request(log):
    driver_of(lambda was, **kw: boom(was)).get("/?a=1%20")
    (record,) = log.records
    assert (record.name, record.levelname) == ("skitai.app", "ERROR")
    assert re.fullmatch(r"GET /\?a=1%20 failed \[\w+/1000\]", record.getMessage())
    assert record.exc_info[0] is RuntimeError


def test_a_crash_in_debug_shows_an_escaped_traceback(log):
    page = driver_of(boom, debug=True).html("/")
    assert (page.status, page["Content-Type"]) == (500, "text/html; charset=utf-8")
    assert '<div class="name">RuntimeError</div>' in page.text
    assert "no &lt;b&gt;hunter2&lt;/b&gt;</div>" in page.text
    assert "<b>hunter2" not in page.text
    assert "<summary><b>boom</b>" in page.text
    assert "test_errors.py, line" in page.text
    assert "raise RuntimeError(f&#34;no {word}&#34;)" in page.text
    assert "You see this page because the service runs with <code>--devel" in page.text


def test_the_debug_page_escapes_the_request(log):
    driver = driver_of(lambda was, **kw: boom(was), debug=True)
    page = driver.request("GET", "/?<script>", {"Accept": "text/html", "X-<q>": "<script>"}).text
    assert "<script>" not in page
    assert "<q>" not in page
    assert "<td>x-&lt;q&gt;</td><td>&lt;script&gt;</td>" in page


def test_a_crash_in_debug_as_json(log):
    got = driver_of(boom, debug=True).get("/")
    assert (got.status, got["Content-Type"]) == (500, "application/json")
    trace = got.json["traceback"]
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "RuntimeError: no <b>hunter2</b>"
    assert got.json == {**CRASH, "traceback": trace}


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_that_is_meant_has_no_traceback(debug):
    driver = driver_of(raising(HTTPError("404 Not Found", "gone")), debug=debug)
    assert set(driver.get("/").json) == {"code", "message", "more_info"}
    assert "Traceback" not in driver.html("/").text


def asking(was):
    """Raise an error that asks for its traceback."""
    secret = "hunter2"
    raise was.Error("409 Conflict", f"not {len(secret)}", 40911, traceback=True)


def asserting(was):
    """What an assert does, which pytest would rewrite here."""
    raise AssertionError(was.Error("409 Conflict", "not 7", 40911, traceback=True))


@pytest.mark.parametrize("handler", [asking, asserting])
def test_an_error_may_ask_for_its_traceback(handler, log):
    plain, devel = driver_of(handler), driver_of(handler, debug=True)
    shape = {"code": 40911, "message": "conflict", "more_info": "not 7"}
    assert (plain.get("/").status, plain.get("/").json) == (409, shape)
    assert f"in {handler.__name__}" not in plain.html("/").text

    told = devel.get("/").json
    lines = told.pop("traceback")
    assert told == shape
    assert any(f"in {handler.__name__}" in line for line in lines)
    page = devel.html("/")
    assert page.status == 409
    assert f"<b>{handler.__name__}</b>" in page.text
    assert log.records == []  # it is no crash


def test_an_error_handler_gets_the_traceback_that_was_asked_for():
    app = Atila("errors")
    app.route("/")(asking)
    app.default_error_handler(lambda was, error: f"[{error['debug']}] {error['traceback']}")
    page = Driver(app, debug=True).html("/")
    assert page.status == 409
    assert page.text.startswith("[HTTPError: 409 Conflict: not 7] <pre>Traceback")
    app = Atila("errors")
    app.route("/")(asking)
    app.default_error_handler(lambda was, error: f"[{error['debug']}] {error['traceback']}")
    assert Driver(app).html("/").text == "[] "


@pytest.mark.parametrize("debug", [False, True])
def test_exceptions_that_misbehave_are_still_answered(debug, log):
    class Silent(Exception):
        def __str__(self):
            raise ValueError("no text")

    class Surrogate(Exception):
        def __str__(self):
            return "\ud800"

    for kind in (Silent, Surrogate):
        driver = driver_of(raising(kind()), debug=debug)
        assert driver.get("/").status == 500
        assert driver.html("/").status == 500


def test_chains_of_exceptions_are_shown_in_debug(log):
    def handler(was):
        try:
            boom(was)
        except RuntimeError as exc:
            raise KeyError("second") from exc

    page = driver_of(handler, debug=True).html("/").text
    assert "KeyError" in page
    assert "RuntimeError" in page
    assert "direct cause" in page


def test_recursion_without_end_is_a_crash(log):
    def handler(was):
        return handler(was)

    for debug in (False, True):
        assert driver_of(handler, debug=debug).html("/").status == 500


@pytest.mark.parametrize("how", [lambda: sys.exit("bye"), lambda: exit_quietly()])
def test_leaving_python_in_a_handler_is_a_crash(how, log):
    async def asynchronous(was):
        await asyncio.sleep(0)
        how()

    assert driver_of(lambda was: how()).get("/").status == 500
    assert driver_of(asynchronous).get("/").status == 500
    assert log.text.count("SystemExit") >= 2


def exit_quietly():
    raise SystemExit


# Coroutines


def test_errors_in_coroutines(log):
    async def at_once(was):
        raise was.Error("409 Conflict", "now")

    async def later(was):
        await asyncio.sleep(0)
        raise was.Error("409 Conflict", "later")

    async def crashing(was):
        await asyncio.sleep(0)
        boom(was)

    assert driver_of(at_once).get("/").json["more_info"] == "now"
    assert driver_of(later).get("/").json["more_info"] == "later"
    assert not log.records
    assert driver_of(crashing).get("/").json == CRASH
    assert "hunter2" in log.text
    assert "hunter2" in driver_of(crashing, debug=True).html("/").text


def test_a_coroutine_whose_work_was_cancelled_is_still_answered(log):
    async def handler(was):
        work = asyncio.ensure_future(asyncio.sleep(10))
        work.cancel()
        await work

    assert driver_of(handler).get("/").status == 500
    assert "CancelledError" in log.text


def test_a_decorator_may_wait_where_the_coroutine_does_not():
    def waiting(function):
        @functools.wraps(function)
        async def wrapper(was, *args, **kw):
            await asyncio.sleep(0)
            return await function(was, *args, **kw)

        return wrapper

    async def handler(was, n):
        return {"n": n}

    async def sleeper(was, n):
        await asyncio.sleep(0)
        return {"n": n}

    app = Atila("decorated")
    app.route("/wrapped/<int:n>")(waiting(handler))
    app.route("/partial/<int:n>")(functools.update_wrapper(functools.partial(sleeper), sleeper))
    assert Driver(app).get("/wrapped/3").json == {"n": 3}
    assert Driver(app).get("/partial/3").json == {"n": 3}


# Streams


def test_an_error_before_the_first_piece_is_an_answer(log):
    def meant(was):
        raise was.Error("404 Not Found", "no rows")
        yield ""

    def crash(was):
        boom(was)
        yield ""

    async def asynchronous(was):
        raise was.Error("404 Not Found", "no rows")
        yield ""

    for handler in (meant, asynchronous):
        got = driver_of(handler).get("/")
        assert (got.status, got.json["more_info"]) == (404, "no rows")
    assert not log.records
    assert driver_of(crash).get("/").json == CRASH
    assert "hunter2" in driver_of(crash, debug=True).html("/").text


def test_an_error_after_the_first_piece_breaks_the_response_off(log):
    def crash(was):
        yield "first"
        boom(was)

    def meant(was):
        yield "first"
        raise was.Error("404 Not Found")

    async def asynchronous(was):
        yield "first"
        boom(was)

    for handler in (crash, meant, asynchronous):
        log.clear()
        got = driver_of(handler).get("/")
        assert (got.status, got.writes, got.broken) == (200, [b"first"], True)
        assert [record.levelname for record in log.records] == ["ERROR"]


def test_the_iterator_of_a_coroutine_may_fail_too(log):
    async def handler(was):
        def pieces():
            raise was.Error("404 Not Found", "no rows")
            yield ""

        return pieces()

    assert driver_of(handler).get("/").json["more_info"] == "no rows"


def test_a_page_for_a_request_that_was_refused_meanwhile_is_not_rendered(log):
    app = Atila("refused")

    @app.error_handler(404)
    async def render(was, error):
        await asyncio.sleep(0)
        return "rendered"

    driver = Driver(app)

    async def run():
        channel = Channel()
        html = {"accept": "text/html"}
        exchange = Exchange(channel, Request("POST", "/no", "/no", "", "1.1", html), True)
        exchange.body = RequestBody(None)
        driver._handler.handle(exchange)
        exchange.fail(HTTPError(400, "a broken chunk"))
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        return channel.answer

    got = asyncio.run(run())
    assert (got.status, got.broken) == (400, False)
    assert not log.records
