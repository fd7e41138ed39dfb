"""Cookies, sessions and messages of real browsers' kind, at services with several workers."""

from __future__ import annotations

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from live_service import PATIENCE, eventually, receive

sys.path.insert(0, str(Path(__file__).parents[1] / "atila"))
from redis_server import RedisServer, redis_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from live_service import LiveService

pytestmark = pytest.mark.e2e

__all__ = ["redis_server"]

KEY = "ds8fdsflksdjf9879dsf;?<>Asda"

SERVE = """
    import skitai
    import myapp

    if __name__ == "__main__":
        with skitai.preference () as pref:
            {preference}
            skitai.mount ("/", myapp, pref)
            skitai.mount ("/shop", myapp, pref, name = "shop")
        skitai.run (address = "127.0.0.1", access_log = False)
"""

APP = """
    import asyncio
    import os
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __mount__ (app, mntopt):
        @app.route ("/login")
        def login (was, user):
            was.session.expire ()
            was.session ["user"] = user
            was.mbox.send (f"welcome {user}", "notice")
            was.cookie.set ("last", user)
            return was.redirect (was.urlfor ("who"))

        @app.route ("/who")
        def who (was):
            told = [message.msg for message in was.mbox.get ()]
            user, last = was.session ["user"], was.cookie ["last"]
            return was.API (user = user, told = told, last = last, pid = os.getpid ())

        @app.route ("/count")
        def count (was):
            was.session ["n"] = (was.session ["n"] or 0) + 1
            return was.API (n = was.session ["n"], user = was.session ["user"], pid = os.getpid ())

        @app.route ("/async/count")
        async def count_async (was):
            await was.session.load ()
            was.session ["n"] = (was.session ["n"] or 0) + 1
            await asyncio.sleep (0)
            return was.API (n = was.session ["n"], user = was.session ["user"], pid = os.getpid ())

        @app.route ("/stream/count")
        def count_stream (was):
            was.session ["n"] = (was.session ["n"] or 0) + 1
            yield str (was.session ["n"])

        @app.route ("/fail")
        def fail (was):
            was.session ["n"] = 1000
            was.cookie ["last"] = "failed"
            raise was.Error ("409 Conflict")

        @app.route ("/logout")
        def logout (was):
            was.session.expire ()
            return was.redirect (was.urlfor ("who"))

        @app.route ("/named")
        def named (was, user = None):
            was.session.mount ("SHOP", path = "/shop")
            if user:
                was.session ["user"] = user
            return was.API (user = was.session ["user"])

        @app.route ("/csrf")
        def csrf (was):
            return was.csrf_token

        @app.post ("/csrf")
        @app.csrf_verification_required
        def checked (was):
            return "checked"
"""


def start(launch: Callable[..., LiveService], *preference: str, **options: object) -> LiveService:
    lines = [f"pref.securekey = {KEY!r}"] if not preference else preference
    joined = "\n            ".join(lines)
    files = {"serve.py": SERVE.replace("{preference}", joined), "myapp.py": APP}
    return launch(files, **{"workers": 2, **options})


class Browser:
    """Keeps cookies as a browser does, and takes a new connection for each request, so that
    several workers answer it.
    """

    def __init__(self, service: LiveService) -> None:
        self._url = f"http://127.0.0.1:{service.port}"
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Connection"] = "close"
        self.cookies = self._session.cookies

    def get(self, path: str, **options: object) -> requests.Response:
        return self._session.get(f"{self._url}{path}", timeout=PATIENCE, **options)

    def post(self, path: str, **options: object) -> requests.Response:
        return self._session.post(f"{self._url}{path}", timeout=PATIENCE, **options)

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def browsers():
    made: list[Browser] = []

    def open_browser(service: LiveService) -> Browser:
        made.append(Browser(service))
        return made[-1]

    yield open_browser
    for browser in made:
        browser.close()


def until_all_workers(browser: Browser, service: LiveService, path: str) -> list[dict]:
    """The answers of requests, as many as it takes until all workers had one."""
    workers, seen, answers = set(service.workers()), set(), []
    while seen != workers:
        assert len(answers) < 1000
        answers.append(browser.get(path).json())
        seen.add(answers[-1]["pid"])
    return answers


@pytest.mark.parametrize("path", ["/count", "/async/count"])
def test_all_workers_know_a_session(launch, browsers, path):
    service = start(launch)
    browser = browsers(service)
    browser.get("/login?user=hans")
    answers = until_all_workers(browser, service, path)
    assert [answer["n"] for answer in answers] == list(range(1, len(answers) + 1))
    assert {answer["user"] for answer in answers} == {"hans"}


def test_the_life_of_a_user(launch, browsers):
    service = start(launch)
    browser, other = browsers(service), browsers(service)
    assert browser.get("/who").json()["user"] is None
    welcomed = browser.get("/login?user=hans").json()  # over the redirect
    assert (welcomed["user"], welcomed["told"], welcomed["last"]) == (
        "hans", ["welcome hans"], "hans",
    )  # fmt: skip
    assert browser.get("/who").json()["told"] == []
    assert other.get("/who").json()["user"] is None
    browser.get("/count")
    assert browser.get("/fail").status_code == 409
    assert browser.get("/count").json()["n"] == 2
    assert browser.get("/stream/count").text == "3"
    assert browser.cookies["last"] == "hans"
    assert browser.get("/logout").json()["user"] is None
    assert "ATLSES_" not in browser.cookies


def test_cookies_of_an_app_are_sent_to_its_mount_point_only(launch, browsers):
    service = start(launch)
    browser = browsers(service)
    browser.get("/shop/login?user=hans", allow_redirects=False)
    assert {cookie.name: cookie.path for cookie in browser.cookies} == {
        "ATLSES_": "/", "ATLMBX_": "/", "last": "/shop",
    }  # fmt: skip
    assert browser.get("/shop/who").json()["last"] == "hans"
    there = browser.get("/who").json()
    assert (there["user"], there["last"]) == ("hans", None)
    browser.get("/shop/named?user=shopper")
    assert browser.get("/shop/named").json()["user"] == "shopper"
    assert browser.get("/named").json()["user"] is None


def test_a_token_of_a_page_comes_back(launch, browsers):
    service = start(launch)
    browser = browsers(service)
    token = browser.get("/csrf").text
    assert browser.post("/csrf", data={"XSRF_TOKEN": token}).text == "checked"
    assert browser.post("/csrf", headers={"X-XSRF-TOKEN": token}).text == "checked"
    assert browser.post("/csrf").status_code == 400
    assert browsers(service).post("/csrf", data={"XSRF_TOKEN": token}).status_code == 400


def test_a_session_ends_after_its_time(launch, browsers):
    service = start(launch, f"pref.securekey = {KEY!r}", "pref.session_timeout = 1")
    browser = browsers(service)
    browser.get("/login?user=hans")
    kept = {cookie.name: cookie.value for cookie in browser.cookies}
    assert browser.get("/who").json()["user"] == "hans"
    # The cookie is sent on: it is the service that doesn't believe it any more.
    eventually(
        lambda: browser.get("/who", cookies=kept).json()["user"] is None, "the end of the session"
    )


def test_sessions_outlive_a_reload_of_the_service(launch, browsers):
    service = start(launch)
    before = set(service.workers())
    browser = browsers(service)
    browser.get("/login?user=hans")
    service.send(signal.SIGHUP)
    eventually(
        lambda: len(service.workers()) == 2 and not before & set(service.workers()), "new workers"
    )
    assert browser.get("/who").json()["user"] == "hans"


@pytest.mark.parametrize("store", ["cookie", "redis"])
def test_requests_at_the_same_time_never_mix_sessions(launch, browsers, request, store):
    preference = [f"pref.securekey = {KEY!r}"]
    if store == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        preference += [
            "from atila.state.session_store import RedisSessionStore",
            f"pref.session_store = RedisSessionStore ({server.url!r})",
        ]
    service = start(launch, *preference)

    def use(number: int) -> None:
        browser, user = browsers(service), f"user {number}"
        welcomed = browser.get(f"/login?user={user}").json()
        assert (welcomed["user"], welcomed["told"]) == (user, [f"welcome {user}"])
        for n in range(1, 21):
            path = "/count" if n % 2 else "/async/count"
            answer = browser.get(path).json()
            assert (answer["user"], answer["n"]) == (user, n)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(use, number) for number in range(16)]:
            done.result()
    assert "Traceback" not in service.log()


# -- Redis


def test_a_session_on_a_server_can_be_ended_there(launch, browsers, redis_server):
    service = start(
        launch,
        f"pref.securekey = {KEY!r}",
        "from atila.state.session_store import RedisSessionStore",
        f"pref.session_store = RedisSessionStore ({redis_server.url!r})",
    )
    with redis_server.client() as kept:
        kept.flushdb()
        browser, thief = browsers(service), browsers(service)
        browser.get("/login?user=hans")
        answers = until_all_workers(browser, service, "/async/count")
        assert [answer["n"] for answer in answers] == list(range(1, len(answers) + 1))
        thief.cookies.update(browser.cookies)
        assert thief.get("/who").json()["user"] == "hans"
        browser.get("/logout")
        assert {answer["user"] for answer in until_all_workers(thief, service, "/who")} == {None}
        assert kept.keys() == []


def test_a_server_that_goes_away_and_comes_back(launch, browsers, redis_server):
    service = start(
        launch,
        f"pref.securekey = {KEY!r}",
        "from atila.state.session_store import RedisSessionStore",
        f"pref.session_store = RedisSessionStore ({redis_server.url!r})",
    )
    browser = browsers(service)
    browser.get("/login?user=hans")
    redis_server.stop()
    for path in ("/count", "/async/count", "/stream/count"):
        answer = browser.get(path)
        assert (answer.status_code, answer.json()["code"]) == (502, 50200)
    assert browser.get("/csrf").status_code == 200
    redis_server.start()
    assert browser.get("/who").json()["user"] is None  # it came back empty
    browser.get("/login?user=hans")
    answers = until_all_workers(browser, service, "/count")
    assert {answer["user"] for answer in answers} == {"hans"}
    assert "session store: Redis failed" in service.log()


# -- without a key


def test_without_a_key_the_log_says_what_to_set(launch, browsers):
    service = start(launch, "pass")
    answer = browsers(service).get("/count", headers={"Accept": "text/html"})
    assert answer.status_code == 500
    assert "securekey" not in answer.text
    assert browsers(service).get("/csrf").status_code == 200
    service.wait_for_log(r"was\.session needs a key, and the app has none: set pref\.securekey to")


def test_in_development_the_page_says_so(launch, browsers):
    service = start(launch, "pass", devel=True, workers=1)
    answer = browsers(service).get("/count", headers={"Accept": "text/html"})
    assert answer.status_code == 500
    assert "was.session needs a key, and the app has none: set pref.securekey" in answer.text
    assert "secrets.token_urlsafe" in answer.text


def test_a_key_that_is_no_text_ends_the_start(launch):
    with pytest.raises(Exception, match="securekey must be text or bytes, not int"):
        start(launch, "pref.securekey = 12345678")


# -- hostile clients


COOKIES = [
    b"a=" + b"x" * 65000,
    b"a=" + b"x" * 66000,
    b"; ".join(b"c%d=%d" % (n, n) for n in range(1000)),
    b"ATLSES_=a; ATLSES_=b; ATLSES_=c",
    b'ATLSES_="a; b"; last="\\"quoted\\""',
    b"last=\xe9\xff\x80; ATLSES_=\xff",
    b"last=a\x00b",
    b"last=a\x01\x7fb",
    b"ATLSES_=" + b"A" * 60000,
    b"ATLMBX_=" + b".A" * 20000,
    b"; " * 10000,
    b"=" * 10000,
    b"%00%0d%0a=%00%0d%0aSet-Cookie:%20evil=1",
]


@pytest.mark.parametrize("path", [b"/who", b"/count", b"/login?user=a", b"/csrf"])
def test_no_cookie_is_a_crash(launch, path):
    service = start(launch, workers=1)
    [worker] = service.workers()
    for cookie in COOKIES:
        connection = service.connect()
        connection.sendall(
            b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: %b\r\n\r\n"
            % (path, cookie)
        )
        answer = receive(connection)
        assert answer.status in (200, 302, 400, 431), cookie[:50]
        assert answer.getheader("evil") is None
        connection.close()
    many = b"".join(b"Cookie: c%d=%d\r\n" % (n, n) for n in range(100))
    answer = service.raw(
        b"GET %b HTTP/1.1\r\nHost: a\r\n%bConnection: close\r\n\r\n" % (path, many)
    )
    assert answer.status in (200, 302)
    assert service.workers() == [worker]
    assert "Traceback" not in service.log()
