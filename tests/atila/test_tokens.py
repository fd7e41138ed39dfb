"""Tokens, one-time passwords, hashed passwords and identifiers, as ``was`` has them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from browser import Jar
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from atila.errors import ConfigError
from atila.state.cookies import Cookie
from atila.state.sealing import from_text, signer, to_text
from atila.state.session import Session, Sessions
from atila.tokens.methods import TokenMethods
from atila.tokens.otp import STEP, generate_otp

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = b"ds8fdsflksdjf9879dsf;?<>Asda"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


class Was(TokenMethods):
    """What of ``was`` the methods look at."""

    def __init__(self, jar: Jar | None = None, salt: Any = KEY, authorization: str = "") -> None:
        headers = {"authorization": authorization} if authorization else {}
        self._jar = jar or Jar()
        self._app = SimpleNamespace(salt=salt)
        self._request = SimpleNamespace(headers=headers)
        self._session = Session(Sessions(salt), Cookie(self._jar.header))

    app = property(lambda self: self._app)
    request = property(lambda self: self._request)
    session = property(lambda self: self._session)

    def respond(self) -> None:
        self._jar.take(self.session.commit())


class Clock:
    """The time of the tests; they move it."""

    now = 1_800_000_000.5

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.time", made.time)
    return made


def soon() -> float:
    return time.time() + 60


# -- JSON Web Tokens


def test_claims_come_back():
    was = Was()
    claims = {"iss": "example.com", "exp": soon(), "aud": "us", "sub": 5, "iat": soon(), "a": [1]}
    assert was.decode_jwt(was.encode_jwt(claims)) == claims
    assert was.dejwt(was.mkjwt(claims)) == claims


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_other_libraries_read_our_tokens_and_we_theirs(alg):
    was, key = Was(), "a long key that is long enough for all of them; HS512 wants 64 octets"
    claims = {"exp": int(soon()), "user": "é"}
    ours = was.encode_jwt(claims, key, alg)
    assert jwt.decode(ours, key, algorithms=[alg]) == claims
    assert jwt.get_unverified_header(ours) == {"alg": alg, "typ": "JWT"}
    assert was.decode_jwt(jwt.encode(claims, key, alg), key) == claims


def test_without_a_token_it_is_that_of_the_request():
    token = Was().encode_jwt({"exp": soon(), "uid": "hans"})
    for authorization in (f"Bearer {token}", f"bearer  {token} "):
        assert Was(authorization=authorization).decode_jwt()["uid"] == "hans"
    for authorization in ("", "Bearer", "Bearer ", "Basic abc", token):
        assert Was(authorization=authorization).dejwt() == {"err": "token missing", "ecd": 1}


def test_an_expired_token_has_ecd_0(clock):
    was = Was()
    token = was.encode_jwt({"exp": clock.now + 60})
    clock.now += 59
    assert "err" not in was.decode_jwt(token)
    clock.now += 1
    assert was.decode_jwt(token) == {"err": "token expired", "ecd": 0}


def test_a_token_that_is_not_valid_yet_has_ecd_1(clock):
    was = Was()
    token = was.encode_jwt({"exp": clock.now + 60, "nbf": clock.now + 10})
    assert was.decode_jwt(token) == {"err": "token not valid yet", "ecd": 1}
    clock.now += 10
    assert "err" not in was.decode_jwt(token)


def test_a_token_needs_an_expiry():
    was = Was()
    with pytest.raises(AssertionError, match="exp"):
        was.encode_jwt({"user": "hans"})
    key = "another key that is long enough for it"
    for exp in ({}, {"exp": "soon"}, {"exp": None}, {"exp": True}):
        token = sign({"alg": "HS256"}, exp, key)
        assert was.decode_jwt(token, key) == {"err": "token without exp", "ecd": 1}


def test_dates_may_be_datetimes():
    was = Was()
    moment = datetime.now(timezone.utc).replace(microsecond=0)
    end = moment + timedelta(hours=1)
    claims = was.decode_jwt(was.encode_jwt({"exp": end, "nbf": moment, "iat": moment}))
    assert claims == {
        "exp": end.timestamp(), "nbf": moment.timestamp(), "iat": moment.timestamp(),
    }  # fmt: skip


def test_claims_are_json():
    with pytest.raises(TypeError, match=r"claims\['a'\] is of type bytes"):
        Was().encode_jwt({"exp": soon(), "a": b"x"})


def sign(header: Any, claims: Any, key: str, encode: Callable[[bytes], str] = to_text) -> str:
    parts = [encode(json.dumps(part).encode()) for part in (header, claims)]
    text = ".".join(parts)
    digest = hmac.digest(key.encode(), text.encode(), "sha256")
    return f"{text}.{encode(digest)}"


def test_old_tokens_have_the_standard_alphabet():
    for number in range(50):
        claims = {"exp": soon(), "text": "?>~" * number}
        for pad in (b"=", b""):
            token = sign(
                {"typ": "JWT", "alg": "HS256"},
                claims,
                KEY.decode(),
                lambda data, pad=pad: base64.b64encode(data).rstrip(pad).decode(),
            )
            assert Was().decode_jwt(token) == claims


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"}, {"alg": "None"}, {"alg": ""}, {}, {"alg": None}, {"alg": ["HS256"]},
        {"alg": {}}, {"alg": "RS256"}, {"alg": "HS1"}, {"alg": "HS256", "crit": ["exp"]},
        {"alg": "HS256", "b64": False},
    ],
)  # fmt: skip
def test_the_header_does_not_choose_the_rules(header):
    token = sign(header, {"exp": soon()}, KEY.decode())
    assert Was().decode_jwt(token)["ecd"] == 1
    unsigned = token.rpartition(".")[0] + "."
    assert Was().decode_jwt(unsigned)["ecd"] == 1


@pytest.mark.parametrize(
    "token",
    [
        "", "x", "..", "...", "a.b.c", "a.b", "=.=.=", "é.é.é", "!.!.!", " ", "e30.e30.e30",
        "e30.e30.", "W10.W10.W10", "bnVsbA.e30.e30", "e3.e30.e30", "." * 70000, 5, b"bytes",
        to_text(b"[" * 5000) + ".e30.e30",
    ],
)  # fmt: skip
def test_malformed_tokens_are_no_crash(token):
    answer = Was().decode_jwt(token)
    assert (set(answer), answer["ecd"]) == ({"err", "ecd"}, 1)


@pytest.mark.parametrize("claims", [[], 1, None, "text"])
def test_claims_of_another_type_are_malformed(claims):
    token = sign({"alg": "HS256"}, claims, KEY.decode())
    assert Was().decode_jwt(token) == {"err": "malformed token", "ecd": 1}


def test_another_key_is_an_invalid_signature():
    was = Was()
    token = was.encode_jwt({"exp": soon()})
    assert was.decode_jwt(token, "another key") == {"err": "invalid signature", "ecd": 1}
    assert Was(salt=b"another key").decode_jwt(token)["ecd"] == 1


def pem(private: Any) -> tuple[bytes, bytes]:
    """A key pair as texts."""
    encoding, format = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return (
        private.private_bytes(encoding, format, serialization.NoEncryption()),
        private.public_key().public_bytes(
            encoding, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )


@pytest.fixture(scope="module")
def pairs() -> dict[str, tuple[bytes, bytes]]:
    rsa_pair = pem(rsa.generate_private_key(65537, 2048))
    return {
        "RS256": rsa_pair,
        "PS384": rsa_pair,
        "ES256": pem(ec.generate_private_key(ec.SECP256R1())),
        "ES512": pem(ec.generate_private_key(ec.SECP521R1())),
        "EdDSA": pem(ed25519.Ed25519PrivateKey.generate()),
    }


@pytest.mark.parametrize("alg", ["RS256", "PS384", "ES256", "ES512", "EdDSA"])
def test_key_pairs(pairs, alg):
    was, (private, public) = Was(), pairs[alg]
    claims = {"exp": int(soon())}
    token = was.encode_jwt(claims, private, alg)
    assert was.decode_jwt(token, public) == claims
    assert was.decode_jwt(token, private.decode()) == claims
    assert jwt.decode(token, public, algorithms=[alg]) == claims
    assert was.decode_jwt(token) == {"err": "token with another algorithm", "ecd": 1}
    head, _, signature = token.rpartition(".")
    for wrong in ("", "A" * len(signature), signature[4:], signature + "AAAA"):
        assert was.decode_jwt(f"{head}.{wrong}", public)["err"] == "invalid signature"


def test_a_public_key_is_never_the_secret_of_an_hmac(pairs):
    public = pairs["RS256"][1]
    token = sign({"alg": "HS256"}, {"exp": soon()}, public.decode())
    assert Was().decode_jwt(token, public) == {"err": "token with another algorithm", "ecd": 1}


def test_a_key_is_for_its_algorithms_only(pairs):
    was, claims = Was(), {"exp": soon()}
    for key, alg in (
        (KEY, "RS256"), (KEY, "none"), (pairs["RS256"][0], "HS256"), (pairs["ES256"][0], "ES512"),
        (pairs["RS256"][1], "RS256"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="doesn't fit the key"):
            was.encode_jwt(claims, key, alg)


def test_texts_that_are_no_keys_say_so():
    broken = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    unfit = pem(dsa.generate_private_key(1024))[1]
    locked = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    for text in (broken, unfit, locked):
        with pytest.raises(ConfigError, match="the key for a JWT"):
            Was().decode_jwt("a.b.c", text)


def test_without_a_key_the_message_says_what_to_set():
    was = Was(salt=None)
    for use in (
        lambda: was.encode_jwt({"exp": soon()}),
        lambda: was.decode_jwt("x"),
        was.generate_otp,
        lambda: was.verify_otp("x"),
        lambda: was.encode_ott(1),
        lambda: was.decode_ott("x"),
        lambda: was.revoke_ott("x"),
    ):
        with pytest.raises(ConfigError, match="needs a key.*pref.securekey"):
            use()


@given(st.dictionaries(TEXT, JSON_VALUES, max_size=5))
def test_every_claim_comes_back_as_it_was(claims):
    was = Was()
    claims = {**claims, "exp": 9_999_999_999}
    claims.pop("nbf", None)
    assert json.dumps(was.decode_jwt(was.encode_jwt(claims))) == json.dumps(claims)


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_a_changed_character_is_never_believed(position, character):
    was = Was()
    token = was.encode_jwt({"exp": 9_999_999_999, "admin": False})
    at = position % (len(token) - 1)  # some bits of the last character say nothing
    changed = token[:at] + character + token[at + 1 :]
    same_octet = {token[at], character} in ({"-", "+"}, {"_", "/"}) and at > token.rindex(".")
    if changed != token and not same_octet:
        assert was.decode_jwt(changed)["ecd"] == 1


@given(st.text(max_size=80) | st.text("eyJ0.-_=+/\0", max_size=80))
def test_no_text_is_a_crash(text):
    was = Was()
    assert was.decode_jwt(text)["ecd"] == 1
    assert was.decode_ott(text) is None
    assert was.verify_otp(text) is False


# -- one-time passwords


def test_a_password_is_good_for_both_sides():
    was = Was()
    assert was.verify_otp(was.generate_otp())
    assert was.verify_otp(generate_otp(KEY))
    assert was.verify_otp(generate_otp(KEY.decode()))
    assert was.verify_otp(was.generate_otp("mine"), b"mine")


def test_passwords_of_others_are_refused():
    was = Was()
    for wrong in (None, "", "x", "é", "\ud800", 5, b"x", generate_otp("another"), "0" * 32):
        assert was.verify_otp(wrong) is False


def test_nineteen_seconds_are_good_and_forty_are_not(clock):
    was, refused = Was(), []
    for _ in range(STEP * 10):
        clock.now += 0.1
        for delta in (0, 1, 10, 19):
            assert was.verify_otp(was.generate_otp(delta=delta))
            assert was.verify_otp(was.generate_otp(None, -delta))
        for delta in (30, 40, 41, 100, 100_000):
            assert not was.verify_otp(was.generate_otp(delta=delta))
            assert not was.verify_otp(was.generate_otp(delta=-delta))
        for delta in range(20, 40):
            refused.append(not was.verify_otp(was.generate_otp(delta=delta)))
            refused.append(not was.verify_otp(was.generate_otp(delta=-delta)))
    assert 0.4 < sum(refused) / len(refused) < 0.9


def test_a_password_is_not_the_secret_of_the_next(clock):
    passwords = set()
    for _ in range(100):
        passwords.add(generate_otp(KEY))
        clock.now += STEP
    assert len(passwords) == 100
    assert all(len(password) == 32 for password in passwords)


# -- one-time tokens


@given(JSON_VALUES)
def test_every_value_comes_back_as_it_was(value):
    was = Was()
    assert json.dumps(was.decode_ott(was.encode_ott(value))) == json.dumps(value)


def test_the_other_names():
    was = Was()
    for make in (was.mkott, was.mktoken, was.token):
        for read in (was.deott, was.detoken):
            assert read(make({"a": [1]})) == {"a": [1]}
    for revoke in (was.rvott, was.rmtoken):
        token = was.mkott(1, 60, "key")
        revoke(token)
        assert was.deott(token) is None


def test_a_token_fits_into_a_url_as_it_is():
    token = Was().encode_ott({"?": "é/+ &=" * 10})
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_a_token_lives_for_its_timeout(clock):
    was = Was()
    token, longer, endless, none = (
        was.encode_ott("a"), was.encode_ott("b", 5000), was.encode_ott("c", 0),
        was.encode_ott("d", None),
    )  # fmt: skip
    clock.now += 1199
    assert was.decode_ott(token) == "a"
    clock.now += 2
    assert was.decode_ott(token) is None
    assert was.decode_ott(longer) == "b"
    clock.now += 10**9
    assert (was.decode_ott(endless), was.decode_ott(none)) == ("c", "d")


def test_values_without_a_json_type_are_refused():
    with pytest.raises(TypeError, match="the token's value is of type bytes"):
        Was().encode_ott(b"x")


def test_tokens_of_others_are_none():
    was = Was()
    token = Was(salt=b"another key").encode_ott("a")
    for wrong in (None, "", ".", token, was.encode_ott("a") + "x", 5, b"x", "é", "x" * 70000):
        assert was.decode_ott(wrong) is None
        assert was.revoke_ott(wrong) is None


def test_what_was_signed_for_another_purpose_is_no_token():
    payload = from_text(Was().encode_ott("a").partition(".")[0])
    assert Was().decode_ott(signer(KEY, "message box ATLMBX_").sign(payload)) is None


def test_a_token_of_another_format_is_none():
    token = signer(KEY, "one-time token").sign(b'[2,"a"]')
    assert Was().decode_ott(token) is None


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_a_changed_character_of_a_token_is_never_believed(position, character):
    was = Was()
    token = was.encode_ott({"user": "hans"})
    at = position % (len(token) - 1)  # two bits of the last character say nothing
    changed = token[:at] + character + token[at + 1 :]
    assert was.decode_ott(changed) == ({"user": "hans"} if changed == token else None)


def made(jar: Jar, *args: Any) -> str:
    """A token that one request made."""
    was = Was(jar)
    token = was.encode_ott(*args)
    was.respond()
    return token


def decoded(jar: Jar, token: str) -> Any:
    """What the next request makes of a token."""
    was = Was(jar)
    value = was.decode_ott(token)
    was.respond()
    return value


def test_a_revocable_token_is_good_until_it_is_revoked():
    jar = Jar()
    token = made(jar, "hans", 3600, "rset")
    assert list(jar.cookies) == ["ATLSES_RSET"]
    assert decoded(jar, token) == decoded(jar, token) == "hans"
    was = Was(jar)
    was.revoke_ott(token)
    was.respond()
    assert jar.cookies == {}
    assert decoded(jar, token) is None


def test_a_revocable_token_is_good_for_its_browser_only():
    jar = Jar()
    token = made(jar, "hans", 3600, "rset")
    assert decoded(Jar(), token) is None
    assert decoded(jar, token) == "hans"


def test_a_newer_token_replaces_the_one_before():
    jar = Jar()
    older = made(jar, "hans", 3600, "rset")
    newer = made(jar, "hans", 3600, "rset")
    assert decoded(jar, newer) == "hans"
    assert decoded(jar, older) is None
    assert jar.cookies == {}  # a token that doesn't match ends the other one too


def test_revocable_tokens_of_different_keys_live_side_by_side():
    jar = Jar()
    one, two = made(jar, 1, 60, "one"), made(jar, 2, 60, "two")
    assert (decoded(jar, one), decoded(jar, two)) == (1, 2)


def test_a_revocable_token_ends_with_its_session(clock):
    jar = Jar()
    token = made(jar, "hans", 60, "rset")
    clock.now += 62
    assert decoded(jar, token) is None


def test_an_expired_token_leaves_nothing_in_a_session_that_lives_on(clock):
    jar = Jar()
    token = made(jar, "hans", 60, "rset")
    was = Was(jar)
    with was.session.mounted("rset") as session:
        session.set_expiry(600)
        session["mine"] = 1
    was.respond()
    clock.now += 62
    assert decoded(jar, token) is None
    with Was(jar).session.mounted("rset") as session:
        assert dict(session) == {"mine": 1}


def test_the_default_session_is_left_alone():
    was = Was()
    was.session["a"] = 1
    token = was.encode_ott("hans", 60, "rset")
    assert was.decode_ott(token) == "hans"
    assert dict(was.session) == {"a": 1}


def test_a_revocable_token_needs_a_timeout():
    with pytest.raises(AssertionError, match="needs a timeout"):
        Was().encode_ott("hans", 0, "rset")


# -- passwords and identifiers


def test_a_password_is_verified_with_salt_and_signature():
    was = Was()
    salt, signature = was.encrypt_password("geheim é")
    assert was.verify_password("geheim é", salt, signature)
    assert was.verify_password("geheim é".encode(), salt, signature)
    assert not was.verify_password("Geheim é", salt, signature)
    assert not was.verify_password("geheim é", "A" * 22, signature)
    assert "geheim" not in salt + signature


def test_the_same_password_has_another_signature_each_time():
    was = Was()
    assert was.encrypt_password("geheim") != was.encrypt_password("geheim")


def test_signatures_with_other_parameters_stay_good():
    digest = hashlib.scrypt(b"geheim", salt=b"0123456789abcdef", n=1024, r=8, p=1, dklen=32)
    signature = f"scrypt$1024$8$1${to_text(digest)}"
    assert Was().verify_password("geheim", to_text(b"0123456789abcdef"), signature)


@pytest.mark.parametrize(
    ("salt", "signature"),
    [
        ("AAAA", ""), ("AAAA", "x"), ("AAAA", "scrypt$1024$8$1$"), ("AAAA", "md5$1$1$1$AAAA"),
        ("AAAA", "scrypt$1000$8$1$AAAA"), ("AAAA", "scrypt$-1$8$1$AAAA"),
        ("!", "scrypt$2$1$1$AAAA"), ("AAAA", "scrypt$1073741824$8$1$AAAA"),
        ("AAAA", "scrypt$x$8$1$AAAA"), ("AAAA", "scrypt$1024$8$1$!"), ("AAAA", "scrypt$2$2$2"),
        ("AAAA", f"scrypt${2**80}$8$1$AAAA"), ("AAAA", "scrypt$0$0$0$AAAA"),
    ],
)  # fmt: skip
def test_malformed_signatures_are_nobody_s(salt, signature):
    assert Was().verify_password("geheim", salt, signature) is False


def test_unknown_accounts_cost_as_much_as_wrong_passwords(monkeypatch):
    was = Was()
    account = was.encrypt_password("geheim")
    costs = []
    scrypt = hashlib.scrypt

    def counted(password, **options):
        costs.append({**options, "salt": b""})
        return scrypt(password, **options)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    assert not was.verify_password("falsch", *account)
    assert not was.verify_password("falsch", "", "")
    assert costs[0] == costs[1]


def test_identifiers():
    was = Was()
    assert was.make_uid("a") == was.make_uid(b"a") != was.make_uid("b")
    assert was.make_uid() != was.make_uid()
    for uid in (was.make_uid("a"), was.make_uid(""), was.make_uid()):
        assert len(uid) == 22
        assert uid.replace("-", "").replace("_", "").isalnum()
    assert len(was.uniqid) == 20
    assert was.uniqid != was.uniqid
    assert was.uniqid.isalnum()


def test_the_timestamp_has_thirteen_digits():
    before = time.time()
    assert before - 1 < Was().timestamp / 1000 < time.time() + 1
    assert len(str(Was().timestamp)) == 13
