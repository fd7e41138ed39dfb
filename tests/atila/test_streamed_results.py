"""Generators, iterators and coroutines as handlers and as results."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest
from driving import Driver, answer, returning

from atila import API, Atila, File
from skitai.executors.threads import ThreadPool

PAGE = "text/html; charset=utf-8"


# Generators and other streams


def test_a_generator_is_streamed():
    closed = []

    def make(was):
        try:
            yield "a"
            yield b"b"
            yield ""
            yield bytearray(b"c")
            yield memoryview(b"d")
        finally:
            closed.append(True)

    got = answer(make)
    assert (got.status, got["Content-Type"], got["Content-Length"]) == (200, PAGE, None)
    assert (got.body, got.writes, closed) == (b"abcd", [b"a", b"b", b"c", b"d"], [True])


def test_a_generator_may_be_the_handler_itself():
    app = Atila("generator")

    @app.route("/<name>")
    def handler(was, name):
        yield name
        yield was.request.path

    assert Driver(app).get("/x").text == "x/x"


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_generator_sets_headers_before_its_first_piece(asynchronous):
    def pieces(was):
        was.response.set_status("202 Accepted")
        was.response.content_type = "text/csv"
        was.response.add_header("X-A", "1")
        yield "a"
        was.response.add_header("X-Late", "1")
        yield "b"

    async def later(was):
        await asyncio.sleep(0)
        return pieces(was)

    got = (from_coroutine(later) if asynchronous else returning(pieces)).get("/")
    assert (got.status, got["Content-Type"], got.text) == (202, "text/csv", "ab")
    assert (got["X-A"], got["X-Late"]) == ("1", None)


def test_the_generator_of_the_seed_has_its_type():
    def make(was):
        def generate():
            for row in [["a", "b"], ["c", "d"]]:
                yield ",".join(row) + "\n"

        return was.response("200 OK", generate(), headers=[("Content-Type", "text/csv")])

    got = answer(make)
    assert (got["Content-Type"], got.text) == ("text/csv", "a,b\nc,d\n")


@pytest.mark.parametrize(
    "make",
    [
        lambda was: iter(["a", "b"]),
        lambda was: map(str.lower, "AB"),
        lambda was: (piece for piece in "ab"),
        lambda was: iterable(),
    ],
)
def test_iterators_are_streamed(make):
    assert answer(make).writes == [b"a", b"b"]


def iterable():
    class Pieces:
        def __iter__(self):
            return iter("ab")

    return Pieces()


def test_an_empty_generator_is_an_empty_body():
    got = answer(lambda was: iter(()))
    assert (got.status, got.body, got.broken) == (200, b"", False)


def test_the_generator_of_a_head_request_is_closed_after_its_first_piece():
    closed = []

    def make(was):
        try:
            yield "a"
            raise AssertionError
        finally:
            closed.append(True)

    got = returning(make).request("HEAD", "/")
    assert (got.status, got.body, got.broken, closed) == (200, b"", False, [True])


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_streams_wait_for_slow_clients(slow, asynchronous):
    app = Atila("slow")

    @app.route("/sync")
    def synchronous(was):
        yield from (str(at) for at in range(20))

    @app.route("/async")
    async def _(was):
        for at in range(20):
            yield str(at)

    got = Driver(app, slow=slow).get("/async" if asynchronous else "/sync")
    assert got.text == "".join(map(str, range(20)))


@pytest.mark.parametrize("path", ["/sync", "/async"])
def test_a_stream_ends_when_its_client_leaves(path, log):
    app, pulled, closed = Atila("leaving"), [], []

    @app.route("/sync")
    def synchronous(was):
        try:
            for at in range(20):
                pulled.append(at)
                yield "x"
        finally:
            closed.append(True)

    @app.route("/async")
    async def asynchronous(was):
        try:
            for at in range(20):
                pulled.append(at)
                yield "x"
        finally:
            closed.append(True)

    got = Driver(app, leave_after=3).get(path)
    assert (len(got.writes), pulled, closed) == (3, [0, 1, 2, 3], [True])
    assert not log.records


def test_pieces_of_another_type_are_a_crash(log):
    assert answer(lambda was: iter([1])).status == 500
    got = answer(lambda was: iter(["a", 1]))
    assert (got.status, got.writes, got.broken) == (200, [b"a"], True)
    assert log.text.count("a streamed body yields text or bytes, not int") == 2


# Coroutines


def from_coroutine(handler) -> Driver:
    app = Atila("asynchronous")
    app.route("/")(handler)
    return Driver(app)


def test_coroutines_return_what_functions_do(tmp_path):
    (tmp_path / "f").write_text("file")
    results = ["text", b"bytes", {"a": 1}, [1], API("201 Created"), File(tmp_path / "f")]
    expected = [b"text", b"bytes", b'{"a":1}', b"[1]", b"{}", b"file"]
    for result, body in zip(results, expected, strict=True):

        async def at_once(was, result=result):
            return result

        async def later(was, result=result):
            await asyncio.sleep(0)
            return result

        assert from_coroutine(at_once).get("/").body == body
        assert from_coroutine(later).get("/").body == body


def test_a_coroutine_may_return_an_iterator():
    async def handler(was):
        return was.response("201 Created", (piece for piece in "ab"), {"Content-Type": "text/x"})

    got = from_coroutine(handler).get("/")
    assert (got.status, got["Content-Type"], got.writes) == (201, "text/x", [b"a", b"b"])


def test_an_asynchronous_generator_sets_headers_before_its_first_piece():
    async def handler(was, name="x"):
        was.response.set_status(202)
        was.response.content_type = "text/csv"
        yield name
        yield b"more"

    driver = from_coroutine(handler)
    got = driver.get("/?name=y")
    assert (got.status, got["Content-Type"], got.text) == (202, "text/csv", "ymore")
    assert driver.get("/?other=y").status == 400
    got = driver.request("HEAD", "/")
    assert (got.status, got.body) == (202, b"")


def test_an_asynchronous_generator_may_be_empty():
    async def handler(was):
        return
        yield

    got = from_coroutine(handler).get("/")
    assert (got.status, got.body) == (200, b"")


def test_what_may_block_runs_in_a_thread_of_the_pool(log):
    app = Atila("threads")

    def here():
        return threading.current_thread().name

    @app.route("/function")
    def function(was):
        return here()

    @app.route("/generator")
    def generator(was):
        yield here()

    @app.route("/at-once")
    async def at_once(was):
        return here()

    @app.route("/later")
    async def later(was):
        await asyncio.sleep(0)
        return here()

    @app.route("/iterator")
    async def iterator(was):
        return (here() for _ in range(1))

    @app.route("/failing")
    async def failing(was):
        return (sys.exit("bye") for _ in range(1))

    pool = ThreadPool(1, 10, "blocking")
    try:
        driver = Driver(app, pool=pool)
        assert driver.get("/failing").status == 500  # and the thread is still there
        for path in ("/function", "/generator", "/iterator"):
            assert driver.get(path).text == "blocking-0"
        for path in ("/at-once", "/later"):
            assert driver.get(path).text == here()
    finally:
        pool.stop(5)


@pytest.mark.parametrize("path", ["/at-once", "/later", "/stream"])
def test_coroutines_get_large_bodies_too(path):
    app = Atila("large")

    @app.route("/at-once")
    async def at_once(was, text):
        return text

    @app.route("/later")
    async def later(was, text):
        await asyncio.sleep(0)
        return text

    @app.route("/stream")
    async def stream(was, text):
        yield text

    driver = Driver(app)
    assert driver.json(path, {"text": "x" * 100_000}).text == "x" * 100_000
    got = driver.send(path, "{" + " " * 100_000, "application/json")
    assert (got.status, got.json["more_info"][:10]) == (400, "JSON body:")
