"""Flask, Django, FastAPI and bare apps in one service of two workers."""

from __future__ import annotations

import sqlite3

import pytest
from hosted_project import FILES
from live_service import eventually, run_script, write_files
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytestmark = pytest.mark.e2e

NAMES = ["one", "two", "three"]


@pytest.fixture(scope="module")
def service(launch_once, tmp_path_factory):
    path = tmp_path_factory.mktemp("database") / "db.sqlite3"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT)")
    connection.executemany("INSERT INTO item (name) VALUES (?)", [(name,) for name in NAMES])
    connection.commit()
    connection.close()
    return launch_once({**FILES, "project/db.sqlite3": path.read_bytes()}, workers=2)


# -- where they are


def test_a_native_app_is_asked_before_a_hosted_one_at_the_same_point(browser):
    assert browser("/native").text == "native"
    assert browser("/").text == "flask"
    assert browser("/nothing").status_code == 404


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/bé/", "/bé|/"),
        ("/bé/é/x", "/bé|/é/x"),
        ("/bare-asgi/", "/bare-asgi|/bare-asgi/"),
        ("/bare-asgi/x", "/bare-asgi|/bare-asgi/x"),
    ],
)
def test_apps_know_where_they_are(browser, path, text):
    assert browser(path).content.decode() == text


@pytest.mark.parametrize("point", ["/django", "/django-asgi", "/api", "/bare-asgi", "/b%C3%A9"])
def test_a_point_without_its_slash_is_redirected_with_its_query(browser, point):
    answer = browser(f"{point}?x=1&y=%20", "POST", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (308, f"{point}/?x=1&y=%20")


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("www.example.com:80", "|/"),
        ("a.example.org", "|/"),
        ("example.org", "|/"),
        ("x.y", "flask"),
    ],
)
def test_hosts(browser, host, text):
    assert browser("/", headers={"Host": host}).text == text


# -- Flask


def test_flask_answers_from_every_worker(browser, service):
    seen = set()
    eventually(lambda: seen.add(service.get("/pid").text) or len(seen) == 2, "both workers")
    assert seen == {str(pid) for pid in service.workers()}


def test_flask_uploads_streams_files_sessions_and_redirects(browser):
    upload = browser(
        "/upload", "POST", data={"field": "f"}, files={"file": ("a.txt", b"x" * 2_000_000)}
    )
    assert upload.json() == {"name": "a.txt", "size": 2_000_000, "field": "f"}
    assert browser("/stream?mark=-").text == "0-1-2-3-4-"
    source = browser("/source")
    assert "create_app" in source.text
    part = browser("/source", headers={"Range": "bytes=1-6"})
    assert (part.status_code, part.content) == (206, source.content[1:7])
    etag = {"If-None-Match": source.headers["ETag"]}
    assert browser("/source", headers=etag).status_code == 304
    assert [browser("/visits").text for _ in range(3)] == ["1", "2", "3"]
    assert browser("/away", allow_redirects=False).headers["Location"] == "/"
    head = browser("/", "HEAD")
    assert (head.headers["Content-Length"], head.content) == ("5", b"")


# -- Django


@pytest.mark.parametrize("point", ["/django", "/django-asgi"])
def test_django_answers_streams_and_takes_uploads(browser, point):
    assert browser(f"{point}/").text == f"django at {point}/"
    assert browser(f"{point}/rows").json() == NAMES
    assert browser(f"{point}/coroutine").text == "a coroutine"
    assert "urlpatterns" in browser(f"{point}/source").text
    upload = browser(f"{point}/upload", "POST", files={"file": ("a", b"x" * 3_000_000)})
    assert upload.json() == {"size": 3_000_000}


def test_django_streams_from_its_database(browser):
    assert browser("/django/stream").text == "".join(NAMES)


# -- FastAPI


def test_fastapi_answers_streams_and_works_behind_its_answers(browser, service):
    assert browser("/api/items/4?q=%C3%A9").json() == {"id": 4, "q": "é"}
    assert browser("/api/items/x").status_code == 422
    url = f"http://127.0.0.1:{service.port}/api/plain"
    assert browser("/api/plain").json() == {"pool": "open", "url": url}
    upload = browser("/api/upload", "POST", files={"file": ("a.txt", b"x" * 3_000_000)})
    assert upload.json() == {"name": "a.txt", "size": 3_000_000}
    assert browser("/api/stream").text == "01234"
    assert "FileResponse" in browser("/api/source").text
    worker = browser("/api/work").json()
    assert worker in service.workers()
    eventually(lambda: worker in service.get("/api/done").json(), "the work in the background")
    assert "/items/{id}" in browser("/api/openapi.json").json()["paths"]


def test_fastapi_has_websockets(service):
    with connect(f"ws://127.0.0.1:{service.port}/api/socket") as client:
        for text in ("a", "é" * 70_000):
            client.send(text)
            assert client.recv(10) == f"<{text}>"
    with pytest.raises(InvalidStatus) as caught:
        connect(f"ws://127.0.0.1:{service.port}/api/nowhere").close()
    assert caught.value.response.status_code == 403


# -- what goes wrong


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/crash", "in flask"),
        ("/django/crash", "in django"),
        ("/django-asgi/crash", "in django"),
        ("/api/crash", "in fastapi"),
    ],
)
def test_a_crash_is_500_and_in_the_log_and_the_workers_live(browser, service, path, reason):
    workers = service.workers()
    answer = browser(path)
    assert answer.status_code == 500
    assert reason not in answer.text
    service.wait_for_log(f"LookupError: {reason}")
    assert service.workers() == workers


LIFESPAN = """
    from contextlib import asynccontextmanager
    from starlette.applications import Starlette

    @asynccontextmanager
    async def lifespan(app):
        {0}
        print("it began", flush=True)
        yield
        print("it ended", flush=True)

    app = Starlette(lifespan=lifespan)
"""
LAUNCH = (
    "import skitai\nskitai.mount('/', {0})\nif __name__ == '__main__':\n    skitai.run(port=0)\n"
)


def test_the_lifespan_of_an_app_is_that_of_its_worker(launch):
    service = launch({"serve.py": LAUNCH.format("'site:app'"), "site.py": LIFESPAN.format("")})
    service.wait_for_log("it began")
    assert "it ended" not in service.log()
    service.client.stop()
    assert "it ended" in service.log()


MISTAKES = {
    "lifespan": ("'site:app'", LIFESPAN.format("raise OSError('no disk')"), "OSError: no disk"),
    "shape": ("'site:app'", "def app(scope): ...", "takes one argument, as ASGI 2 had it"),
    "class": ("'site:App'", "class App: ...", "no app: make it with Atila(__name__)"),
    "import": ("'site:app'", "import nowhere", "No module named 'nowhere'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_end_the_start_with_their_reason(tmp_path, name):
    target, source, reason = MISTAKES[name]
    write_files(tmp_path, {"serve.py": LAUNCH.format(target), "site.py": source})
    result = run_script(tmp_path)
    assert result.returncode == 2
    assert reason in result.stderr


def test_devel_reloads_a_hosted_app(launch):
    source = (
        "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{}']\n"
    )
    files = {"serve.py": LAUNCH.format("'site:app'"), "site.py": source.format("old")}
    service = launch(files, devel=True)
    assert service.get("/").text == "old"
    write_files(service.folder, {"site.py": source.format("new")})
    eventually(lambda: service.get("/").text == "new", "the new code")
