"""``was.cookie``: what is read from hostile headers, and what is written."""

from __future__ import annotations

import time
from typing import Any

import pytest
from browser import Jar, read
from hypothesis import given
from hypothesis import strategies as st

from atila.state.cookies import MAX_COOKIES, MAX_HEADER, MAX_SIZE, NEVER, Cookie, parse_cookies
from skitai.wire.dates import parse_date

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
NAMES = st.text(
    st.characters(
        exclude_categories=["Cs"], exclude_characters=[chr(n) for n in (*range(32), 127)]
    ),
    min_size=1,
    max_size=20,
)


def written(point: str = "/", **options: Any) -> dict[str, str | bool]:
    """The attributes of a cookie that was set with ``options``."""
    cookie = Cookie(None, point)
    cookie.set("a", "b", **options)
    (header,) = cookie.set_cookie_values()
    return read(header).attributes


# -- reading


@pytest.mark.parametrize(
    ("header", "values"),
    [
        (None, {}),
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2 ;\tc=3", {"a": "1", "b": "2", "c": "3"}),
        ("a=", {"a": ""}),
        ("a=b=c==", {"a": "b=c=="}),
        ('a="quoted"', {"a": "quoted"}),
        ('a="', {"a": '"'}),
        ('a=""', {"a": ""}),
        ("a=x+y%20z", {"a": "x y z"}),
        ("a%3Db=1", {"a=b": "1"}),
        ("a=%C3%A9", {"a": "é"}),
        ("a=\xc3\xa9", {"a": "é"}),
        ("a=%ff", {"a": "\ufffd"}),
        ("a=100%", {"a": "100%"}),
        ("a=\u4e00", {"a": "?"}),
        ("nothing", {}),
        ("=value; ; ;;", {}),
        ("a%0D%0Ab=1; %00=2; \x7f=3", {}),
        ("a=1; nothing; b=2", {"a": "1", "b": "2"}),
        ("a=deep; a=shallow", {"a": "deep"}),
        ("$Version=1; a=1; $Path=/", {"$Version": "1", "a": "1", "$Path": "/"}),
    ],
)
def test_a_header_is_read_leniently(header, values):
    assert dict(Cookie(header)) == values


def test_what_is_missing_is_none():
    cookie = Cookie("a=1")
    assert cookie["b"] is None
    assert cookie.get("b") is None
    assert cookie.get("b", "default") == "default"
    assert "b" not in cookie
    assert cookie.pop("b", 3) == 3


def test_it_is_a_dictionary():
    cookie = Cookie("a=1; b=2")
    assert "a" in cookie
    assert cookie["a"] == "1"
    assert list(cookie) == list(cookie.keys()) == ["a", "b"]
    assert list(cookie.values()) == ["1", "2"]
    assert list(cookie.items()) == [("a", "1"), ("b", "2")]
    assert len(cookie) == 2
    assert cookie.setdefault("a", "9") == "1"
    assert cookie.setdefault("c", "3") == "3"
    cookie.update(d="4")
    assert dict(cookie) == {"a": "1", "b": "2", "c": "3", "d": "4"}
    assert cookie.pop("d") == "4"
    assert "d" not in cookie


def test_a_client_cannot_make_more_than_so_many_cookies():
    header = ";".join(f"c{n}=1" for n in range(MAX_COOKIES * 3))
    assert len(parse_cookies(header)) == MAX_COOKIES


def test_of_an_overlong_header_the_last_cookie_is_not_cut():
    values = parse_cookies("a=1; b=" + "x" * MAX_HEADER)
    assert values == {"a": "1"}


@given(st.text(max_size=300) | st.text('=;" %+,\\\x00\r\nab\xff', max_size=300))
def test_no_header_is_a_crash(header):
    values = parse_cookies(header)
    assert all(name and isinstance(value, str) for name, value in values.items())
    cookie = Cookie(header)
    cookie.clear()
    assert not cookie
    assert len(cookie.set_cookie_values()) == len(values)


# -- writing


def test_what_was_set_can_be_read_in_the_same_request():
    cookie = Cookie("a=1")
    cookie["a"] = "2"
    cookie.set("b", 3, path="/elsewhere")
    assert (cookie["a"], cookie["b"]) == ("2", "3")
    del cookie["a"]
    assert cookie["a"] is None
    assert "a" not in cookie


def test_nothing_is_sent_when_nothing_was_set():
    cookie = Cookie("a=1")
    assert cookie["a"] == "1"
    assert cookie.set_cookie_values() == []


def test_attributes_have_the_order_of_the_contract():
    cookie = Cookie(None, "/app/")
    cookie.set("a b", "c;d", 60, None, "example.com", True, True, "Strict")
    (header,) = cookie.set_cookie_values()
    head, _, tail = header.partition("; expires=")
    assert head == "a+b=c%3Bd; path=/app"
    assert tail.partition("; ")[2] == "domain=example.com; SameSite=Strict; Secure; HttpOnly"


@pytest.mark.parametrize(
    ("point", "path"), [("/", "/"), ("/app/", "/app"), ("/a/b/", "/a/b"), ("/한/", "/%ED%95%9C")]
)
def test_the_default_path_is_the_mount_point(point, path):
    assert written(point)["path"] == path


@pytest.mark.parametrize(("expires", "seconds"), [(60, 60), (0.5, 0.5), ("never", NEVER)])
def test_expires_is_seconds_from_now(expires, seconds):
    before = time.time()
    moment = parse_date(str(written(expires=expires)["expires"]))
    assert before + seconds - 1 <= moment <= time.time() + seconds


def test_without_expires_it_lives_as_long_as_the_browser():
    assert "expires" not in written()


@pytest.mark.parametrize("expires", [0, -5, "now"])
def test_expired_cookies_are_emptied_and_gone(expires):
    cookie = Cookie("a=secret")
    cookie.set("a", "secret", expires)
    (header,) = cookie.set_cookie_values()
    assert read(header).erases
    assert read(header).value == ""
    assert "a" not in cookie


def test_removing_what_was_just_set_only_removes():
    cookie = Cookie(None)
    cookie["a"] = "1"
    cookie.remove("a")
    assert [read(header).erases for header in cookie.set_cookie_values()] == [True]


def test_the_last_word_counts_for_each_path_and_domain():
    cookie = Cookie(None, "/app/")
    cookie.set("a", "1")
    cookie.set("a", "2", path="/app")
    cookie.set("a", "3", path="/other")
    assert [header.partition(";")[0] for header in cookie.set_cookie_values()] == ["a=2", "a=3"]


def test_same_site_is_lax_unless_said_otherwise():
    assert written()["samesite"] == "Lax"
    assert written(same_site="strict")["samesite"] == "Strict"
    assert "samesite" not in written(same_site=None)
    assert "secure" not in written()


def test_same_site_none_is_sent_over_https_only():
    assert written(same_site="None") == {"path": "/", "samesite": "None", "secure": True}


def test_clear_leaves_session_and_message_box():
    cookie = Cookie("a=1; ATLSES_=x; ATLSES_ADMIN=y; ATLMBX_=z; b=2")
    cookie.clear()
    assert [read(header).name for header in cookie.set_cookie_values()] == ["a", "b"]
    assert list(cookie) == ["ATLSES_", "ATLSES_ADMIN", "ATLMBX_"]


@pytest.mark.parametrize("name", ["", "a\nb", "a\r", "\0", "a\tb", "\x7f"])
def test_names_that_cannot_be_sent_are_refused(name):
    with pytest.raises(ValueError, match="can't be named"):
        Cookie(None).set(name, "1")


@pytest.mark.parametrize(
    "options",
    [
        {"path": "relative"},
        {"path": ""},
        {"path": "/a;b"},
        {"path": "/a\r\nSet-Cookie: x=y"},
        {"domain": "a b"},
        {"domain": "a;b"},
        {"domain": "a\r\nX: y"},
        {"domain": "-"},
        {"same_site": "Sometimes"},
        {"same_site": "Lax; x"},
        {"expires": "tomorrow"},
        {"expires": float("nan")},
        {"expires": float("inf")},
        {"expires": 1e15},
        {"expires": [1]},
    ],
)
def test_attributes_that_cannot_be_sent_are_refused(options):
    with pytest.raises(ValueError):  # noqa: PT011  # each has its own message
        Cookie(None).set("a", "b", **options)


@pytest.mark.parametrize("value", [None, b"bytes", [1]])
def test_values_are_text_or_numbers(value):
    with pytest.raises(TypeError, match="text or a number"):
        Cookie(None).set("a", value)


def test_what_browsers_would_drop_is_an_error():
    cookie = Cookie(None)
    cookie.set("a", "x" * (MAX_SIZE - 1))
    with pytest.raises(ValueError, match="4097 bytes"):
        cookie.set("a", "x" * MAX_SIZE)
    assert len(cookie["a"]) == MAX_SIZE - 1


def test_a_change_after_the_headers_are_sent_is_an_error():
    cookie = Cookie("a=1")
    cookie["b"] = "2"
    assert len(cookie.set_cookie_values()) == 1
    for change in (
        lambda: cookie.set("c", "3"),
        lambda: cookie.remove("a"),
        cookie.clear,
    ):
        with pytest.raises(RuntimeError, match="headers are sent"):
            change()
    assert cookie["a"] == "1"
    assert len(cookie.set_cookie_values()) == 1


@given(st.dictionaries(NAMES, TEXT, max_size=8))
def test_a_browser_sends_back_what_was_set(values):
    cookie = Cookie(None)
    for name, value in values.items():
        cookie.set(name, value)
    headers = cookie.set_cookie_values()
    assert all(header.isascii() and header.isprintable() for header in headers)
    jar = Jar()
    jar.take(headers)
    assert dict(Cookie(jar.header)) == values


@given(TEXT, TEXT)
def test_no_text_breaks_out_of_its_header(name, value):
    cookie = Cookie(None)
    try:
        cookie.set(name, value)
    except ValueError:
        return
    (header,) = cookie.set_cookie_values()
    assert read(header).attributes == {"path": "/", "samesite": "Lax"}
