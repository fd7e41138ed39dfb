"""What must not be shown under --devel: names of secrets, known values, pairs in texts and code."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atila import Atila
from atila.debugging.masking import MASK, Masker, is_secret, is_shown, secrets_of

SECRET = [
    *("password", "passwd", "Password", "DB_PASSWORD", "user_password2", "passphrase", "pwd"),
    *("secret", "client_secret", "SECRET_KEY", "token", "csrf_token", "accessToken", "tokens"),
    *("key", "api_key", "apiKey", "APIKEY", "X-Api-Key", "securekey", "private_key", "privateKey"),
    *("authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "session", "sessionid"),
    *("credential", "credentials", "private", "signature", "X-Signature", "jwt", "otp", "auth"),
    *("PHPSESSID_session", "connect.sid", "dsn", "pin", "salt", b"password"),
]
PLAIN = [
    *("name", "monkey", "keyboard", "author", "authority", "compass", "passenger", "bypass"),
    *(
        "primary_key",
        "foreign_key",
        "design",
        "side",
        "spin",
        "result",
        "id",
        "amount",
        "",
        7,
        None,
    ),
]


@pytest.mark.parametrize("name", SECRET)
def test_names_of_secrets(name):
    assert is_secret(name)


@pytest.mark.parametrize("name", PLAIN)
def test_names_of_other_things(name):
    assert not is_secret(name)


def test_what_tells_nothing_is_shown():
    assert all(map(is_shown, (None, True, False, "", b"", [], {}, is_secret, re, str)))
    assert not any(map(is_shown, ("x", 1, 0, [0], object())))


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("token=abc&x=1", f"token={MASK}&x=1"),
        ("/reset?key=abc", f"/reset?key={MASK}"),
        ("User(name='a', password='b c', n=1)", f"User(name='a', password={MASK}, n=1)"),
        ("{'api_key': 'x', 'b': 1}", f"{{'api_key': {MASK}, 'b': 1}}"),
        ('{"secret": "a\\"b"}', f'{{"secret": {MASK}}}'),
        ("{'token': b'abc'}", f"{{'token': {MASK}}}"),
        ("password=None, token=''", "password=None, token=''"),
        ("if token == other", "if token == other"),
        ("unexpected token: '}'", "unexpected token: '}'"),
        ("postgres://me:pa%20ss@db/x", f"postgres://me:{MASK}@db/x"),
        ("http://host:80/a@b", "http://host:80/a@b"),
    ],
)
def test_pairs_in_texts(text, hidden):
    assert Masker().text(text) == hidden


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        ('    password = "hunter2"', '    password = "*******"'),
        ("x['token'] = 'abc'  # it", "x['token'] = '***'  # it"),
        ('f(api_key=b"ab", n=1)', 'f(api_key=b"**", n=1)'),
        ('{"secret": "ab"}', '{"secret": "**"}'),
        ('password = request["password"]', 'password = request["password"]'),
        ('token == "x"', 'token == "x"'),
        ('key = ""', 'key = ""'),
        ('u = "redis://a:bcd@h/"', 'u = "redis://a:***@h/"'),
    ],
)
def test_literals_in_source(line, hidden):
    assert Masker().code(line) == hidden


def test_known_secrets_are_found_in_every_form():
    masker = Masker(["p@ss wörd/1'"])
    for form in ("x p@ss wörd/1' y", "p%40ss%20w%C3%B6rd%2F1%27", "p%40ss+w%C3%B6rd%2F1%27"):
        assert "rd" not in masker.text(form), form
    assert "rd" not in masker.text(repr("x p@ss wörd/1'\""))


def test_short_secrets_are_only_hidden_in_addresses():
    masker = Masker(["pass"])
    assert masker.text("pass me:pass@host") == f"pass me{MASK}host"


def test_words_that_were_sent_are_not_looked_for():
    masker = Masker(sent=["username", "12345678", "r4nd0m-value"])
    assert masker.text("username 12345678 r4nd0m-value") == f"username 12345678 {MASK}"


def test_the_secrets_of_an_app(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "from-the-environment-1")
    monkeypatch.setenv("A_SESSION", "wayland-session")
    monkeypatch.setenv("KEY_FILE", "/etc/keys/1.pem")
    app = Atila("secrets")
    app.securekey = b"the-key-of-it"
    app.config.SMTP_PASSWORD = "of-the-mail"
    app.users = {"ann": ("anns-password", False), "bob": "bobs-password"}
    app.alias("@mydb", "*redis", "user:of%20the%20db@localhost:6379")
    found = Masker(secrets_of(app)).text(
        "the-key-of-it of-the-mail anns-password bobs-password from-the-environment-1 "
        "'of the db' of%20the%20db wayland-session /etc/keys/1.pem"
    )
    hidden = " ".join([MASK] * 5)
    assert found == f"{hidden} '{MASK}' {MASK} wayland-session /etc/keys/1.pem"


@given(st.text(max_size=200))
def test_source_keeps_its_length(line):
    assert len(Masker(["secret-value"]).code(line)) == len(line)


@given(st.text(min_size=8, max_size=40), st.text(max_size=60), st.text(max_size=60))
def test_a_known_secret_never_stays(secret, before, after):
    text = Masker([secret]).known(before + secret + after)
    assert secret not in text or secret in MASK * 3


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("/in?next=/a?token=abc", f"/in?next=/a?token={MASK}"),
        (r'"{\"token\": \"a b\", \"n\": 1}"', rf'"{{\"token\": {MASK}, \"n\": 1}}"'),
        ("password='cut off he", f"password={MASK}"),
        ("X-Api-Key: abc\r\nHost: a", f"X-Api-Key: {MASK}\r\nHost: a"),
        ("Proxy-Authorization: Basic eDp5", f"Proxy-Authorization: {MASK}"),
        ("Set-Cookie: a=b; Path=/", f"Set-Cookie: {MASK}"),
        ("sent 'Bearer eyJhbGciOi.J9'", f"sent 'Bearer {MASK}'"),
        ("Key (token)=(a-b) already exists", f"Key (token)=({MASK}) already exists"),
        (
            "-----BEGIN EC PRIVATE KEY-----\nMII\n-----END",
            f"-----BEGIN EC PRIVATE KEY-----{MASK}-----END",
        ),
        ("Basic authentication failed", "Basic authentication failed"),
        ("db://me:p@ss@host/x", f"db://me:{MASK}@host/x"),
        ("redis://:p/ss@host/0", f"redis://:{MASK}@host/0"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
    ],
)
def test_secrets_in_texts_of_others(text, hidden):
    assert Masker().text(text) == hidden


def test_long_words_take_no_long_time():
    masker = Masker(["secret-value"])
    for word in ("a", "'a", "x://a", "a.-", "1", "\\", " ", "a=", "b'", "Bearer ", "cookie:"):
        for long in (word * 20_000, word + "a" * 20_000, "x='" + word * 20_000):
            masker.text(long)
            masker.code(long)


def test_no_part_of_a_secret_is_left_where_a_text_is_cut():
    secret = "abcdefgh-1234567" * 6
    assert "abcd" not in Masker([secret]).beginning(secret * 9 + "x" * 99, 300)
