"""Cookies, sessions and messages as browsers and caches see them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from driving import HTML, Driver
from state_apps import Browser, browser_of, declare, new_app, pool, running, spoil

from atila.errors import ConfigError
from atila.state.session_store import RedisSessionStore

__all__ = ["pool", "running"]

# -- the life of a session


class Clock:
    """The time of a test; it moves it."""

    now = 1_800_000_000.25

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.time", made.time)
    return made


def test_a_session_lives_as_long_as_it_is_changed(clock):
    app = new_app()
    app.session_timeout = 100
    for name, work in {
        "set": lambda was: was.session.set("user", "hans"),
        "touch": lambda was: was.session.touch(),
        "remember": lambda was: was.session.set_expiry(1000),
        "expire": lambda was: was.session.expire(),
    }.items():
        declare(app, f"/{name}", "plain", lambda was, work=work: work(was) or "")
    declare(
        app, "/look", "plain",
        lambda was: [was.session["user"], was.session.impending(), round(was.session.use_time())],
    )  # fmt: skip
    browser = Browser(Driver(app))

    def after(seconds: float, target: str = "/look") -> Any:
        clock.now += seconds
        answer = browser.get(target)
        return answer.json if answer.body else bool(browser.sent)

    assert after(0) == [None, False, 0]
    assert after(0, "/set") is True
    assert after(79) == ["hans", False, 78]
    assert after(10) == ["hans", True, 88]  # looking at it has changed nothing
    assert after(0, "/touch") is True
    assert after(50) == ["hans", False, 49]
    assert after(0, "/remember") is True
    assert after(90, "/set") is True  # does not shorten it
    assert after(700) == ["hans", False, 789]
    assert after(205) == ["hans", True, 994]
    assert after(10) == [None, False, 0]
    after(0, "/set")
    assert after(0, "/expire") is True
    assert browser.jar.cookies == {}


def test_the_session_of_another_app_is_none(clock):
    apps = [new_app("one"), new_app("other")]
    apps[1].securekey = "another key, also a long one"
    browsers = []
    for app in apps:
        declare(app, "/set", "plain", lambda was: was.session.set("user", was.app.name) or "")
        declare(app, "/look", "plain", lambda was: str(was.session["user"]))
        browsers.append(Browser(Driver(app)))
    one, other = browsers
    other.jar = one.jar
    one.get("/set")
    assert (one.text("/look"), other.text("/look")) == ("one", "None")
    assert other.sent == []  # it may be that of an app which is still there
    other.get("/set")
    assert (one.text("/look"), other.text("/look")) == ("None", "other")


@pytest.mark.parametrize("store", [RedisSessionStore, "redis://:secret@localhost", object()])
def test_what_is_no_store_ends_the_start(store):
    app = new_app()
    app.session_store = store
    with pytest.raises(ConfigError, match="session_store is .*, which is no store") as caught:
        Driver(app)
    assert "secret" not in str(caught.value)


# -- where a cookie is valid


def test_a_cookie_is_valid_where_its_app_is_mounted_and_a_session_everywhere():
    app = new_app()
    declare(app, "/", "plain", lambda was: spoil(was) or "")
    for point, path in (("/", "/"), ("/shop/", "/shop"), ("/a/b/", "/a/b")):
        browser = Browser(Driver(app, point=point))
        browser.get(point)
        paths = {cookie.name: cookie.attributes["path"] for cookie in browser.sent}
        assert paths == {"theme": path, "ATLSES_": "/", "ATLMBX_": "/"}


def test_a_cookie_with_all_its_attributes():
    def work(was):
        was.cookie.set(
            "user_id", "hans roh", expires=60, path="/a", domain="example.com", secure=True,
            http_only=True, same_site="Strict",
        )  # fmt: skip
        return ""

    (line,) = browser_of(work).get().all("Set-Cookie")
    assert re.fullmatch(
        r"user_id=hans\+roh; path=/a; expires=\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT; "
        r"domain=example\.com; SameSite=Strict; Secure; HttpOnly",
        line,
    )


def test_cookies_are_removed():
    app = new_app()
    declare(app, "/remove", "plain", lambda was: was.cookie.remove("a") or str(was.cookie["a"]))
    declare(app, "/clear", "plain", lambda was: was.cookie.clear() or str(dict(was.cookie)))
    browser = Browser(Driver(app))
    browser.jar.cookies.update(a="1", b="2", ATLSES_="x")
    assert browser.text("/remove") == "None"
    assert browser.jar.cookies == {"b": "2", "ATLSES_": "x"}
    browser.get("/clear")
    assert browser.jar.cookies == {"ATLSES_": "x"}


@pytest.mark.parametrize(
    ("scheme", "headers", "secure"),
    [
        ("http", {}, False),
        ("https", {}, True),
        ("http", {"X_Forwarded_Proto": "https"}, True),
        ("http", {"X_Forwarded_Proto": "HTTPS, http"}, False),
        ("http", {"X_Forwarded_Proto": "http"}, False),
        ("http", {"X_Forwarded_Proto": "http, https"}, True),
        ("http", {"X_Forwarded_Proto": "httpss"}, False),
    ],
)
def test_over_https_session_messages_and_csrf_token_are_for_https_only(
    scheme, headers, secure, monkeypatch
):
    def work(was):
        was.session["a"] = 1
        was.mbox.send("a")
        return was.csrf_token

    monkeypatch.setattr("driving.Channel.scheme", scheme)
    monkeypatch.setattr("driving.Channel.peer", ("127.0.0.1", 40000))  # a trusted proxy
    browser = browser_of(work)
    browser.get(**headers)
    assert {cookie.name: "secure" in cookie.attributes for cookie in browser.sent} == {
        "ATLSES_": secure, "ATLMBX_": secure, "XSRF_TOKEN": secure,
    }  # fmt: skip


def test_behind_a_proxy_the_address_of_the_client_counts(monkeypatch):
    monkeypatch.setattr("driving.Channel.peer", ("127.0.0.1", 40000))
    app = new_app()
    declare(app, "/login", "plain", lambda was: was.session.set("user", "hans") or "")
    declare(app, "/", "plain", lambda was: str(was.session.getv("user")))
    browser = Browser(Driver(app))
    browser.get("/login", X_Forwarded_For="8.8.8.8")
    assert browser.text(X_Forwarded_For="8.8.8.8") == "hans"
    assert browser.text(X_Forwarded_For="9.9.9.9") == "None"
    assert browser.text(X_Forwarded_For="8.8.8.8, 9.9.9.9") == "None"
    assert browser.text() == "None"


# -- messages


def test_messages_wait_over_a_redirect_for_the_page(tmp_path):
    """The example of the seed."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "msg.htm").write_text(
        '{% for mid, category, created, valid, msg, extra in was.mbox.get ("flash", "alram") %}'
        '<li class="{{category}}"> {{ msg }}</li>{% endfor %}{{ name }}'
    )
    app = new_app()

    @app.route("/msg")
    def msg(was):
        was.mbox.send("This is Flash Message", "flash")
        was.mbox.send("This is Alert Message Kept by 60 seconds", "alram", valid=60)
        was.mbox.send("for another page", "news")
        return was.redirect(was.urlfor(showmsg, "Hans Roh"), status="302 Object Moved")

    @app.route("/showmsg")
    def showmsg(was, name):
        return was.render("msg.htm", name=name)

    browser = Browser(Driver(app, home=tmp_path))
    moved = browser.get("/msg")
    assert moved.status == 302
    alarm = '<li class="alram"> This is Alert Message Kept by 60 seconds</li>'
    flash = '<li class="flash"> This is Flash Message</li>'
    assert browser.text(str(moved["Location"])) == f"{flash}{alarm}Hans Roh"
    assert browser.text(str(moved["Location"])) == f"{alarm}Hans Roh"


def test_templates_read_cookies_and_sessions(tmp_path):
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "page.j2").write_text(
        "{{ request.cookie.username }} chose {{ was.session.choice }} {{ was.cookie['none'] }}"
    )
    app = new_app()
    declare(app, "/choose", "plain", lambda was: was.session.set("choice", "<b>") or "")
    declare(app, "/", "plain", lambda was: was.render("page.j2"))
    browser = Browser(Driver(app, home=tmp_path))
    browser.get("/choose")
    browser.jar.cookies["username"] = "hans+%26+kim"
    assert browser.text() == "hans &amp; kim chose &lt;b&gt; None"


# -- shared caches


READS = {
    "session": lambda was: str(was.session["a"]),
    "message": lambda was: str(was.mbox.get()),
    "cookie": lambda was: str(was.cookie["a"]),
    "csrf": lambda was: was.csrf_token,
    "stored": lambda was: was.session.set("a", 1) or "",
}


@pytest.mark.parametrize("read", READS.values(), ids=list(READS))
def test_caches_are_told_that_a_page_depends_on_cookies(running, read):
    browser = running(index=read)
    assert browser.get()["Vary"] == "Cookie"


def test_a_page_that_looks_at_no_cookie_does_not_vary(running):
    def work(was):
        was.response.set_max_age(60)
        return was.request.path

    browser = running(index=work)
    browser.jar.cookies["a"] = "1"
    assert browser.get()["Vary"] is None


def test_a_cookie_that_is_only_set_does_not_let_the_page_vary():
    def work(was):
        was.cookie["seen"] = "yes"
        was.cookie.set("old", "", 0)
        return "seen"

    browser = browser_of(work)
    browser.jar.cookies["a"] = "1"
    assert browser.get()["Vary"] is None


def test_what_a_page_depends_on_is_added_to_what_it_said_itself():
    def work(was):
        was.response.add_vary("Accept-Language")
        return str(was.session["a"])

    assert browser_of(work).get()["Vary"] == "Accept-Language, Cookie"


@pytest.mark.parametrize("headers", [{}, HTML])
@pytest.mark.parametrize("page", [False, True])
def test_an_error_that_depends_on_a_cookie_says_so_too(running, page, headers):
    def configure(app):
        if page:
            app.default_error_handler(lambda was, error: "<p>failed</p>")

    def work(was):
        if was.session["user"] is None:
            raise was.Error("404 Not Found")
        return ""

    answer = running(configure, index=work).get(**headers)
    assert (answer.status, answer["Vary"]) == (404, "Cookie")


def test_a_status_that_depends_on_a_cookie_says_so_too():
    def work(was):
        was.response.set_etag(f"page of {was.session['user']}")
        return "page"

    browser = browser_of(work)
    etag = str(browser.get()["ETag"])
    answer = browser.get(If_None_Match=etag)
    assert (answer.status, answer["Vary"]) == (304, "Cookie")
