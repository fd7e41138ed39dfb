"""Texts for the values of variables: records, containers, hostile reprs, lazy objects, limits."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import Enum
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atila.debugging.masking import MASK, Masker
from atila.debugging.values import MAX_TEXT, Describer, _slow

Pair = namedtuple("Pair", "name token")


@dataclass
class Account:
    name: str
    password: str
    hidden: int = field(default=1, repr=False)


@dataclass(slots=True)
class Slotted:
    a: int
    api_key: str


class Packed(msgspec.Struct):
    a: int
    secret: str


class Plain:
    def __init__(self):
        self.a, self.token = 1, "abc"


class Colour(Enum):
    RED = 1


class Listed(list):
    pass


def text(value, *secrets):
    return Describer(Masker(secrets)).text(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (7, "7"),
        (True, "True"),
        (None, "None"),
        ("it's", '"it\'s"'),
        (b"\x00a", "b'\\x00a'"),
        (bytearray(b"ab"), "bytearray(b'ab')"),
        ([], "[]"),
        ((), "()"),
        ((1,), "(1,)"),
        ([1, "a"], "[1, 'a']"),
        (set(), "set()"),
        (frozenset([1]), "frozenset({1})"),
        (deque([1]), "deque([1])"),
        (Listed([1]), "Listed([1])"),
        ({"a": 1}, "{'a': 1}"),
        (OrderedDict(a=1), "OrderedDict({'a': 1})"),
        (defaultdict(list, a=1), "defaultdict({'a': 1})"),
        (Counter("a"), "Counter({'a': 1})"),
        ({"a": 1}.items(), "dict_items([('a', 1)])"),
        (Colour.RED, "<Colour.RED>"),
        (Decimal("1.5"), "Decimal('1.5')"),
        (date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
        (ValueError("a", 1), "ValueError('a', 1)"),
        (SimpleNamespace(a=1), "SimpleNamespace(a=1)"),
        (10**3000, "<int of 9966 bits>"),
        (Plain().__init__, "<method Plain.__init__>"),
    ],
)
def test_values_look_as_people_know_them(value, shown):
    assert text(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"password": "abc", "n": 1}, f"{{'password': {MASK}, 'n': 1}}"),
        ({"a": {"Api-Key": [1]}}, f"{{'a': {{'Api-Key': {MASK}}}}}"),
        ({"token": None, "key": ""}, "{'token': None, 'key': ''}"),
        ([("Authorization", "Bearer x")], f"[('Authorization', {MASK})]"),
        (Account("ann", "x"), f"Account(name='ann', password={MASK})"),
        (Slotted(1, "x"), f"Slotted(a=1, api_key={MASK})"),
        (Packed(1, "x"), f"Packed(a=1, secret={MASK})"),
        (Plain(), f"Plain(a=1, token={MASK})"),
        (Pair("a", "b"), f"Pair(name='a', token={MASK})"),
        (SimpleNamespace(secret=1), f"SimpleNamespace(secret={MASK})"),
        ("url?token=abc", f"'url?token={MASK}'"),
        ("x the-key-itself y", f"'x {MASK} y'"),
        (b"x the-key-itself y", f"b'x {MASK} y'"),
        (ValueError("the-key-itself"), f"ValueError('{MASK}')"),
    ],
)
def test_secrets_are_hidden_wherever_they_are(value, shown):
    assert text(value, "the-key-itself") == shown


def test_names_of_variables_hide_values():
    describer = Describer(Masker())
    assert describer.named("password", "hunter2-hunter2") == MASK
    assert describer.named("password", None) == "None"
    assert describer.named("get_token", text) == text.__repr__()
    assert describer.hidden == {"hunter2-hunter2"}


def test_a_secret_is_hidden_before_a_text_is_cut():
    secret = "the-key-itself-which-is-long"
    for start in range(268, 304, 4):
        assert "the-key" not in text("x" * start + secret, secret)


class Raising:
    def __repr__(self):
        raise KeyboardInterrupt


class Foreign:
    """An object whose repr is code of others."""

    def __init__(self, result):
        self.result = result

    def __repr__(self):
        return self.result() if callable(self.result) else self.result


class Endless:
    def __repr__(self):
        return repr(self)


def test_hostile_reprs_say_what_they_are():
    assert text(Raising()) == f"<{__name__}.Raising: its repr raises KeyboardInterrupt>"
    assert text(Foreign(7)) == f"<{__name__}.Foreign: its repr is no text>"
    assert text(Endless()) == f"<{__name__}.Endless: its repr raises RecursionError>"
    assert len(text(Foreign("x" * 10**6))) == MAX_TEXT + 1
    assert text(Foreign("F(password='abc', n=1)")) == f"F(password={MASK}, n=1)"
    assert text([Raising(), 1]).endswith(", 1]")


def test_a_repr_that_waits_is_left_alone():
    lock, threads = threading.Lock(), threading.active_count()

    class Waiting:
        def __repr__(self):
            with lock:
                return "free"

    with lock:
        shown = text([Waiting(), Waiting(), 1])
        assert shown.count("its repr takes too long") == 2
        assert shown.endswith(", 1]")
        assert threading.active_count() == threads + 1  # not one for each
    _slow.discard(Waiting)
    for thread in threading.enumerate():
        if thread.name == "atila-debugging-repr":
            thread.join(30)


def test_a_page_has_only_so_much_time():
    describer = Describer(Masker(), seconds=0)
    assert "no time is left" in describer.text(Foreign("x"))
    assert describer.text({"a": 1}) == "{'a': 1}"


def lazy(module, name, **own):
    def never(*_):
        raise AssertionError("it was evaluated")

    hooks = dict.fromkeys(("__repr__", "__str__", "__len__", "__iter__", "__bool__"), never)
    kind = type(name, (), {**hooks, "__getattr__": never, "__module__": module})
    made = kind()
    made.__dict__.update(own)
    return type("Sub", (kind,), {})() if module == "sub" else made


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("django.db.models.query", "RawQuerySet"),
        ("django.utils.functional", "SimpleLazyObject"),
        ("werkzeug.local", "LocalProxy"),
        ("lazy_object_proxy.slots", "Proxy"),
        ("some.orm", "BookQuerySet"),
        ("sub", "QuerySet"),
    ],
)
def test_what_is_lazy_is_not_evaluated(module, name):
    assert text(lazy(module, name)).endswith(", not evaluated>")
    assert "not evaluated" in text({"rows": [lazy(module, name)]})


def test_a_query_says_what_it_is_of():
    assert " of Account, not" in text(lazy("django.db.models.query", "QuerySet", model=Account))


def test_real_lazy_objects_of_django():
    functional = pytest.importorskip("django.utils.functional")
    assert "not evaluated" in text(functional.SimpleLazyObject(lambda: 1 / 0))
    assert "not evaluated" in text(functional.lazy(lambda: 1 / 0, str)())


def test_properties_are_not_asked():
    class Asked:
        def __init__(self):
            self.a = 1

        @property
        def rows(self):
            raise AssertionError

        @property
        def __class__(self):
            raise AssertionError

    assert text(Asked()) == "Asked(a=1)"


def test_large_and_deep_values_are_short():
    assert text(list(range(1000))).endswith(", 19, … (1,000 in all)]")
    assert text("x" * 1000) == f"{'x' * 300!r}… (1,000 characters)"
    deep = 1
    for _ in range(10_000):
        deep = [deep]
    assert text(deep) == "[[[[[…]]]]]"
    assert len(text([["x" * 400] * 30] * 30)) <= MAX_TEXT + 1
    ring = {"a": 1}
    ring["ring"] = ring
    assert text(ring) == "{'a': 1, 'ring': {…}}"


def test_a_container_that_changes_meanwhile_is_shown_as_far_as_it_went():
    changing = {}

    class Changing:
        def __repr__(self):
            changing[len(changing)] = 1
            return "changes"

    changing["a"] = Changing()
    assert text(changing) == "{'a': changes, … (1 in all)}"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@settings(max_examples=30)
@given(anything)
def test_any_value_has_a_short_text(value):
    assert len(text(value)) <= MAX_TEXT + 1


@settings(max_examples=25)
@given(st.dictionaries(st.text(), anything, max_size=3))
def test_what_is_named_password_is_never_shown(value):
    secret = "Tr0ub4dor&3-zq"
    assert secret not in text({**value, "password": secret})
    assert secret not in text([value, {"x": {"user_password": [secret]}}])


def test_the_texts_of_hidden_containers_may_turn_up_elsewhere():
    describer = Describer(Masker())
    assert describer.text({"credentials": {"a": ["0pen-sesame"], "b": b"0ther-sesame"}})
    assert describer.hidden == {"0pen-sesame", "0ther-sesame"}


def test_no_part_of_a_secret_stays_when_one_before_it_got_shorter():
    secret = "abcdefgh-1234567" * 6
    for value in (secret * 9, (secret * 9).encode(), Foreign(secret * 90)):
        assert "abcd" not in text(value, secret)
