"""The test client's driver: a service as Chromium shows it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from client_project import serving

import skitai
from skitai.errors import SkitaiError
from skitai.testing.launcher import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

SERVE = """
    import skitai
    from atila import Atila

    app = Atila(__name__)
    app.securekey = "only for tests"

    PAGE = '''<!doctype html><link rel="icon" href="data:,"><title>Shop</title>
    <h1 class="top">Hello <b>WHO</b></h1>
    <form action="/login"><input name="user"><button>Enter</button></form>
    <div id="late"></div>
    <script>
      setTimeout(() => { document.querySelector("#late").innerHTML = "<i>later</i>" }, 200)
    </script>'''

    @app.route("/")
    def index(was):
        return PAGE.replace("WHO", was.session.get("user") or "nobody")

    @app.route("/login")
    def login(was, user):
        was.session["user"] = user
        return was.redirect("/welcome")

    @app.route("/welcome")
    def welcome(was):
        return '<link rel="icon" href="data:,"><p>Welcome ' + was.session["user"]

    @app.route("/logout")
    def logout(was):
        was.session.expire()
        return '<link rel="icon" href="data:,"><p>Bye'

    @app.route("/broken")
    def broken(was):
        return '''<link rel="icon" href="data:,"><script>
          console.error("said", 7); missing.name
        </script>'''

    if __name__ == "__main__":
        skitai.mount("/", app)
        SETUP
        skitai.run(address="127.0.0.1")
"""


@pytest.fixture(scope="module", params=["plain", "tls"])
def service(request, tmp_path_factory):
    folder, tls = tmp_path_factory.mktemp("driver"), request.param == "tls"
    with serving(folder, {"serve.py": SERVE}, tls=tls) as service:
        yield service


@pytest.fixture(scope="module")
def driven(service):
    """A client and its driver, which all tests share: a browser takes a second to start."""
    with (
        skitai.test_client(port=service.port, ssl=service.tls) as client,
        client.driver() as driver,
    ):
        yield client, driver


def test_elements_are_found_and_read(driven, tmp_path):
    _, driver = driven
    driver.navigate("/")
    heading = driver.one("h1")
    assert heading.text == "Hello nobody"
    assert heading.html == '<h1 class="top">Hello <b>nobody</b></h1>'
    assert (heading.get("class"), heading.get("id")) == ("top", None)
    assert driver.one("#late i").text == "later"
    assert "<title>Shop</title>" in driver.html
    assert driver.run("document.title.length") == 4
    driver.capture(tmp_path / "page.png")
    assert (tmp_path / "page.png").read_bytes().startswith(b"\x89PNG")


def test_forms_are_filled_and_cookies_are_shared(driven):
    client, driver = driven
    driver.navigate("/")
    driver.one("input").fill("momo")
    driver.one("button").click()
    assert driver.one("p").text == "Welcome momo"
    assert driver.url == f"{client.url}/welcome"
    driver.sync()
    assert client.get("/welcome").text.endswith("Welcome momo")
    client.get("/login?user=nana")
    driver.navigate("/welcome")
    assert driver.one("p").text == "Welcome nana"
    assert len(client.session.cookies) == 1
    driver.navigate("/logout")
    assert "Hello <b>nobody" in client.get("/").text
    client.session.cookies.set("plain", "1")
    driver.navigate("/")
    assert "plain=1" in driver.run("document.cookie")
    client.session.cookies.clear()
    driver.navigate("/")
    assert driver.run("document.cookie") == ""


def test_errors_of_pages_are_kept(driven):
    _, driver = driven
    driver.navigate("/")
    assert driver.errors == []
    driver.navigate("/broken")
    said, thrown = driver.errors
    assert said == "said 7"
    assert thrown.startswith("ReferenceError: missing is not defined")


def test_what_is_not_there_is_named(driven):
    _, driver = driven
    driver.navigate("/")
    driver.navigate("/#late")
    with pytest.raises(TimeoutError, match="'h7' has not come to http"):
        driver.one("h7", timeout=0.1)
    with pytest.raises(ValueError, match="'>>' is no CSS selector"):
        driver.one(">>")
    with pytest.raises(RuntimeError, match="ERR_CONNECTION_REFUSED"):
        driver.navigate(f"http://127.0.0.1:{free_port()}/")
    with pytest.raises(RuntimeError, match="TypeError"):
        driver.run("null.name")


@pytest.mark.parametrize("way", ["block", "client", "garbage"])
def test_nothing_stays(service, tmp_path, monkeypatch, way):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client = skitai.test_client(port=service.port, ssl=service.tls)
    driver = client.driver()
    driver.navigate("/")
    process = psutil.Process(driver._chromium._process.pid)
    group = [process, *process.children(recursive=True)]
    assert list(tmp_path.iterdir()) != []
    before = len(os.listdir("/proc/self/fd"))
    if way == "block":
        with driver:
            pass
    elif way == "client":
        client.stop()
        with pytest.raises(SkitaiError, match="has been stopped"):
            client.driver()
    else:
        del client, driver
    assert list(Path(tmp_path).iterdir()) == []
    assert psutil.wait_procs(group, timeout=30)[1] == []
    assert len(os.listdir("/proc/self/fd")) <= before - 3
    if way == "block":
        client.stop()


def test_the_missing_browser_is_named(service, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with (
        skitai.test_client(port=service.port) as client,
        pytest.raises(SkitaiError, match="apt-get install chromium"),
    ):
        client.driver()
    assert list(tmp_path.iterdir()) == []


def test_nothing_stays_when_the_interpreter_ends(service, tmp_path):
    source = (
        f"import skitai, tempfile\ntempfile.tempdir = {str(tmp_path)!r}\n"
        f"client = skitai.test_client(port={service.port}, ssl={service.tls})\n"
        "client.http2.get('/')\ndriver = client.driver()\ndriver.navigate('/')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
