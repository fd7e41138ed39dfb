"""Cookies, sessions and messages as the functions of an app use them, wherever they run."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from browser import Jar, SetCookie
from driving import Answer, Driver

from atila import Atila
from skitai.executors.threads import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "ds8fdsflksdjf9879dsf;?<>Asda"
HTML = {"Accept": "text/html"}
WAYS = ("plain", "async", "waiting", "generator", "iterator", "async generator")


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPool]:
    made = ThreadPool(4, 100)
    yield made
    made.stop(5)


class Browser:
    """A client that keeps cookies.

    Attributes:
        jar: what it keeps.
        sent: what the last answer has set.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.jar = Jar()
        self.sent: list[SetCookie] = []

    def get(self, target: str = "/", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.jar.header:
            named["Cookie"] = self.jar.header
        answer = self.driver.request("GET", target, named)
        self.sent = self.jar.take(answer.all("Set-Cookie"))
        return answer

    def text(self, target: str = "/", **headers: str) -> str:
        answer = self.get(target, **headers)
        assert answer.status == 200, answer.text
        return answer.text

    @property
    def names(self) -> list[str]:
        return sorted(cookie.name for cookie in self.sent)


def new_app(name: str = "state") -> Atila:
    app = Atila(name)
    app.securekey = KEY
    return app


def declare(app: Atila, rule: str, way: str, work: Callable[[Any], Any]) -> None:
    """A route whose function does the same work in another way."""
    route = app.route(rule)
    if way == "plain":

        @route
        def plain(was):
            return work(was)

    elif way == "async":

        @route
        async def at_once(was):
            return work(was)

    elif way == "waiting":

        @route
        async def waiting(was):
            await asyncio.sleep(0)
            return work(was)

    elif way == "generator":

        @route
        def generator(was):
            yield work(was)

    elif way == "iterator":

        @route
        def iterator(was):
            return map(work, [was])

    else:

        @route
        async def asynchronous(was):
            await asyncio.sleep(0)
            yield work(was)


def watch(app: Atila) -> None:
    """Hooks that do nothing: the same functions run in a pipeline."""
    app.before_request(lambda was: None)
    app.finish_request(lambda was, response: None)
    app.teardown_request(lambda was: None)


@pytest.fixture(params=[(way, hooks) for way in WAYS for hooks in (False, True)], ids=str)
def running(request: pytest.FixtureRequest, pool: ThreadPool) -> Callable[..., Browser]:
    """Makes a browser for an app whose routes do some work, in each way that there is."""
    way, hooks = request.param

    def run(configure: Callable[[Atila], Any] | None = None, **routes: Any) -> Browser:
        app = new_app()
        if hooks:
            watch(app)
        for name, work in routes.items():
            declare(app, f"/{name.removeprefix('index')}", way, work)
        if configure is not None:
            configure(app)
        return Browser(Driver(app, pool=pool))

    return run


def browser_of(work: Callable[[Any], Any], **options: Any) -> Browser:
    """A browser for an app with one plain function."""
    app = new_app()
    declare(app, "/", "plain", work)
    return Browser(Driver(app, **options))


# -- wherever a function runs


def test_what_a_function_leaves_comes_back_with_the_next_request(running):
    def leave(was):
        was.cookie["theme"] = "dark"
        was.session["user"] = "hans"
        was.mbox.send("saved", "notice")
        return "left"

    def find(was):
        return f"{was.cookie['theme']} {was.session['user']} {was.mbox.get()[0].msg}"

    browser = running(leave=leave, find=find)
    assert browser.text("/leave") == "left"
    assert browser.names == ["ATLMBX_", "ATLSES_", "theme"]
    assert browser.text("/find") == "dark hans saved"
    assert browser.names == ["ATLMBX_"]  # it was read
    assert browser.sent[0].erases


def test_who_leaves_nothing_gets_nothing(running):
    def look(was):
        return f"{was.cookie['a']} {was.session['a']} {was.mbox.get()}"

    browser = running(index=look)
    assert browser.text() == "None None []"
    assert browser.sent == []


def spoil(was):
    """Leave something everywhere."""
    was.cookie["theme"] = "dark"
    was.session["user"] = "hans"
    was.mbox.send("saved")


def refuse(was):
    spoil(was)
    raise was.Error("403 Forbidden")


def crash(was):
    spoil(was)
    return 1 // 0


def return_what_has_no_form(was):
    spoil(was)
    return object()


def return_surrogates(was):
    spoil(was)
    return "\ud800"


FAILURES = {refuse: 403, crash: 500, return_what_has_no_form: 500, return_surrogates: 500}


@pytest.mark.parametrize("work", FAILURES)
def test_an_error_leaves_nothing(running, work, log):
    browser = running(index=work)
    for headers in ({}, HTML):
        assert browser.get(**headers).status == FAILURES[work]
        assert browser.sent == []


@pytest.mark.parametrize("work", FAILURES)
def test_the_page_of_an_error_leaves_its_own_cookies_only(running, work, log):
    def configure(app):
        @app.default_error_handler
        def page(was, error):
            assert (was.cookie["theme"], was.session["user"]) == (None, None)
            assert was.mbox.get() == []
            was.cookie["failed"] = str(error["code"])
            was.session["failures"] = (was.session["failures"] or 0) + 1
            return f"<p>{was.session['failures']}</p>"

    browser = running(configure, index=work)
    for number in (1, 2):
        answer = browser.get(**HTML)
        assert (answer.status, answer.text) == (FAILURES[work], f"<p>{number}</p>")
        assert browser.names == ["ATLSES_", "failed"]


def test_without_a_key_it_is_500_and_the_log_says_what_to_set(running, log):
    def configure(app):
        app.securekey = None

    for use in (
        lambda was: str(was.session["a"]),
        lambda was: str(was.mbox.get()),
        lambda was: was.encode_ott(1),
        lambda was: str(was.request.JWT),
    ):
        log.clear()
        answer = running(configure, index=use).get()
        assert answer.json == {"code": 50000, "message": "internal server error"}
        assert "set pref.securekey to a long random text" in log.text


# -- results


@pytest.mark.parametrize(
    ("finish", "status"),
    [
        (lambda was: was.redirect("/next"), 302),
        (lambda was: was.API("201 Created", a=1), 201),
        (lambda was: was.response("204 No Content"), 204),
        (lambda was: {"a": 1}, 200),
        (lambda was: b"bytes", 200),
        (lambda was: was.Error("303 See Other"), 303),
    ],
)
def test_all_answers_that_are_no_errors_keep_what_was_left(finish, status):
    def work(was):
        spoil(was)
        return finish(was)

    browser = browser_of(work)
    assert browser.get().status == status
    assert browser.names == ["ATLMBX_", "ATLSES_", "theme"]


def test_a_redirect_that_is_raised_keeps_what_was_left():
    def work(was):
        spoil(was)
        raise was.Error("304 Not Modified")

    browser = browser_of(work)
    assert browser.get().status == 304
    assert browser.names == ["ATLMBX_", "ATLSES_", "theme"]


def test_an_error_that_is_returned_leaves_nothing():
    def work(was):
        spoil(was)
        return was.response("404 Not Found")

    browser = browser_of(work)
    assert browser.get().status == 404
    assert browser.sent == []


def test_what_a_file_leaves(tmp_path):
    (tmp_path / "a.txt").write_text("content")

    def work(was):
        spoil(was)
        return was.File(str(tmp_path / "a.txt"))

    browser = browser_of(work)
    assert browser.text() == "content"
    assert browser.names == ["ATLMBX_", "ATLSES_", "theme"]


def test_a_session_that_no_cookie_can_hold_says_what_to_do(running, log):
    def work(was):
        was.session["big"] = "x" * 4000
        return ""

    browser = running(index=work)
    assert browser.get().status == 500
    assert browser.sent == []
    assert "app.session_store = RedisSessionStore" in log.text


def test_a_cookie_that_no_browser_would_keep_says_what_to_do(log):
    def work(was):
        was.cookie["big"] = "x" * 5000
        return ""

    assert browser_of(work).get().status == 500
    assert "browsers drop" in log.text


# -- hooks


def test_what_hooks_change_before_the_answer_reaches_the_client():
    app = new_app()

    @app.before_request
    def before(was):
        was.session["trace"] = "before"

    @app.finish_request
    def finish(was, response):
        was.session["trace"] += " finish"
        was.cookie["finished"] = "yes"

    @app.route("/")
    @app.run_after(lambda was: was.session.set("trace", was.session["trace"] + " after"))
    def index(was):
        return was.session["trace"]

    browser = Browser(Driver(app))
    assert browser.text() == "before"
    assert browser.names == ["ATLSES_", "finished"]
    app.before_request(lambda was: was.session["trace"])
    assert browser.text() == "before"

    app = new_app()
    declare(app, "/", "plain", lambda was: was.session["trace"])
    browser.driver = Driver(app)
    assert browser.text() == "before after finish"


def test_a_hook_that_answers_leaves_what_it_set():
    app = new_app()

    @app.before_request
    def before(was):
        was.session["seen"] = True
        return was.redirect("/login")

    declare(app, "/", "plain", lambda was: "never")
    browser = Browser(Driver(app))
    assert browser.get().status == 302
    assert browser.names == ["ATLSES_"]


@pytest.mark.parametrize("way", ["plain", "waiting", "generator"])
def test_a_hook_that_answers_for_a_failure_leaves_only_what_it_set(way, log):
    app = new_app()

    @app.failed_request
    def failed(was, exc_info):
        assert was.session["user"] is None
        was.session["failed"] = True
        return "all is well"

    declare(app, "/", way, crash)
    declare(app, "/look", "plain", lambda was: f"{dict(was.session)} {dict(was.cookie)}")
    browser = Browser(Driver(app))
    assert browser.text() == "all is well"
    assert browser.names == ["ATLSES_"]
    assert browser.text("/look").startswith("{'failed': True} ")


def test_a_hook_that_only_sees_a_failure_leaves_nothing():
    app = new_app()

    @app.failed_request
    def failed(was, exc_info):
        was.session["failed"] = True

    declare(app, "/", "plain", refuse)
    browser = Browser(Driver(app))
    assert browser.get().status == 403
    assert browser.sent == []


# -- when the head is sent


CHANGES = {
    "cookie": lambda was: was.cookie.set("a", "1"),
    "session": lambda was: was.session.set("a", 1),
    "expiry": lambda was: was.session.touch(),
    "named session": lambda was: (was.session.mount("ADMIN"), was.session.set("a", 1)),
    "message": lambda was: was.mbox.send("a"),
    "token": lambda was: was.encode_ott("a", 60, "reset"),
    "csrf": lambda was: was.csrf_token,
}


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
@pytest.mark.parametrize("asynchronous", [False, True])
def test_what_a_stream_changes_too_late_is_an_error(change, used, asynchronous):
    refusals = []

    def too_late(was):
        with pytest.raises(RuntimeError, match="headers are sent") as caught:
            change(was)
        refusals.append(caught)

    def use(was):
        if used:
            spoil(was)

    app = new_app()
    if asynchronous:

        @app.route("/")
        async def asynchronous_pieces(was):
            use(was)
            yield "a"
            too_late(was)
            yield "b"

    else:

        @app.route("/")
        def pieces(was):
            use(was)
            yield "a"
            too_late(was)
            yield "b"

    browser = Browser(Driver(app))
    assert browser.text() == "ab"
    assert len(refusals) == 1
    assert browser.names == (["ATLMBX_", "ATLSES_", "theme"] if used else [])


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_what_a_hook_changes_after_the_answer_is_an_error(change, log):
    app = new_app()
    app.teardown_request(lambda was: change(was))
    declare(app, "/", "plain", lambda was: "done")
    browser = Browser(Driver(app))
    assert browser.text() == "done"
    assert "the headers are sent" in log.text


def test_a_stream_may_read_as_long_as_it_runs():
    app = new_app()

    @app.route("/")
    def pieces(was):
        yield "a"
        yield f" {was.session['user']} {was.cookie['theme']} {len(was.mbox.search('info'))}"

    declare(app, "/spoil", "plain", lambda was: spoil(was) or "")
    browser = Browser(Driver(app))
    browser.get("/spoil")
    assert browser.text() == "a hans dark 1"


def test_a_stream_that_breaks_off_has_sent_what_it_left_before(log):
    app = new_app()

    @app.route("/")
    def pieces(was):
        was.session["a"] = 1
        yield "a"
        raise ValueError

    browser = Browser(Driver(app))
    assert browser.get().broken
    assert browser.names == ["ATLSES_"]


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
        ("http", {"X_Forwarded_Proto": "HTTPS, http"}, True),
        ("http", {"X_Forwarded_Proto": "http"}, False),
        ("http", {"X_Forwarded_Proto": "http, https"}, False),
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


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_fails_at_once_gets_the_page_of_the_app(way, pool):
    """Not about cookies, but about who answers: without hooks nobody did."""
    for threads in (None, pool):
        app = new_app()
        app.default_error_handler(lambda was, error: f"<p>{error['code']}</p>")
        declare(app, "/", way, refuse)
        answer = Driver(app, pool=threads).html("/")
        assert (answer.status, answer.text) == (403, "<p>403</p>")


def test_an_error_page_that_is_a_stream_and_fails_is_not_asked_again(pool, log):
    pages = []

    def page(was, error):
        pages.append(error["code"])
        return map(crash, [was])

    for threads in (None, pool):
        app = new_app()
        app.default_error_handler(page)
        declare(app, "/", "generator", refuse)
        assert Driver(app, pool=threads).html("/").status == 500
    assert pages == [403, 403]
