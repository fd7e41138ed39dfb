"""What an app's own error page can show."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from driving import HTML, Driver

from atila import Atila
from atila.error_data import error_data
from atila.errors import HTTPError
from skitai.server.origin import Origin
from skitai.wire.dates import parse_date
from skitai.wire.request import Request

KEYS = {
    "code", "errno", "message", "detail", "mode", "time", "url", "software", "debug", "traceback",
}  # fmt: skip


def exchange(target="/a?b=1", **headers):
    request = Request("GET", target, "/a", "b=1", "1.1", {"host": "example.com:80", **headers})
    origin = Origin("192.0.2.7", "https", request.headers.get("host", ""))
    return SimpleNamespace(request=request, origin=origin)


def crash():
    try:
        raise ValueError("<secret>")
    except ValueError as exc:
        return exc


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (HTTPError(404), (404, 40400, "Not Found", "")),
        (HTTPError("404 Nobody Here", "no <book>"), (404, 40400, "Nobody Here", "no <book>")),
        (HTTPError(400, "x", 40011), (400, 40011, "Bad Request", "x")),
        (HTTPError(400, None), (400, 40000, "Bad Request", "")),
        (HTTPError(400, False), (400, 40000, "Bad Request", "")),
    ],
)
def test_an_error_is_described(error, expected):
    data = error_data(exchange(), error)
    assert set(data) == KEYS
    assert tuple(data[key] for key in ("code", "errno", "message", "detail")) == expected
    assert parse_date(data["time"]) == pytest.approx(time.time(), abs=5)
    assert (data["mode"], data["software"]) == ("normal", "skitai")
    assert (data["debug"], data["traceback"]) == ("", "")
    assert data["url"] == "https://example.com:80/a?b=1"


@pytest.mark.parametrize(
    ("target", "headers", "url"),
    [
        ("/a?b=%20", {}, "https://example.com:80/a?b=%20"),
        ("http://other/a", {}, "http://other/a"),
        ("*", {}, "*"),
        ("/a", {"host": ""}, "/a"),
    ],
)
def test_the_url_is_absolute_if_it_is_known(target, headers, url):
    assert error_data(exchange(target, **headers), HTTPError(404))["url"] == url


def test_a_crash_is_shown_in_debug_only():
    shown = error_data(exchange(), HTTPError(500), crash(), True)
    assert (shown["mode"], shown["debug"]) == ("debug", "ValueError: <secret>")
    assert shown["traceback"].startswith("<pre>Traceback (most recent call last):\n")
    assert shown["traceback"].endswith("ValueError: &lt;secret&gt;</pre>")
    hidden = error_data(exchange(), HTTPError(500), crash(), False)
    assert "secret" not in repr(hidden)
    assert error_data(exchange(), HTTPError(404), None, True)["traceback"] == ""


TEMPLATE = """<h1>{{ error.code }} {{ error.message }}</h1>
<p>{{ error.detail }}</p>{{ error.traceback }}{{ error.debug }}
<div>URL: {{ error.url }}</div><div>Time: {{ error.time }}</div>"""


@pytest.mark.parametrize("debug", [False, True])
def test_the_template_of_the_seed_prints_nothing_odd(tmp_path, debug):
    (tmp_path / "templates" / "errors").mkdir(parents=True)
    (tmp_path / "templates" / "errors" / "default.j2").write_text(TEMPLATE)
    app = Atila("errors")
    app.default_error_handler(lambda was, error: was.render("errors/default.j2", error=error))
    app.route("/crash")(lambda was: 1 / 0)
    driver = Driver(app, home=tmp_path, debug=debug)
    headers = {**HTML, "Host": "example.com"}
    page = driver.request("GET", "/<missing>", headers)
    assert page.status == 404
    assert "<h1>404 Not Found</h1>\n<p></p>\n<div>URL: http://example.com/&lt;" in page.text
    assert "None" not in page.text
    assert "False" not in page.text
    page = driver.request("GET", "/crash", headers)
    assert page.status == 500
    assert ("ZeroDivisionError" in page.text) is debug
    assert ("<pre>Traceback" in page.text) is debug
