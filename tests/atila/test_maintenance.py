"""Maintenance jobs: when they run, where, with what, and that they disturb nobody."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from atila import Atila
from atila.context import AppContext
from atila.errors import ConfigError
from atila.life import maintenance as room

SOON = 0.005  # seconds from one round to the next


@pytest.fixture
def app():
    made = Atila("kept")
    made.config.MAINTAIN_INTERVAL = SOON
    return made


def run_until(app, condition, then=lambda: None):
    """Let the app serve on a loop until the condition holds."""

    async def main():
        app.started(asyncio.get_running_loop())
        try:
            await asyncio.wait_for(poll(), 20)
            then()
        finally:
            app.cleanup()

    async def poll():
        while not condition():
            await asyncio.sleep(0.001)

    asyncio.run(main())


def test_a_job_gets_was_the_time_and_the_number_of_the_round(app):
    calls = []

    @app.maintain
    def job(was, now, count):
        calls.append((was, now, count))

    before = time.time()
    run_until(app, lambda: len(calls) >= 3)
    for number, (was, now, count) in enumerate(calls):
        assert count == number
        assert type(was) is AppContext
        assert was.app is app
        assert before <= now <= time.time()
    times = [now for _, now, _ in calls]
    assert times == sorted(times)


def test_the_decorator_leaves_the_function_as_it_is(app):
    def job(was, now, count):
        pass

    def other(was, now, count):
        pass

    assert app.maintain(job) is job
    assert app.maintain(2, threading=False)(other) is other


def test_jobs_run_in_every_so_many_rounds_beginning_with_the_first(app):
    calls = []
    done = threading.Event()

    @app.maintain()
    def every(was, now, count):
        if count == 7:
            done.set()
        if not done.is_set():
            calls.append(("every", count))

    @app.maintain(2)
    def second(was, now, count):
        calls.append(("second", count))

    @app.maintain(per_maintaining=3, threading=False)
    def third(was, now, count):
        calls.append(("third", count))

    run_until(app, done.is_set)
    assert [count for name, count in calls if name == "every"] == [0, 1, 2, 3, 4, 5, 6]
    assert [count for name, count in calls if name == "second"][:4] == [0, 2, 4, 6]
    assert [count for name, count in calls if name == "third"][:3] == [0, 3, 6]
    assert calls[:3] == [("every", 0), ("second", 0), ("third", 0)]  # as they were declared


def test_jobs_of_a_round_share_a_thread_that_is_not_the_loops(app):
    threads = {}
    for name in ("a", "b", "c"):

        def job(was, now, count, name=name):
            threads.setdefault(count, []).append(threading.current_thread())

        job.__name__ = name
        app.maintain(job)
    run_until(app, lambda: len(threads) >= 2 and len(threads[1]) == 3)
    assert len(set(threads[0])) == 1
    assert threads[0][0] is not threading.main_thread()
    assert threads[0][0].name == "kept maintain round 0"
    assert threads[0][0].daemon


def test_a_blocking_job_blocks_neither_the_loop_nor_other_kinds_of_jobs(app):
    release = threading.Event()
    calls = []

    @app.maintain
    def blocking(was, now, count):
        calls.append(("blocking", count))
        release.wait(20)

    @app.maintain(threading=True)
    def apart(was, now, count):
        calls.append(("apart", count, threading.current_thread().name))
        release.wait(20)

    @app.maintain
    async def on_the_loop(was, now, count):
        calls.append(("async", threading.current_thread()))
        await asyncio.sleep(0)
        calls.append(("async ended",))
        release.set()

    run_until(app, lambda: ("async ended",) in calls)
    assert ("blocking", 0) in calls
    assert ("apart", 0, "kept maintain job apart") in calls
    assert ("async", threading.main_thread()) in calls


def test_rounds_do_not_overlap_and_left_out_ones_do_not_count(app, log):
    release = threading.Event()
    calls = []

    @app.maintain
    def slow(was, now, count):
        calls.append(("begun", count))
        if count == 0:
            release.wait(20)
        calls.append(("ended", count))

    def warned():
        if log.text.count("takes longer than the interval") >= 3:
            release.set()
        return ("ended", 1) in calls

    run_until(app, warned)
    assert calls[:4] == [("begun", 0), ("ended", 0), ("begun", 1), ("ended", 1)]
    assert "kept maintain round 0 takes longer than the interval" in log.text


@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_a_job_of_its_own_does_not_overlap_itself(app, log, kind):
    release = threading.Event()
    counts = []
    rounds = []
    app.maintain(lambda was, now, count: rounds.append(count))

    if kind == "thread":

        @app.maintain(threading=True)
        def long(was, now, count):
            counts.append(count)
            if len(counts) == 1:
                release.wait(20)
    else:

        @app.maintain
        async def long(was, now, count):
            counts.append(count)
            while not release.is_set():
                await asyncio.sleep(0)

    def enough():
        if len(rounds) >= 4:
            release.set()
        return len(counts) >= 2

    run_until(app, enough)
    assert counts[0] == 0
    assert counts[1] >= 3
    assert "maintain job long is still running" in log.text


def test_what_a_job_raises_is_logged_and_disturbs_nothing(app, log):
    counts = []

    @app.maintain
    def broken(was, now, count):
        raise RuntimeError("on purpose")

    @app.maintain
    def leaving(was, now, count):
        raise SystemExit(3)

    @app.maintain(threading=True)
    def broken_apart(was, now, count):
        raise was.Error("404 Not Found")

    @app.maintain
    async def broken_async(was, now, count):
        raise KeyError("x")

    app.maintain(lambda was, now, count: counts.append(count))
    run_until(app, lambda: len(counts) >= 3)
    assert counts[:3] == [0, 1, 2]
    for name in ("broken", "leaving", "broken_apart", "broken_async"):
        assert f"maintain job {name} failed" in log.text
    assert "RuntimeError: on purpose" in log.text


def test_jobs_may_emit_events_and_use_the_store(app):
    """As the seed has it."""
    app.store.set("num-nodes", 0)
    seen = []

    @app.on("cluster:num_nodes")
    def changed(was, number):
        seen.append((number, was.app))

    @app.maintain(1, threading=False)
    def maintain_num_nodes(was, now, count):
        if app.g["num-nodes"] != 3:
            app.g["num-nodes"] = 3
            app.emit("cluster:num_nodes", 3)

    run_until(app, lambda: seen)
    assert seen == [(3, app)]


def test_a_job_declared_later_takes_part(app):
    calls = []

    @app.on("mounted")
    def late(was):
        @app.maintain
        def job(was, now, count):
            calls.append(count)

    run_until(app, lambda: len(calls) >= 2)
    assert calls[:2] == [0, 1]


# The end


def test_after_the_end_there_are_no_more_rounds(app):
    counts = []

    @app.maintain
    def job(was, now, count):
        counts.append(count)

    async def main():
        app.started(asyncio.get_running_loop())
        while not counts:
            await asyncio.sleep(0.001)
        app.cleanup()
        ended = len(counts)
        await asyncio.sleep(5 * app.config.MAINTAIN_INTERVAL)
        assert len(counts) == ended

    asyncio.run(main())
    assert not [thread for thread in threading.enumerate() if "maintain" in thread.name]


def test_the_end_waits_a_moment_for_what_runs_and_begins_nothing_new(app):
    begun, release = threading.Event(), threading.Event()
    calls = []

    @app.maintain
    def first(was, now, count):
        begun.set()
        release.wait(20)
        calls.append("first ended")

    @app.maintain
    def second(was, now, count):
        calls.append("second")

    app.before_umount(lambda was: calls.append("before_umount"))

    def end_it_when_the_app_ends():
        app.maintenance._stopping.wait(20)
        release.set()

    run_until(app, begun.is_set, threading.Thread(target=end_it_when_the_app_ends).start)
    assert calls == ["first ended", "before_umount"]


def test_a_job_that_never_ends_does_not_keep_the_app(app, log, monkeypatch):
    monkeypatch.setattr(room, "STOP_PATIENCE", 0.02)
    begun, release = threading.Event(), threading.Event()

    @app.maintain(threading=True)
    def endless(was, now, count):
        begun.set()
        release.wait(20)

    run_until(app, begun.is_set)
    release.set()
    assert "kept maintain job endless has not ended, it is left behind" in log.text


def test_an_app_without_a_loop_has_no_rounds(app):
    app.maintain(lambda was, now, count: None)
    app.started(None)
    app.cleanup()


# What can't work


@pytest.mark.parametrize(
    "interval", [0, -1, "60", None, True, float("nan"), float("inf"), [60], 1j]
)
def test_the_interval_is_a_number_of_seconds(app, interval):
    app.config.MAINTAIN_INTERVAL = interval
    with pytest.raises(ConfigError) as refused:
        app.started(None)
    assert str(refused.value) == (
        f"config.MAINTAIN_INTERVAL must be seconds, more than 0, not {interval!r}: give 60"
    )


def test_the_interval_is_a_minute_unless_it_is_set():
    app = Atila("default")
    app.config.pop("MAINTAIN_INTERVAL", None)

    app.started(None)
    assert app.maintenance.interval == 60
    app.config.MAINTAIN_INTERVAL = 5
    app.started(None)
    assert app.maintenance.interval == 5


def job_of_a_name(was, now, count):
    pass


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda app: app.maintain(0)(job_of_a_name), "a whole number from 1 on, not 0"),
        (lambda app: app.maintain(1.5)(job_of_a_name), "a whole number from 1 on, not 1.5"),
        (lambda app: app.maintain(True)(job_of_a_name), "a whole number from 1 on, not True"),
        (lambda app: app.maintain("2")(job_of_a_name), "a whole number from 1 on, not '2'"),
        (lambda app: app.maintain(lambda was: None), "must take (was, now, count)"),
        (lambda app: app.maintain(lambda was, now, count, x: None), "must take (was, now, count)"),
        (lambda app: app.maintain(1)(5), "must decorate a function, not 5"),
    ],
)
def test_what_can_not_be_a_job_is_refused(app, declare, message):
    with pytest.raises(ConfigError) as refused:
        declare(app)
    assert message in str(refused.value)


def test_generators_and_coroutines_in_threads_are_refused(app):
    def generator(was, now, count):
        yield

    async def stream(was, now, count):
        yield

    async def coroutine(was, now, count):
        pass

    for job in (generator, stream):
        with pytest.raises(ConfigError, match="is a generator and would never run"):
            app.maintain(job)
    with pytest.raises(ConfigError, match="coroutine is 'async def', it runs on the loop"):
        app.maintain(1, threading=True)(coroutine)


def test_names_of_jobs_are_unique(app):
    app.maintain(job_of_a_name)
    with pytest.raises(ConfigError, match="'kept' has a maintain job job_of_a_name already"):
        app.maintain(2)(job_of_a_name)
    Atila("other").maintain(job_of_a_name)
