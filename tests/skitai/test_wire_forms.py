"""Query strings and urlencoded bodies."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.wire.forms import MalformedForm, parse_query, parse_urlencoded

QUERIES = [
    ("", {}),
    ("q=hello", {"q": "hello"}),
    ("q=hello&page=2&size=30", {"q": "hello", "page": "2", "size": "30"}),
    ("a=1&a=2", {"a": ["1", "2"]}),
    ("a=1&b=x&a=2&a=3", {"a": ["1", "2", "3"], "b": "x"}),
    ("a", {"a": ""}),
    ("a&b=", {"a": "", "b": ""}),
    ("a&a", {"a": ["", ""]}),
    ("&&a=1&&", {"a": "1"}),
    ("=1", {"": "1"}),
    ("=", {"": ""}),
    ("a=b=c", {"a": "b=c"}),
    ("int:a=3", {"int:a": "3"}),
    ("a;b=1;c=2", {"a;b": "1;c=2"}),
    ("a=x+y", {"a": "x y"}),
    ("a+b=%2B", {"a b": "+"}),
    ("a%3Db=%26%3d", {"a=b": "&="}),
    ("q=%ED%95%9C%EA%B8%80", {"q": "한글"}),
    ("q=한글", {"q": "한글"}),
    ("q=한%EA%B8%80", {"q": "한글"}),
    ("a=100%", {"a": "100%"}),
    ("a=%zz%4", {"a": "%zz%4"}),
    ("a=%00%0d%0A", {"a": "\0\r\n"}),
    ("a=%252e", {"a": "%2e"}),
    ("a=1&%61=2&+=+", {"a": ["1", "2"], " ": " "}),
]


@pytest.mark.parametrize(("text", "fields"), QUERIES)
def test_queries_are_read(text: str, fields: dict[str, str | list[str]]) -> None:
    assert parse_query(text) == fields
    assert parse_urlencoded(text.encode()) == fields


@pytest.mark.parametrize(
    "text", ["a=%ff", "%C3=1", "a=%C3%28", "a=%ED%A0%80", "a=%C0%AF", "\udc80=1"]
)
def test_what_is_no_utf8_is_refused(text: str) -> None:
    with pytest.raises(MalformedForm, match="utf-8"):
        parse_query(text)


def test_the_number_of_fields_is_limited() -> None:
    assert len(parse_query("&".join(f"f{n}=1" for n in range(1000)))) == 1000
    for text in ("&".join(f"f{n}=1" for n in range(1001)), "a&" * 1000 + "%20", "&" * 1000):
        with pytest.raises(MalformedForm, match="1000"):
            parse_query(text)
    with pytest.raises(MalformedForm, match="2 fields"):
        parse_query("a&b&c", limit=2)
    with pytest.raises(MalformedForm, match="2 fields"):
        parse_urlencoded(b"a&b&c", limit=2)


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        ("UTF-8", b"a=%C3%A9"),
        ("utf-8", "a=é".encode()),
        ("iso-8859-1", b"a=%E9"),
        ("ISO-8859-1", b"a=\xe9"),
        ("windows-1252", b"%61=%E9"),
    ],
)
def test_other_charsets_are_read(charset: str, body: bytes) -> None:
    assert parse_urlencoded(body, charset) == {"a": "é"}


def test_east_asian_charsets_are_read() -> None:
    assert parse_urlencoded(urlencode({"q": "한글"}, encoding="cp949").encode(), "euc-kr") == {
        "q": "한글"
    }
    assert parse_urlencoded("q=日本&r=表".encode("cp932"), "Shift_JIS") == {"q": "日本", "r": "表"}


@pytest.mark.parametrize(
    "charset", ["", "nonsense", "idna", "zlib", "utf-16", "utf-7", "a\0b", "x" * 9999]
)
def test_unusable_charsets_are_refused(charset: str) -> None:
    with pytest.raises(MalformedForm, match="charset"):
        parse_urlencoded(b"a=1", charset)


@pytest.mark.parametrize(
    ("charset", "body"), [("utf-8", b"a=\xff"), ("ascii", b"a=\xe9"), ("gbk", b"a=%ff")]
)
def test_bodies_in_another_charset_than_said_are_refused(charset: str, body: bytes) -> None:
    with pytest.raises(MalformedForm):
        parse_urlencoded(body, charset)


def test_malformed_forms_are_value_errors() -> None:
    assert issubclass(MalformedForm, ValueError)


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=8))
@settings(deadline=None)
def test_what_was_encoded_is_read_back(pairs: list[tuple[str, str]]) -> None:
    expected: dict[str, list[str]] = {}
    for name, value in pairs:
        expected.setdefault(name, []).append(value)
    found = parse_query(urlencode(pairs))
    assert found == {name: many if len(many) > 1 else many[0] for name, many in expected.items()}


@given(st.lists(st.sampled_from([*"xy=&+;é%", "%2B", "%20", "%C3%A9", "%4"]), max_size=30))
@settings(deadline=None)
def test_reading_agrees_with_the_standard_library(parts: list[str]) -> None:
    text = "".join(parts)
    flat = [
        (name, item)
        for name, value in parse_query(text).items()
        for item in (value if isinstance(value, list) else [value])
    ]
    assert sorted(flat) == sorted(parse_qsl(text, keep_blank_values=True))
