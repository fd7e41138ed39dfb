"""Mount points, names and other arguments, and the life of an app up to serving."""

from __future__ import annotations

import sys

import pytest
from tiny_app import App, ConfigurableApp, module_with, mounted, refusal, write

from skitai.errors import ConfigError, StartupError
from skitai.handlers.peers import Peers
from skitai.importer import explain
from skitai.preference import template_directories
from skitai.service import Service


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield Service(tmp_path)
    for name in set(sys.modules) - before:
        del sys.modules[name]


class Bare:
    """All that an app must have."""

    name = "bare"

    def freeze(self, point, pool):
        return None

    def cleanup(self):
        pass


def set_up(mount):
    """Load an app and run its hooks."""
    app = mount.load()
    mount.connect(Peers())
    mount.set_up()
    return app


# Arguments


@pytest.mark.parametrize(
    ("given", "kept"),
    [("/", "/"), ("/shop", "/shop/"), ("/shop/", "/shop/"), ("//a///b//", "/a/b/"), ("/ä", "/ä/")],
)
def test_points_are_normalised(service, given, kept):
    assert mounted(service, given, App()).point == kept


@pytest.mark.parametrize("point", ["", "shop", None, 5])
def test_points_begin_with_a_slash(service, point):
    assert refusal(service, point, App()) == (
        f"mount point must begin with '/', not {point!r}: give '/' or '/shop'"
    )


@pytest.mark.parametrize("point", ["/a/../b", "/./a", "/a?b", "/a#b", "/a%20b", "/a b", "/a\\b"])
def test_points_are_plain_paths(service, point):
    assert f"mount point {point!r} must be a plain path" in refusal(service, point, App())


def test_third_argument_is_preference_or_variable(service):
    write(service, "file.py")
    pref = service.preference()
    assert mounted(service, "/a", App(), pref).pref is pref
    assert mounted(service, "/b", App(), pref=pref).pref is pref
    assert mounted(service, "/c", "file", "application").appname == "application"
    assert "mount needs a preference, not {}" in refusal(service, "/d", App(), {})
    assert "appname must be the name of a variable" in refusal(service, "/e", "file", "no-name")
    assert "keep one" in refusal(service, "/f", App(), pref, pref=pref)
    assert "keep one" in refusal(service, "/g", "file", "a", appname="b")
    assert "keep one" in refusal(service, "/h", "file:a", "b")


def test_unknown_option_gets_the_closest_name(service):
    assert refusal(service, "/", App(), subscrib="x") == (
        "unknown mount option 'subscrib' with value 'x': did you mean 'subscribe'?"
    )


def test_names(service):
    assert mounted(service, "/a", App(), name="shop").name == "shop"
    assert mounted(service, "/b", App()).name == "tiny"
    assert mounted(service, "/c", App()).name == "tiny-2"
    assert "mount name 'shop' at '/d/' is taken by the app at '/a/'" in refusal(
        service, "/d", App(), name="shop"
    )
    for name in ("", "two words", "a:b", 5):
        assert "mount name must be one word" in refusal(service, "/e", App(), name=name)


def test_module_mounted_twice_needs_names(service):
    module = module_with(__app__=App)
    service.mount("/a", module)
    assert "mount name 'shop' at '/b/' is taken" in refusal(service, "/b", module)
    service.mount("/b", module, name="shop2")


def test_app_object_can_not_be_mounted_twice(service):
    app = App()
    service.mount("/a", app)
    assert "app 'tiny' is mounted at '/a/' already" in refusal(service, "/b", app)


def test_only_the_root_is_shared(service):
    for name in "ab":
        service.mount("/", App(name))
    service.mount("/shop", App("c"))
    assert refusal(service, "/shop/", App("d")).startswith("mount point '/shop/' is taken by app")
    service.mount("/shop", App("e"), host="www.example.com")
    assert "is taken by app 'e'" in refusal(
        service, "/shop", App("f"), host="example.org www.example.com"
    )


def test_subscribe_is_kept_as_names(service):
    assert mounted(service, "/a", App()).subscribe == ()
    assert mounted(service, "/b", App(), subscribe="x").subscribe == ("x",)
    assert mounted(service, "/c", App(), subscribe=["x", "y", "x"]).subscribe == ("x", "y")
    assert "subscribe must be an app name" in refusal(service, "/d", App(), subscribe=[1])
    assert "subscribe must be an app name" in refusal(service, "/d", App(), subscribe=1)


@pytest.mark.parametrize(
    ("host", "kept"),
    [
        ("default", ("default",)),
        ("*", ("default",)),
        ("WWW.a.com  .b.com www.a.com", ("www.a.com", ".b.com")),
        ("127.0.0.1 [::1]", ("127.0.0.1", "[::1]")),
    ],
)
def test_hosts(service, host, kept):
    assert mounted(service, "/", App(), host=host).hosts == kept


@pytest.mark.parametrize("host", ["", "a.com:80", "a,b", "http://a", None, 5])
def test_wrong_hosts_are_named(service, host):
    assert f"separated by blanks, not {host!r}" in refusal(service, "/", App(), host=host)


def test_directories_have_no_name_and_no_events(service):
    write(service, "files/a.txt")
    for options in ({"name": "x"}, {"subscribe": "x"}, {"appname": "x"}):
        assert "directory 'files' can't have a name" in refusal(service, "/", "files", **options)


def test_path_comes_first_in_sys_path(service):
    for name in ("lib/a.txt", "lib2/a.txt"):
        write(service, name)
    service.mount("/", App(), path=["lib", "lib2"])
    assert sys.path[:2] == [str(service.directory / "lib"), str(service.directory / "lib2")]
    service.mount("/b", App(), path="lib2")
    assert sys.path[0] == str(service.directory / "lib2")
    assert "mount: path 'lib3': directory" in refusal(service, "/c", App(), path="lib3")


# Static directories of preferences


def test_order_of_static_directories(service):
    names = ("back", "first", "own", "own2", "base/static", "custom/static", "custom2/static")
    for name in names:
        write(service, f"{name}/a.txt")

    def module(name, **hooks):
        made = module_with(**hooks)
        made.__file__ = str(service.directory / name / "__init__.py")
        return made

    pref = service.preference()
    pref.extends(module("base"))
    pref.overrides(module("custom"))
    pref.overrides(module("custom2"))
    service.mount("/static", "back")
    service.mount("/static", "first", first=True)
    service.mount("/", App(), pref)
    pref.set_static("/static", "own")
    pref.set_static("/static", "own2")
    found = service.static_mounts()
    order = [str(mount.path.relative_to(service.directory)) for mount in found]
    assert order == [
        "custom2/static",
        "custom/static",
        "own2",
        "own",
        "first",
        "back",
        "base/static",
    ]
    assert {mount.point for mount in found} == {"/static/"}


def test_resources_without_url_are_at_the_url_the_preference_ends_with(service):
    write(service, "files/a.txt")
    pref = service.preference()
    pref.add_static("files")
    service.mount("/", App(), pref, host="a.com")
    assert [(m.point, m.hosts) for m in service.static_mounts()] == [("/static/", ("a.com",))]
    pref.set_static("/assets")
    assert [mount.point for mount in service.static_mounts()] == ["/assets/"]


def test_nothing_is_served_for_a_preference_that_is_not_mounted(service):
    write(service, "files/a.txt")
    service.preference().set_static("/static", "files")
    assert service.static_mounts() == []


def test_a_shared_preference_is_served_once(service):
    write(service, "files/a.txt")
    pref = service.preference()
    pref.set_static("/static", "files")
    service.mount("/a", App(), pref)
    service.mount("/b", App(), pref)
    assert len(service.static_mounts()) == 1


def test_a_shared_preference_is_served_once_for_all_apps_that_extend(service):
    write(service, "own/a.txt")
    write(service, "base/static/a.txt")
    pref = service.preference()
    pref.set_static("/static", "own")
    app = ConfigurableApp(service.directory)
    app.extends(package(service, "base"))
    mount = mounted(service, "/", app, pref)
    found = [(entry.point, entry.path.name) for entry in service.static_mounts()]
    assert found == [("/static/", "own"), ("/static/", "static")]
    mount.load()
    assert [entry.path.name for entry in service.static_mounts()] == ["own", "static"]


def test_the_url_of_static_files_is_that_of_the_app_once_it_is_made(service):
    write(service, "files/a.txt")
    app = ConfigurableApp(service.directory)
    app.add_static("files")
    pref = service.preference()
    mount = mounted(service, "/", app, pref)
    assert mount.static_url() == "/static/"
    app.config["STATIC_URL"] = "/of-the-app"
    assert mount.static_url() == "/of-the-app"
    pref.set_static("/of-the-pref")
    assert mount.static_url() == "/of-the-pref"
    mount.load()
    assert mount.static_url() == "/of-the-pref"
    app.set_static("/in-setup")
    assert [entry.point for entry in service.static_mounts()] == ["/in-setup/"]


# Extending and overriding


def package(service, name, **hooks):
    made = module_with(**hooks)
    made.__name__ = name
    made.__file__ = str(service.directory / name / "__init__.py")
    (service.directory / name).mkdir(exist_ok=True)
    return made


def test_extensions_of_app_and_preference_are_put_together(service):
    names = ("front", "back", "own_back", "b1/templates", "b2/templates", "c1/templates")
    for name in (*names, "c2/templates"):
        (service.directory / name).mkdir(parents=True)
    base1, base2, custom1, custom2 = (package(service, name) for name in ("b1", "b2", "c1", "c2"))
    app = ConfigurableApp(service.directory)
    app.extends(base1)
    app.overrides(custom1)
    app.add_template_dir("own_back")
    pref = service.preference()
    pref.extends(base2)
    pref.extends(base1)
    pref.overrides(custom2)
    pref.add_template_dir("front", front=True)
    pref.add_template_dir("back")
    mount = mounted(service, "/", app, pref)
    assert mount.load() is app
    assert app.extended == [base1, base2]
    assert app.overriding == [custom1, custom2]
    found = template_directories("OWN", app.config.TEMPLATE_DIRS, app.template_places)
    assert [path.removeprefix(f"{service.directory}/") for path in found] == [
        "c2/templates", "c1/templates", "front", "OWN",
        "own_back", "back", "b1/templates", "b2/templates",
    ]  # fmt: skip
    assert [home.name for home in mount.extension_homes()] == [
        "b1", "b2", "c1", "c2", "b2", "b1", "c2"
    ]  # fmt: skip


def test_only_an_app_that_knows_how_can_be_extended(service):
    pref = service.preference()
    pref.extends(package(service, "base"))
    with pytest.raises(ConfigError, match="app 'tiny' can't be extended or overridden"):
        mounted(service, "/", App(), pref).load()


# Life


def test_the_life_of_an_app(service):
    life = []

    class Living(App):
        def join(self, peers):
            life.append(("join", peers["other"].name))

        def follow(self, name, provider):
            life.append(("follow", name, provider.name))

        def setup(self, module, mntopt):
            life.append("setup")

        def started(self, loop):
            life.append(("started", loop))

        def cleanup(self):
            life.append("cleanup")

    mount = mounted(service, "/", Living("living"), subscribe="other")
    other = mounted(service, "/other", App("other"))
    peers = Peers()
    for each in (mount, other):
        peers.add(each.name, each.load())
    mount.connect(peers)
    mount.set_up()
    mount.begin(None)
    mount.unload()
    assert life == [
        ("join", "other"), ("follow", "other", "other"), "setup", ("started", None), "cleanup"
    ]  # fmt: skip


def test_a_bare_app_needs_none_of_it(service):
    mount = mounted(service, "/", Bare())
    peers = Peers()
    peers.add(mount.name, mount.load())
    mount.connect(peers)
    mount.set_up()
    mount.begin(None)
    mount.unload()


def test_what_can_not_be_subscribed_to_is_named(service):
    peers = Peers()
    for name in ("one", "two"):
        mount = mounted(service, f"/{name}", App(name), subscribe="one")
        peers.add(name, mount.load())
    with pytest.raises(ConfigError, match="app 'two' can't subscribe to 'one': it has no events"):
        mount.connect(peers)
    follower = ConfigurableApp(service.directory)
    follower.follow = lambda name, provider: None
    for name, provider in (("three", "three"), ("four", "nobody")):
        mount = mounted(service, f"/{name}", follower, name=name, subscribe=provider)
        peers.add(name, mount.load())
        with pytest.raises(ConfigError, match=f"can't subscribe to '{provider}': no other app"):
            mount.connect(peers)
        service.mounts.clear()


def test_the_peers_of_an_app():
    peers = Peers()
    one, two = App("one"), App("two")
    peers.add("one", one)
    peers.add("two", two)
    assert peers["one"] is one
    assert peers.get("two") is two
    assert peers.get("three") is None
    assert peers.get("three", 3) == 3
    assert ("one" in peers, "three" in peers, list(peers), len(peers)) == (
        True, False, ["one", "two"], 2,
    )  # fmt: skip
    with pytest.raises(NameError, match="no app is named 'three' here, there are: 'one', 'two'"):
        peers["three"]
    heard = []
    two.hear = lambda *args, **kwargs: heard.append((args, kwargs))
    peers.broadcast("news", 1, event=2)
    assert heard == [(("news", 1), {"event": 2})]


# Loading


def test_preference_meets_the_app_before_its_setup(service):
    pref = service.preference()
    pref.securekey = "secret"
    pref.config.MAX_UPLOAD_SIZE = 5
    pref.mount_later("/x", sys)
    app = App()
    set_up(mounted(service, "/shop", app, pref))
    ((module, mntopt, seen),) = app.calls
    assert module is None
    assert mntopt == {
        "point": "/shop/",
        "base_dir": str(service.directory),
        "use_reloader": False,
        "debug": False,
    }
    assert seen["securekey"] == "secret"
    assert seen["config"] == {"MAX_UPLOAD_SIZE": 5, "KEPT": 2}
    assert seen["mountables"] == ["first", (("/x", sys), {})]
    assert seen["home"] == str(service.directory)


@pytest.mark.parametrize(
    ("environment", "forced"), [("PRODUCTION", False), ("DEVEL", True), (None, False)]
)
def test_environment_wins_over_preference_and_app(service, monkeypatch, environment, forced):
    monkeypatch.delenv("SKITAIENV", raising=False)
    if environment:
        monkeypatch.setenv("SKITAIENV", environment)
    pref = service.preference()
    pref.debug = pref.use_reloader = not forced
    app = mounted(service, "/", App(), pref).load()
    assert (app.debug, app.use_reloader, app.expose_spec) == (forced, forced, forced)


def test_other_environments_leave_debug_as_configured(service, monkeypatch):
    monkeypatch.setenv("SKITAIENV", "STAGING")
    pref = service.preference()
    pref.use_reloader = False
    app = mounted(service, "/", App(), pref).load()
    assert (app.debug, app.use_reloader, app.expose_spec) == (True, False, False)


def test_app_without_config_gets_one(service):
    pref = service.preference(OPTION=1)
    app = mounted(service, "/", Bare(), pref).load()
    assert app.config.OPTION == 1


def test_unload_cleans_up_once(service):
    mount = mounted(service, "/", App())
    mount.unload()
    app = set_up(mount)
    mount.unload()
    mount.unload()
    assert app.calls[1:] == ["cleanup"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import nowhere_to_be_found",
            "ModuleNotFoundError: No module named 'nowhere_to_be_found'",
        ),
        ("\n1/0", "ZeroDivisionError: division by zero"),
        ("def __app__():\n    return missing", "NameError: name 'missing' is not defined"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
    ],
)
def test_failing_code_is_named_with_file_and_line(service, source, message):
    path = write(service, "shop/main.py", source)
    mount = mounted(service, "/", "shop/main")
    with pytest.raises(StartupError) as caught:
        mount.load()
    line = len(source.splitlines())
    assert str(caught.value).endswith(f"{message} ({path}, line {line})")
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_explanation_has_the_frames_of_the_user_only(service):
    path = write(service, "main.py", "def f():\n    1/0\ndef __app__():\n    f()")
    mount = mounted(service, "/", "main")
    with pytest.raises(StartupError) as caught:
        mount.load()
    text = explain(caught.value)
    assert text.count("File ") == 2
    assert text.count(str(path)) == 3
    assert "importer.py" not in text
    assert "Traceback" not in text


def test_syntax_error_is_found_at_the_mount(service):
    path = write(service, "main.py", "\nx = = 1\n")
    with pytest.raises(StartupError, match=rf"SyntaxError: .* \({path}, line 2\)"):
        service.mount("/", "main")


@pytest.mark.parametrize("result", [None, 5, App])
def test_factory_must_make_an_app(service, result):
    mount = mounted(service, "/", module_with(__app__=lambda: result))
    with pytest.raises(ConfigError, match="app 'shop' is .*, no app: make it with Atila"):
        mount.load()


def test_missing_variable_is_named(service):
    write(service, "main.py")
    with pytest.raises(ConfigError, match="file of app 'main' has no variable 'app'"):
        mounted(service, "/", "main").load()


def test_preference_that_the_app_refuses_is_a_startup_error(service):
    class Strict(App):
        __slots__ = ()
        locked = property(lambda self: 1)

    pref = service.preference()
    pref.locked = 2
    with pytest.raises(StartupError, match="app 'tiny' can't be started: AttributeError"):
        mounted(service, "/", Strict(), pref).load()
