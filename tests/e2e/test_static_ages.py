"""How long clients may keep static files without asking: ``skitai.set_max_age``."""

from __future__ import annotations

import pytest
from static_project import fetch

import skitai
from skitai.errors import ConfigError
from skitai.service import Service

SERVE = """
    import skitai
    from atila import Atila

    app = Atila(__name__)

    @app.route("/picked")
    def picked(was, age=None):
        if age:
            was.response.set_max_age(int(age))
        return was.Static("img/logo.svg")

    if __name__ == "__main__":
        skitai.set_max_age("/static", 60)
        skitai.set_max_age("/static/img/", 3600)
        skitai.set_max_age("/static/img/now.txt", 0)
        with skitai.preference() as pref:
            pref.set_static("/static", "public")
            skitai.mount("/", app, pref)
        skitai.mount("/staticfiles", "public")
        skitai.run(port=5000)
"""
FILES = {
    "serve.py": SERVE,
    "public/a.txt": "a",
    "public/img/logo.svg": "<svg/>",
    "public/img/now.txt": "now",
    "public/imgs/b.txt": "b",
}


@pytest.fixture(scope="module")
def service(launch_once):
    return launch_once(FILES)


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("target", "age"),
    [
        ("/static/a.txt", "max-age=60"),
        ("/static/imgs/b.txt", "max-age=60"),
        ("/static/img/logo.svg", "max-age=3600"),
        ("/static/img/now.txt", "max-age=0"),
        ("/staticfiles/a.txt", None),
        ("/picked", "max-age=3600"),
        ("/picked?age=5", "max-age=5"),
    ],
)
def test_the_longest_path_that_fits_says_how_long(service, target, age):
    response = fetch(service, target)
    assert response.status == 200
    assert response.headers.get_all("Cache-Control") == (age and [age])
    etag = response.getheader("ETag")
    again = fetch(service, target, **{"If-None-Match": etag})
    assert (again.status, again.getheader("Cache-Control")) == (304, age)


@pytest.mark.e2e
def test_under_devel_clients_keep_nothing(launch):
    response = fetch(launch(FILES, devel=True), "/static/a.txt")
    assert response.status == 200
    assert "max-age" not in response.getheader("Cache-Control", "")


@pytest.mark.parametrize(
    ("path", "seconds", "message"),
    [
        ("static", 60, "'static' is no path: begin it with '/'"),
        (None, 60, "None is no path"),
        ("/static", "60", "give whole seconds, as 3600"),
        ("/static", -1, "give whole seconds"),
        ("/static", True, "give whole seconds"),
    ],
)
def test_what_is_no_age_is_refused(path, seconds, message):
    with pytest.raises(ConfigError, match=message):
        Service().set_max_age(path, seconds)
    assert skitai.set_max_age.__name__ == "set_max_age"
