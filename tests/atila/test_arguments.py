"""What a request carries: how deep, how many, how large; 4xx for what is broken."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest
from driving import Driver, multipart
from hypothesis import given, settings
from hypothesis import strategies as st

from atila import Atila, arguments
from atila.arguments import charset, decode_json, media_type
from atila.errors import HTTPError
from skitai.wire.forms import MAX_TEXT

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


def echo(was, **kw):
    return kw


def app_with(handler, **config):
    app = Atila("arguments")
    app.config.update(config)
    app.route("/x", methods=["GET", "POST"])(handler)
    return Driver(app)


# -- JSON


def nested(depth, opening='{"a":', closing="}"):
    return opening * depth + "1" + closing * depth


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[1,{"a":', "}]")])
def test_json_is_nested_up_to_200_levels(opening, closing):
    levels = opening.count("[") + opening.count("{")
    fits = nested(arguments.MAX_NESTING // levels, opening, closing)
    assert json.dumps(decode_json(fits.encode())).replace(" ", "") == fits
    for depth in (arguments.MAX_NESTING // levels + 1, 1000, 100_000):
        with pytest.raises(ValueError, match="nested too deeply"):
            decode_json(nested(depth, opening, closing).encode())


def test_large_integers_do_not_hide_how_deep_a_document_is():
    large = b"123456789012345678901234567890"
    deep = nested(201).encode()
    with pytest.raises(ValueError, match="nested too deeply"):
        decode_json(b"[" + large + b"," + deep + b"]")
    flat = [{"n": int(large)} for _ in range(300)]
    assert decode_json(json.dumps(flat).encode()) == flat


def test_many_brackets_are_not_deep():
    rows = [{"tags": ["[", "{"], "n": [[]]} for _ in range(1000)]
    assert decode_json(json.dumps(rows).encode()) == rows


def test_nested_json_comes_back_or_is_a_bad_request(log):
    driver = app_with(lambda was, **kw: {"got": kw})
    for depth in (1, 100, 200, 201, 253, 254, 255, 900, 1000):
        answer = driver.send("/x", nested(depth), JSON)
        assert answer.status == (200 if depth <= 200 else 400)
    assert not log.records


def test_json_that_is_no_object_is_no_arguments():
    driver = app_with(lambda was, a="default": [a, was.request.JSON])
    for document in ([1, 2], [], "text", 1, None, True):
        assert driver.json("/x", document).json == ["default", document]


def test_of_equal_keys_the_last_one_counts():
    assert app_with(echo).send("/x", '{"a": 1, "a": 2}', JSON).json == {"a": 2}


@given(st.text('[]{}",:\\0a ', max_size=40) | st.binary(max_size=30).map(repr))
@settings(deadline=None)
def test_any_text_is_json_or_a_value_error(text):
    try:
        decode_json(text.encode())
    except ValueError:
        return


# -- forms and queries


@pytest.mark.parametrize("count", [1001, 100_000])
def test_a_query_of_too_many_keys_is_a_bad_request(count, log):
    query = "&".join(f"k{at}={at}" for at in range(count))
    for handler in (echo, lambda was: "ok"):
        answer = app_with(handler).get("/x?" + query)
        assert answer.status == 400
        assert answer.json["more_info"] == "query string: form has more than 1000 fields"
    assert not log.records


def test_names_may_be_as_long_as_the_body():
    name = "n" * 100_000
    assert app_with(echo).send("/x", name + "=1", FORM).json == {name: "1"}
    assert app_with(echo).json("/x", {name: 1}).json == {name: 1}


def test_parts_with_long_names_are_a_bad_request(log):
    answer = app_with(echo).send("/x", *multipart(('name="' + "n" * 5000 + '"', b"1")))
    assert answer.status == 400
    assert "header" in answer.json["more_info"]
    assert not log.records


def test_more_text_than_fits_into_memory_is_413(log):
    driver = app_with(lambda was, a: {"n": len(a)})
    assert driver.send("/x", b"a=" + b"x" * (MAX_TEXT - 2), FORM).json == {"n": MAX_TEXT - 2}
    assert driver.send("/x", b"a=" + b"x" * (MAX_TEXT - 1), FORM).status == 413
    assert driver.send("/x", *multipart(('name="a"', b"x" * (MAX_TEXT + 1)))).status == 400
    assert not log.records


def test_text_and_files_with_the_same_name_are_a_list():
    def names(was, a):
        return [item if isinstance(item, str) else item.name for item in a]

    body = multipart(('name="a"', b"text"), ('name="a"; filename="f"', b"x"), ('name="a"', b""))
    assert app_with(names).send("/x", *body).json == ["text", "f", ""]


@pytest.mark.parametrize("name", ["was", "self", "__class__", "", "a b", "\0", "é", "a[b]", "a.b"])
def test_odd_names_are_names_or_a_bad_request(name, log):
    driver = app_with(echo)
    for answer in (
        driver.send("/x", urlencode({name: "1"}), FORM),
        driver.json("/x", {name: "1"}),
        driver.send("/x", *multipart((f'name="{name}"', b"1"))),
    ):
        if answer.status != 400:
            assert answer.json == {name: "1"}
    assert not log.records


@given(st.lists(st.sampled_from(list("&=;+%aé\0\r\n") + ["%zz", "%ff", "%00", "%ED%A0%80"])))
@settings(deadline=None)
def test_any_form_is_read_or_a_bad_request(pieces):
    driver = app_with(lambda was, **kw: {"n": len(kw)})
    for kind in (FORM, FORM + "; charset=euc-kr", FORM + "; charset=latin1"):
        assert driver.send("/x", "".join(pieces), kind).status in (200, 400)


# -- content types


@pytest.mark.parametrize(
    ("header", "kind", "name"),
    [
        ("", "", "utf-8"),
        ("Text/XML", "text/xml", "utf-8"),
        (' text/xml ; Charset="EUC-KR" ; x=y', "text/xml", "EUC-KR"),
        ("text/xml;charset=", "text/xml", "utf-8"),
        (";;;=", "", "utf-8"),
        ("a/b; x=charset=y", "a/b", "utf-8"),
    ],
)
def test_content_types_are_taken_apart(header, kind, name):
    assert (media_type(header), charset(header)) == (kind, name)


def test_a_request_without_a_body_has_neither_form_nor_json():
    driver = app_with(lambda was: [was.request.FORM, was.request.JSON])
    assert driver.get("/x", Content_Type=JSON).json == [None, None]
    assert driver.get("/x", Content_Type=FORM).json == [None, None]


def test_the_error_is_the_one_of_apps():
    with pytest.raises(HTTPError) as caught:
        arguments.query_arguments("a=%ff")
    assert caught.value.code == 400
