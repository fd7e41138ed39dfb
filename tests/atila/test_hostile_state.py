"""What clients may send in place of their cookies and tokens: nothing of it is a crash."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from browser import Jar
from driving import Answer, Driver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atila import Atila
from atila.state.mbox import PURPOSE as BOX
from atila.state.sealing import sealer, signer
from atila.state.session_space import PURPOSE as SESSION
from atila.tokens.ott import PURPOSE as TOKEN

KEY = "ds8fdsflksdjf9879dsf;?<>Asda"
NAMES = ("ATLSES_", "ATLSES_ADMIN", "ATLSES_RSET", "ATLMBX_", "ATLMBX_ADMIN", "XSRF_TOKEN", "theme")
NOTHING = {
    "session": {}, "address": None, "left": [0, 0.0, False], "admin": {}, "messages": [],
    "found": [], "admins": [], "token": None, "otp": False, "forged": True, "ecd": 1,
}  # fmt: skip


def make_app() -> Atila:
    app = Atila("hostile")
    app.securekey = KEY

    @app.route("/", methods=["GET", "POST"])
    def look(was, token=None, **rest):
        """Everything that believes a client."""
        with was.session.mounted("ADMIN") as session:
            admin = dict(session)
        session, mbox = was.session, was.mbox
        seen = {
            "session": dict(session),
            "address": session.getv("user"),
            "left": [session.get_expiry(), session.use_time(), session.impending()],
            "admin": admin,
            "messages": mbox.get(),
            "found": [*mbox.search("a", "b"), *mbox.search("info")],
            "token": was.decode_ott(token),
            "otp": was.verify_otp(was.request.get_header("x-otp")),
            "forged": not was.verify_csrf(),
            "ecd": was.request.JWT.get("ecd"),
        }
        mbox.mount("ADMIN")
        was.revoke_ott(token)
        return was.API(seen, admins=mbox.get())

    @app.route("/write")
    def write(was):
        was.session["seen"] = 1
        was.mbox.send("seen")
        was.cookie["seen"] = "yes"
        was.csrf_token  # noqa: B018  # makes one
        return "written"

    @app.route("/clear")
    def clear(was):
        was.session.expire()
        was.cookie.clear()
        return "cleared"

    return app


DRIVER = Driver(make_app())


def ask(header: str, target: str = "/", **headers: str) -> Answer:
    return DRIVER.get(target, Cookie=header, **headers)


def check(header: str, token: str = "", **headers: str) -> None:
    """The client is nobody, and can become somebody."""
    answer = ask(header, f"/?token={quote(token, errors='replace')}", **headers)
    assert (answer.status, answer.json) == (200, NOTHING)
    written = ask(header, "/write", **headers)
    assert written.status == 200
    for line in written.all("Set-Cookie"):
        assert line.isascii()
        assert line.isprintable()
    jar = Jar()
    jar.take(written.all("Set-Cookie"))
    # What a browser sends first has the longest path, so this is what counts.
    seen = ask(f"{jar.header}; {header}").json
    assert (seen["session"], seen["messages"][0][4]) == ({"seen": 1}, "seen")
    assert ask(header, "/clear").status == 200


@pytest.mark.parametrize(
    "header",
    [
        "", ";", "=", "; ; ;", "a", "=a; =b", ",,,", "\xff\xfe", "\x00", "\x7f=\x01", '"', 'a="',
        "a=1; " * 1000, "; ".join(f"c{n}={n}" for n in range(1000)), "a=" + "x" * 65536,
        "x" * 65536, "=" * 65536, ";" * 65536, '"' * 65536, "%" * 65536, "a=%00%ff%zz%",
        "ATLSES_=", "ATLSES_", "ATLSES_=a; ATLSES_=b", 'ATLSES_="quoted"', "atlses_=x",
        "ATLSES_=" + "A" * 60000, "ATLMBX_=" + "A" * 60000, "ATLMBX_=" + "." * 4000,
        "ATLSES_=..; ATLMBX_=..; XSRF_TOKEN=..", "ATLSES%5F=a; ATLSES_+=b",
        "; ".join(f"{name}=\xe9\xff" for name in NAMES),
        "; ".join(f"{name}=%F0%9F%92%A9" for name in NAMES),
        "\r\nSet-Cookie: a=b", "a=b\r\nX: y", "$Version=1; $Path=/; a=b", "__Host-a=b; __proto__=c",
    ],
)  # fmt: skip
def test_odd_cookies_are_no_cookies_of_ours(header):
    check(header)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES) | st.text(st.characters(codec="latin-1"), max_size=8),
            st.text(st.characters(codec="latin-1"), max_size=80)
            | st.text("AQID-_.=", max_size=200),
        ),
        max_size=6,
    ),
    st.text(max_size=60) | st.text("AQID-_.=", max_size=90),
)
def test_no_cookie_is_a_crash(pairs, token):
    check("; ".join(f"{name}={value}" for name, value in pairs), token)


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "...", "a.b.c", "Bearer", "=" * 10, "\x00", "A" * 70000, "é.é.é",
        "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiJ9.bnVsbA.AAAA", "W10.W10.W10",
        "eyJhbGciOiJIUzI1NiIsImtpZCI6Ii4uL2V0Yy9wYXNzd2QifQ.e30.AAAA", "e30." * 1000,
    ],
)  # fmt: skip
def test_odd_tokens_are_no_tokens_of_ours(token):
    for kind in ("Bearer ", "bearer\t", "Basic ", ""):
        check("", token, Authorization=kind + token, X_OTP=token, X_XSRF_TOKEN=token)


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(codec="latin-1"), max_size=100))
def test_no_authorization_is_a_crash(text):
    assert ask("", Authorization=text, X_OTP=text, X_XSRF_TOKEN=text).json == NOTHING
    assert ask("", Authorization=f"Bearer {text}").json == NOTHING


ODD = (
    b"", b"null", b"{}", b"[]", b"1", b'"text"', b"[1]", b"[1,2]", b"[1,[2]]", b"[1,[[2]]]",
    b'[1,"a",0,"",""]', b'[1,1,"soon",0,[]]', b"[2,{}]", b"[1,{}]", b'["1",[]]', b"[1.5,[]]",
    b"\xff", b"[" * 500, b"[1" + b",1" * 500 + b"]", b'[1,[[0,"c","now",0,"m",{}]]]',
    b'[1,[[0,"c",1,0,"m",[]]]]', b'[1,9e99,1,"",{},{}]', b"[1,99999999999999999999,1,1,{},{}]",
    b'[1,9999999999,1200,"",{"user":"root"},{"user":5}]', b"\x80\x04pickle",
)  # fmt: skip


@pytest.mark.parametrize("content", ODD)
def test_what_another_version_has_signed_is_nothing(content):
    """Not from a client: it has no key. But from a service before or after an upgrade."""
    key = KEY.encode()
    cookies = {
        "ATLSES_": sealer(key, SESSION).seal(content, "ATLSES_"),
        "ATLSES_ADMIN": sealer(key, SESSION).seal(content, "ATLSES_ADMIN"),
        "ATLMBX_": signer(key, f"{BOX} ATLMBX_").sign(content),
        "ATLMBX_ADMIN": signer(key, f"{BOX} ATLMBX_ADMIN").sign(content),
    }
    token = "" if content == b'[1,"a",0,"",""]' else signer(key, TOKEN).sign(content)
    check("; ".join(f"{name}={value}" for name, value in cookies.items()), token)


@pytest.mark.parametrize("value", [None, 1, [], {}, True, "x" * 100_000, ["a"], {"a": 1}])
def test_a_field_of_another_type_is_no_token(value):
    body = json.dumps({"token": value, "XSRF_TOKEN": value}).encode()
    headers: dict[str, Any] = {"Content-Type": "application/json"}
    answer = DRIVER.request("POST", "/", headers, body)
    assert (answer.status, answer.json) == (200, NOTHING)
