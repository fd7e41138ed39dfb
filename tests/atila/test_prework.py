"""Work before and after handlers: always, when a file has changed, when a cache was updated."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from driving import Driver

from atila import Atila
from atila.errors import ConfigError
from atila.prework import Watch
from atila.steps import guards_of
from skitai.handlers.peers import Peers
from skitai.stores.shared import SharedSlots


def touch(path, text: str = "x") -> None:
    """Write a file so that it has changed for sure."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 1, before + 1))


def with_times(*names: str) -> tuple[Atila, SharedSlots]:
    """An app in a worker whose cache keys are these, and what tells of their updates."""
    app, shared = Atila("caches"), SharedSlots()
    shared.register(*names)
    app.join(Peers(upstreams=SimpleNamespace(shared=shared)))
    return app, shared


# -- run_before and run_after


def test_decorators_enclose_the_handler_each_with_its_functions_in_order():
    app = Atila("chain")
    done: list[str] = []

    def step(name):
        def work(was):
            done.append(name)

        return work

    async def waiting(was):
        done.append("async")

    @app.route("/")
    @app.run_before(step("a"), waiting, step("b"))
    @app.run_before(step("c"))
    @app.run_after(step("x"), waiting)
    @app.run_after(step("y"))
    def index(was):
        done.append("handler")
        return "ok"

    @app.route("/async")
    @app.run_before(step("a"))
    @app.run_after(step("x"))
    async def index_async(was):
        done.append("handler")
        return "ok"

    driver = Driver(app)
    assert driver.get("/").text == "ok"
    assert done == ["a", "async", "b", "c", "handler", "y", "x", "async"]
    done.clear()
    assert driver.get("/async").text == "ok"
    assert done == ["a", "handler", "x"]


def test_what_a_step_before_returns_is_the_response_and_ends_the_chain():
    app = Atila("chain")
    done = []

    @app.route("/")
    @app.run_before(lambda was: None, lambda was: "stop", lambda was: done.append("late"))
    @app.run_after(lambda was: done.append("after"))
    def index(was):
        done.append("handler")

    assert Driver(app).get("/").text == "stop"
    assert done == []


def test_what_a_step_before_raises_is_the_answer():
    app = Atila("chain")

    def refuse(was):
        raise was.Error("418 Teapot")

    @app.route("/")
    @app.run_before(refuse)
    def index(was):
        return "ok"

    assert Driver(app).get("/").status == 418


def test_steps_after_can_not_change_the_result():
    app = Atila("chain")

    @app.route("/")
    @app.run_after(lambda was: "another")
    def index(was):
        return "ok"

    assert Driver(app).get("/").text == "ok"


def test_steps_after_do_not_run_when_the_handler_failed():
    app = Atila("chain")
    done = []

    @app.route("/<kind>")
    @app.run_after(lambda was: done.append("after"))
    def index(was, kind):
        raise ValueError(kind) if kind == "crash" else was.Error(404)

    driver = Driver(app)
    assert [driver.get(path).status for path in ("/crash", "/error")] == [500, 404]
    assert done == []


@pytest.mark.parametrize("wrong", [(), (5,), (None, print)])
def test_a_chain_of_what_can_not_be_called_is_an_error_at_once(wrong):
    app = Atila("chain")
    with pytest.raises(ConfigError, match="run_before needs functions"):
        app.run_before(*wrong)
    with pytest.raises(ConfigError, match="run_after needs functions"):
        app.run_after(*wrong)


# -- if_file_modified


def test_the_first_request_and_each_change_call_the_function(tmp_path):
    app = Atila("files")
    config = tmp_path / "config"
    touch(config)
    calls = []

    @app.route("/")
    @app.if_file_modified(str(config), lambda was, path: calls.append(path), interval=0)
    def index(was):
        return "ok"

    driver = Driver(app)
    for _ in range(3):
        assert driver.get("/").text == "ok"
    assert calls == [str(config)]
    touch(config)
    driver.get("/")
    driver.get("/")
    assert len(calls) == 2
    older = config.stat().st_mtime_ns - 5
    os.utime(config, ns=(older, older))
    driver.get("/")
    assert len(calls) == 3, "an older file that was put back is a change"


def test_within_the_interval_nobody_looks(tmp_path):
    app = Atila("files")
    config = tmp_path / "config"
    touch(config)
    calls = []

    @app.route("/")
    @app.if_file_modified(config, lambda was, path: calls.append(path), interval=1000)
    def index(was):
        return "ok"

    driver = Driver(app)
    driver.get("/")
    touch(config)
    driver.get("/")
    assert len(calls) == 1


def test_a_coroutine_may_do_the_work_and_answer(tmp_path):
    app = Atila("files")
    touch(tmp_path / "config")

    async def reload(was, path):
        return "reloaded"

    @app.route("/")
    @app.if_file_modified(tmp_path / "config", reload, interval=0)
    async def index(was):
        return "ok"

    driver = Driver(app)
    assert [driver.get("/").text for _ in range(2)] == ["reloaded", "ok"]


def test_a_file_that_is_not_there_is_waited_for(tmp_path):
    app = Atila("files")
    config = tmp_path / "config"
    calls = []

    @app.route("/")
    @app.if_file_modified(config, lambda was, path: calls.append(path), interval=0)
    def index(was):
        return "ok"

    driver = Driver(app)
    assert driver.get("/").text == "ok"
    assert calls == []
    touch(config)
    driver.get("/")
    config.unlink()
    assert driver.get("/").text == "ok"
    assert len(calls) == 1


def test_work_that_failed_is_done_again(tmp_path):
    app = Atila("files")
    touch(tmp_path / "config")
    calls = []

    def reload(was, path):
        calls.append(path)
        if len(calls) == 1:
            raise was.Error("503 Service Unavailable")

    @app.route("/")
    @app.if_file_modified(tmp_path / "config", reload, interval=0)
    def index(was):
        return "ok"

    driver = Driver(app)
    assert [driver.get("/").status for _ in range(3)] == [503, 200, 200]
    assert len(calls) == 2


def test_routes_of_one_handler_share_what_they_know(tmp_path):
    app = Atila("files")
    touch(tmp_path / "config")
    calls = []

    @app.route("/a")
    @app.route("/b")
    @app.if_file_modified(tmp_path / "config", lambda was, path: calls.append(path), interval=0)
    def index(was):
        return "ok"

    driver = Driver(app)
    driver.get("/a")
    driver.get("/b")
    assert len(calls) == 1


def test_while_one_thread_works_the_others_go_on():
    watch = Watch(0)
    working, go_on = threading.Event(), threading.Event()
    begun = []

    def look(number: int) -> None:
        if watch.begin():
            begun.append(number)
            working.set()
            go_on.wait(10)
            watch.end()

    with ThreadPoolExecutor() as threads:
        first = threads.submit(look, 0)
        assert working.wait(10)
        for job in [threads.submit(look, number) for number in range(1, 5)]:
            job.result(10)
        go_on.set()
        first.result(10)
    assert begun == [0]
    assert watch.begin()


def test_many_threads_look_once_in_an_interval():
    now = 0.0
    watch = Watch(1, lambda: now)
    start = threading.Barrier(8)
    begun = []

    def look() -> None:
        start.wait()
        for _ in range(100):
            if watch.begin():
                begun.append(1)
                watch.end()

    def at_once() -> int:
        begun.clear()
        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(begun)

    assert at_once() == 1
    now = 0.99
    assert at_once() == 0
    now = 1.0
    assert at_once() == 1


# -- if_cache_updated


def test_each_key_that_was_updated_is_told_by_name():
    app, times = with_times("tables.users", "tables.photos")
    calls = []

    @app.route("/")
    @app.if_cache_updated(
        ["tables.users", "tables.photos"], lambda was, name: calls.append(name), interval=0
    )
    def index(was):
        return "ok"

    driver = Driver(app)
    driver.get("/")
    assert calls == ["tables.users", "tables.photos"], "the first request clears all"
    driver.get("/")
    assert len(calls) == 2
    times.touch("tables.photos")
    driver.get("/")
    driver.get("/")
    assert calls[2:] == ["tables.photos"]


def test_a_response_leaves_the_other_keys_for_the_next_request():
    app, _ = with_times("a", "b")
    calls = []

    def clear(was, name):
        calls.append(name)
        return name

    @app.route("/")
    @app.if_updated(("a", "b"), clear, interval=0)
    def index(was):
        return "ok"

    driver = Driver(app)
    assert [driver.get("/").text for _ in range(4)] == ["a", "b", "ok", "ok"]
    assert calls == ["a", "b"]


def test_a_key_that_is_not_registered_is_an_error_when_it_is_looked_at():
    app, _ = with_times("a")

    @app.route("/")
    @app.if_state_updated("b", lambda was, name: None, interval=0)
    def index(was):
        return "ok"

    assert Driver(app).get("/").status == 500


@pytest.mark.parametrize("decorator", ["if_file_modified", "if_cache_updated"])
def test_conditions_that_can_not_work_are_errors_at_once(decorator):
    decorate = getattr(Atila("chain"), decorator)
    for interval in (-1, "1", None):
        with pytest.raises(ConfigError, match=f"{decorator}: interval="):
            decorate("x", print, interval)
    with pytest.raises(ConfigError, match=f"{decorator} needs functions"):
        decorate("x", "f")


def test_guards_tell_what_they_are():
    app = Atila("chain")

    def load(was, name):
        pass

    @app.run_before(load)
    @app.if_file_modified("/etc/x", load)
    @app.if_cache_updated(["a", "b"], load)
    def handler(was):
        return ""

    assert [guard.facts for guard in guards_of(handler)] == [
        ("run_before", "load"),
        ("if_file_modified", ["/etc/x"]),
        ("if_cache_updated", ["a", "b"]),
    ]
