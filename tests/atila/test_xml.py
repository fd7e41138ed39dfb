"""The XML of answers: what a client of XML-RPC reads is what a client of JSON reads."""

from __future__ import annotations

import json
import xmlrpc.client
from datetime import datetime, timezone
from xml.etree import ElementTree

import pytest
from driving import Driver, answer, returning
from hypothesis import given, settings
from hypothesis import strategies as st

from atila import API, Atila
from atila.results.xml import choose_format, encode_xml

JSON = "application/json"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


# Which form


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("image/png", JSON),
        ("text/html", JSON),
        (BROWSER, JSON),
        ("text/xml", "text/xml"),
        ("application/xml", "application/xml"),
        ("text/xml, application/json", JSON),
        ("text/xml, application/json;q=0.9", "text/xml"),
        ("text/xml;q=0.5, application/json;q=0.4", "text/xml"),
        ("text/xml;q=0.5, */*", JSON),
        ("text/xml;q=0, application/json;q=0", JSON),
        ("application/xml, text/xml;q=0.9", "application/xml"),
        ("text/xml, text/html", "text/xml"),
        ("text/xml;q=banana", JSON),
        ("text/xml," * 5000, "text/xml"),
    ],
)
def test_the_form_is_what_the_client_likes_best(accept, chosen):
    assert choose_format(accept) == chosen
    got = returning(lambda was: was.API(a=1)).request("GET", "/", {"Accept": accept})
    assert got["Content-Type"] == chosen
    if chosen == JSON:
        assert got.json == {"a": 1}
    else:
        assert xmlrpc.client.loads(got.body) == (({"a": 1},), None)


def test_vary_is_said_where_it_matters_only():
    driver = returning(lambda was: was.API(a=1))
    assert driver.get("/")["Vary"] is None
    assert driver.get("/", accept="*/*")["Vary"] is None
    assert driver.get("/", accept=JSON)["Vary"] is None
    assert driver.get("/", accept=BROWSER)["Vary"] == "Accept"
    assert driver.get("/", accept="text/xml")["Vary"] == "Accept"

    def cached(was):
        was.response.set_max_age(60)
        was.response.set_header("Vary", "Cookie")
        return was.API(a=1)

    assert returning(cached).get("/")["Vary"] == "Cookie, Accept"


def test_status_and_headers_are_those_of_the_same_answer_in_json():
    def make(was):
        was.response.add_header("X-A", "1")
        return was.API("201 Created", a=1)

    got = returning(make).get("/", accept="text/xml")
    assert (got.status, got["X-A"], got["Content-Length"]) == (201, "1", str(len(got.body)))


def test_a_content_type_of_the_app_is_kept():
    def make(was):
        was.response.content_type = "application/problem+json"
        return was.API(a=1)

    got = returning(make).get("/", accept="text/xml")
    assert (got["Content-Type"], got.json) == ("application/problem+json", {"a": 1})


def test_what_is_no_api_stays_json():
    assert returning(lambda was: {"a": 1}).get("/", accept="text/xml").json == {"a": 1}


def test_dates_are_written_as_in_json():
    app = Atila("dates")
    app.config.JSON_ENCODER = "digit"
    moment = datetime(2024, 5, 1, 12, 30, tzinfo=timezone.utc)
    app.route("/")(lambda was: API(at=moment))
    got = Driver(app).get("/", accept="text/xml")
    assert xmlrpc.client.loads(got.body) == (({"at": "20240501123000"},), None)


# What is written


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({}, {}),
        ({"": [{}, []]}, {"": [{}, []]}),
        ([1, "a", None, True, False, 1.5], [1, "a", None, True, False, 1.5]),
        (2**31, 2**31),
        (-(2**63), -(2**63)),
        (2**64, 2**64),
        (-1e300, -1e300),
        ("<&>]]>'\"", "<&>]]>'\""),
        ("\r\n\t\r", "\r\n\t\r"),
        (" \n ", " \n "),
        ("Grüße 한 \U0001f600", "Grüße 한 \U0001f600"),
        ("a\0b\x0b\x1f\ufffe\uffff", "a\ufffdb\ufffd\ufffd\ufffd\ufffd"),
    ],
)
def test_values(value, expected):
    text = encode_xml(json.dumps({"<k&>": value}).encode())
    assert xmlrpc.client.loads(text, use_builtin_types=True) == (({"<k&>": expected},), None)


@pytest.mark.parametrize(
    ("number", "tag"), [(1, "int"), (-(2**31), "int"), (2**31, "i8"), (2**63, "biginteger")]
)
def test_integers_have_the_type_that_holds_them(number, tag):
    assert f"<{tag}>{number}</{tag}>".encode() in encode_xml(str(number).encode())


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=150, deadline=None)
@given(TEXT, TEXT)
def test_every_text_gives_a_well_formed_document(key, value):
    document = ElementTree.fromstring(encode_xml(json.dumps({key: [value]}).encode()))
    assert document.tag == "params"


def test_what_cannot_be_encoded_is_a_crash(log):
    got = returning(lambda was: was.API(a=object())).get("/", accept="text/xml")
    assert got.status == 500
    assert answer(lambda was: was.API(a=object())).status == 500
