"""Apps of other frameworks as mount targets: what they are, how they are made, what is refused."""

from __future__ import annotations

import functools
import os
import sys

import flask
import pytest
import starlette.applications
from tiny_app import APP, App, module_with, mounted, refusal, write

from skitai.errors import ConfigError, StartupError
from skitai.foreign import Interface, interface_of, name_of
from skitai.handlers.asgi import ASGIApplication
from skitai.handlers.wsgi import WSGIApplication
from skitai.mounts import in_order
from skitai.service import Service
from skitai.targets import Kind


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield Service(tmp_path)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def wsgi(environ, start_response): ...


async def asgi(scope, receive, send): ...


def asgi_by_hand(scope, receive, send): ...


def factory(config=None): ...


class Callable:
    def __call__(self, environ, start_response): ...

    def method(self, environ, start_response): ...


class Awaitable:
    async def __call__(self, scope, receive, send): ...


@pytest.mark.parametrize(
    ("target", "interface"),
    [
        (wsgi, Interface.WSGI),
        (Callable(), Interface.WSGI),
        (Callable().method, Interface.WSGI),
        (lambda *args: None, Interface.WSGI),
        (functools.partial(wsgi), Interface.WSGI),
        (flask.Flask("f"), Interface.WSGI),
        (print, Interface.WSGI),
        (asgi, Interface.ASGI),
        (Awaitable(), Interface.ASGI),
        (asgi_by_hand, Interface.ASGI),
        (functools.partial(asgi), Interface.ASGI),
        (functools.partial(Awaitable()), Interface.ASGI),
        (starlette.applications.Starlette(), Interface.ASGI),
        (factory, Interface.FACTORY),
        (lambda: None, Interface.FACTORY),
    ],
)
def test_what_it_takes_says_what_it_is(target, interface):
    assert interface_of(target) is interface


async def asgi_of_two(scope, receive): ...


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (lambda scope: None, "takes one argument, as ASGI 2 had it: make it ASGI 3"),
        (lambda a, b, c, d: None, "takes (a, b, c, d): a WSGI app takes (environ, start_response)"),
        (asgi_of_two, "is async and takes (scope, receive): a WSGI app takes"),
        (Callable, "is a class: mount an instance of it"),
    ],
)
def test_what_is_no_app_is_refused_at_the_mount(service, target, message):
    assert message in refusal(service, "/", target)


def test_what_is_no_app_at_all():
    with pytest.raises(ConfigError, match="5 is no app"):
        interface_of(5)


def test_names_are_those_of_app_function_or_class():
    assert name_of(flask.Flask("shop")) == "shop"
    assert name_of(wsgi) == "wsgi"
    assert name_of(Callable()) == "callable"


def test_apps_and_their_makers_can_be_mounted(service):
    for target, kind in [
        (wsgi, WSGIApplication),
        (asgi, ASGIApplication),
        (lambda: wsgi, WSGIApplication),
    ]:
        mount = mounted(service, "/", target)
        app = mount.load()
        assert (mount.target.kind, type(app), mount.foreign) == (Kind.OBJECT, kind, True)
        assert app.name == mount.name


@pytest.mark.parametrize("target", ["site", "site:app", "site:other", "site:make"])
def test_files_have_them_by_their_variable(service, target):
    write(
        service,
        "site.py",
        "def app(environ, start_response): ...\nother = app\ndef make(): return app\n",
    )
    assert isinstance(mounted(service, "/", target).load(), WSGIApplication)


def test_a_file_may_call_it_application(service):
    write(service, "site.py", "async def application(scope, receive, send): ...")
    assert isinstance(mounted(service, "/", "site").load(), ASGIApplication)


def test_a_module_may_make_one(service):
    mount = mounted(service, "/", module_with(__app__=lambda: wsgi))
    assert isinstance(mount.load(), WSGIApplication)


def test_a_factory_of_a_native_app(service):
    write(service, "site.py", APP + "def make(): return App()")
    assert mounted(service, "/", "site:make").load().name == "app-of-a-file"


@pytest.mark.parametrize("made", ["None", "5", "lambda: 5", "int"])
def test_a_factory_has_to_make_an_app(service, made):
    write(service, "site.py", f"def make(): return {made}")
    with pytest.raises(ConfigError, match="app 'site'"):
        mounted(service, "/", "site:make").load()


def test_a_factory_that_fails_says_where(service):
    write(service, "site.py", "def make():\n    return 1 / 0")
    with pytest.raises(StartupError, match=r"app 'site' can't be started: ZeroDivisionError.*2\)"):
        mounted(service, "/", "site:make").load()


def test_one_object_can_be_mounted_twice(service):
    first, second = mounted(service, "/a", wsgi), mounted(service, "/b", wsgi)
    assert (first.name, second.name) == ("wsgi", "wsgi-2")
    assert first.load() is not second.load()


# -- preferences


def test_a_preference_reaches_objects_and_their_config_but_no_functions(service):
    pref = service.preference()
    pref.secret_key = "k"
    pref.config.SHOWN = 1
    pref.config.MAX_UPLOAD_SIZE = 10
    app = flask.Flask("shop")
    mounted(service, "/", app, pref).load()
    assert (app.secret_key, app.config["SHOWN"], app.debug) == ("k", 1, False)

    def bare(environ, start_response): ...

    loaded = mounted(service, "/bare", bare, pref).load()
    assert (loaded._max_body, loaded.streams_input) == (10, False)
    assert vars(bare) == {}
    pref.config.STREAM_INPUT = True
    assert mounted(service, "/other", bare, pref).load().streams_input is True


def test_a_preference_that_has_no_place_is_an_error_with_the_name_of_the_app(service):
    class Slotted(Callable):
        __slots__ = ()

        def __setattr__(self, name, value):
            raise AttributeError(f"no place for {name}")

    pref = service.preference()
    pref.secret_key = "k"
    with pytest.raises(StartupError, match="app 'x' can't be started: .*no place for secret_key"):
        mounted(service, "/", Slotted(), pref, name="x").load()


def test_only_native_apps_are_extended(service):
    pref = service.preference()
    pref.mount_later("/x", module_with())
    with pytest.raises(ConfigError, match="can't be extended, overridden or have apps mounted"):
        mounted(service, "/", wsgi, pref).load()


def test_only_native_apps_subscribe(service):
    from skitai.handlers.peers import Peers

    service.mount("/a", App(), name="a")
    mount = mounted(service, "/", wsgi, subscribe="a")
    peers = Peers()
    for one in service.mounts:
        peers.add(one.name, one.load())
    with pytest.raises(ConfigError, match="'wsgi' can't subscribe to 'a': it has no events"):
        mount.connect(peers)


# -- the order


def test_foreign_apps_are_asked_last(service):
    service.mount("/", wsgi)
    service.mount("/", App("first"))
    service.mount("/", App("second"))
    service.mount("/x", asgi)
    for mount in service.mounts:
        mount.load()
    assert [mount.name for mount in in_order(service.mounts)] == ["first", "second", "wsgi", "asgi"]


def test_two_foreign_apps_at_one_place_are_refused(service):
    service.mount("/", wsgi, host="a.com")
    service.mount("/", asgi, host="b.com")
    for mount in service.mounts:
        mount.load()
    assert len(in_order(service.mounts)) == 2
    mounted(service, "/", lambda environ, start_response: [], host="b.com", name="c").load()
    with pytest.raises(ConfigError, match="apps 'asgi' and 'c' are both mounted at '/'"):
        in_order(service.mounts)


# -- Django's way to lay out a project


@pytest.mark.parametrize(
    ("folder", "target", "package", "settings"),
    [
        ("site", "site/mysite/wsgi:application", "mysite", "mysite.settings"),
        ("site", "site/mysite/asgi", "mysite", "mysite.settings"),
        ("flat", "flat/wsgi:application", "", "settings"),
        (".", "mysite/wsgi", "mysite", "mysite.settings"),
    ],
)
def test_a_django_project_is_importable_from_its_root(
    service, folder, target, package, settings, monkeypatch
):
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "")  # so that it is put back as it was
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    home = f"{folder}/{package}" if package else folder
    write(service, f"{folder}/manage.py")
    write(service, f"{home}/settings.py")
    if package:
        write(service, f"{home}/__init__.py")
    call = "(environ, start_response)" if "wsgi" in target else "(scope, receive, send)"
    source = (
        f"import os\nwanted = os.environ['DJANGO_SETTINGS_MODULE']\ndef application{call}: ...\n"
    )
    write(service, f"{home}/{'wsgi' if 'wsgi' in target else 'asgi'}.py", source)
    mount = mounted(service, "/", target)
    app = mount.load()
    assert (mount.target.home, mount.target.settings) == (
        (service.directory / folder).resolve(),
        settings,
    )
    assert mount.module.wanted == settings
    dotted = f"{package}." if package else ""
    assert mount.module.__name__ in (f"{dotted}wsgi", f"{dotted}asgi")
    assert isinstance(app, WSGIApplication if "wsgi" in target else ASGIApplication)


def test_settings_that_were_chosen_stay(service, monkeypatch):
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "mysite.production")
    write(service, "mysite/settings/__init__.py")
    write(service, "mysite/__init__.py")
    write(service, "mysite/wsgi.py", "def application(environ, start_response): ...")
    mounted(service, "/", "mysite/wsgi").load()
    assert os.environ["DJANGO_SETTINGS_MODULE"] == "mysite.production"


# -- hooks of its module

HOOKS = """
events = []
def app(environ, start_response): ...
def __setup__(app, mntopt): events.append(("setup", app, mntopt["point"]))
def __mount__(app): events.append(("mount", app))
def __mounted__(app, mntopt): events.append(("mounted", app))
def __umount__(app): events.append(("umount", app))
def __umounted__(app, mntopt): events.append(("umounted", app))
"""


def test_hooks_of_its_file_are_called_with_the_app_itself(service):
    write(service, "site.py", HOOKS)
    mount = mounted(service, "/shop", "site")
    mount.load()
    mount.set_up()
    mount.begin(None)
    mount.unload()
    app, events = mount.module.app, mount.module.events
    assert events[0] == ("setup", app, "/shop/")
    assert [name for name, *_ in events] == ["setup", "mount", "mounted", "umount", "umounted"]
    assert all(given is app for _, given, *_ in events)


def test_a_last_hook_that_fails_is_logged_and_the_others_run(service, caplog):
    write(service, "site.py", HOOKS + "def __umount__(app): raise OSError('stuck')")
    mount = mounted(service, "/", "site")
    mount.load()
    mount.set_up()
    mount.unload()
    assert "OSError: stuck" in caplog.text
    assert mount.module.events[-1][0] == "umounted"


def test_a_hook_that_takes_something_else_is_named(service):
    write(service, "site.py", HOOKS + "def __mount__(): ...")
    mount = mounted(service, "/", "site")
    mount.load()
    with pytest.raises(ConfigError, match=r"__mount__ of app 'site' must take \(app\)"):
        mount.set_up()
