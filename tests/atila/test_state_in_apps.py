"""Cookies, sessions and messages as the functions of an app use them, wherever they run."""

from __future__ import annotations

import pytest
from driving import HTML, Driver
from state_apps import WAYS, Browser, browser_of, declare, new_app, pool, running, spoil

__all__ = ["pool", "running"]

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


@pytest.mark.parametrize(
    "finish",
    [
        lambda was: was.API("409 Conflict", reason="taken"),
        lambda was: was.response("409 Conflict", "taken"),
        lambda was: was.Fault("409 Conflict", "taken"),
    ],
)
def test_an_answer_with_the_status_of_an_error_is_an_answer(finish):
    def work(was):
        spoil(was)
        return finish(was)

    browser = browser_of(work)
    assert browser.get().status == 409
    assert browser.names == ["ATLMBX_", "ATLSES_", "theme"]


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


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_that_fails_at_once_gets_the_page_of_the_app(way, pool):
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
