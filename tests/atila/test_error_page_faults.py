"""The page that --devel shows for a crash: monstrous exceptions, code of others, nested secrets."""

from __future__ import annotations

import asyncio
import re
import sys

import pytest
from calling import JSON
from driving import HTML, Driver
from failing import driver_of, variables

from atila import Atila
from skitai.executors.threads import ThreadPool


class Exiting(Exception):
    def __str__(self):
        raise SystemExit


def nested(n):
    exc = ValueError("inmost")
    for _ in range(n):
        exc = __builtins__["ExceptionGroup"]("g", [exc])
    return exc


def chained(n):
    exc = ValueError("first")
    for _ in range(n):
        last = exc
        exc = ValueError("next")
        exc.__cause__ = last
    return exc


@pytest.mark.parametrize(
    "make",
    [
        lambda: ValueError("x" * 300_000),
        lambda: ValueError("'" + "a." * 300_000),
        lambda: chained(300),
        Exiting,
        pytest.param(
            lambda: nested(600),
            marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="groups are of 3.11"),
        ),
    ],
)
def test_monstrous_exceptions_have_a_page_of_a_bearable_size(make):
    def handler(was):
        raise make()

    driver = driver_of(handler)
    page = driver.html("/")
    assert page.status == 500
    assert len(page.body) < 300_000
    assert 'class="what"' in page.text
    assert driver.get("/").json["traceback"]


def test_secrets_in_lists_and_nested_fields_are_hidden_everywhere():
    def handler(was, **fields):
        raise ValueError("first-value-1 second-value-2 third-value-3")

    app = Atila("failing")
    app.route("/", methods=["POST"])(handler)
    page = Driver(app, debug=True).request(
        "POST",
        "/?token=first-value-1&token=second-value-2",
        {**HTML, "Content-Type": "application/json"},
        b'{"credentials": {"a": "third-value-3"}}',
    )
    assert re.findall(r"\w+-value-\d", page.text) == []


def test_exceptions_and_classes_that_refuse_questions_have_a_page():
    class Refusing(Exception):
        def __getattribute__(self, name):
            if name.startswith("__"):
                return super().__getattribute__(name)
            raise RuntimeError(name)

    class Meta(type):
        def __getattribute__(cls, name):
            raise RuntimeError(name)

    def handler(was):
        made, kind = Meta("Made", (), {})(), Meta("Kind", (), {})
        raise Refusing("x", made, kind)

    page = driver_of(handler).html("/")
    assert 'class="what"' in page.text
    assert {"made", "kind"} <= variables(page).keys()


def test_the_page_of_an_async_function_is_not_made_on_the_loop():
    class Asking:
        """Its repr needs the loop, as those of some clients do."""

        def __init__(self):
            self.loop = asyncio.get_running_loop()

        def __repr__(self):
            return asyncio.run_coroutine_threadsafe(self.answer(), self.loop).result(30)

        async def answer(self):
            return "asked the loop"

    async def handler(was):
        asking = Asking()
        raise ValueError(asking.loop)

    app = Atila("failing")
    app.route("/")(handler)
    pool = ThreadPool(1, 10)
    try:
        assert variables(Driver(app, debug=True, pool=pool).html("/"))["asking"] == "asked the loop"
    finally:
        pool.stop(30)


@pytest.mark.parametrize("way", ["template", "fault", "jsonrpc", "xmlrpc"])
def test_other_ways_to_a_traceback_tell_no_secrets_either(way):
    app = Atila("failing")
    app.securekey = "the-key-of-this-app-1"

    @app.route("/crash", methods=["POST"])
    def crash(was):
        try:
            raise ValueError(f"{app.securekey} token=abc-def")
        except ValueError:
            if way == "fault":
                return was.Fault("500 Internal Server Error", "broken", traceback=True)
            raise

    if way == "template":
        app.error_handler(500)(lambda was, error: f"{error['debug']} {error['traceback']}")
    driver = Driver(app, debug=True)
    if way == "jsonrpc":
        body, kind = b'{"jsonrpc": "2.0", "id": 1, "method": "crash"}', JSON
    elif way == "xmlrpc":
        body, kind = b"<methodCall><methodName>crash</methodName></methodCall>", "text/xml"
    else:
        body, kind = b"", "text/plain"
    path = "/" if "rpc" in way else "/crash"
    page = driver.request("POST", path, {**HTML, "Content-Type": kind}, body)
    assert "ValueError: ********" in page.text
    assert "the-key-of" not in page.text
    assert "abc-def" not in page.text
