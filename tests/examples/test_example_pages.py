"""The pages of the examples, as users see them in a browser."""

from __future__ import annotations

import json

import pytest
from websockets.sync.client import connect

from tests.e2e.chromium import Chromium

pytestmark = pytest.mark.browser
PATIENCE = 30.0  # seconds


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("profile"), timeout=PATIENCE) as browser:
        browser.screen(900, 700)
        yield browser


def submit(**fields):
    """A script that fills the fields of the visible form and sends it."""
    return (
        f"for (const [name, value] of Object.entries({json.dumps(fields)}))"
        " document.querySelector(`form:not([hidden]) [name=${name}]`).value = value;"
        " document.querySelector('form:not([hidden]) button').click()"
    )


def test_chat(example, browser, tmp_path):
    with example("chat").start() as client:
        browser.open(f"{client.url}/?room=tea")
        browser.run(submit(name="Momo"))
        browser.wait("!document.getElementById('say').hidden")
        url = f"ws://127.0.0.1:{client.port}/rooms/tea?name=Beppo"
        with connect(url, proxy=None, open_timeout=PATIENCE) as beppo:
            beppo.send(json.dumps({"text": "<i>hello</i>"}))
            browser.wait("document.body.innerText.includes('<i>hello</i>')")
            browser.run(submit(text="welcome"))
            while json.loads(beppo.recv(PATIENCE)) != {"name": "Momo", "text": "welcome"}:
                pass
        browser.wait("document.body.innerText.includes('left')")
        browser.screenshot(tmp_path / "chat.png")
        assert browser.errors == []
        browser.open("about:blank")


def test_live_feed(example, browser, tmp_path):
    with example("live-feed").start() as client:
        browser.open(f"{client.url}/")
        browser.run(submit(text="The tea is ready"))
        browser.wait("document.querySelector('#news li')?.textContent === 'The tea is ready'")
        browser.screenshot(tmp_path / "live-feed.png")
        assert browser.errors == []
        browser.open("about:blank")


def test_upload(example, browser, tmp_path):
    project = example("upload")
    with project.start() as client:
        browser.open(f"{client.url}/")
        browser.run(
            "const files = new DataTransfer();"
            " files.items.add(new File(['x'.repeat(100000)], 'tea.txt'));"
            " document.querySelector('input').files = files.files"
        )
        browser.follow("document.querySelector('button').click()")
        browser.wait("document.querySelector('li a')?.textContent === 'tea.txt'")
        browser.screenshot(tmp_path / "upload.png")
        assert browser.errors == []
    assert (project.folder / "uploads" / "tea.txt").stat().st_size == 100000


def test_login(example, browser, tmp_path):
    with example("login").start(devel=True) as client:
        browser.open(f"{client.url}/register")
        browser.follow(submit(name="momo", password="open sesame"))
        assert "Welcome, momo. Now log in." in browser.run("document.body.innerText")
        browser.follow(submit(name="momo", password="open barley"))
        assert "not right" in browser.run("document.body.innerText")
        browser.screenshot(tmp_path / "login.png")
        browser.follow(submit(name="Momo", password="open sesame"))
        assert browser.run("document.querySelector('h1').innerText") == "Welcome, momo"
        browser.follow("document.querySelector('a').click()")
        assert "momo, admin" in browser.run("document.body.innerText")
        browser.open(f"{client.url}/")
        browser.follow(submit())
        assert browser.errors == []
        assert browser.run("fetch('/admin').then((answer) => answer.status)") == 401
        browser.open(f"{client.url}/")  # answered with 401, and the form
        browser.follow(submit(name="momo", password="open sesame"))
        assert browser.run("document.querySelector('h1').innerText") == "Welcome, momo"
        browser.open("about:blank")
        browser.errors.clear()  # Chromium reports the two answers with 401


def test_plugin(example, browser, tmp_path):
    with example("plugin").start() as client:
        browser.open(f"{client.url}/")
        browser.follow("document.querySelector('a').click()")
        browser.follow(submit(text="<b>Good</b> tea"))
        assert browser.run("document.querySelector('li').innerText") == "<b>Good</b> tea"
        assert "15 characters of feedback" in client.log()
        assert browser.errors == []
        browser.screenshot(tmp_path / "plugin.png")
