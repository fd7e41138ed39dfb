"""The loop of edit, save and look in a real browser: pages follow what is saved under --devel."""

from __future__ import annotations

import socket
import time

import pytest
from chromium import Chromium
from live_service import eventually, write_files

import skitai

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

SERVE = """
    import skitai
    import site_app

    if __name__ == "__main__":
        skitai.mount("/", site_app)
        skitai.run(address="127.0.0.1", access_log=True)
"""
APP = """
    from atila import Atila
    from .words import WORD

    def __app__():
        return Atila(__name__)

    def __config__(pref):
        pref.set_static("/static", "site_app/static")

    def __mount__(app, mntopt):
        @app.route("/")
        def index(was):
            return was.render("page.j2", word=WORD)

        @app.route("/strict")
        def strict(was):
            was.response["Content-Security-Policy"] = "default-src 'self'"
            return was.render("page.j2", word=WORD)

        @app.route("/form", methods=["POST"])
        def form(was):
            return was.render("page.j2", word="posted")
"""
PAGE = """
    <!doctype html><html><head><link rel="stylesheet" href="/static/look.css"></head>
    <body><p>{{ word }}</p><b>one</b><input></body></html>
"""
FILES = {
    "serve.py": SERVE,
    "site_app/__init__.py": APP,
    "site_app/words.py": "WORD = 'first'\n",
    "site_app/templates/page.j2": PAGE,
    "site_app/static/look.css": "@import 'base.css'; b { color: rgb(1, 1, 1) }",
    "site_app/static/base.css": "p { color: rgb(1, 1, 1) }",
}
WORD = "document.querySelector('p').textContent"
BOLD = "document.querySelector('b').textContent"
COLOUR = "getComputedStyle(document.querySelector('b')).color"
BASE = "getComputedStyle(document.querySelector('p')).color"
OVERLAY = "document.querySelector('skitai-devel')?.shadowRoot.textContent || ''"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


class Window:
    """One of several pages of the browser."""

    def __init__(self, browser, url):
        self.browser = browser
        browser._session, kept = "", browser._session
        try:
            target = browser.call("Target.createTarget", url=url)["targetId"]
            attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
            self.session, self.target = attached["sessionId"], target
        finally:
            browser._session = kept

    def run(self, script):
        """The value of a script; None while another page takes the place of this one."""
        self.browser._session, kept = self.session, self.browser._session
        try:
            return self.browser.run(script)
        except RuntimeError:
            return None
        finally:
            self.browser._session = kept

    def shows(self, script, value):
        eventually(lambda: self.run(script) == value, f"{script} is {value}")

    def says(self, words):
        """The text of the overlay, when it has these words."""
        return eventually(lambda: words in (self.run(OVERLAY) or "") and self.run(OVERLAY), words)

    def listens(self):
        """Wait until the page, or another one for it, is connected."""
        connected = "performance.getEntriesByType('resource').some(e => /refresh.js/.test(e.name))"
        eventually(lambda: self.run(connected), "the script")
        self.run("window.kept = true; document.querySelector('input').value = 'typed'")

    def close(self):
        self.browser._session, kept = "", self.browser._session
        self.browser.call("Target.closeTarget", targetId=self.target)
        self.browser._session = kept


@pytest.fixture
def opened(browser):
    windows = []

    def open_window(service, path="/"):
        window = Window(browser, f"http://127.0.0.1:{service.port}{path}")
        windows.append(window)
        window.listens()
        return window

    yield open_window
    for window in windows:
        window.close()


def save(service, **changes):
    names = {"words": "site_app/words.py", "page": "site_app/templates/page.j2"}
    names |= {"look": "site_app/static/look.css", "base": "site_app/static/base.css"}
    write_files(service.folder, {names[name]: text for name, text in changes.items()})


def test_all_windows_show_saved_code_and_the_time_that_takes(launch, opened, record_property):
    service = launch(FILES, devel=True)
    windows = [opened(service) for _ in range(3)]
    for number in range(3):
        began = time.monotonic()
        save(service, words=f"WORD = 'number {number}'\n")
        windows[0].shows(WORD, f"number {number}")
        took = time.monotonic() - began
        record_property("seconds from save to page", took)
        print(f"from save to page: {took:.3f} s")
        for window in windows:
            window.shows(WORD, f"number {number}")
    assert "/-/devel" not in service.log()


def test_a_saved_template_is_shown_by_the_same_worker(launch, opened):
    service = launch(FILES, devel=True)
    workers = service.workers()
    window = opened(service)
    save(service, page=PAGE.replace("one", "two"))
    window.shows(BOLD, "two")
    assert service.workers() == workers


def test_saved_styles_are_swapped_and_the_page_stays(launch, opened):
    service = launch(FILES, devel=True)
    window = opened(service, "/strict")
    save(service, look=FILES["site_app/static/look.css"].replace("1, 1, 1", "2, 2, 2"))
    window.shows(COLOUR, "rgb(2, 2, 2)")
    save(service, base="p { color: rgb(3, 3, 3) }")
    window.shows(BASE, "rgb(3, 3, 3)")
    assert window.run("window.kept && document.querySelector('input').value") == "typed"
    window.shows("document.querySelectorAll('link').length", 1)


def test_broken_code_is_shown_above_the_page_until_it_is_mended(launch, opened):
    service = launch(FILES, devel=True)
    window, other = opened(service), opened(service, "/strict")
    save(service, words="WORD = 'first'\n\nif True:\n    broken = '<b>' +\n")
    for each in (window, other):
        text = each.says("SyntaxError: invalid syntax")
        assert "site_app/words.py, line 4" in text
        assert "broken = '<b>' +" in text
        assert "Traceback (most recent call last)" in text
    late = opened(service)
    late.says("SyntaxError: invalid syntax")
    assert window.run(WORD) == "first"
    assert window.run("window.kept")  # the page itself was not loaded anew
    save(service, words="raise RuntimeError('not <i>yet</i>')\n")
    window.says("RuntimeError: not <i>yet</i> (site_app/words.py, line 1)")
    save(service, words="WORD = 'mended'\n")
    for each in (window, other, late):
        each.shows(WORD, "mended")
        each.shows(OVERLAY, "")
    assert service.log().count("reload given up") == 2


def test_pages_wait_for_a_service_that_is_started_again(opened, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    write_files(tmp_path, FILES)
    with skitai.test_client(tmp_path / "serve.py", port=port, devel=True) as service:
        window = opened(service)
    write_files(tmp_path, {"site_app/words.py": "WORD = 'after a break'\n"})
    with skitai.test_client(tmp_path / "serve.py", port=port, devel=True):
        window.shows(WORD, "after a break")


def test_the_answer_to_a_form_is_not_asked_for_again(launch, opened):
    service = launch(FILES, devel=True)
    window = opened(service)
    window.run(
        "const form = document.createElement('form'); form.method = 'post';"
        " form.action = '/form'; document.body.append(form); form.submit()"
    )
    window.shows(WORD, "posted")
    window.listens()
    save(service, words="WORD = 'second'\n")
    window.says("The code has changed")
    assert window.run("window.kept")
    assert service.log().count("POST /form") == 1


def test_two_services_do_not_disturb_each_other(launch, opened, tmp_path):
    first = launch(FILES, devel=True)
    write_files(tmp_path / "other", FILES)
    second = type(first)(tmp_path / "other", devel=True)
    try:
        one, two = opened(first), opened(second)
        save(second, words="WORD = 'second'\n")
        two.shows(WORD, "second")
        assert one.run("window.kept")
        save(first, words="WORD = 'of the first'\n")
        one.shows(WORD, "of the first")
        assert two.run(WORD) == "second"
    finally:
        second.close()
