"""Tokens against forged requests: how a page gets one, and which requests they let in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from driving import HTML, Answer, Driver, multipart
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from atila import Atila
from atila.steps import guards_of

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "A" * 43
FORM = "application/x-www-form-urlencoded"


def bank(**settings: Any) -> Atila:
    """An app with a page that has a token, and handlers that want it."""
    app = Atila("bank")
    for name, value in settings.items():
        setattr(app, name, value)

    @app.route("/token")
    def token(was):
        return was.csrf_token

    @app.route("/form")
    def form(was):
        return was.csrf_token_input

    @app.route("/pay", methods=["GET", "POST", "PUT"])
    @app.csrf_verification_required
    def pay(was, amount=None):
        return was.API(amount=amount, args=sorted(was.request.args))

    @app.route("/pay-any")
    @app.csrf_verification_required
    async def pay_any(was, **form):
        return was.API(form)

    @app.route("/pay-shown")
    @app.csrf_verification_required
    def pay_shown(was, XSRF_TOKEN):
        return XSRF_TOKEN

    @app.route("/verify")
    def verify(was, keep="yes", **others):
        good = was.verify_csrf(keep != "no")
        return was.API(good=good, again=was.csrf_verify(), others=sorted(others))

    @app.route("/renew")
    def renew(was):
        return was.generate_csrf()

    @app.route("/remove")
    def remove(was):
        was.remove_csrf()
        return ""

    return app


def token_of(answer: Answer) -> str:
    """The token that an answer gives to the browser."""
    (cookie,) = answer.all("Set-Cookie")
    found = re.fullmatch(r"XSRF_TOKEN=([A-Za-z0-9_-]{43}); path=/; SameSite=Lax", cookie)
    assert found, cookie
    return found[1]


def send(
    driver: Driver, path: str, body: str | bytes = "", content_type: str = FORM, **headers: str
) -> Answer:
    """POST as a browser that has a token."""
    named = {"Cookie": f"XSRF_TOKEN={TOKEN}", "Content-Type": content_type}
    named.update({name.replace("_", "-"): value for name, value in headers.items()})
    return driver.request("POST", path, named, body.encode() if isinstance(body, str) else body)


# -- giving a token


def test_a_page_gets_a_token_that_scripts_can_read():
    driver = Driver(bank())
    first, second = driver.get("/token"), driver.get("/token")
    assert token_of(first) == first.text
    assert token_of(first) != token_of(second)


def test_a_browser_that_has_a_token_keeps_it():
    answer = Driver(bank()).get("/token", Cookie=f"XSRF_TOKEN={TOKEN}")
    assert answer.text == TOKEN
    assert answer.all("Set-Cookie") == []


@pytest.mark.parametrize("kept", ["", "a", "A" * 42, "A" * 44, "A" * 42 + "!", '"><script>'])
def test_what_we_can_not_have_made_is_no_token(kept):
    driver = Driver(bank())
    answer = driver.get("/token", Cookie=f"XSRF_TOKEN={kept}")
    assert token_of(answer) == answer.text
    refused = send(driver, "/pay", f"XSRF_TOKEN={kept}", Cookie=f"XSRF_TOKEN={kept}")
    assert refused.status == 400


def test_the_token_belongs_to_the_mount_point_of_the_app():
    (cookie,) = Driver(bank(), point="/bank/").get("/bank/token").all("Set-Cookie")
    assert "; path=/bank;" in cookie


def test_over_https_the_cookie_is_secure(monkeypatch):
    monkeypatch.setattr("driving.Channel.scheme", "https")
    (cookie,) = Driver(bank()).get("/token").all("Set-Cookie")
    assert "; Secure" in cookie
    assert "HttpOnly" not in cookie


def test_the_field_is_markup_for_templates(tmp_path: Path):
    app = bank()
    seen = []

    @app.route("/page")
    def page(was):
        seen.append(was.csrf_token_input)
        return was.render("form.html")

    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "form.html").write_text("<form>{{ was.csrf_token_input }}</form>")
    answer = Driver(app, home=tmp_path).request("GET", "/page", HTML)
    field = f'<input type="hidden" name="XSRF_TOKEN" value="{token_of(answer)}">'
    assert answer.text == f"<form>{field}</form>"
    assert seen == [field]
    assert type(seen[0]) is Markup


def test_a_token_is_renewed_and_removed():
    driver = Driver(bank())
    renewed = driver.get("/renew", Cookie=f"XSRF_TOKEN={TOKEN}")
    assert token_of(renewed) == renewed.text != TOKEN
    (removed,) = driver.get("/remove", Cookie=f"XSRF_TOKEN={TOKEN}").all("Set-Cookie")
    assert removed.startswith("XSRF_TOKEN=; path=/; expires=Thu, 01 Jan 1970")


# -- wanting a token


def test_the_token_may_come_in_a_header_or_in_a_field():
    driver = Driver(bank())
    field = f"XSRF_TOKEN={TOKEN}"
    body, content_type = multipart(('name="amount"', b"5"), ('name="XSRF_TOKEN"', TOKEN.encode()))
    for answer in (
        send(driver, "/pay", "amount=5", X_XSRF_TOKEN=TOKEN),
        send(driver, "/pay", f"amount=5&{field}"),
        send(driver, f"/pay?{field}", "amount=5"),
        send(driver, "/pay", f'{{"amount": "5", "XSRF_TOKEN": "{TOKEN}"}}', "application/json"),
        send(driver, "/pay", body, content_type),
    ):
        assert answer.json == {"amount": "5", "args": ["amount"]}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ("", {}),
        ("XSRF_TOKEN=", {}),
        ("XSRF_TOKEN=wrong", {}),
        (f"XSRF_TOKEN={TOKEN}x", {}),
        (f"XSRF_TOKEN={TOKEN}&XSRF_TOKEN={TOKEN}", {}),
        (f"XSRF_TOKEN={TOKEN}", {"X_XSRF_TOKEN": "wrong"}),
        (f"XSRF_TOKEN={TOKEN}", {"Cookie": ""}),
        (f"XSRF_TOKEN={TOKEN}", {"Cookie": f"XSRF_TOKEN={'B' * 43}"}),
        ("", {"X_XSRF_TOKEN": ""}),
        ("", {"X_XSRF_TOKEN": "é"}),
        ("", {"X_XSRF_TOKEN": "", "Cookie": "XSRF_TOKEN="}),
    ],
)
def test_anything_else_is_400(body, headers):
    refused = send(Driver(bank()), "/pay", body, **headers)
    assert refused.status == 400
    assert refused.json["more_info"] == "the XSRF_TOKEN of the request is missing or wrong"


def test_above_a_handler_all_methods_need_a_token():
    driver = Driver(bank())
    for method in ("GET", "HEAD", "PUT"):
        assert driver.request(method, "/pay").status == 400
        with_token = {"Cookie": f"XSRF_TOKEN={TOKEN}", "X-XSRF-TOKEN": TOKEN}
        assert driver.request(method, "/pay", with_token).status == 200


def test_a_field_that_was_checked_is_no_argument_unless_the_handler_names_it():
    driver = Driver(bank())
    assert send(driver, "/pay-any", f"a=1&XSRF_TOKEN={TOKEN}").json == {"a": "1"}
    assert send(driver, "/pay-any", "a=1", X_XSRF_TOKEN=TOKEN).json == {"a": "1"}
    assert send(driver, "/pay-shown", f"XSRF_TOKEN={TOKEN}").text == TOKEN


def test_a_handler_may_verify_by_itself_and_more_than_once():
    driver = Driver(bank())
    good = send(driver, "/verify", f"XSRF_TOKEN={TOKEN}&a=1")
    assert good.json == {"good": True, "again": True, "others": ["XSRF_TOKEN", "a"]}
    assert good.all("Set-Cookie") == []
    assert send(driver, "/verify", "a=1").json["good"] is False


def test_a_token_for_one_request_is_taken_away():
    driver = Driver(bank())
    once = send(driver, "/verify", f"keep=no&XSRF_TOKEN={TOKEN}")
    assert (once.json["good"], once.json["again"]) == (True, False)
    (cookie,) = once.all("Set-Cookie")
    assert cookie.startswith("XSRF_TOKEN=; ")
    kept = send(driver, "/verify", "keep=no&XSRF_TOKEN=wrong")
    assert kept.json["good"] is False
    assert kept.all("Set-Cookie") == []


# -- in front of all requests


def test_a_hook_lets_reading_requests_get_their_token():
    app = bank()
    ran = []

    @app.before_request
    @app.csrf_verification_required
    def before(was):
        ran.append(was.request.method)

    @app.route("/any", methods=["GET", "POST", "DELETE"])
    def anything(was, a=None):
        return "in"

    driver = Driver(app)
    for method, status in (("GET", 200), ("HEAD", 200), ("POST", 400), ("DELETE", 400)):
        assert driver.request(method, "/any").status == status
    assert send(driver, "/any", f"a=1&XSRF_TOKEN={TOKEN}").text == "in"
    assert ran == ["GET", "HEAD", "POST"]


def test_a_hook_may_verify_by_itself():
    app = Atila("bank")

    @app.before_request
    def before(was):
        if was.request.args.get("username") and not was.verify_csrf():
            return was.response("400 Bad Request")
        return None

    @app.route("/login")
    def login(was, username=None):
        return "in"

    driver = Driver(app)
    assert driver.get("/login").text == "in"
    assert send(driver, "/login", f"username=kim&XSRF_TOKEN={TOKEN}").text == "in"
    assert send(driver, "/login", "username=kim").status == 400


def test_the_guard_tells_what_it_is():
    app = Atila("bank")

    @app.csrf_verification_required
    def handler(was):
        return ""

    assert [guard.facts for guard in guards_of(handler)] == [("csrf", True)]


# -- hostile requests


@given(cookie=st.text(), header=st.one_of(st.none(), st.text()), field=st.text())
def test_no_token_crashes(cookie, header, field):
    headers = {"Cookie": f"XSRF_TOKEN={cookie}"}
    if header is not None:
        headers["X-XSRF-TOKEN"] = header
    answer = send(Driver(bank()), "/pay", f'{{"XSRF_TOKEN": "{field}"}}'.encode("utf-8", "replace"),
                  "application/json", **headers)  # fmt: skip
    assert answer.status == 400


@pytest.mark.parametrize(
    "document", ["[1]", "5", '{"XSRF_TOKEN": 5}', '{"XSRF_TOKEN": ["a"]}', "{"]
)
def test_no_document_crashes(document):
    assert send(Driver(bank()), "/pay", document, "application/json").status == 400
