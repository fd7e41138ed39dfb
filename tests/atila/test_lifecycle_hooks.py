"""All hooks of modules and the events between them, from the start of an app to its end."""

from __future__ import annotations

import pytest
from driving import Driver, module

import skitai
from atila import Atila
from atila.errors import ConfigError

EVENTS = (
    "before_reload", "before_mount", "mounted", "reloaded", "mounted_or_reloaded",
    "before_umount", "umounted",
)  # fmt: skip


@pytest.fixture
def app():
    return Atila("hooks")


def begin(app, root=None, **options):
    """Start an app as a worker does."""
    return Driver(app, module=root, **options)


def noting(diary, name, *children, setup=None):
    """A module whose hooks write down that they ran, and which mounts others."""

    def run(hook, then=None):
        def call(app, mntopt=None):
            diary.append((name, hook))
            if then is not None:
                then(app)

        return call

    def mount_children(app):
        for child in children:
            app.mount(f"/{child.__name__}", child)
        if setup is not None:
            setup(app)

    return module(
        name,
        __setup__=run("setup", mount_children),
        __mount__=run("mount"),
        __mounted__=run("mounted"),
        __umount__=run("umount"),
        __umounted__=run("umounted"),
    )


def with_events(diary):
    def declare(app):
        for name in EVENTS:
            app.on(name)(lambda was, name=name: diary.append(name))

    return declare


def test_all_hooks_and_events_in_order(app):
    diary = []
    leaf = noting(diary, "leaf")
    tree = noting(diary, "root", noting(diary, "a", leaf), setup=with_events(diary))
    begin(app, tree)
    assert diary == [
        ("root", "setup"), ("a", "setup"), ("leaf", "setup"), "before_mount",
        ("root", "mount"), ("a", "mount"), ("leaf", "mount"),
        ("root", "mounted"), ("a", "mounted"), ("leaf", "mounted"),
        "mounted", "mounted_or_reloaded",
    ]  # fmt: skip
    diary.clear()
    app.cleanup()
    app.cleanup()
    assert diary == [
        "before_umount", ("leaf", "umount"), ("a", "umount"), ("root", "umount"),
        ("leaf", "umounted"), ("a", "umounted"), ("root", "umounted"), "umounted",
    ]  # fmt: skip


def test_events_of_a_worker_that_a_reload_started(app):
    diary = []
    app.peers.reloading = True
    begin(app, noting(diary, "root", setup=with_events(diary)))
    assert diary == [
        ("root", "setup"), "before_reload", "before_mount", ("root", "mount"), ("root", "mounted"),
        "mounted", "reloaded", "mounted_or_reloaded",
    ]  # fmt: skip


def test_before_mount_prepares_what_the_hooks_need(app):
    """As the seed has it: the handler is declared in __setup__."""

    def setup(app):
        @app.on("before_mount")
        def on_before_mount(was):
            app.g["TOTAL_REQUEST"] = 0

    def mount(app):
        assert app.g["TOTAL_REQUEST"] == 0

        @app.route("/")
        def index(was):
            app.g["TOTAL_REQUEST"] += 1
            return [app.g["TOTAL_REQUEST"]]

    driver = begin(app, module("root", __setup__=setup, __mount__=mount))
    assert (driver.get("/").json, driver.get("/").json) == ([1], [2])


def test_when_it_is_mounted_the_app_is_complete(app):
    seen = []

    def setup(app):
        app.on("mounted")(lambda was: seen.append(was.urlfor("index")))

    def mount(app):
        @app.route("/here")
        def index(was):
            return "ok"

    begin(app, module("root", __setup__=setup, __mount__=mount), point="/shop/")
    assert seen == ["/shop/here"]


def test_an_app_that_ends_without_having_begun_has_nothing_to_end(app):
    diary = []
    app.on("before_umount", "umounted")(lambda was: diary.append("event"))
    app.cleanup()
    assert diary == []


def test_every_last_hook_runs_whatever_the_others_do(app, log):
    diary = []

    def fail(app):
        raise SystemExit("no end")

    broken = module("broken", __mount__=lambda app: None, __umount__=fail, __umounted__=fail)
    root = noting(diary, "root", noting(diary, "a"), broken)
    begin(app, root)
    diary.clear()
    app.cleanup()
    assert diary == [("a", "umount"), ("root", "umount"), ("a", "umounted"), ("root", "umounted")]
    assert "broken.__umount__ failed" in log.text
    assert "broken.__umounted__ failed" in log.text


@pytest.mark.parametrize("hook", ["__setup__", "__mount__", "__mounted__", "__umount__"])
def test_hooks_are_plain_functions(app, hook):
    async def run(app):
        pass

    child = module("child", **{"__mount__": lambda app: None, hook: run})
    root = module("root", __setup__=lambda app: app.mount("/c", child))
    with pytest.raises(ConfigError, match=f"child.{hook} must be a plain function"):
        Driver(app, module=root)


def test_a_module_at_two_points_has_two_lives(app):
    diary = []

    def mount(app, mntopt):
        diary.append((mntopt["point"], shared.__mntopt__["point"]))

    shared = module("shared", __mount__=mount, __umount__=lambda app: diary.append("umount"))

    def setup(app):
        app.mount("/a", shared)
        app.mount("/b", shared)

    begin(app, module("root", __setup__=setup))
    app.cleanup()
    assert diary == [("/a", "/a"), ("/b", "/b"), "umount", "umount"]


# Old names of hooks


def own(name, **functions):
    """A module that defines these functions itself."""
    made = module(name, **functions)
    for function in functions.values():
        function.__module__ = name
    return made


@pytest.mark.parametrize("last", ["umount", "dettach"])
def test_old_names_of_hooks(app, last):
    diary = []

    def mount(app):
        app.route("/x")(lambda was: "old")

    def end(app):
        diary.append("end")

    old = own("old", mount=mount, **{last: end})
    driver = begin(app, module("root", __setup__=lambda app: app.mount("/old", old)))
    assert driver.get("/old/x").text == "old"
    app.cleanup()
    assert diary == ["end"]


def test_functions_that_only_look_like_old_hooks_are_none(app):
    imported = module("imported", mount=skitai.mount)
    root = module("root", __setup__=lambda app: app.mount("/x", imported))
    with pytest.raises(ConfigError, match="module imported has neither __setup__ nor __mount__"):
        Driver(app, module=root)

    def mount(app):
        raise AssertionError("not a hook")

    modern = own("modern", mount=mount)
    modern.__setup__ = lambda app: None
    Driver(Atila("other"), module=module("root", __setup__=lambda app: app.mount("/x", modern)))
    Driver(Atila("root-app"), module=own("rooted", mount=mount))


# Mounting, and when it is too late


def test_aliases_of_mount(app):
    app.mount_with("/a", lambda app: app.route("")(lambda was: "a"))
    app.decorate_with("/b", lambda app: app.route("")(lambda was: "b"))
    app.mount_later("/c", lambda app: app.route("")(lambda was: "c"))

    def setup(app):
        app.mount_later("/d", lambda app: app.route("")(lambda was: "d"))

    driver = begin(app, module("root", __setup__=setup))
    assert [driver.get(f"/{name}").text for name in "abcd"] == list("abcd")


def test_what_can_not_be_mounted(app):
    for wrong in (5, None, Atila, ["x"]):
        root = module("root", __setup__=lambda app, wrong=wrong: app.mount("/x", wrong))
        with pytest.raises(ConfigError, match="has neither __setup__ nor __mount__"):
            Driver(Atila("x"), module=root)


def test_a_mount_needs_something_to_mount(app):
    with pytest.raises(ConfigError, match=r"app.mount\('/x'\): give a module to mount there"):
        app.mount("/x")
    app.mount_later("/y")
    with pytest.raises(ConfigError, match=r"app.mount\('/y'\): give a module to mount there"):
        Driver(app)


def test_before_mount_is_the_last_moment_to_mount(app):
    refused = []

    def late(was):
        for call in (
            lambda: app.mount("/y", lambda app: None),
            lambda: app.mount("/y", "directory"),
            lambda: app.mount_later("/y", lambda app: None),
            lambda: app.extends(skitai),
            lambda: app.overrides(skitai),
            lambda: app.route("/y"),
            lambda: app.add_static("."),
        ):
            with pytest.raises(RuntimeError) as caught:
                call()
            refused.append(str(caught.value))

    def setup(app):
        app.on("before_mount")(
            lambda was: app.mount("/x", lambda app: app.route("/show")(lambda was: "just in time"))
        )
        app.on("mounted")(late)

    driver = begin(app, module("root", __setup__=setup))
    assert driver.get("/x/show").text == "just in time"
    assert refused == [
        "app.mount() can't be called after the start of app 'hooks': call it in __setup__",
        "app.mount() can't be called after the start of app 'hooks': call it in __setup__",
        "app.mount() can't be called after the start of app 'hooks': call it in __setup__",
        "app.extends() can't be called after the start of app 'hooks': call it in __setup__",
        "app.overrides() can't be called after the start of app 'hooks': call it in __setup__",
        "routes can't be added after the start of app 'hooks': declare them in __mount__",
        "directories of files can't be added after the start of app 'hooks': declare them in "
        "__mount__",
    ]
    assert (app.extended, app.overriding) == ([], [])


def test_paths_are_mounted_for_the_whole_service(app, monkeypatch):
    mounted = []
    monkeypatch.setattr(skitai, "mount", lambda *args, **options: mounted.append((args, options)))
    app.mount("/early", "directory")
    child = module("child", __setup__=lambda app: app.mount("/files", "one", "two", first=True))
    begin(app, module("root", __setup__=lambda app: app.mount("/child", child)))
    assert mounted == [
        (("/early", "directory"), {}),
        (("/files", "one"), {"first": True}),
        (("/files", "two"), {"first": True}),
    ]
    assert app.mountables == []


def test_nothing_is_mounted_in_mount_not_even_a_path(app):
    root = module("root", __mount__=lambda app: app.mount("/x", "directory"))
    with pytest.raises(RuntimeError, match="can't be called in __mount__ of app 'hooks'"):
        Driver(app, module=root)


def test_resources_of_the_app(app):
    app.home = "/somewhere/myapp"
    assert app.get_resource() == "/somewhere/myapp/resources"
    assert app.get_resource("a", "../b.txt") == "/somewhere/myapp/resources/b.txt"
    assert app.joinpath("a", "b") == "/somewhere/myapp/a/b"
    assert app.abspath("a") == skitai.abspath("a")
