"""An app outside of a server: ``atila.load`` and what the package has for it."""

from __future__ import annotations

import sys

import pytest
from driving import module

import atila
import skitai
from atila import Atila
from atila.errors import ConfigError


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_the_hooks_of_a_loaded_app_have_run():
    diary = []

    def mount(app, mntopt):
        diary.append(("mount", app.config.NUMBER, mntopt["point"]))

        @app.route("/books/<int:id>")
        def book(was, id):
            return id

    root = module(
        "loaded",
        __file__=__file__,
        __config__=lambda pref: diary.append("config"),
        __app__=lambda: diary.append("app") or Atila("loaded"),
        __setup__=lambda app: diary.append("setup"),
        __mount__=mount,
        __mounted__=lambda app: diary.append("mounted"),
    )
    pref = atila.preference(NUMBER=5)
    pref.realm = "shop"
    app = atila.load(root, pref)
    assert diary == ["config", "app", "setup", ("mount", 5, "/")]
    assert app.realm == "shop"
    assert app.build_url("book", 3) == "/books/3"
    assert app.peers["loaded"] is app
    assert (app.basepath, Atila("new").basepath) == ("/", "/")


def test_an_app_object_can_be_loaded():
    app = Atila("object")
    assert atila.load(app) is app


def test_what_is_no_app_of_the_framework_is_refused(tmp_path):
    class Other:
        name = "other"

        def freeze(self, point, pool):
            return None

        def cleanup(self):
            pass

    with pytest.raises(ConfigError, match="is no Atila app"):
        atila.load(Other())
    with pytest.raises(ConfigError, match="is a directory of files, no app"):
        atila.load(str(tmp_path))


def test_the_preference_is_that_of_the_engine():
    assert atila.preference == skitai.preference


def test_constants_of_events_are_names_of_the_package():
    for name in atila.__all__:
        assert getattr(atila, name) is not None
    assert atila.EVT_REQ_SUCCESS == "finish_request"
    assert atila.EVT_MOUNTED_RELOADED == "mounted_or_reloaded"
