"""``was.session``: what comes back with the next request, how long, and what is never believed."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from browser import Jar, SetCookie
from hypothesis import given, settings
from hypothesis import strategies as st

from atila.errors import ConfigError
from atila.state.cookies import MAX_SIZE, Cookie
from atila.state.sealing import VERSION, Sealer, from_text, sealer, to_text
from atila.state.session import Session, Sessions
from atila.state.session_space import PURPOSE

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "ds8fdsflksdjf9879dsf;?<>Asda"
HOME = "192.0.2.7"
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), inner)
    ),
    max_leaves=12,
)


class Clock:
    """The time of the tests; they move it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.25

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.time", made.time)
    return made


class Client:
    """A browser whose requests run functions that get the session."""

    def __init__(self, key: Any = KEY, timeout: float | None = None, store: Any = None) -> None:
        self.sessions = Sessions(key, timeout, store)
        self.jar = Jar()
        self.address = HOME
        self.sent: list[SetCookie] = []

    def session(self, https: bool = False) -> Session:
        return Session(self.sessions, Cookie(self.jar.header), self.address, https)

    def __call__(self, use: Callable[[Session], Any], https: bool = False) -> Any:
        session = self.session(https)
        result = use(session)
        self.sent = self.jar.take(session.commit())
        return result

    def put(self, **values: Any) -> None:
        self(lambda session: session.update(values))

    def values(self) -> dict[str, Any]:
        return self(dict)


# -- values


def test_values_come_back_with_the_next_request():
    client = Client()
    client.put(user="hans", n=1, pi=3.5, yes=True, none=None, cart=[1, {"a": [2]}])
    assert client.values() == {
        "user": "hans", "n": 1, "pi": 3.5, "yes": True, "none": None, "cart": [1, {"a": [2]}],
    }  # fmt: skip


def test_it_is_a_dictionary_in_which_what_is_missing_is_none():
    client = Client()
    client.put(a=1)
    session = client.session()
    assert session["b"] is None
    assert session.get("b", 2) == 2
    assert ("a" in session, "b" in session) == (True, False)
    assert list(session) == list(session.keys()) == ["a"]
    assert list(session.items()) == [("a", 1)]
    assert list(session.values()) == [1]
    assert session.setdefault("c", 3) == 3
    assert session.pop("a") == 1
    assert session.pop("a") is None
    del session["missing"]
    assert dict(session) == {"c": 3}


def test_the_bookkeeping_is_not_among_the_values():
    client = Client()
    client.put(a=1)
    assert client(lambda session: (list(session), len(session), "_valids" in session)) == (
        ["a"], 1, False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [b"bytes", {1}, object(), Decimal(1), float("nan"), float("inf"), {1: 2}, [{"a": {2}}], print],
)
def test_what_json_has_no_type_for_is_refused_when_it_is_set(value):
    session = Client().session()
    with pytest.raises(TypeError, match=r"session\['it'\]"):
        session["it"] = value
    assert session.commit() == []


def test_keys_are_text():
    with pytest.raises(TypeError, match="keys of a session are text, not 1"):
        Client().session().set(1, "a")


def test_a_nesting_without_end_is_refused():
    value: list[Any] = []
    value.append(value)
    with pytest.raises(TypeError, match="nested more than"):
        Client().session()["it"] = value


def test_text_that_is_not_unicode_is_refused():
    session = Client().session()
    session["it"] = "\ud800"
    with pytest.raises(TypeError, match="not Unicode"):
        session.commit()


def test_a_list_that_is_changed_in_place_is_saved(clock):
    client = Client()
    client.put(cart=["a"])
    clock.now += 1000
    client(lambda session: session["cart"].append("b"))
    clock.now += 1000  # the change was one: it has extended the session
    assert client.values() == {"cart": ["a", "b"]}


def test_a_list_may_be_changed_behind_its_setting():
    client = Client()

    def add(session):
        session["cart"] = cart = []
        cart.append(1)

    client(add)
    assert client.values() == {"cart": [1]}


def test_what_is_put_into_a_list_must_be_json_too():
    client = Client()
    client.put(cart=[])
    with pytest.raises(TypeError, match=r"session\['cart'\]\[0\] is of type bytes"):
        client(lambda session: session["cart"].append(b"x"))


# -- the cookie


def test_nothing_is_sent_when_nothing_was_changed():
    client = Client()
    client.put(a=1, cart=[1])
    for use in (
        lambda session: None,
        lambda session: session["a"],
        lambda session: session["cart"],
        dict,
        lambda session: session.remove("missing"),
        lambda session: session.impending(),
    ):
        client(use)
        assert client.sent == []


def test_a_request_that_leaves_its_session_alone_does_not_even_read_it():
    cookie = Cookie("ATLSES_=x")
    session = Session(Sessions(None), cookie, HOME)
    assert session.commit() == []
    assert cookie._values is None


def test_the_cookie_is_safe_by_default(clock):
    client = Client()
    client.put(a=1)
    (cookie,) = client.sent
    assert cookie.name == "ATLSES_"
    assert cookie.attributes == {
        "path": "/", "expires": "Fri, 15 Jan 2027 08:20:01 GMT", "samesite": "Lax",
        "httponly": True,
    }  # fmt: skip


def test_over_https_the_cookie_is_for_https_only():
    client = Client()
    client(lambda session: session.set("a", 1), https=True)
    assert client.sent[0].attributes["secure"] is True


def test_nobody_can_read_the_cookie():
    client = Client()
    client.put(user="hansroh")
    octets = from_text(client.sent[0].value)
    assert b"hans" not in octets
    assert b"user" not in octets


def test_two_cookies_of_the_same_session_differ():
    one, two = Client(), Client()
    one.put(a=1)
    two.put(a=1)
    assert one.sent[0].value != two.sent[0].value


def test_an_emptied_session_deletes_its_cookie():
    for empty in (
        lambda session: session.remove("a"),
        lambda session: session.clear(),
        lambda session: session.expire(),
        lambda session: session.set_expiry(0),
        lambda session: session.pop("a"),
    ):
        client = Client()
        client.put(a=1)
        client(empty)
        assert [cookie.erases for cookie in client.sent] == [True]
        assert client.jar.header is None


def test_an_empty_session_sends_nothing():
    client = Client()
    for use in (
        lambda session: session.clear(),
        lambda session: session.expire(),
        lambda session: session.touch(),
        lambda session: session.set_expiry(60),
    ):
        client(use)
        assert client.sent == []

    def change_of_mind(session):
        session["a"] = 1
        del session["a"]

    client(change_of_mind)
    assert client.sent == []


def test_a_session_of_somebody_else_is_not_deleted():
    client = Client()
    client.jar.cookies["ATLSES_"] = "of another app with another key"
    client(lambda session: (session.touch(), session.clear(), session.get("a")))
    assert client.sent == []
    client(lambda session: session.expire())
    assert client.sent[0].erases


def test_what_does_not_fit_into_a_cookie_says_what_to_do():
    client = Client()
    with pytest.raises(ValueError, match=r"5\d\d\d bytes.*app.session_store = RedisSessionStore"):
        client.put(big="x" * 4000)
    client.put(big="x" * 2950)
    assert 4000 < len(client.sent[0].name) + len(client.sent[0].value) <= MAX_SIZE
    assert len(client.values()["big"]) == 2950


def test_a_change_after_the_headers_are_sent_is_an_error():
    client = Client()
    client.put(a=1)
    session = client.session()
    assert session["a"] == 1
    session.commit()
    for change in (
        lambda: session.set("a", 2),
        lambda: session.remove("a"),
        session.clear,
        session.touch,
        session.expire,
        lambda: session.set_expiry(60),
    ):
        with pytest.raises(RuntimeError, match="headers are sent"):
            change()
    assert session["a"] == 1


def test_without_a_key_the_first_use_says_what_to_set():
    for use in (
        lambda session: session["a"],
        lambda session: "a" in session,
        lambda session: session.set("a", 1),
        lambda session: session.expire(),
    ):
        with pytest.raises(ConfigError, match="was.session needs a key.*pref.securekey"):
            use(Client(key=None).session())


def test_the_key_may_be_bytes():
    client = Client()
    client.put(a=1)
    client.sessions = Sessions(KEY.encode())
    assert client.values() == {"a": 1}


# -- what is not believed


def test_foreign_cookies_are_empty_sessions():
    other = Client(key="another key, also a long one")
    other.put(a=1)
    for token in (
        "", "x", "=", "A" * 40, "!" * 40, "é" * 40, "A" * 70000, other.sent[0].value,
        other.sent[0].value + "A", other.sent[0].value[:-4],
    ):  # fmt: skip
        client = Client()
        client.jar.cookies["ATLSES_"] = token
        assert client.values() == {}


def test_a_cookie_of_another_version_is_an_empty_session():
    client = Client()
    client.put(a=1)
    octets = from_text(client.jar.cookies["ATLSES_"])
    assert octets[0] == VERSION
    client.jar.cookies["ATLSES_"] = to_text(b"\x02" + octets[1:])
    assert client.values() == {}


@pytest.mark.parametrize(
    "record",
    [
        b"", b"null", b"{}", b"[]", b"[1]", b"\xff", b"[" * 2000,
        b'[2,9999999999,1200,"",{"a":1},{}]', b'[1,"soon",1200,"",{"a":1},{}]',
        b'[1,9999999999,1200,"",[],{}]',
    ],
)  # fmt: skip
def test_a_record_of_another_format_is_an_empty_session(record):
    client = Client()
    client.jar.cookies["ATLSES_"] = sealer(KEY.encode(), PURPOSE).seal(record, "ATLSES_")
    assert client.values() == {}


def test_the_cookie_of_one_session_is_no_other_session():
    client = Client()
    client.put(a=1)
    client.jar.cookies["ATLSES_ADMIN"] = client.jar.cookies["ATLSES_"]

    def admin(session):
        session.mount("admin")
        return dict(session)

    assert client(admin) == {}


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_octet_makes_it_an_empty_session(position, change):
    client = Client()
    client.put(a=1)
    octets = bytearray(from_text(client.jar.cookies["ATLSES_"]))
    octets[position % len(octets)] ^= change
    client.jar.cookies["ATLSES_"] = to_text(octets)
    assert client.values() == {}


@settings(deadline=None)
@given(st.integers(0, 10_000), st.characters(codec="latin-1"))
def test_a_changed_character_makes_it_an_empty_session(position, character):
    client = Client()
    client.put(a=1)
    token = client.jar.cookies["ATLSES_"]
    at = position % len(token)
    changed = token[:at] + character + token[at + 1 :]
    client.jar.cookies["ATLSES_"] = changed
    session = client.session()
    assert dict(session) == ({"a": 1} if changed == token else {})


@settings(deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=9), JSON_VALUES))
def test_every_json_value_comes_back_as_it_was(values):
    client = Client()
    try:
        client(lambda session: session.update(values))
    except ValueError:  # too large for a cookie
        return
    assert json.dumps(client.values()) == json.dumps(values)
    assert client.sent == []


@given(st.binary(max_size=300), st.text(max_size=20))
def test_what_is_sealed_is_opened_by_the_same_key_and_name_only(data, name):
    ours = Sealer(b"key", "purpose")
    token = ours.seal(data, name)
    assert ours.open(token, name) == data
    assert Sealer(b"key", "purpose").open(token, name) == data
    assert ours.open(token, name + "x") is None
    assert Sealer(b"yek", "purpose").open(token, name) is None
    assert Sealer(b"key", "another").open(token, name) is None


@given(st.text(max_size=100))
def test_no_text_is_a_crash_of_the_sealer(token):
    assert Sealer(b"key", "purpose").open(token, "name") is None


# -- expiry


def test_it_lives_for_twenty_minutes_unless_the_app_says_otherwise(clock):
    client = Client()
    client.put(a=1)
    assert client(lambda session: session.get_expiry()) == 1_800_001_201
    client = Client(timeout=60)
    client.put(a=1)
    clock.now += 59.9
    assert client.values() == {"a": 1}
    clock.now += 1
    assert client.values() == {}


@pytest.mark.parametrize("timeout", [0, -1, "1200", True, float("nan")])
def test_a_timeout_that_is_none_is_refused(timeout):
    with pytest.raises(ConfigError, match=r"session_timeout = .* seconds, more than 0"):
        Sessions(KEY, timeout)
    with pytest.raises(ValueError, match=r"session_timeout = .* seconds, more than 0"):
        Client().session().mount("ADMIN", session_timeout=timeout)


def test_a_timeout_without_end_is_a_hundred_years(clock):
    client = Client(timeout=float("inf"))
    client.put(a=1)
    assert "2126" in str(client.sent[0].attributes["expires"])


@pytest.mark.parametrize("key", [12345678, ["k"], True])
def test_a_key_that_is_no_text_is_refused(key):
    with pytest.raises(ConfigError, match="securekey must be text or bytes, not"):
        Sessions(key)
    session = Client().session()
    session.mount("ADMIN", securekey=key)
    with pytest.raises(ConfigError, match="securekey must be text or bytes, not"):
        session.get("a")


def test_reading_never_extends(clock):
    client = Client(timeout=100)
    client.put(a=1, cart=[1])
    clock.now += 95
    assert client(lambda session: session.impending())
    assert client(lambda session: (session["a"], session["cart"])) == (1, [1])
    assert client.sent == []
    clock.now += 6
    assert client.values() == {}


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session.set("b", 2),
        lambda session: session.set("a", 1),
        lambda session: session.remove("a"),
        lambda session: session.touch(),
    ],
)
def test_changes_and_touch_extend(clock, change):
    client = Client(timeout=100)
    client.put(a=1, z=1)
    clock.now += 90
    client(change)
    assert len(client.sent) == 1
    clock.now += 90
    assert client.values()["z"] == 1


def test_set_expiry_is_not_shortened_until_a_change_would_last_longer(clock):
    client = Client(timeout=100)

    def remember(session):
        session["a"] = 1
        session.set_expiry(1000)

    client(remember)
    decided = client(lambda session: session.get_expiry())
    for change in (
        lambda session: session.set("a", 2),
        lambda session: session.remove("b"),
        lambda session: session.touch(),
    ):
        client(change)
        assert client(lambda session: session.get_expiry()) == decided
    clock.now += 950
    client.put(a=3)
    assert client(lambda session: session.get_expiry()) == decided + 50


def test_set_expiry_may_shorten(clock):
    client = Client(timeout=1000)
    client.put(a=1)
    client(lambda session: session.set_expiry(10))
    clock.now += 12
    assert client.values() == {}


def test_an_expiry_before_the_first_value_counts(clock):
    client = Client(timeout=10)

    def remember(session):
        session.set_expiry(1000)
        session["a"] = 1

    client(remember)
    clock.now += 900
    assert client.values() == {"a": 1}


def test_for_ever_is_a_hundred_years(clock):
    client = Client()

    def remember(session):
        session["a"] = 1
        session.set_expiry(float("inf"))

    client(remember)
    assert "2126" in str(client.sent[0].attributes["expires"])


def test_use_time_and_impending(clock):
    client = Client(timeout=100)
    assert client(lambda session: (session.use_time(), session.impending())) == (0.0, False)
    assert client(lambda session: session.get_expiry()) == 0
    client.put(a=1)
    for seconds, impending in ((10, False), (69, False), (2, True)):
        clock.now += seconds
        assert client(lambda session: session.impending()) is impending
    assert client(lambda session: session.use_time()) == pytest.approx(81, abs=1)


def test_impending_is_at_least_ten_seconds(clock):
    client = Client(timeout=20)
    client.put(a=1)
    clock.now += 9
    assert not client(lambda session: session.impending())
    clock.now += 2
    assert client(lambda session: session.impending())


def test_what_is_set_after_expire_begins_anew(clock):
    client = Client(timeout=100)

    def remember(session):
        session.update(a=1, b=2)
        session.set_expiry(9999)

    client(remember)

    def login(session):
        session.expire()
        assert session.get_expiry() == 0
        session["user"] = "hans"

    client(login)
    assert client.values() == {"user": "hans"}
    assert client(lambda session: session.get_expiry()) == 1_800_000_101


# -- the client's address


def test_getv_gives_what_was_set_from_the_same_address():
    client = Client()
    client.put(user="hans")
    assert client(lambda session: session.getv("user")) == "hans"
    client.address = "198.51.100.1"
    assert client(lambda session: session.getv("user")) is None
    assert client(lambda session: session.getv("user", "nobody")) == "nobody"
    assert client(lambda session: session.get("user")) == "hans"


def test_a_thief_who_sets_a_value_gets_only_this_one():
    client = Client()
    client.put(user="hans")
    client.address = "198.51.100.1"
    client.put(theme="dark")
    both = ("user", "theme")
    assert client(lambda session: [session.getv(key) for key in both]) == [None, "dark"]
    client.address = HOME
    assert client(lambda session: [session.getv(key) for key in both]) == ["hans", None]


def test_a_user_who_moved_can_log_in_again():
    client = Client()
    client.put(user="hans")
    client.address = "198.51.100.1"
    client.put(user="hans")
    assert client(lambda session: session.getv("user")) == "hans"
    client.address = HOME
    assert client(lambda session: session.getv("user")) is None
    client.put(user="hans")
    assert client(lambda session: session.getv("user")) == "hans"


# -- several sessions


def mount(name: Any, **options: Any) -> Callable[[Session], None]:
    return lambda session: session.mount(name, **options)


def test_named_sessions_have_their_own_values_and_cookies(clock):
    client = Client()

    def use(session):
        session["a"] = 1
        session.mount("ADMIN", path="/admin", session_timeout=60, same_site="Strict")
        assert dict(session) == {}
        session.set("login", True)
        session.mount()
        assert dict(session) == {"a": 1}
        session["b"] = 2

    client(use)
    default, admin = client.sent
    assert (default.name, default.attributes["path"]) == ("ATLSES_", "/")
    assert (admin.name, admin.attributes["path"]) == ("ATLSES_ADMIN", "/admin")
    assert admin.attributes["expires"] == "Fri, 15 Jan 2027 08:01:01 GMT"
    assert admin.attributes["samesite"] == "Strict"

    def look(session):
        session.mount("admin")
        return dict(session)

    assert client.values() == {"a": 1, "b": 2}
    assert client(look) == {"login": True}


def test_what_was_set_before_a_mount_is_still_there_behind_it():
    client = Client()

    def use(session):
        session.mount("x")
        session["a"] = 1
        session.mount()
        session.mount("X")
        return session["a"]

    assert client(use) == 1
    assert len(client.sent) == 1


def test_mounting_the_present_session_does_nothing():
    client = Client()

    def use(session):
        session.mount()
        session.mount("a", path="/a")
        session.mount("A")
        session["b"] = 1

    client(use)
    assert client.sent[0].attributes["path"] == "/a"


def test_only_a_named_session_has_a_path():
    session = Client().session()
    session.mount("x")
    session.mount(None, path="/")
    session.mount("x")
    with pytest.raises(AssertionError, match="give the session a name"):
        session.mount(path="/admin")


def test_the_options_of_the_cookie(clock):
    client = Client()

    def use(session):
        session.mount("a", domain="example.com", secure=True, http_only=False, same_site=None)
        session["b"] = 1

    client(use)
    assert client.sent[0].attributes == {
        "path": "/", "expires": "Fri, 15 Jan 2027 08:20:01 GMT", "domain": "example.com",
        "secure": True,
    }  # fmt: skip


def test_a_named_session_may_have_a_key_of_its_own():
    client = Client(key=None)

    def use(session):
        session.mount("a", securekey="another key, also a long one")
        session["b"] = 1

    client(use)

    def look(session):
        session.mount("a", securekey="another key, also a long one")
        return session["b"]

    def look_with_wrong_key(session):
        session.mount("a", securekey="a wrong key")
        return session["b"]

    assert client(look) == 1
    assert client(look_with_wrong_key) is None


def test_with_extend_false_the_first_expiry_stays(clock):
    client = Client(timeout=100)

    def put(session):
        session.mount("a", extend=False)
        session["n"] = (session["n"] or 0) + 1
        return session.get_expiry()

    first = client(put)
    clock.now += 50
    assert client(put) == first

    def touch(session):
        session.mount("a", extend=False)
        session.touch()
        return session.get_expiry()

    assert client(touch) == first + 50


def test_mounted_is_a_session_for_the_length_of_a_block():
    client = Client()

    def use(session):
        session["a"] = 1
        with session.mounted("x", path="/x") as other:
            other["b"] = 2
        with pytest.raises(ZeroDivisionError), session.mounted("y"):
            session.set("c", 1 / 0)
        return dict(session)

    assert client(use) == {"a": 1}
    assert [cookie.name for cookie in client.sent] == ["ATLSES_", "ATLSES_X"]


# -- coroutines


def test_coroutines_use_sessions_in_cookies_as_they_are():
    client = Client()
    client.put(a=1)

    async def use() -> list[str]:
        session = await client.session().load()
        session["b"] = 2
        assert (await session.load())["a"] == 1
        return await session.commit_async()

    client.jar.take(asyncio.run(use()))
    assert client.values() == {"a": 1, "b": 2}


def test_a_second_commit_gives_the_same():
    session = Client().session()
    session["a"] = 1
    first = session.commit()
    assert len(first) == 1
    assert session.commit() == first
