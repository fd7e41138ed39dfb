"""Events: who handles them, with which ``was``, in which order, and how they reach other apps."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest
from driving import Driver, module

import atila.life.events as events
from atila import Atila
from atila.context import AppContext
from atila.errors import ConfigError
from atila.was import Was
from skitai.handlers.peers import Peers


def joined(*apps: Atila, **options) -> Peers:
    """Apps that know each other, as the worker introduces them."""
    peers = Peers(**options)
    for app in apps:
        peers.add(app.name, app)
    for app in apps:
        app.join(peers)
    return peers


@pytest.fixture
def app():
    return Atila("myapp")


# Emitting and handling


def test_handlers_get_was_and_the_arguments(app):
    calls = []

    @app.on("custom-event")
    def on_custom_event(was, detail, *rest, **named):
        calls.append((was.app, detail, rest, named))

    app.emit("custom-event", 1, 2, name="x")
    assert calls == [(app, 1, (2,), {"name": "x"})]


def test_handlers_run_at_once_in_the_order_of_their_declaration(app):
    calls = []
    for number in range(5):

        @app.on("event")
        def same_name(was, number=number):
            calls.append((number, threading.current_thread()))

    app.emit("event")
    assert calls == [(number, threading.current_thread()) for number in range(5)]


def test_one_function_for_several_events_is_called_once_for_each(app):
    calls = []

    @app.on("a", "b", "a")
    @app.on("a")
    def handler(was, name):
        calls.append(name)

    app.emit("a", "a")
    app.emit("b", "b")
    assert calls == ["a", "b"]


def test_an_event_that_nobody_handles_is_nothing(app):
    app.emit("nothing", 1, 2)
    assert not app.events.has("nothing")


def test_a_handler_may_declare_and_emit(app):
    calls = []

    @app.on("first")
    def first(was):
        app.on("first")(lambda was: calls.append("late"))
        app.on("second")(lambda was: calls.append("second"))
        was.emit("second")

    app.emit("first")
    assert calls == ["second"]


def test_what_a_handler_raises_is_logged_and_the_others_run(app, log):
    calls = []

    @app.on("event")
    def broken(was):
        raise RuntimeError("on purpose")

    @app.on("event")
    def leaving(was):
        raise SystemExit(3)

    @app.on("event")
    def misused(was, missing):
        calls.append("never")

    app.on("event")(lambda was: calls.append("last"))
    app.emit("event")
    assert calls == ["last"]
    assert "broken for event 'event' failed" in log.text
    assert "RuntimeError: on purpose" in log.text
    assert "SystemExit: 3" in log.text
    assert "missing 1 required positional argument: 'missing'" in log.text


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda app: app.on("x")(5), "event 'x' must have a function as its handler: 5"),
        (lambda app: app.on(lambda was: None), "event names must be text"),
        (lambda app: app.on_broadcast(lambda was: None), "event names must be text"),
        (lambda app: app.on(), "event names must be text, not ()"),
        (lambda app: app.on(""), "event names must be text"),
        (lambda app: app.on("x")(lambda: None), "must take 'was' as its first argument"),
    ],
)
def test_what_can_not_handle_an_event_is_refused(app, declare, message):
    with pytest.raises(ConfigError) as refused:
        declare(app)
    assert message in str(refused.value)


def test_generators_can_not_handle_events(app):
    def plain(was):
        yield

    async def asynchronous(was):
        yield

    for handler in (plain, asynchronous):
        with pytest.raises(ConfigError, match="is a generator and would never run"):
            app.on("x")(handler)


def test_an_object_that_can_be_called_may_handle_events(app):
    calls = []

    class Handler:
        def __call__(self, was, value):
            calls.append(value)

    app.on("x")(Handler())
    app.on("x")(print)
    app.emit("x", 1)
    assert calls == [1]


# Which was


def test_in_a_request_handlers_get_its_was(app):
    seen = []
    app.on("event")(lambda was, name: seen.append((name, was)))

    @app.route("/<name>")
    def page(was, name):
        seen.append(("here", was))
        app.emit("event", name)
        was.emit("event", was.request.path)
        return "ok"

    driver = Driver(app)
    assert driver.get("/one").text == driver.get("/two").text == "ok"
    assert [name for name, _ in seen] == ["here", "one", "/one", "here", "two", "/two"]
    assert seen[0][1] is seen[1][1] is seen[2][1]
    assert seen[3][1] is seen[4][1] is not seen[0][1]
    app.emit("event", "outside")
    assert not isinstance(seen[-1][1], Was)


def test_outside_of_requests_was_has_the_app_and_no_request(app):
    seen = []
    app.on("event")(seen.append)
    app.emit("event")
    (was,) = seen
    assert type(was) is AppContext
    assert was.app is app
    assert was.g is app.peers.g
    with pytest.raises(RuntimeError, match="there is no request here"):
        _ = was.request


# emit_after


def test_emit_after_functions_of_every_kind(app):
    calls = []
    app.on("done")(lambda was: calls.append("done"))

    @app.emit_after("done")
    def plain(a, b=2):
        """What it does."""
        calls.append("plain")
        return a + b

    @app.emit_after("done")
    def generator():
        got = yield 1
        calls.append(got)
        return "end"

    @app.emit_after("done")
    async def asynchronous(a):
        calls.append("async")
        return a

    @app.emit_after("done")
    async def stream():
        yield 1
        yield 2

    assert plain(1) == 3
    assert (plain.__name__, plain.__doc__) == ("plain", "What it does.")
    assert str(inspect.signature(plain)) == "(a, b=2)"
    assert calls == ["plain", "done"]

    steps = generator()
    assert next(steps) == 1
    with pytest.raises(StopIteration) as end:
        steps.send("sent")
    assert end.value.value == "end"
    assert calls[2:] == ["sent", "done"]

    assert asyncio.run(asynchronous(5)) == 5
    assert calls[4:] == ["async", "done"]

    async def read():
        return [item async for item in stream()]

    assert asyncio.run(read()) == [1, 2]
    assert calls[6:] == ["done"]
    assert inspect.isgeneratorfunction(generator)
    assert inspect.isasyncgenfunction(stream)


def test_nothing_is_emitted_after_a_failure(app):
    calls = []
    app.on("done")(lambda was: calls.append("done"))

    @app.emit_after("done")
    def fail():
        raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    assert calls == []


def test_emit_after_a_handler_of_requests(app):
    calls = []
    app.on("done")(lambda was: calls.append(was.request.path))

    @app.route("/x/<int:n>")
    @app.emit_after("done")
    def x(was, n):
        return [n]

    assert Driver(app).get("/x/3").json == [3]
    assert calls == ["/x/3"]


# Coroutines


def test_async_handlers_run_on_the_loop_and_nobody_waits(app, log):
    calls = []

    @app.on("event")
    async def slow(was, value):
        calls.append("begun")
        await asyncio.sleep(0)
        calls.append((value, was.app, threading.current_thread()))

    @app.on("event")
    async def broken(was, value):
        raise RuntimeError("on purpose")

    async def main():
        joined(app, loop=asyncio.get_running_loop())
        app.emit("event", 1)
        assert calls == []
        await asyncio.to_thread(app.emit, "event", 2)
        await eventually(lambda: len(calls) == 4)

    asyncio.run(main())
    here = threading.current_thread()
    assert sorted(call[:1] for call in calls if call != "begun") == [(1,), (2,)]
    assert all(call == "begun" or call[1:] == (app, here) for call in calls)
    assert log.text.count("broken for event 'event' failed") == 2


async def eventually(condition):
    async with asyncio.timeout(10) if hasattr(asyncio, "timeout") else Nothing():
        while not condition():
            await asyncio.sleep(0)


class Nothing:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *exc_info):
        pass


def test_async_handlers_wait_for_the_loop(app):
    calls = []

    @app.on("event")
    async def handler(was, value):
        calls.append(value)

    app.emit("event", 1)
    app.emit("event", 2)

    async def main():
        app.started(asyncio.get_running_loop())
        await eventually(lambda: len(calls) == 2)

    asyncio.run(main())
    assert calls == [1, 2]


def test_at_the_end_of_the_app_they_are_waited_for(app, log):
    calls = []

    @app.on("event")
    async def handler(was):
        await asyncio.sleep(0)
        calls.append("ended")

    async def main():
        joined(app, loop=asyncio.get_running_loop())
        await asyncio.to_thread(emit)

    def emit():
        app.cleanup()
        app.emit("event")
        assert calls == ["ended"]

    asyncio.run(main())


def test_when_the_loop_stands_still_they_do_not_run(app, log):
    calls = []

    @app.on("event")
    async def handler(was):
        calls.append("ran")

    loop = asyncio.new_event_loop()
    joined(app, loop=loop)
    app.emit("event")
    loop.close()
    app.emit("event")
    assert calls == []
    assert log.text.count("for event 'event' doesn't run: the worker has ended") == 2


def test_the_was_of_a_request_goes_with_the_coroutine(app):
    seen = []

    @app.on("event")
    async def handler(was):
        was.emit("next")

    app.on("next")(lambda was: seen.append(was.request.path))

    @app.route("/x")
    async def x(was):
        app.loop = asyncio.get_running_loop()
        app.emit("event")
        await eventually(lambda: seen)

    Driver(app).get("/x")
    assert seen == ["/x"]


# Life cycle and request events


def test_life_cycle_decorators(app):
    names = {
        "before_mount": ("before_mount", "start_up", "startup"),
        "mounted": ("mounted",),
        "mounted_or_reloaded": ("mounted_or_reloaded",),
        "before_reload": ("before_reload", "reload", "onreload"),
        "reloaded": ("reloaded",),
        "before_umount": ("before_umount",),
        "umounted": ("umounted", "shutdown"),
    }
    calls = []
    for event, decorators in names.items():
        for decorator in decorators:

            def handler(was, decorator=decorator):
                calls.append(decorator)

            assert getattr(app, decorator)(handler) is handler
        app.emit(event)
        assert calls == list(decorators), event
        calls.clear()


def test_the_constants_are_the_names():
    found = {name: value for name, value in vars(events).items() if name.startswith("EVT_")}
    assert found == {
        "EVT_BEFORE_MOUNT": "before_mount",
        "EVT_MOUNTED": "mounted",
        "EVT_MOUNTED_RELOADED": "mounted_or_reloaded",
        "EVT_BEFORE_RELOAD": "before_reload",
        "EVT_RELOADED": "reloaded",
        "EVT_BEFORE_UMOUNT": "before_umount",
        "EVT_UMOUNTED": "umounted",
        "EVT_REQ_STARTED": "before_request",
        "EVT_REQ_SUCCESS": "finish_request",
        "EVT_REQ_FAILED": "failed_request",
        "EVT_REQ_TEARDOWN": "teardown_request",
        "EVT_REQ_FINISHED": "request:finished",
        "EVT_SPEC_CREATED": "spec:exposed",
    }
    assert set(found.values()) == events.BUILT_IN


def test_request_events(app):
    calls = []

    def note(name):
        app.on(name)(lambda was, *args: calls.append((name, was.request.path, *args)))

    for name in ("before_request", "finish_request", "success_request", "teardown_request"):
        note(name)
    note("request:finished")

    @app.on("failed_request")
    def failed(was, exc_info):
        calls.append(("failed_request", exc_info[0]))

    @app.route("/x")
    def x(was):
        calls.append("x")
        return "result"

    @app.route("/broken")
    def broken(was):
        raise KeyError("x")

    driver = Driver(app)
    driver.get("/x")
    assert calls == [
        ("before_request", "/x"), "x", ("finish_request", "/x", "result"),
        ("success_request", "/x", "result"), ("teardown_request", "/x"), ("request:finished", "/x"),
    ]  # fmt: skip
    calls.clear()
    assert driver.get("/broken").status == 500
    assert [call[0] for call in calls] == [
        "before_request", "failed_request", "teardown_request", "request:finished"
    ]  # fmt: skip
    assert calls[1] == ("failed_request", KeyError)


def test_a_failing_request_event_does_not_harm_the_request(app, log):
    @app.on("before_request")
    def broken(was):
        raise was.Error("403 Forbidden")

    @app.route("/x")
    def x(was):
        return "fine"

    assert Driver(app).get("/x").text == "fine"
    assert "broken for event 'before_request' failed" in log.text


def test_handlers_of_request_events_can_not_come_too_late(app):
    other = Atila("other")
    joined(app, other)
    other.follow("myapp", app)
    Driver(app, other)
    for late, name in ((app, "before_request"), (other, "myapp:success_request")):
        with pytest.raises(ConfigError, match=r"declare .* in __setup__ or __mount__"):
            late.on(name)(lambda was: None)
    app.on("custom", "other:custom")(lambda was: None)


def test_a_request_event_is_one_step(app):
    calls = []
    bus = app.events
    assert bus.steps("before_request") == []

    async def asynchronous(was):
        pass

    app.on("before_request")(asynchronous)
    (step,) = bus.steps("before_request")
    assert step.kind is events.Kind.INLINE
    app.on("before_request")(lambda was: calls.append(was))
    (step,) = bus.steps("before_request")
    assert step.kind is events.Kind.PLAIN
    was = AppContext(app)
    assert step.run(was) is None
    assert calls == [was]
    assert bus.has("before_request")


def test_old_and_new_name_are_one_event(app):
    calls = []
    app.on("success_request")(lambda was, response: calls.append(response))
    assert app.events.has("finish_request")
    assert app.events.has("success_request")
    app.emit("success_request", 1)
    app.emit("finish_request", 2)
    assert calls == [1, 2]


# Other apps


@pytest.fixture
def pair(app):
    """A subscriber and its provider."""
    provider = Atila("tfserver")
    joined(app, provider)
    app.follow("tfserver", provider)
    return app, provider


def test_a_subscriber_hears_custom_events_after_the_provider(pair):
    subscriber, provider = pair
    calls = []

    @subscriber.on("tfserver:model-reloaded")
    def of_the_subscriber(was, *args, **named):
        calls.append((was.app.name, args, named))

    @provider.on("tfserver:model-reloaded")
    def of_the_provider(was, *args, **named):
        calls.append((was.app.name, args, named))

    provider.emit("tfserver:model-reloaded", "name", size=2)
    assert calls == [
        ("tfserver", ("name",), {"size": 2}),
        ("myapp", ("name",), {"size": 2}),
    ]
    calls.clear()
    subscriber.emit("tfserver:model-reloaded")
    assert calls == [("myapp", (), {})]


def test_built_in_events_of_a_provider_have_its_name(pair):
    subscriber, provider = pair
    calls = []
    for name in sorted(events.BUILT_IN):
        subscriber.on(name)(lambda was, name=name: calls.append(("own", name)))
        subscriber.on(f"tfserver:{name}")(lambda was, name=name: calls.append(("heard", name)))
        provider.emit(name)
    assert calls == [("heard", name) for name in sorted(events.BUILT_IN)]


def test_a_subscriber_hears_requests_of_the_provider(pair):
    subscriber, provider = pair
    calls = []

    @subscriber.on("tfserver:finish_request")
    def heard(was, response):
        calls.append((was.app.name, type(was).__name__, response))

    @provider.route("/x")
    def x(was):
        return "result"

    driver = Driver(subscriber, provider)
    assert driver.get("/x").text == "result"
    assert calls == [("myapp", "AppContext", "result")]


def test_a_failing_subscriber_does_not_disturb_the_provider(pair, log):
    subscriber, provider = pair
    calls = []

    @subscriber.on("event")
    def broken(was):
        raise RuntimeError("on purpose")

    another = Atila("another")
    another.follow("tfserver", provider)
    another.on("event")(lambda was: calls.append(was.app.name))
    provider.emit("event")
    assert calls == ["another"]
    assert "broken for event 'event' failed" in log.text


def test_apps_may_subscribe_to_each_other(pair):
    subscriber, provider = pair
    provider.follow("myapp", subscriber)
    calls = []
    for each in pair:
        each.on("event")(lambda was: calls.append(was.app.name))
    provider.emit("event")
    subscriber.emit("event")
    assert calls == ["tfserver", "myapp", "myapp", "tfserver"]


def test_only_apps_with_events_can_be_followed(app):
    with pytest.raises(ConfigError, match="app 'files' has no events to subscribe to: it is 5"):
        app.follow("files", 5)


def test_broadcasts_reach_all_apps(pair):
    calls = []
    for each in pair:

        @each.on_broadcast("news", "more")
        def heard(was, *args):
            calls.append((was.app.name, args))

        each.on("news")(lambda was: calls.append("not this one"))
    pair[1].broadcast("news", 1)
    assert calls == [("myapp", (1,)), ("tfserver", (1,))]
    calls.clear()
    AppContext(pair[0]).broadcast("more")
    assert calls == [("myapp", ()), ("tfserver", ())]


def test_broadcast_after(pair, log):
    calls = []
    pair[0].on_broadcast("news")(lambda was: calls.append("heard"))

    @pair[0].on_broadcast("news")
    def broken(was):
        raise RuntimeError("on purpose")

    @pair[1].broadcast_after("news")
    def work():
        calls.append("work")

    work()
    assert calls == ["work", "heard"]
    assert "broken for event 'news' failed" in log.text


def test_apps_find_each_other_and_share_values(pair):
    subscriber, provider = pair
    was, other = AppContext(subscriber), AppContext(provider)
    assert was.apps["tfserver"] is provider
    assert was.apps.get("nobody") is None
    with pytest.raises(NameError, match="no app is named 'nobody' here"):
        was.apps["nobody"]
    other.g["LOADED_MODELS"] = ["a", "b"]
    assert "|".join(was.g["LOADED_MODELS"]) == "a|b"
    subscriber.g.own = 1
    assert "own" not in provider.g


# The hooks and the events


def test_events_of_an_app_from_its_start_to_its_end():
    diary = []
    app = Atila("life")

    def setup(app):
        diary.append("__setup__")
        for name in sorted(events.LIFE_CYCLE):
            app.on(name)(lambda was, name=name: diary.append(name))

        @app.on("before_mount")
        def prepare(was):
            app.g["TOTAL_REQUEST"] = 0

    def mount(app):
        diary.append(("__mount__", app.g["TOTAL_REQUEST"]))

    root = module(
        "life",
        __setup__=setup,
        __mount__=mount,
        __mounted__=lambda app, mntopt: diary.append(("__mounted__", mntopt["point"])),
        __umount__=lambda app: diary.append("__umount__"),
        __umounted__=lambda app: diary.append("__umounted__"),
    )
    joined(app)
    Driver(app, module=root)
    app.cleanup()
    app.cleanup()
    assert diary == [
        "__setup__", "before_mount", ("__mount__", 0), ("__mounted__", "/"), "mounted",
        "mounted_or_reloaded",
        "before_umount", "__umount__", "__umounted__", "umounted",
    ]  # fmt: skip
