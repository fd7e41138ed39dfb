"""Preconditions: each header alone, their precedence, and what can't be read."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.wire.conditional import evaluate, if_range_matches

MTIME = 784111777.6
SAME = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
TAG = '"xyzzy"'

# header, value, answer to GET, answer to PUT; the current tag is "xyzzy"
SINGLE = [
    ("if-match", '"xyzzy"', 0, 0),
    ("if-match", '"xyzzy", "r2d2xxxx", "c3piozzzz"', 0, 0),
    ("if-match", '"r2d2xxxx","xyzzy"', 0, 0),
    ("if-match", "*", 0, 0),
    ("if-match", '"r2d2xxxx"', 412, 412),
    ("if-match", 'W/"xyzzy"', 412, 412),
    ("if-match", "xyzzy", 412, 412),
    ("if-match", "", 412, 412),
    ("if-match", '"a,"xyzzy"', 412, 412),
    ("if-unmodified-since", SAME, 0, 0),
    ("if-unmodified-since", AFTER, 0, 0),
    ("if-unmodified-since", BEFORE, 412, 412),
    ("if-unmodified-since", "last week", 0, 0),
    ("if-none-match", '"xyzzy"', 304, 412),
    ("if-none-match", 'W/"xyzzy"', 304, 412),
    ("if-none-match", '"xyzzy", "r2d2xxxx"', 304, 412),
    ("if-none-match", '"a,b" , W/"xyzzy"', 304, 412),
    ("if-none-match", ',, "r2d2xxxx",\t"xyzzy",', 304, 412),
    ("if-none-match", "*", 304, 412),
    ("if-none-match", '"r2d2xxxx"', 0, 0),
    ("if-none-match", '"XYZZY"', 0, 0),
    ("if-none-match", 'w/"xyzzy"', 0, 0),
    ("if-none-match", '"a "xyzzy"', 0, 0),
    ("if-none-match", '"r2d2""xyzzy"', 0, 0),
    ("if-none-match", "xyzzy", 0, 0),
    ("if-none-match", '*, "a"', 0, 0),
    ("if-none-match", "", 0, 0),
    ("if-modified-since", SAME, 304, 0),
    ("if-modified-since", AFTER, 304, 0),
    ("if-modified-since", BEFORE, 0, 0),
    ("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT", 304, 0),
    ("if-modified-since", "Sun Nov  6 08:49:37 1994", 304, 0),
    ("if-modified-since", "784111777", 0, 0),
    ("if-modified-since", f"{SAME}, {SAME}", 0, 0),
]


@pytest.mark.parametrize(("name", "value", "reading", "writing"), SINGLE)
def test_a_single_precondition(name: str, value: str, reading: int, writing: int) -> None:
    assert evaluate("GET", {name: value}, TAG, MTIME) == reading
    assert evaluate("HEAD", {name: value}, TAG, MTIME) == reading
    assert evaluate("PUT", {name: value}, TAG, MTIME) == writing


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        # If-Match hides If-Unmodified-Since
        ({"if-match": TAG, "if-unmodified-since": BEFORE}, 0),
        ({"if-match": '"other"', "if-unmodified-since": AFTER}, 412),
        # If-None-Match hides If-Modified-Since
        ({"if-none-match": '"other"', "if-modified-since": AFTER}, 0),
        ({"if-none-match": TAG, "if-modified-since": BEFORE}, 304),
        # the first failure decides
        ({"if-match": '"other"', "if-none-match": TAG}, 412),
        ({"if-match": TAG, "if-none-match": TAG}, 304),
        ({"if-unmodified-since": BEFORE, "if-modified-since": AFTER}, 412),
        ({"if-unmodified-since": AFTER, "if-modified-since": AFTER}, 304),
        ({"if-unmodified-since": BEFORE, "if-none-match": TAG}, 412),
        ({"accept": "*/*"}, 0),
        ({}, 0),
    ],
)
def test_precedence_of_preconditions(headers: dict[str, str], status: int) -> None:
    assert evaluate("GET", headers, TAG, MTIME) == status


def test_weak_tags_match_only_where_weak_comparison_is_asked_for() -> None:
    assert evaluate("GET", {"if-none-match": TAG}, f"W/{TAG}", None) == 304
    assert evaluate("GET", {"if-none-match": f"W/{TAG}"}, f"W/{TAG}", None) == 304
    assert evaluate("GET", {"if-match": TAG}, f"W/{TAG}", None) == 412
    assert evaluate("GET", {"if-match": f"W/{TAG}"}, f"W/{TAG}", None) == 412


def test_dates_are_ignored_without_a_modification_time() -> None:
    for name in ("if-modified-since", "if-unmodified-since"):
        assert evaluate("GET", {name: SAME}, None, None) == 0


def test_tags_of_something_without_a_tag() -> None:
    assert evaluate("GET", {"if-match": TAG}, None, MTIME) == 412
    assert evaluate("GET", {"if-match": "*"}, None, MTIME) == 0
    assert evaluate("GET", {"if-none-match": TAG}, None, MTIME) == 0
    assert evaluate("GET", {"if-none-match": "*"}, None, MTIME) == 304


@pytest.mark.parametrize(
    ("value", "matches"),
    [
        (TAG, True),
        (f"W/{TAG}", False),
        ('"other"', False),
        (f'{TAG}, "other"', False),
        ("*", False),
        ("", False),
        (SAME, True),
        (AFTER, False),
        (BEFORE, False),
        ("last week", False),
    ],
)
def test_if_range(value: str, matches: bool) -> None:
    assert if_range_matches({"if-range": value}, TAG, MTIME) is matches


def test_if_range_without_header_or_validators() -> None:
    assert if_range_matches({}, None, None)
    assert not if_range_matches({"if-range": TAG}, None, MTIME)
    assert not if_range_matches({"if-range": SAME}, TAG, None)
    assert not if_range_matches({"if-range": f"W/{TAG}"}, f"W/{TAG}", None)


NAMES = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range")


@given(
    st.dictionaries(st.sampled_from(NAMES), st.text('W/"*, a\\\0é', max_size=30)),
    st.sampled_from(["GET", "HEAD", "POST", "DELETE"]),
)
@settings(deadline=None)
def test_hostile_headers_get_one_of_three_answers(headers: dict[str, str], method: str) -> None:
    assert evaluate(method, headers, '"a"', MTIME) in (0, 304, 412)
    assert if_range_matches(headers, '"a"', MTIME) in (True, False)
