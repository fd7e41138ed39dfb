"""The hooks of an app's modules: their order, their arguments, and where their routes belong."""

from __future__ import annotations

import pytest
from driving import Driver, module

from atila import Atila
from atila.errors import ConfigError


class Diary(list):
    """Modules whose hooks write down that they ran."""

    def module(self, name, setup=None, hooks=("setup", "mount", "umount"), route=None):
        made = module(name)

        def write(hook, function=None):
            def run(app, mntopt):
                self.append((name, hook, mntopt["point"]))
                if function is not None:
                    function(app)

            return run

        def umount(app):
            self.append((name, "umount", app.name))

        if "setup" in hooks:
            made.__setup__ = write("setup", setup)
        if "mount" in hooks:
            made.__mount__ = write("mount", route)
        if "umount" in hooks:
            made.__umount__ = umount
        return made


def routing(**rules):
    """A ``__mount__`` that declares routes which answer with their resource id."""

    def mount(app):
        for name, rule in rules.items():

            def show(was):
                return was.request.routable["func_id"]

            show.__name__ = name
            app.route(rule)(show)

    return mount


def started(root=None, app=None, **options) -> tuple[Atila, Driver]:
    app = app or Atila("lifecycle")
    return app, Driver(app, module=root, **options)


# Hooks


def test_hooks_run_in_order():
    diary = Diary()
    leaf = diary.module("myapp.services.a.leaf")
    a = diary.module("myapp.services.a", lambda app: app.mount("/leaf", leaf))
    b = diary.module("myapp.services.b")

    def setup(app):
        app.mount("/a", a)
        app.mount("/b", b)

    app, _ = started(diary.module("myapp", setup))
    assert diary == [
        ("myapp", "setup", "/"),
        ("myapp.services.a", "setup", "/a"),
        ("myapp.services.a.leaf", "setup", "/a/leaf"),
        ("myapp.services.b", "setup", "/b"),
        ("myapp", "mount", "/"),
        ("myapp.services.a", "mount", "/a"),
        ("myapp.services.a.leaf", "mount", "/a/leaf"),
        ("myapp.services.b", "mount", "/b"),
    ]
    diary.clear()
    app.cleanup()
    assert diary == [
        ("myapp.services.b", "umount", "lifecycle"),
        ("myapp.services.a.leaf", "umount", "lifecycle"),
        ("myapp.services.a", "umount", "lifecycle"),
        ("myapp", "umount", "lifecycle"),
    ]
    app.cleanup()
    assert len(diary) == 4


def test_hooks_may_leave_the_options_out():
    calls = []

    def setup(app):
        calls.append(app)

    def mount(app, mntopt):
        calls.append(mntopt["base_dir"])

    def optional(app, mntopt=None):
        calls.append(mntopt["module_name"])

    app, _ = started(module("a", __setup__=setup, __mount__=mount), home="/somewhere")
    assert calls == [app, "/somewhere"]
    started(module("b", __setup__=lambda app: app.mount("", module("c", __mount__=optional))))
    assert calls[2] == "c"


def test_options_of_a_mount_reach_the_hooks_the_module_and_the_routes():
    seen = []
    child = module("pkg.child", __mount__=lambda app, mntopt: seen.append(mntopt))
    root = module("pkg", __setup__=lambda app, mntopt: app.mount("/c", child, role="x", n=1))
    started(root, debug=True)
    expected = {"role": "x", "n": 1, "point": "/c", "module_name": "pkg.child", "ns": "child"}
    assert seen == [expected]
    assert child.__mntopt__ == expected
    assert root.__mntopt__ == {
        "point": "/",
        "base_dir": "",
        "use_reloader": True,
        "debug": True,
    }

    def mount(app):
        @app.route("/")
        def show(was):
            return was.request.routable["mntopt"]

    root = module("pkg", __setup__=lambda app: app.mount("/c", module("c", __mount__=mount), n=2))
    assert started(root)[1].get("/c/").json["n"] == 2


def test_a_failing_last_hook_does_not_keep_the_others_from_running(log):
    diary = Diary()

    def fail(app):
        raise RuntimeError("no end")

    broken = module("broken", __mount__=lambda app: None, __umount__=fail)

    def setup(app):
        app.mount("/a", diary.module("a", hooks=("mount", "umount")))
        app.mount("/b", broken)

    app, _ = started(module("root", __setup__=setup))
    diary.clear()
    app.cleanup()
    assert diary == [("a", "umount", "lifecycle")]
    assert "broken.__umount__ failed" in log.text


def test_an_app_without_modules_has_only_its_own_routes():
    app = Atila("alone")

    @app.route("/x")
    def x(was):
        return was.request.routable["func_id"]

    assert started(app=app)[1].get("/x").text == "x"
    app.cleanup()


# Points


@pytest.mark.parametrize(
    ("point", "rule", "path"),
    [
        ("/sub", "", "/sub"),
        ("/sub", "/", "/sub/"),
        ("/sub", "/x", "/sub/x"),
        ("/sub/", "", "/sub"),
        ("/sub/", "/x", "/sub/x"),
        ("/sub//", "/x", "/sub/x"),
        ("/", "", "/"),
        ("/", "/", "/"),
        ("/", "/x", "/x"),
        ("", "", "/"),
        ("", "/x", "/x"),
        ("/a/b", "/x", "/a/b/x"),
    ],
)
@pytest.mark.parametrize("at", ["/", "/shop/"])
def test_points_and_rules_are_joined(point, rule, path, at):
    child = module("root.child", __mount__=routing(show=rule))
    root = module("root", __setup__=lambda app: app.mount(point, child))
    app, driver = started(root, point=at)
    full = at.rstrip("/") + path
    assert driver.get(full).text == "child.show"
    assert app.urls.build("child.show") == full


def test_a_point_may_have_parameters():
    def mount(app):
        @app.route("/books/<book>")
        def show(was, user, book):
            return [user, book]

    child = module("child", __mount__=mount)
    root = module("root", __setup__=lambda app: app.mount("/users/<int:user>", child))
    assert started(root)[1].get("/users/4/books/x").json == [4, "x"]


def test_points_are_nested_also_after_a_nested_sibling():
    def nest(point, name, *children):
        def setup(app):
            for child_point, child in children:
                app.mount(child_point, child)

        return point, module(name, __setup__=setup, __mount__=routing(show="/show"))

    tree = nest(
        "/",
        "root",
        nest("/a", "a", nest("/b", "b", nest("/c", "c")), nest("/d", "d")),
        nest("/e", "e", nest("/f", "f")),
        nest("/g", "g"),
    )
    _, driver = started(tree[1])
    for path in ("", "/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/f", "/g"):
        assert driver.get(path + "/show").status == 200, path
    for path in ("/b", "/d", "/a/e", "/a/b/d", "/e/g", "/f"):
        assert driver.get(path + "/show").status == 404, path


@pytest.mark.parametrize(
    ("nested", "path"),
    [
        ("/sub2/pages", "/sub2/pages/show"),  # as the seed writes it
        ("/pages", "/sub2/pages/show"),
        ("/sub2", "/sub2/show"),
        ("/sub2/", "/sub2/show"),
        ("/sub22", "/sub2/sub22/show"),
        ("", "/sub2/show"),
        ("/", "/sub2/show"),
    ],
)
def test_a_nested_point_may_be_written_out(nested, path):
    pages = module("pages", __mount__=routing(show="/show"))
    sub2 = module("sub2", __setup__=lambda app: app.mount(nested, pages))
    root = module("root", __setup__=lambda app: app.mount("/sub2", sub2))
    assert started(root)[1].get(path).status == 200


def test_a_point_is_forgotten_when_a_hook_fails():
    def fail(app):
        raise ValueError("on purpose")

    def setup(app):
        with pytest.raises(ValueError, match="on purpose"):
            app.mount("/a", module("a", __setup__=fail))
        app.mount("/b", module("b", __mount__=routing(show="/show")))

    assert started(module("root", __setup__=setup))[1].get("/b/show").status == 200


# Mounting before the start, functions, debug_only


def test_mounts_before_the_start_wait_for_it():
    diary = Diary()
    app = Atila("early")
    app.mount("/early", diary.module("early", route=routing(show="/show")))
    assert diary == []
    started(diary.module("root"), app)
    assert diary == [
        ("root", "setup", "/"),
        ("early", "setup", "/early"),
        ("root", "mount", "/"),
        ("early", "mount", "/early"),
    ]


def test_mounts_of_the_preference_come_last():
    diary = Diary()
    app = Atila("queued")
    app.mountables.append((("/queued", diary.module("queued")), {"ns": "v1"}))
    started(diary.module("root", lambda app: app.mount("/own", diary.module("own"))), app)
    assert [name for name, hook, _ in diary if hook == "setup"] == ["root", "own", "queued"]


def test_several_modules_share_a_point():
    one = module("one", __mount__=routing(first="/first"))
    two = module("two", __mount__=routing(second="/second"))
    root = module("root", __setup__=lambda app: app.mount("/x", one, two))
    _, driver = started(root)
    assert driver.get("/x/first").status == driver.get("/x/second").status == 200


def test_a_function_may_be_mounted_like_a_module():
    def one(app):
        routing(first="/first")(app)

    def two(app, mntopt):
        assert (mntopt["point"], mntopt["n"]) == ("/f", 1)
        routing(second="/second")(app)

    def setup(app):
        app.mount("/f", one)
        app.mount("/f", two, n=1)

    app, driver = started(module("root", __setup__=setup))
    assert driver.get("/f/first").text == "first"
    assert driver.get("/f/second").text == "second"
    app.cleanup()


@pytest.mark.parametrize("debug", [False, True])
def test_modules_for_debugging_are_mounted_in_debug_only(debug):
    diary = Diary()

    def setup(app):
        app.mount("/d", diary.module("d", route=routing(show="/show")), debug_only=True)

    _, driver = started(module("root", __setup__=setup), debug=debug)
    assert driver.get("/d/show").status == (200 if debug else 404)
    assert bool(diary) is debug


# Resource ids


@pytest.mark.parametrize(
    ("package", "name", "options", "found"),
    [
        ("myapp", "myapp.services", {}, "show"),
        ("myapp", "myapp.services.books", {}, "books.show"),
        ("myapp", "myapp.services.sub.pages", {}, "sub.pages.show"),
        ("myapp", "myapp.exports.books", {}, "books.show"),
        ("myapp", "myapp.books", {}, "books.show"),
        ("myapp", "services.books", {}, "books.show"),
        ("myapp", "services", {}, "show"),
        ("myapp", "other.services.books", {}, "books.show"),
        ("pkg.myapp", "pkg.myapp.services.books", {}, "books.show"),
        ("my", "myapp.services.books", {}, "books.show"),
        ("myapp", "myapp.services.books", {"ns": "v1"}, "v1.show"),
        ("myapp", "myapp.services.books", {"ns": ""}, "books.show"),
    ],
)
def test_resource_ids(package, name, options, found):
    child = module(name, __mount__=routing(show="/show"))
    root = module(package, __setup__=lambda app: app.mount("/x", child, **options))
    app, driver = started(root)
    assert driver.get("/x/show").text == found
    assert app.urls.build(found) == "/x/show"


def test_routes_of_the_root_and_of_functions_have_bare_ids():
    def root_mount(app):
        routing(own="/own")(app)

    def extra(app):
        routing(more="/more")(app)

    root = module("myapp", __setup__=lambda app: app.mount("/f", extra), __mount__=root_mount)
    _, driver = started(root)
    assert driver.get("/own").text == "own"
    assert driver.get("/f/more").text == "more"


# What can't work


def test_nothing_can_be_mounted_in_mount():
    other = module("other", __mount__=lambda app: None)
    with pytest.raises(RuntimeError, match="call it in __setup__"):
        started(module("root", __mount__=lambda app: app.mount("/x", other)))


def test_a_module_needs_a_hook():
    with pytest.raises(ConfigError) as refused:
        started(module("root", __setup__=lambda app: app.mount("/x", module("bare"))))
    assert str(refused.value) == "app.mount: module bare has neither __setup__ nor __mount__"


@pytest.mark.parametrize("point", ["x", "x/", None, 5])
def test_a_point_must_begin_with_a_slash(point):
    other = module("other", __mount__=lambda app: None)
    with pytest.raises(ConfigError) as refused:
        started(module("root", __setup__=lambda app: app.mount(point, other)))
    assert str(refused.value) == f"app.mount: point {point!r} must be '' or start with '/'"
