"""``was.render_or_API``, ``was.Static`` and ``was.Media``: answers that ``was`` makes."""

from __future__ import annotations

import asyncio
import os

import pytest
from driving import Driver

from atila import API, Atila
from atila.results.methods import prefers_data
from skitai.executors.threads import ThreadPool
from skitai.handlers.static import StaticHandler
from skitai.handlers.static_files import StaticDirectory
from skitai.server.dispatch import Dispatcher, Site

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JSON, PAGE, XML = "application/json", "text/html; charset=utf-8", "text/xml"


# render_or_API


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", PAGE),
        ("*/*", PAGE),
        ("text/html", PAGE),
        ("text/*", PAGE),
        ("text/plain", PAGE),
        ("image/png", PAGE),
        ("application/*", PAGE),
        (BROWSER, PAGE),
        ("application/json", JSON),
        ("application/json, text/plain, */*", JSON),
        ("application/json, text/html", JSON),
        ("text/html, application/json", JSON),
        ("text/html;q=0.9, application/json", JSON),
        ("text/html, application/json;q=0.9", PAGE),
        ("application/json;q=0.5, */*;q=0.8", PAGE),
        ("application/json;q=0", PAGE),
        ("application/json;q=0, text/html;q=0", PAGE),
        ("text/xml", XML),
        ("text/xml, text/html;q=0.5", XML),
        ("text/html, text/xml;q=0.5", PAGE),
        ("text/xml, application/json", JSON),
    ],
)
def test_a_client_gets_the_page_or_the_data(tmp_path, accept, kind):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "a.j2").write_text("<b>{{ context.a }} {{ b }}</b>")
    app = Atila("both")
    app.route("/")(lambda was: was.render_or_API("a.j2", {"a": 1, "b": 1}, b=2))
    got = Driver(app, home=tmp_path).request("GET", "/", {"Accept": accept} if accept else {})
    assert (got.status, got["Content-Type"]) == (200, kind)
    assert got.all("Vary") == ["Accept"]
    assert prefers_data(accept) is (kind != PAGE)
    if kind == PAGE:
        assert got.text == "<b>1 2</b>"
    elif kind == JSON:
        assert got.json == {"a": 1, "b": 2}


def test_the_data_is_an_api_that_can_be_changed_by_hooks(tmp_path):
    app = Atila("both")

    @app.route("/")
    def handler(was):
        api = was.render_or_API("missing.j2", a=1)
        assert isinstance(api, API)
        api["b"] = 2
        return api

    assert Driver(app, home=tmp_path).get("/", accept=JSON).json == {"a": 1, "b": 2}


# Static, Media, MountedFile


@pytest.fixture
def site(tmp_path):
    """A request sender for an app with static mounts, as the worker wires them."""
    files = {
        "static/img/logo.png": b"logo",
        "static/a b+c%.txt": b"odd",
        "static/한.txt": "한".encode(),
        "static/big.txt": b"0123456789" * 5000,
        "static/docs/index.html": b"docs",
        "static/.hidden": b"hidden",
        "media/face.jpg": b"face",
        "root/robots.real.txt": b"robots",
        "outside.txt": b"outside",
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    handlers = []
    for prefix in ("static", "media", "root"):
        directory = StaticDirectory("/" if prefix == "root" else prefix, recheck=0)
        directory.add(str(tmp_path / prefix))
        handlers.append((directory.prefix, StaticHandler(directory, None)))

    def send(make, method="GET", pool=None, **headers):
        app = Atila("static")
        app.route("/x", methods=["GET", "POST"])(make)
        driver = Driver(app, pool=pool)
        app.mounted_files = Dispatcher({"default": Site(handlers, [])}).send_file
        return driver.request(method, "/x", {k.replace("_", "-"): v for k, v in headers.items()})

    return send


@pytest.mark.parametrize(
    ("make", "content", "kind"),
    [
        (lambda was: was.Static("img/logo.png"), b"logo", "image/png"),
        (lambda was: was.Static("/static/img/logo.png"), b"logo", "image/png"),
        (lambda was: was.Static("/robots.real.txt"), b"robots", "text/plain; charset=utf-8"),
        (lambda was: was.Static("a b+c%.txt"), b"odd", "text/plain; charset=utf-8"),
        (lambda was: was.Static("한.txt"), "한".encode(), "text/plain; charset=utf-8"),
        (lambda was: was.Media("face.jpg"), b"face", "image/jpeg"),
        (lambda was: was.Media("/robots.real.txt"), b"robots", "text/plain; charset=utf-8"),
        (lambda was: was.MountedFile("/static/img/logo.png?v=1#x"), b"logo", "image/png"),
        (lambda was: was.MountedFile("/static/%ED%95%9C.txt"), "한".encode(), None),
        (lambda was: was.MountedFile(was.media("face.jpg")), b"face", None),
        (lambda was: was.Static("docs/"), b"docs", "text/html; charset=utf-8"),
    ],
    ids=range(11),
)
def test_a_static_file_is_the_answer(site, make, content, kind):
    got = site(make)
    assert (got.status, got.body) == (200, content)
    assert got["Content-Type"] == kind or kind is None
    assert got["ETag"]
    assert got["Last-Modified"]


@pytest.mark.parametrize(
    "path",
    [
        "missing.png", "../outside.txt", "/static/../outside.txt", "/static/%2e%2e/outside.txt",
        ".hidden", "docs", "", "/", "img", "a\0b", "//[", "http://[", "/static/\ud800", "?",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["Static", "Media", "MountedFile"])
def test_what_is_not_there_is_not_found(site, kind, path):
    got = site(lambda was: getattr(was, kind)(path))
    assert (got.status, got.json["more_info"]) == (404, "there is no such file")


def test_a_static_file_can_only_be_read(site):
    got = site(lambda was: was.Static("img/logo.png"), "POST")
    assert (got.status, got["Allow"]) == (405, "GET, HEAD")
    got = site(lambda was: was.Static("img/logo.png"), "HEAD")
    assert (got.status, got.body, got["Content-Length"]) == (200, b"", "4")


def test_a_static_file_is_sent_in_ranges_and_not_twice(site):
    def make(was):
        return was.Static("big.txt")

    first = site(make)
    assert (first.status, len(first.body)) == (200, 50_000)
    got = site(make, range="bytes=5-14")
    assert (got.status, got.body) == (206, b"5678901234")
    got = site(make, if_none_match=first["ETag"])
    assert (got.status, got.body) == (304, b"")
    assert site(make, accept_encoding="gzip")["Content-Encoding"] == "gzip"


def test_what_the_handler_set_goes_with_the_static_file(site):
    def make(was):
        was.response.set_status("404 Not Here")
        was.response.set_header("ETag", '"mine"')
        was.response.set_header("Content-Type", "text/x")
        was.response.add_header("Set-Cookie", "a=1")
        was.response.add_header("Set-Cookie", "b=2")
        was.response.set_max_age(60)
        return was.Static("big.txt")

    got = site(make, accept_encoding="gzip")
    assert (got.status, got.reason, got["Content-Type"]) == (404, "Not Here", "text/x")
    assert (got.all("ETag"), got["Cache-Control"]) == (['"mine"'], "max-age=60")
    assert got.all("Set-Cookie") == ["a=1", "b=2"]


def test_static_files_may_be_sent_from_threads(site):
    pool = ThreadPool(2, 10)
    try:
        got = site(lambda was: was.Static("big.txt"), pool=pool)
        assert (got.status, len(got.body)) == (200, 50_000)
    finally:
        pool.stop(1.0)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_large_static_files_are_compressed_in_a_thread_and_by_the_loop_handed_to_it(
    tmp_path, asynchronous
):
    handed = []

    class Pool(ThreadPool):
        def resubmit(self, job, argument):
            asyncio.get_running_loop()  # the pool's own rule: it sets timers of the loop
            handed.append(job)
            super().resubmit(job, argument)

    (tmp_path / "large.txt").write_bytes(b"0123456789" * 20_000)
    directory = StaticDirectory("static", recheck=0)
    directory.add(str(tmp_path))
    app, pool = Atila("static"), Pool(2, 10)

    def plain(was):
        return was.Static("large.txt")

    async def coroutine(was):
        return was.Static("large.txt")

    app.route("/x")(coroutine if asynchronous else plain)
    driver = Driver(app, pool=pool)
    handlers = [(directory.prefix, StaticHandler(directory, pool))]
    app.mounted_files = Dispatcher({"default": Site(handlers, [])}).send_file
    try:
        got = driver.get("/x", accept_encoding="gzip")
    finally:
        pool.stop(1.0)
    assert (got.status, got["Content-Encoding"]) == (200, "gzip")
    assert len(handed) == asynchronous


def test_an_app_without_static_mounts_finds_nothing(tmp_path):
    app = Atila("none")
    app.route("/")(lambda was: was.Static("a.png"))
    assert Driver(app, home=tmp_path).get("/").status == 404


def test_a_file_that_vanishes_while_it_is_looked_up_is_not_found(site, tmp_path, monkeypatch):
    def open_removed(found):
        os.unlink(tmp_path / "static" / "big.txt")
        raise FileNotFoundError

    monkeypatch.setattr("skitai.handlers.static_files.StaticFile.open", open_removed)
    assert site(lambda was: was.Static("big.txt")).status == 404
