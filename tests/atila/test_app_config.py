"""What an app is before anybody sets anything, and the settings that end its start."""

from __future__ import annotations

import pytest
from driving import Driver

from atila import Atila
from atila.errors import ConfigError
from skitai.handlers.peers import Peers


def test_attributes_of_an_app_and_their_defaults():
    app = Atila("config")
    expected = {
        "name": "config",
        "app_name": "config",
        "debug": False,
        "use_reloader": False,
        "expose_spec": False,
        "restrict_parameter_count": True,
        "securekey": None,
        "salt": None,
        "session_timeout": None,
        "access_control_allow_origin": None,
        "access_control_max_age": 0,
        "authenticate": None,
        "realm": "App",
        "users": {},
        "opaque": None,
        "basepath": "/",
    }
    assert {name: getattr(app, name) for name in expected} == expected
    app.securekey = "schlüssel"
    assert app.salt == "schlüssel".encode()
    app.set_devel()
    assert (app.debug, app.use_reloader) == (True, True)
    app.set_devel(False, False)
    assert (app.debug, app.use_reloader) == (False, False)
    app.set_default_session_timeout(60)
    assert app.session_timeout == 60


def test_settings_of_an_app_and_their_defaults():
    config = Atila("config").config
    assert config == {
        "MAX_UPLOAD_SIZE": 268435456,
        "MAINTAIN_INTERVAL": 60,
        "STATIC_URL": "/static/",
        "MEDIA_URL": "/media/",
        "TEMPLATE_DIRS": [],
        "MINIFY_HTML": False,
        "JSON_ENCODER": "utcoffset",
        "PRETTY_JSON": False,
        "SQL_DIR": "sql",
    }
    assert config.MAX_UPLOAD_SIZE == config["MAX_UPLOAD_SIZE"]


def test_the_settings_of_two_apps_are_their_own():
    first, second = Atila("first"), Atila("second")
    first.config.TEMPLATE_DIRS.append("x")
    first.config.STATIC_URL = "/x/"
    assert (second.config.TEMPLATE_DIRS, second.config.STATIC_URL) == ([], "/static/")


def test_an_app_knows_its_point():
    app = Atila("config")
    app.route("/")(lambda was: was.app.basepath)
    assert Driver(app, point="/shop/").get("/shop/").text == "/shop/"


def limit(peers=None, **config):
    """The bytes that a body may have, as the app knows it and as it is kept."""
    app = Atila("config")
    app.config.update(config)
    if peers is not None:
        app.join(peers)
    app.route("/")(lambda was: was.request.get_body())
    driver = Driver(app)
    size = app.config.MAX_UPLOAD_SIZE
    if size < 1000:
        assert driver.send("/", b"x" * size, "text/plain").status == 200
        assert driver.send("/", b"x" * (size + 1), "text/plain").status == 413
    return size


def test_how_large_a_body_may_be():
    assert limit() == 268435456
    assert limit(MAX_UPLOAD_SIZE=10) == 10
    assert limit(MAX_UPLOAD_SIZE=None) == 268435456
    assert limit(max_multipart_body_size=20) == 20
    assert limit(max_multipart_body_size=20, MAX_UPLOAD_SIZE=10) == 10
    assert limit(Peers(max_upload_size=30)) == 30
    assert limit(Peers(max_upload_size=30), MAX_UPLOAD_SIZE=40) == 40


def test_the_old_name_of_the_limit_is_an_attribute():
    app = Atila("config")
    app.max_client_body_size = 7
    app.route("/")(lambda was: "ok")
    assert Driver(app).send("/", b"x" * 8, "text/plain").status == 413
    assert app.config.MAX_UPLOAD_SIZE == 7


@pytest.mark.parametrize("size", ["16MB", "16", -1, 1.5, True, [1]])
def test_a_limit_that_is_no_size(size):
    with pytest.raises(ConfigError, match=r"config.MAX_UPLOAD_SIZE is .*: give a number of bytes"):
        limit(MAX_UPLOAD_SIZE=size)


def test_a_hook_may_set_the_limit_too():
    app = Atila("config")
    app.route("/")(lambda was: "ok")
    app.on("before_mount")(lambda was: app.config.update(MAX_UPLOAD_SIZE=3))
    assert Driver(app).send("/", b"xxxx", "text/plain").status == 413
