"""The demo in a real browser: what a visitor sees, on a desk and on a phone, and what clicks do."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path

import pytest
import requests
from chromium import Chromium, find_chromium
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import skitai
from skitai.errors import SkitaiError

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

SERVE = str(Path(__file__).parents[2] / "serve.py")
PAGES = ["/", "/books/1", "/books/new", "/authors/Tove%20Jansson", "/about", "/live"]
PAGES += ["/source/library.py"]
CARDS = "document.querySelectorAll('.card').length"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
LIGHT, DARK = "rgb(247, 242, 233)", "rgb(25, 22, 20)"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHELF_DB", str(tmp_path_factory.mktemp("demo") / "books.sqlite3"))
        with skitai.test_client(SERVE, port=port, devel=True):
            yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@pytest.fixture
def browser(chromium):
    chromium.errors.clear()
    chromium.screen(1280, 900)
    yield chromium
    assert chromium.errors == []


def fill(browser, **values):
    for name, value in values.items():
        browser.run(f"document.querySelector('.book-form [name={name}]').value = {value!r}")


def text(browser, selector):
    return browser.run(f"document.querySelector({selector!r}).innerText")


def test_front_page_looks_like_a_shelf(site, browser, tmp_path):
    browser.open(site + "/")
    assert browser.run(CARDS) == 13
    assert "Piranesi" in text(browser, ".cards")
    assert text(browser, "h1") == "A shelf to share"

    assert browser.run(BACKGROUND) == LIGHT
    assert browser.run("document.querySelector('.spine').getBoundingClientRect().height") > 100
    assert browser.run("[...document.images].every((image) => image.naturalWidth > 0)")

    shot = tmp_path / "front.png"
    browser.screenshot(shot)
    width, height = struct.unpack(">II", shot.read_bytes()[16:24])
    assert (width, height) == (1280, 900)
    assert shot.stat().st_size > 20_000  # an empty page has 5,000 bytes


def test_dark_mode_follows_the_visitor(site, browser):
    browser.screen(1280, 900, dark=True)
    browser.open(site + "/")
    assert browser.run(BACKGROUND) == DARK


@pytest.mark.parametrize("path", PAGES)
def test_pages_fit_on_a_phone(site, browser, path):
    browser.screen(360, 740)
    browser.open(site + path)
    assert browser.run("document.scrollingElement.scrollWidth") <= 360


@pytest.mark.parametrize("path", PAGES)
def test_nothing_comes_from_elsewhere(site, browser, path):
    browser.open(site + path)
    loaded = browser.run("performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert loaded
    assert all(name.startswith(site + "/") for name in loaded)


def test_book_is_added_by_the_form(site, browser):
    browser.open(site + "/")
    browser.follow("document.querySelector('.top .button').click()")
    fill(browser, title="Momo <img src=x>", author="Michael Ende", year="1973", rating="4")
    browser.follow("document.querySelector('.book-form .button').click()")
    assert text(browser, "h1") == "Momo <img src=x>"
    assert "Michael Ende, 1973" in text(browser, ".book .by")
    assert browser.run("document.querySelectorAll('.rate [aria-pressed=true]').length") == 4

    browser.open(site + "/")
    assert text(browser, ".card h2") == "Momo <img src=x>"


def test_form_asks_for_what_is_missing(site, browser):
    browser.open(site + "/books/new")
    browser.run("document.querySelector('.book-form .button').click()")
    assert browser.run("document.querySelector('[name=title]').matches(':invalid')")
    assert browser.run("location.pathname") == "/books/new"


def test_search_finds(site, browser):
    browser.open(site + "/?status=finished")
    browser.run("document.querySelector('[name=q]').value = 'calvino'")
    browser.follow("document.querySelector('.filter').requestSubmit()")
    assert browser.run(CARDS) == 1
    assert text(browser, ".card h2") == "Invisible Cities"
    assert browser.run("document.querySelector('[name=q]').value") == "calvino"


def test_buttons_save_at_once(site, browser):
    browser.open(site + "/books/6")
    browser.run("document.querySelector('.switch [value=finished]').click()")
    browser.wait("document.querySelector('.toast').innerText === 'Saved'")
    browser.run("document.querySelector('.rate [value=\"3\"]').click()")
    stars = "document.querySelectorAll('.rate [aria-pressed=true]').length"
    browser.wait(f"{stars} === 3")

    browser.open(site + "/books/6")
    assert text(browser, ".switch [aria-pressed=true]") == "Finished"
    assert browser.run(stars) == 3


def test_book_is_removed(site, browser):
    browser.open(site + "/books/2")
    browser.run("window.confirm = () => true")
    browser.follow("document.querySelector('.remove').click()")
    assert browser.run("location.pathname") == "/"
    assert "The Pillow Book" not in text(browser, ".cards")


def test_tour_hears_from_the_event_loop(site, browser):
    browser.open(site + "/about")
    heard = "document.querySelector('[data-clock]').innerText"
    assert "MainThread of worker" in browser.wait(f"{heard} !== '…' && {heard}")


def test_error_page_is_readable(site, browser):
    browser.open(site + "/oops")
    assert "IndexError" in text(browser, "body")
    assert any("500" in error for error in browser.errors)
    browser.errors.clear()


def test_missing_browser_names_the_package(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SkitaiError, match="apt-get install chromium"):
        find_chromium()


def test_reading_room_is_live(site, browser):
    said = "[...document.querySelectorAll('.said li')].map((line) => line.innerText)"
    browser.open(site + "/live")
    browser.run("document.querySelector('.enter [name=name]').value = 'Ann <b>'")
    browser.run("document.querySelector('.enter .button').click()")
    browser.wait(f"{said}.includes('Ann <b> came in')")

    url = site.replace("http", "ws") + "/live/rooms/shelf?name=Bob"
    with connect(url, proxy=None) as bob:
        browser.wait(f"{said}.includes('Bob came in')")
        browser.run("document.querySelector('.say [name=text]').value = 'Hello <img src=x>'")
        browser.run("document.querySelector('.say .button').click()")
        browser.wait(f"{said}.includes('Ann <b> Hello <img src=x>')")
        heard = [json.loads(bob.recv(30)) for _ in range(2)]
        assert heard[-1] == {"who": "Ann <b>", "text": "Hello <img src=x>"}

        bob.send('{"text": "Hi Ann"}')
        browser.wait(f"{said}.includes('Bob Hi Ann')")
        book = {"title": "Ronja", "author": "Astrid Lindgren"}
        assert requests.post(site + "/api/books", json=book, timeout=30).status_code == 201
        browser.wait(f"{said}.includes('Shelf Ronja by Astrid Lindgren is new')")
    browser.wait(f"{said}.includes('Bob left')")
    assert browser.run("document.querySelector('.say [name=text]').value") == ""


def test_reading_room_refuses_what_is_no_message(site):
    url = site.replace("http", "ws") + "/live/rooms/shelf"
    for query in ("", "?name=", "?name=" + "x" * 41, "?name=a&more=b&name=c"):
        with pytest.raises(InvalidStatus) as refused, connect(url + query, proxy=None):
            pass
        assert refused.value.response.status_code == 400
    with connect(url + "?name=Bob", proxy=None) as bob:
        assert json.loads(bob.recv(30))["text"] == "came in"
        for wrong in ("7", "[]", "{}", '{"text": ""}', json.dumps({"text": "x" * 501})):
            bob.send(wrong)
            assert json.loads(bob.recv(30)) == {"error": "a message has 1 to 500 characters"}
