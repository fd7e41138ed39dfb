"""Preferences: items as attributes, config, static directories and their order, extensions."""

from __future__ import annotations

import copy
import sys
from types import ModuleType

import pytest

from skitai.errors import ConfigError, StartupError
from skitai.preference import AttributeDict, Place, Preference, template_directories
from skitai.service import Service


@pytest.fixture
def pref(tmp_path):
    return Preference(tmp_path)


def module_in(directory, name, *resources, config=None):
    package = directory / name
    package.mkdir()
    for resource in resources:
        (package / resource).mkdir()
    module = ModuleType(name)
    module.__file__ = str(package / "__init__.py")
    if config is not None:
        module.__config__ = config
    return module


def test_attributes_are_items(pref):
    pref.securekey = "secret"
    pref["debug"] = True
    assert pref == {"securekey": "secret", "debug": True}
    assert pref.debug is True
    del pref.debug
    assert "debug" not in pref


def test_missing_attribute_is_an_attribute_error(pref):
    assert not hasattr(pref, "nothing")
    with pytest.raises(AttributeError, match="'nothing' was not set"):
        _ = pref.nothing
    with pytest.raises(AttributeError):
        del pref.nothing


def test_methods_can_not_be_hidden(pref):
    with pytest.raises(ConfigError, match="items is a method"):
        pref.items = 1
    with pytest.raises(ConfigError, match="set_static is a method"):
        pref.set_static = "/static"


def test_context_manager_undoes_nothing_and_hides_nothing(pref):
    with pref as same:
        assert same is pref
        same.debug = True
    assert pref.debug is True
    with pytest.raises(ZeroDivisionError), pref:
        raise ZeroDivisionError


def test_config_is_empty_unless_preset(tmp_path):
    assert Service(tmp_path).preference().config == {}
    assert Service(tmp_path).preference(True).config == {"MAX_UPLOAD_SIZE": 268435456}
    given = Service(tmp_path).preference(preset=True, MAX_UPLOAD_SIZE=5, MY_OPTION="x").config
    assert given == {"MAX_UPLOAD_SIZE": 5, "MY_OPTION": "x"}


def test_config_is_an_attribute_dict_and_no_item(pref):
    pref.config.MAINTAIN_INTERVAL = 60
    assert pref.config["MAINTAIN_INTERVAL"] == 60
    assert pref == {}
    pref.config = {"A": 1}
    assert isinstance(pref.config, AttributeDict)
    assert pref.config.A == 1


def test_path_comes_first_in_sys_path(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "lib").mkdir()
    Preference(tmp_path, path="lib")
    assert sys.path[0] == str(tmp_path / "lib")


def test_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"path 'lib': directory '.*/lib' does not exist"):
        Preference(tmp_path, path="lib")


def test_mount_later_queues(pref):
    pref.mount_later("/x", pytest, ns="v1")
    assert pref.mountables == [(("/x", pytest), {"ns": "v1"})]


def test_copy_is_independent(pref, tmp_path):
    pref.users = {"a": [1]}
    pref.config.LIST = [1]
    pref.mount_later("/x", pytest)
    (tmp_path / "static").mkdir()
    pref.set_static("/static", "static")
    other = pref.copy()
    assert (other, other.config, other.mountables) == (pref, pref.config, pref.mountables)
    assert other.statics == pref.statics
    other.users["a"].append(2)
    other.config.LIST.append(2)
    other.mount_later("/y", pytest)
    assert pref.users == {"a": [1]}
    assert pref.config.LIST == [1]
    assert len(pref.mountables) == 1


def test_attribute_dicts_can_be_deep_copied():
    original = AttributeDict(a=AttributeDict(b=[1]))
    duplicate = copy.deepcopy(original)
    duplicate.a.b.append(2)
    assert original == {"a": {"b": [1]}}
    assert isinstance(duplicate.a, AttributeDict)


def test_set_static_resolves_against_the_script(pref, tmp_path):
    (tmp_path / "myapp" / "static").mkdir(parents=True)
    pref.set_static("/static", "myapp/static")
    assert pref.config.STATIC_URL == "/static"
    assert pref.config.STATIC_ROOT == str(tmp_path / "myapp" / "static")
    (entry,) = pref.statics
    assert (entry.url, entry.path) == ("/static", tmp_path / "myapp" / "static")
    assert entry.place is Place.FRONT


def test_set_static_without_path_changes_only_the_url(pref):
    pref.set_static("/assets")
    assert pref.config == {"STATIC_URL": "/assets"}
    assert pref.statics == []


def test_set_media(pref, tmp_path):
    pref.set_media("/media", str(tmp_path))
    assert pref.config == {"MEDIA_URL": "/media", "MEDIA_ROOT": str(tmp_path)}
    assert [entry.url for entry in pref.statics] == ["/media"]


@pytest.mark.parametrize("url", ["static", "", None, 5])
def test_static_url_must_begin_with_a_slash(pref, url):
    with pytest.raises(ConfigError, match="set_static: url must begin with '/'"):
        pref.set_static(url)


def test_static_directory_must_exist(pref):
    with pytest.raises(ConfigError, match=r"set_static 'nowhere': directory .* does not exist"):
        pref.set_static("/static", "nowhere")
    with pytest.raises(ConfigError, match="set_media must be the path of a directory, not None"):
        pref.set_media("/media", None)


def test_template_directories_keep_their_first_position(pref, tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
    pref.add_template_dir("a")
    pref.add_template_dir("b")
    pref.add_template_dir("c", front=True)
    pref.add_template_dir("a", front=True)
    assert pref.config.TEMPLATE_DIRS == [str(tmp_path / name) for name in "cab"]


def test_extends_records_the_module_and_puts_resources_last(pref, tmp_path):
    (tmp_path / "own").mkdir()
    pref.add_template_dir("own")
    base = module_in(tmp_path, "base", "static", "templates")
    pref.extends(base)
    pref.extends(base)
    assert pref.extended == [base]
    assert pref.overriding == []
    assert pref.config.TEMPLATE_DIRS == [str(tmp_path / "own"), str(tmp_path / "base/templates")]
    (entry,) = pref.statics
    assert (entry.url, entry.path, entry.place) == (None, tmp_path / "base/static", Place.EXTENDED)


def test_overrides_puts_resources_first(pref, tmp_path):
    (tmp_path / "own").mkdir()
    pref.add_template_dir("own")
    custom = module_in(tmp_path, "custom", "static", "templates")
    pref.overrides(custom)
    assert pref.overriding == [custom]
    assert pref.config.TEMPLATE_DIRS == [str(tmp_path / "custom/templates"), str(tmp_path / "own")]
    assert pref.statics[0].place is Place.OVERRIDING


def test_extends_runs_the_config_hook_with_the_preference(pref, tmp_path):
    seen = []
    base = module_in(tmp_path, "base", config=seen.append)
    pref.extends(base)
    assert seen == [pref]
    assert pref.statics == []


def test_failing_config_hook_is_named(pref, tmp_path):
    def config(pref):
        raise ZeroDivisionError("oops")

    with pytest.raises(StartupError, match="__config__ of 'base' failed: ZeroDivisionError: oops"):
        pref.extends(module_in(tmp_path, "base", config=config))


@pytest.mark.parametrize("target", ["base", None, object()])
def test_only_modules_can_extend_or_override(pref, target):
    with pytest.raises(ConfigError, match="extends: needs an imported module"):
        pref.extends(target)
    with pytest.raises(ConfigError, match="overrides: needs an imported module or a function"):
        pref.overrides(target)


def test_a_function_can_override(pref):
    def services(app):
        pass

    pref.overrides(services)
    pref.overrides(services)
    assert pref.overriding == [services]


def test_what_the_hook_of_an_extension_adds_has_its_priority(pref, tmp_path):
    def config(pref):
        pref.set_static("/static", "files")
        pref.set_media("/media", "files")
        pref.add_static("files", front=True)
        pref.add_template_dir("files", front=True)

    (tmp_path / "files").mkdir()
    for take_over, place in ((pref.extends, Place.EXTENDED), (pref.overrides, Place.OVERRIDING)):
        pref.statics.clear()
        pref.config.clear()
        take_over(module_in(tmp_path, take_over.__name__, config=config))
        assert {entry.place for entry in pref.statics} == {place}
        assert pref.template_places[str(tmp_path / "files")] is place
    pref.add_static("files", front=True)
    assert pref.statics[-1].place is Place.FRONT


def test_order_of_template_directories(pref, tmp_path):
    for name in ("back", "front", "home", "home/templates", "shared", "shared/templates"):
        (tmp_path / name).mkdir()
    modules = ("base", "base2", "custom", "custom2")
    base, base2, custom, custom2 = (module_in(tmp_path, name, "templates") for name in modules)
    pref.extends(base)
    pref.overrides(custom)
    pref.extends(base2)
    pref.add_template_dir("back")
    pref.add_template_dir("front", front=True)
    pref.add_template_dir("shared")
    pref.overrides(custom2)
    found = template_directories(
        str(tmp_path / "home/templates"), pref.config.TEMPLATE_DIRS, pref.template_places
    )
    assert [path.removeprefix(f"{tmp_path}/") for path in found] == [
        "custom2/templates",
        "custom/templates",
        "front",
        "home/templates",
        "back",
        "shared/templates",
        "base/templates",
        "base2/templates",
    ]


def test_directories_of_templates_without_a_place_are_further_ones(tmp_path):
    assert template_directories("/own", ["/a", "/b", "/a"], {}) == ["/own", "/a", "/b"]
