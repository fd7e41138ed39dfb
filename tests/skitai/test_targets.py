"""What can be mounted: apps, modules, files, directories; and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from tiny_app import APP, App, module_with, mounted, refusal, write

from skitai.errors import StartupError
from skitai.mounts import Place
from skitai.service import Service
from skitai.targets import Kind


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield Service(tmp_path)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_app_object(service):
    app = App()
    mount = mounted(service, "/", app)
    assert (mount.point, mount.target.kind, mount.name) == ("/", Kind.OBJECT, "tiny")
    assert mount.target.home == service.directory
    assert mount.load() is app


def test_module(service):
    app = App()
    module = module_with(__app__=lambda: app)
    mount = mounted(service, "/shop", module)
    assert (mount.target.kind, mount.name) == (Kind.MODULE, "shop")
    assert mount.target.home == Path(__file__).parent
    assert mount.load() is app
    mount.set_up()
    assert app.calls[0][0] is module


def test_config_hook_of_a_module_runs_at_once_and_once(service):
    seen = []
    pref = service.preference()
    service.mount("/", module_with(__app__=App, __config__=seen.append), pref)
    assert seen == [pref]
    service.mounts[0].load()
    assert seen == [pref]


def test_config_hook_gets_a_preference_even_if_the_mount_has_none(service):
    def config(pref):
        pref.securekey = "k"

    service.mount("/", module_with(__app__=App, __config__=config))
    assert service.mounts[0].load().securekey == "k"


@pytest.mark.parametrize(
    "target", ["dir/file", "dir/file.py", "./dir//file", Path("dir/file.py"), "dir/file:app"]
)
def test_file(service, target):
    path = write(service, "dir/file.py", APP + "app = App()")
    mount = mounted(service, "/", target)
    assert (mount.target.kind, mount.target.value, mount.name) == (Kind.FILE, path, "dir/file")
    assert mount.load().name == "app-of-a-file"


def test_file_is_not_imported_before_it_is_loaded(service):
    write(service, "file.py", "raise RuntimeError")
    mount = mounted(service, "/", "file")
    with pytest.raises(StartupError, match="file 'file.py'|RuntimeError"):
        mount.load()


@pytest.mark.parametrize("how", ["target", "positional", "keyword"])
def test_variable_of_a_file(service, how):
    write(service, "file.py", APP + "application = App(); application.name = 'other'")
    if how == "target":
        mount = mounted(service, "/", "file:application")
    elif how == "positional":
        mount = mounted(service, "/", "file", "application")
    else:
        mount = mounted(service, "/", "file", appname="application")
    assert mount.load().name == "other"


def test_file_with_factory(service):
    write(service, "file.py", APP + "def __app__():\n    return App()")
    mount = mounted(service, "/", "file")
    assert mount.load().name == "app-of-a-file"


def test_config_hooks_of_a_file_and_its_package(service):
    write(service, "shop/__init__.py", "def __config__(pref):\n    pref.order = ['package']")
    write(
        service,
        "shop/main.py",
        f"{APP}\ndef __config__(pref):\n    pref.order.append('file')\napp = App()",
    )
    mount = mounted(service, "/", "shop/main")
    assert mount.pref.order == ["package", "file"]
    assert mount.load().order == ["package", "file"]


def test_file_of_a_package_can_import_its_siblings(service):
    write(service, "shop/__init__.py")
    write(service, "shop/parts.py", APP)
    write(service, "shop/main.py", "from .parts import App\nfrom shop import parts\napp = App()")
    mounted(service, "/", "shop/main").load()
    assert "shop.main" in sys.modules


def test_file_named_like_a_module_of_python_hides_nothing(service):
    import json

    write(service, "apps/json.py", APP + "app = App()")
    write(service, "json/decoder.py", APP + "app = App()")
    mounted(service, "/a", "apps/json").load()
    mounted(service, "/b", "json/decoder").load()
    assert sys.modules["json"] is json
    assert sys.modules["json.decoder"] is json.decoder


def test_one_file_mounted_twice_makes_two_apps(service):
    write(service, "file.py", APP + "app = App()")
    first = mounted(service, "/", "file")
    second = mounted(service, "/two", "file", name="two")
    assert first.load() is not second.load()


def test_one_file_of_a_package_mounted_twice_makes_two_apps(service):
    write(service, "shop/__init__.py")
    write(service, "shop/parts.py", APP)
    write(service, "shop/main.py", "from .parts import App\napp = App()")
    first = mounted(service, "/", "shop/main")
    second = mounted(service, "/two", "shop/main", name="two")
    assert first.load() is not second.load()


def test_file_outside_the_script_directory(service, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "elsewhere.py").write_text(APP + "app = App()")
    mount = mounted(service, "/", str(outside / "elsewhere"), name="out")
    assert mount.load().name == "app-of-a-file"


def test_directory(service):
    write(service, "files/a.txt")
    service.mount("/files", "files")
    assert service.mounts == []
    (mount,) = service.static_mounts()
    assert (mount.point, mount.path) == ("/files/", service.directory / "files")
    assert (mount.hosts, mount.place) == (("default",), Place.BACK)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere", "'nowhere' is no directory and no Python file: "),
        ("data.txt", "'data.txt' is no directory and no Python file: "),
        ("site/wsgy.py:app", "site/wsgy.py' does not exist: did you mean 'site/wsgi'?"),
        ("nowhere/shop", "does not exist: create it or correct the path, relative ones start at"),
        (
            "http://localhost",
            "'http://localhost' is no path: give the service a name, skitai.alias",
        ),
        ("", "mount target is empty"),
        ("@", "mount target '@' is no alias: give '@name' or '@name/base/path'"),
        ("@upstream/x?y", "mount target '@upstream/x?y' is no alias"),
        ("@upstream/../x", "mount target '@upstream/../x' is no alias"),
        ("package", "directory 'package' is a Python package, its source would be served"),
        (App, "is a class: mount an instance of it"),
        (None, "mount target None is no app"),
        (5, "mount target 5 is no app"),
        (("module", "file.py"), "is no app: give an app, a module, a file or a directory"),
        (ModuleType("bare"), "module 'bare' has no __app__(): add 'def __app__(): return Atila"),
    ],
)
def test_what_can_not_be_mounted_is_named(service, target, message):
    write(service, "data.txt")
    write(service, "site/wsgi.py")
    write(service, "site/settings.py")
    write(service, "package/__init__.py")
    assert message in refusal(service, "/", target)
    assert service.mounts == []
