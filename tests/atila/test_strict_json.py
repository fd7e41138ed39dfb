"""What may be kept in sessions, messages and tokens."""

from __future__ import annotations

import enum
import json
from collections import OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from atila.state.strict_json import MAX_DEPTH, decode, encode


class Colour(enum.IntEnum):
    RED = 1


class Name(str, enum.Enum):
    HANS = "hans"


class Share(float):
    pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, (2,)), b"[1,[2]]"),
        (Markup("<b>"), b'"<b>"'),
        (Colour.RED, b"1"),
        (Name.HANS, b'"hans"'),
        (Share(0.5), b"0.5"),
        (OrderedDict(a=1), b'{"a":1}'),
        ({Name.HANS: [Markup("x")]}, b'{"hans":["x"]}'),
        (True, b"true"),
        (2**80, b"1208925819614629174706176"),
        ("é", '"é"'.encode()),
    ],
)
def test_subclasses_are_taken_as_what_json_has(value, text):
    assert encode(value, "it") == text


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (b"", "it is"), (float("-inf"), "it is"), ([1, {2}], r"it\[1\] is"),
        ({"a": [1j]}, r"it\['a'\]\[0\] is"), ({1: 1}, "it has the key 1"),
        ({None: 1}, "it has the key None"),
        ("\udcff", "it has text"), (["\ud800"], "it has text"),
    ],
)  # fmt: skip
def test_what_is_refused_says_where_it_is(value, place):
    with pytest.raises(TypeError, match=place):
        encode(value, "it")


def test_nesting_has_an_end():
    value = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert decode(encode(value, "it")) == value
    with pytest.raises(TypeError, match="nested"):
        encode([value], "it")


@given(st.binary(max_size=50) | st.sampled_from([b"[" * 5000, b"1e999", b'"\xff"', b"{]"]))
def test_malformed_text_is_a_value_error(data):
    try:
        value = decode(data)
    except ValueError:
        return
    assert value == json.loads(data)
