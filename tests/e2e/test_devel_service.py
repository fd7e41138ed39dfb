"""A service under --devel: what its pages are told when files are saved, and how workers change."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from live_service import eventually, run_script, write_files
from tls_project import make_pair

if TYPE_CHECKING:
    from pathlib import Path

    from live_service import LiveService

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    import site_app

    if __name__ == "__main__":
        with skitai.preference() as pref:
            pref.set_media("/media", "media")
        skitai.mount("/shop", site_app, pref)
        skitai.run(address="127.0.0.1", devel_watch="settings.toml", SETTINGS)
"""
APP = """
    import os, sys, skitai
    from atila import Atila
    from .words import WORD
    sys.path.append(os.path.join(os.path.dirname(__file__), "../../shared"))
    import tool

    def __app__():
        return Atila(__name__)

    def __setup__(app, mntopt):
        app.add_template_dir("../elsewhere")

    def __mount__(app, mntopt):
        @app.route("/")
        def index(was):
            return f"<html><body>{WORD} {tool.NAME}</body></html>"

        @app.route("/setting")
        def setting(was):
            return open("settings.toml").read()

        @app.route("/echo")
        @app.websocket(skitai.WS_REPORTY, 60)
        def echo(was, message):
            return message
"""
FILES = {
    "serve.py": SERVE.replace("SETTINGS", ""),
    "settings.toml": "one",
    "site_app/__init__.py": APP,
    "site_app/words.py": "WORD = 'first'\n",
    "site_app/static/look.css": "",
    "site_app/static/logo.svg": "",
    "media/photo.png": "",
    "../elsewhere/page.j2": "",
    "../shared/tool.py": "NAME = 'hammer'\n",
}


class Stream:
    """The stream of events that a page listens to."""

    def __init__(self, service: LiveService) -> None:
        connection = service.connect()
        connection.sendall(b"GET /-/devel/refresh HTTP/1.1\r\nHost: a\r\n\r\n")
        self._connection = connection
        self._data = b""

    def next(self) -> dict[str, Any] | None:
        """The next event; None at the end of the stream."""
        while (found := re.search(rb"data: (.*)\n\n", self._data)) is None:
            piece = self._connection.recv(65536)
            if not piece:
                return None
            self._data += piece
        self._data = self._data[found.end() :]
        event: dict[str, Any] = json.loads(found[1])
        return event

    def kind(self) -> str | None:
        event = self.next()
        return None if event is None else event["kind"]


def text_of(service: LiveService, path: str = "/shop/") -> str:
    return str(service.get(path).text)


def save(service: LiveService, name: str, text: str = "changed") -> None:
    write_files(service.folder, {name: text})


def test_what_is_saved_and_what_pages_are_told(launch):
    service = launch(FILES, devel=True)
    [worker] = service.workers()
    stream = Stream(service)
    assert stream.kind() == "hello"
    for name, kind in (
        ("site_app/static/look.css", "style"),
        ("site_app/static/logo.svg", "page"),
        ("../elsewhere/page.j2", "page"),
        ("site_app/templates/new.j2", "page"),
    ):
        save(service, name)
        assert stream.kind() == kind
    save(service, "media/photo.png")
    save(service, "site_app/static/look.css", "b")
    assert stream.kind() == "style"  # and nothing for the upload
    assert service.workers() == [worker]
    assert "reloading" not in service.log()


@pytest.mark.parametrize(
    ("name", "text", "path", "answer"),
    [
        ("settings.toml", "two", "/shop/setting", "two"),
        ("../shared/tool.py", "NAME = 'saw'\n", "/shop/", "<html><body>first saw"),
    ],
)
def test_other_files_that_the_code_depends_on_reload(launch, name, text, path, answer):
    service = launch(FILES, devel=True)
    worker = service.workers()
    save(service, name, text)
    service.wait_for_log(re.escape(f"{name} changed: reloading"))
    eventually(lambda: service.workers() != worker and len(service.workers()) == 1, "a new worker")
    assert text_of(service, path).startswith(answer)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_the_start_says_who_reaches_the_pages(launch, address):
    service = launch(
        {**FILES, "serve.py": SERVE.replace("127.0.0.1", address).replace("SETTINGS", "")},
        devel=True,
    )
    service.get("/shop/")
    save(service, "site_app/words.py", "WORD = 'second'\n")
    service.wait_for_log("changed: reloading")
    warnings = re.findall(r"--devel on \S+ whoever reaches this port", service.log())
    assert len(warnings) == (address == "0.0.0.0")


def test_the_old_worker_ends_at_once_although_pages_and_sockets_are_open(launch):
    service = launch(FILES, devel=True)
    [worker] = service.workers()
    streams = [Stream(service) for _ in range(3)]
    states = {stream.next()["state"] for stream in streams}
    assert len(states) == 1
    socket = service.connect()
    socket.sendall(
        b"GET /shop/echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert socket.recv(4096).startswith(b"HTTP/1.1 101")
    save(service, "site_app/words.py", "WORD = 'second'\n")
    for stream in streams:
        assert stream.next() is None
    assert socket.recv(4096)[2:4] == b"\x03\xf4"  # closed with 1012: come again
    socket.close()
    eventually(lambda: worker not in service.workers(), "the end of the old worker")
    assert "were still running" not in service.log()
    late = Stream(service).next()
    assert late["state"] not in states
    assert late["state"].split(".")[0] == states.pop().split(".")[0]
    assert text_of(service).startswith("<html><body>second")


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("site_app/words.py", "WORD = (\n", "SyntaxError: '(' was never closed"),
        ("serve.py", "def broken(:\n", "SyntaxError: invalid syntax (serve.py, line 1)"),
        ("serve.py", FILES["serve.py"].replace("devel_watch", "watching"), "unknown setting"),
        (
            "site_app/__init__.py",
            APP.replace('@app.route("/")', '1 / 0\n        @app.route("/")'),
            "app 'site_app'",
        ),
        ("site_app/words.py", "raise SystemExit('enough')\n", "enough"),
        ("site_app/words.py", "import os; os._exit(3)\n", "worker w0 (pid "),
    ],
)
def test_why_saved_code_cannot_start_is_told_once_and_to_all(launch, name, text, title):
    service = launch(FILES, devel=True)
    workers = service.workers()
    stream = Stream(service)
    state = stream.next()["state"]
    save(service, name, text)
    event = stream.next()
    assert (event["kind"], event["state"]) == ("failure", state)
    assert title in event["failure"]["title"]
    assert event["failure"]["trace"]
    service.wait_for_log("reload given up, the old workers go on: ")
    eventually(lambda: service.workers() == workers, "the end of the new worker")
    assert service.log().count("reload given up") == 1
    assert service.log().count("Traceback (most recent") <= 1
    assert Stream(service).next()["failure"] == event["failure"]
    save(service, "site_app/static/look.css")
    assert stream.next()["failure"] == event["failure"]
    write_files(service.folder, {name: FILES[name].replace("first", "mended")})
    assert stream.next() is None
    assert Stream(service).next()["failure"] is None


def test_what_new_code_writes_while_it_starts_is_seen(launch):
    service = launch(FILES, devel=True)
    noise = "import sys, warnings\nsys.stderr.write('here I am\\n')\nWORD = 'second'\n"
    noise += "try:\n    1 / 0\nexcept ZeroDivisionError:\n    import traceback\n"
    save(service, "site_app/words.py", noise + "    traceback.print_exc()\n")
    service.wait_for_log("generation 1 serves")
    service.wait_for_log("^here I am$")
    service.wait_for_log("^ZeroDivisionError: division by zero$")
    assert "given up" not in service.log()


def test_the_first_start_with_broken_code_fails_as_without_devel(tmp_path: Path) -> None:
    write_files(tmp_path, {**FILES, "site_app/words.py": "WORD = (\n"})
    ended = run_script(tmp_path, "--devel", "--port=0")
    assert ended.returncode == 1  # Python's own: the script ended before it had a service
    assert "SyntaxError: '(' was never closed" in ended.stderr
    broken = APP.replace('@app.route("/")', '1 / 0\n        @app.route("/")')
    write_files(tmp_path, {**FILES, "site_app/__init__.py": broken})
    ended = run_script(tmp_path, "--devel", "--port=0")
    assert ended.returncode == 2
    assert "ZeroDivisionError" in ended.stderr + ended.stdout


@pytest.mark.parametrize("how", ["refresh off", "production"])
def test_without_it_pages_are_as_they_are(launch, how):
    settings = "devel_refresh=False" if how == "refresh off" else ""
    files = {**FILES, "serve.py": SERVE.replace("SETTINGS", settings)}
    service = launch(files, devel=how == "refresh off")
    assert text_of(service) == "<html><body>first hammer</body></html>"
    assert service.get("/-/devel/refresh.js").status_code == 404
    if how == "refresh off":
        save(service, "site_app/words.py", "WORD = 'second'\n")
        eventually(lambda: "second" in text_of(service), "the new code")


def test_over_tls_and_http2(launch, tmp_path):
    certificate, key = make_pair(tmp_path, "localhost")
    setting = f"certfile={str(certificate)!r}, keyfile={str(key)!r}"
    files = {**FILES, "serve.py": SERVE.replace("SETTINGS", setting)}
    service = launch(files, devel=True, ssl=True)
    [worker] = service.workers()
    url = f"https://127.0.0.1:{service.port}"
    for version in ("--http1.1", "--http2"):
        page = curl(version, f"{url}/shop/")
        assert '<script async src="/-/devel/refresh.js"' in page
    stream = subprocess.Popen(
        ["curl", "-skN", "--http2", f"{url}/-/devel/refresh"], stdout=subprocess.PIPE, text=True
    )
    with stream:
        assert '"kind": "hello"' in stream.stdout.readline()
        save(service, "site_app/words.py", "WORD = 'second'\n")
        assert stream.stdout.read().strip() == ""
    eventually(lambda: worker not in service.workers(), "the end of the old worker")
    assert "second" in curl("--http2", f"{url}/shop/")


def curl(*words: str) -> str:
    return subprocess.run(["curl", "-sk", *words], capture_output=True, text=True).stdout
