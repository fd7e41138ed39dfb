"""Input that is broken or meant to break: 400, never 500."""

from __future__ import annotations

import json

import pytest
from driving import Driver, multipart
from hypothesis import given, settings
from hypothesis import strategies as st

from atila import Atila

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def app_with(rule, handler):
    app = Atila("bad input")
    app.route(rule)(handler)
    return Driver(app)


def anything(was, **kw):
    return kw


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": 1} x',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\\ud800"}',
        b'{"\\udc00abcdefgh": 1}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": "é"}'.encode("latin-1"),
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\x00"}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
    ids=range(18),
)
def test_malformed_json_is_a_bad_request(body, log):
    answer = app_with("/x", anything).send("/x", body, JSON)
    assert answer.status == 400
    assert answer.json["more_info"].startswith("JSON body: ")
    assert not log.records


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"a=%ff", FORM),
        (b"a=\xff", FORM),
        (b"%ff=1", FORM),
        (b"a=1", FORM + "; charset=nonsense"),
        (b"a=1", FORM + "; charset=utf-16"),
        (b"a=1", FORM + "; charset=unicode_escape"),
        (b"a=\xff", FORM + "; charset=ascii"),
        ("&".join(f"k{at}=1" for at in range(1001)).encode(), FORM),
        (b"", "multipart/form-data"),
        (b"", "multipart/form-data; boundary="),
        (b"--cut\r\n", "multipart/form-data; boundary=cut"),
        (b"nothing", "multipart/form-data; boundary=cut"),
        (multipart(("", b"x"))[0], "multipart/form-data; boundary=cut"),
        (multipart(('name="a"', b"\xff"))[0], "multipart/form-data; boundary=cut"),
        (
            multipart(*((f'name="k{at}"', b"") for at in range(1001)))[0],
            "multipart/form-data; boundary=cut",
        ),
    ],
    ids=range(15),
)
def test_malformed_forms_are_a_bad_request(body, kind, log):
    answer = app_with("/x", anything).send("/x", body, kind)
    assert answer.status == 400
    assert answer.json["more_info"].startswith("form: ")
    assert not log.records


@pytest.mark.parametrize(
    "query", ["a=%ff", "%ff=1", "a=%ed%a0%80", "&".join(f"k{at}=1" for at in range(1001))]
)
@pytest.mark.parametrize("handler", [anything, lambda was: "ok", lambda was, a="": a])
def test_malformed_queries_are_a_bad_request(query, handler, log):
    answer = app_with("/x", handler).get("/x?" + query)
    assert answer.status == 400
    assert answer.json["more_info"].startswith("query string: ")
    assert not log.records


def test_a_thousand_fields_are_accepted():
    query = "&".join(f"k{at}=1" for at in range(1000))
    assert len(app_with("/x", anything).get("/x?" + query).json) == 1000


def test_forms_may_have_another_charset():
    driver = app_with("/x", anything)
    assert driver.send("/x", b"a=%e9\xe8", FORM + "; charset=ISO-8859-1").json == {"a": "éè"}
    assert driver.send("/x", "a=한".encode("euc-kr"), FORM + '; charset="euc-kr"').json == {
        "a": "한"
    }


def test_nuls_and_line_breaks_are_only_characters():
    driver = app_with("/x/<p>", anything)
    odd = {"p": "\0", "a": "\r\n\0", "\0": "b"}
    assert driver.get("/x/%00?a=%0d%0a%00&%00=b").json == odd
    assert driver.json("/x/1", odd).json == odd


def test_large_integers_arrive_exactly():
    driver = app_with("/x", anything)
    assert driver.json("/x", {"a": 2**200}).json == {"a": 2**200}


def test_bodies_of_unknown_types_are_no_arguments():
    def show(was, a="default"):
        return [a, was.request.get_body().decode()]

    driver = app_with("/x", show)
    assert driver.send("/x", "a=1", "text/plain").json == ["default", "a=1"]
    assert driver.send("/x", "a=1", "").json == ["default", "a=1"]
    assert driver.send("/x", "a=1", ";;;=").json == ["default", "a=1"]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([JSON, FORM, "multipart/form-data; boundary=cut", "text/plain"]),
    st.one_of(
        st.binary(max_size=60),
        st.text(alphabet='{}[]":,\\ud8019ea-.=&%+ \r\n', max_size=40).map(str.encode),
        st.binary(max_size=20).map(lambda data: multipart(('name="a"', data))[0]),
    ),
)
def test_no_body_is_a_server_error(kind, body):
    driver = app_with("/x", lambda was, **kw: {"n": len(kw)})
    assert driver.send("/x", body, kind).status in (200, 400)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#")))
def test_no_query_is_a_server_error(query):
    driver = app_with("/x", lambda was, **kw: {"n": len(kw)})
    assert driver.get("/x?" + query).status in (200, 400)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, width=32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text().filter(lambda key: key != "was"), JSON_VALUES, max_size=4))
def test_json_comes_back_as_it_was_sent(data):
    json.dumps(data, ensure_ascii=False).encode()  # no surrogates in what hypothesis made
    if float("inf") not in _floats(data) and float("-inf") not in _floats(data):
        assert app_with("/x", anything).json("/x", data).json == data


def _floats(data):
    if isinstance(data, dict):
        return [item for value in data.values() for item in _floats(value)]
    if isinstance(data, list):
        return [item for value in data for item in _floats(value)]
    return [data] if isinstance(data, float) else []


def test_bodies_have_a_limit():
    app = Atila("limited")
    app.config.MAX_UPLOAD_SIZE = 10
    app.route("/x")(lambda was, **kw: kw)
    driver = Driver(app)
    assert driver.send("/x", '{"a": 123}', JSON).json == {"a": 123}
    got = driver.send("/x", '{"a": 1234}', JSON)
    assert (got.status, got.json["more_info"]) == (413, "the body is larger than 10 bytes")
