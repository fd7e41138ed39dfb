"""``was.mbox``: messages that wait for the next page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from browser import Jar, SetCookie
from hypothesis import given
from hypothesis import strategies as st

from atila.errors import ConfigError
from atila.state.cookies import MAX_SIZE, Cookie
from atila.state.mbox import FORMAT, PURPOSE, MessageBox
from atila.state.sealing import from_text, signer

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "ds8fdsflksdjf9879dsf;?<>Asda"
NOW = 1_800_000_000
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


class Clock:
    """The time of the tests; they move it."""

    now = NOW + 0.5

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("time.time", made.time)
    return made


class Client:
    """A browser whose requests run functions that get the message box."""

    def __init__(self, key: Any = KEY) -> None:
        self.key = key
        self.jar = Jar()
        self.sent: list[SetCookie] = []

    def mbox(self, https: bool = False) -> MessageBox:
        return MessageBox(Cookie(self.jar.header), self.key, https)

    def __call__(self, use: Callable[[MessageBox], Any], https: bool = False) -> Any:
        mbox = self.mbox(https)
        result = use(mbox)
        self.sent = self.jar.take(mbox.commit())
        return result

    def send(self, *args: Any, **options: Any) -> None:
        self(lambda mbox: mbox.send(*args, **options))

    def get(self, *args: Any) -> list[Any]:
        return self(lambda mbox: mbox.get(*args))


def test_a_message_is_a_tuple_with_six_parts(clock):
    client = Client()
    client.send("saved", "notice", valid=60, item=3)
    (message,) = client.get()
    assert message == (0, "notice", NOW, 60, "saved", {"item": 3})
    mid, category, created, valid, msg, extra = message
    assert (mid, category, created, valid, msg, extra) == tuple(message)


def test_the_defaults(clock):
    client = Client()
    client.send("saved")
    assert client.get() == [(0, "info", NOW, 0, "saved", {})]


def test_valid_may_be_the_third_argument(clock):
    client = Client()
    client(lambda mbox: mbox.push("saved", "notice", 30))
    assert client.get()[0].valid == 30


def test_a_message_without_time_is_read_once():
    client = Client()
    client.send("one")
    client.send("two")
    assert [message.msg for message in client.get()] == ["one", "two"]
    assert client.sent[0].erases
    assert client.get() == []
    assert client.sent == []


def test_only_what_was_returned_is_consumed():
    client = Client()
    client.send("one", "a")
    client.send("two", "b")
    assert [message.msg for message in client.get("a")] == ["one"]
    assert [message.msg for message in client.get()] == ["two"]


def test_a_message_with_time_stays_until_it_is_over(clock):
    client = Client()
    client.send("note", valid=60)
    for seconds in (0, 30, 29):
        clock.now += seconds
        assert len(client.get()) == 1
        assert client.sent == []
    clock.now += 5
    assert client.get() == []
    assert client.sent[0].erases


def test_a_message_is_there_in_the_request_that_sends_it():
    mbox = Client().mbox()
    mbox.send("one")
    assert len(mbox.get()) == 1
    assert mbox.get() == []
    assert mbox.commit() == []


def test_get_with_two_words_looks_at_the_extra_value_of_that_name_else_at_both_categories():
    client = Client()
    client.send("one", "notice", valid=60, notice="news", level=1)
    client.send("two", "news", valid=60, level=2)
    client.send("three", "notice", valid=60)
    client.send("four", "news", valid=60, notice="old")
    for arguments, found in (
        ((), ["one", "two", "three", "four"]),
        (("notice",), ["one", "three"]),
        (("notice", "news"), ["one", "two", "three"]),
        (("news", "notice"), ["one", "two", "three", "four"]),
        (("notice", "old"), ["three", "four"]),
        (("level", 2), ["two"]),
        (("level", 3), []),
        (("nothing",), []),
        (("nothing", "nothing"), []),
    ):
        assert [message.msg for message in client.get(*arguments)] == found


def test_search_gives_ids_and_removes_nothing():
    client = Client()
    client.send("one", "a")
    client.send("two", "b", n=1)
    client.send("three", "a", n=1)
    assert client(lambda mbox: mbox.search("a")) == [0, 2]
    assert client(lambda mbox: mbox.search("n", 1)) == [1, 2]
    assert client(lambda mbox: mbox.search("c")) == []
    assert len(client.get()) == 3


def test_remove_takes_an_id():
    client = Client()
    for text in ("one", "two", "three"):
        client.send(text)
    client(lambda mbox: mbox.remove(1))
    client(lambda mbox: mbox.remove(7))
    assert client.sent == []
    client.send("four")
    assert [(message.id, message.msg) for message in client.get()] == [
        (0, "one"), (2, "three"), (3, "four"),
    ]  # fmt: skip


def test_what_json_has_no_type_for_is_refused():
    mbox = Client().mbox()
    for arguments, extra in (((b"x",), {}), (("x",), {"item": object()})):
        with pytest.raises(TypeError, match="the message"):
            mbox.send(*arguments, **extra)
    assert mbox.get() == []


def test_the_cookie_is_kept_and_safe_by_default(clock):
    client = Client()
    client(lambda mbox: mbox.send("one"), https=True)
    (cookie,) = client.sent
    assert cookie.name == "ATLMBX_"
    assert cookie.attributes == {
        "path": "/", "expires": "Sun, 22 Dec 2126 08:00:00 GMT", "samesite": "Lax", "secure": True,
        "httponly": True,
    }  # fmt: skip


def test_a_box_that_is_full_drops_the_oldest_messages():
    client = Client()
    for number in range(300):
        client.send(f"message {number}")
        assert len(client.sent[0].name) + len(client.sent[0].value) <= MAX_SIZE
    texts = [message.msg for message in client.get()]
    assert 50 < len(texts) < 100
    assert texts == [f"message {number}" for number in range(300 - len(texts), 300)]


def test_the_largest_message_that_fits_is_kept():
    client = Client()
    largest = 4000
    while True:
        try:
            client.send("x" * largest)
            break
        except ValueError as exc:
            assert "send a shorter one" in str(exc)  # noqa: PT017  # the loop needs the others
            largest -= 1
    assert 2900 < largest < 3100
    assert [len(message.msg) for message in client.get()] == [largest]


def test_boxes_have_names(clock):
    client = Client()

    def use(mbox):
        mbox.send("one")
        mbox.mount("admin", path="/admin", same_site="Strict")
        mbox.mount("ADMIN")
        mbox.send("two")
        mbox.mount()
        assert mbox.search("info") == [0]

    client(use)
    assert [(cookie.name, cookie.attributes["path"]) for cookie in client.sent] == [
        ("ATLMBX_", "/"), ("ATLMBX_ADMIN", "/admin"),
    ]  # fmt: skip

    def look(mbox):
        mbox.mount("Admin")
        return [message.msg for message in mbox.get()]

    assert client(look) == ["two"]
    assert [message.msg for message in client.get()] == ["one"]


def test_only_a_named_box_has_a_path():
    mbox = Client().mbox()
    mbox.mount("x")
    with pytest.raises(AssertionError, match="give the message box a name"):
        mbox.mount(path="/admin")


def test_a_box_is_no_other_box_and_no_other_app_has_it():
    client = Client()
    client.send("one")
    client.jar.cookies["ATLMBX_ADMIN"] = client.jar.cookies["ATLMBX_"]

    def look(mbox):
        mbox.mount("admin")
        return mbox.get()

    assert client(look) == []
    client.key = "another key, also a long one"
    assert client.get() == []


def test_without_a_key_the_first_use_says_what_to_set():
    for use in (lambda mbox: mbox.get(), lambda mbox: mbox.send("one")):
        with pytest.raises(ConfigError, match="was.mbox needs a key.*pref.securekey"):
            use(Client(key=None).mbox())
    assert Client(key=None).mbox().commit() == []


def test_a_change_after_the_headers_are_sent_is_an_error(clock):
    client = Client()
    client.send("one")
    client.send("two", "kept", valid=60)
    mbox = client.mbox()
    assert mbox.search("info") == [0]
    mbox.commit()
    for change in (lambda: mbox.send("three"), lambda: mbox.remove(0), mbox.get):
        with pytest.raises(RuntimeError, match="headers are sent"):
            change()
    assert len(mbox.get("kept")) == 1


def test_a_box_of_another_format_is_empty():
    client = Client()
    sign = signer(KEY.encode(), f"{PURPOSE} ATLMBX_").sign
    client.jar.cookies["ATLMBX_"] = sign(b"[%d,{}]" % (FORMAT + 1))
    assert client.get() == []


@given(st.text(max_size=100) | st.text("Ae-_.=", max_size=20))
def test_no_cookie_is_a_crash(value):
    mbox = MessageBox(Cookie(f"ATLMBX_={value}"), KEY)
    assert mbox.get() == []


@pytest.mark.parametrize(("ours", "other"), ["-+", "_/"])
def test_another_spelling_of_the_signature_makes_it_an_empty_box(ours, other):
    for count in range(200):  # till the signature has that character
        client = Client()
        client.send(f"message {count}")
        data, _, signature = client.jar.cookies["ATLMBX_"].partition(".")
        if ours in signature:
            break
    client.jar.cookies["ATLMBX_"] = f"{data}.{signature.replace(ours, other)}"
    assert client.get() == []


@given(st.integers(0, 10_000), st.characters(codec="ascii", exclude_characters='; \t%+"'))
def test_a_changed_character_makes_it_an_empty_box(position, character):
    client = Client()
    client.send("one", valid=60)
    token = client.jar.cookies["ATLMBX_"]
    at = position % (len(token) - 1)  # two bits of the last character say nothing
    changed = token[:at] + character + token[at + 1 :]
    client.jar.cookies["ATLMBX_"] = changed
    assert len(client.get()) == (changed == token)


@given(
    st.lists(
        st.tuples(TEXT, TEXT, st.dictionaries(TEXT.filter(str.isidentifier), TEXT)), max_size=5
    )
)
def test_messages_come_back_as_they_were(messages):
    client = Client()

    def use(mbox):
        for text, category, extra in messages:
            extra = {key: extra[key] for key in extra if key not in ("msg", "category", "valid")}
            mbox.send(text, category, **extra)
        return mbox.search("nothing") and None

    client(use)
    kept = [(message.msg, message.category) for message in client.get()]
    sent = [(text, category) for text, category, _ in messages]
    assert kept == sent[len(sent) - len(kept) :]


def test_the_signed_text_is_readable_json():
    client = Client()
    client.send("one")
    payload, _, _ = client.jar.cookies["ATLMBX_"].partition(".")
    assert b'"one"' in (from_text(payload) or b"")
