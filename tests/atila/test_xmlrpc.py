"""XML-RPC: with Python's client over real sockets, and documents that no client would send."""

from __future__ import annotations

import contextlib
import enum
import xmlrpc.client
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from calling import (
    XML,
    fault_of,
    make_app,
    returning,
    served,
    value_xml,
    xml_answer,
    xml_client,
    xml_fault,
    xml_of,
)
from driving import Driver
from hypothesis import given, settings
from hypothesis import strategies as st

from atila.rpc.calls import MAX_CALLS


@pytest.fixture(scope="module", params=[4, 0], ids=["threads", "no threads"])
def url(request):
    with served(make_app(), threads=request.param) as url:
        yield url


@pytest.fixture
def driver():
    return Driver(make_app())


# -- XML-RPC with xmlrpc.client


VALUES = [
    None,
    True,
    0,
    -(2**31),
    2**31 - 1,
    1.5,
    "",
    "é <&> ]]> 한",
    " blanks\n\tstay ",
    b"",
    b"\0\xff" * 100,
    datetime(2026, 11, 21, 12, 30, 59),
    [],
    [1, "a", [None, {}]],
    {},
    {"a": {"b": [1.25, {"": "empty name"}]}},
]


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_values_of_xmlrpc_come_back(url, value):
    with xml_client(url) as api:
        assert api.echo(value) == value
        assert type(api.echo(value)) is type(value)


def test_xmlrpc_calls_by_position_and_defaults(url):
    with xml_client(url) as api:
        assert api.add(1, 2) == 3
        assert api.add(1) == 2
        assert api.later.add(3, 4) == 7
        assert api.nothing() is None
        assert api.shelves.__getattr__("5").book(7) == [5, 7, "all"]
        assert api.shelves.__getattr__("5").book(7, "first") == [5, 7, "first"]
    with xml_client(url, "/api/later/") as later:
        assert later.add(1) == 2
    with xml_client(url, "/") as root:
        assert root.api.add(1) == 2


def test_plain_functions_run_in_threads(url):
    with xml_client(url) as api:
        seen = api.where()
        assert (seen["path"], seen["method"]) == ("/api/where", "POST")
        assert seen["arguments"] == {}


@pytest.mark.parametrize(
    ("call", "code", "text"),
    [
        (lambda api: api.crash(), 1, "internal server error"),
        (lambda api: api.later.crash(), 1, "internal server error"),
        (lambda api: api.error(), 404, "no such book"),
        (lambda api: api.error("409 Conflict", "", 1234), 1234, "Conflict"),
        (lambda api: api.error(304, ""), 304, "Not Modified"),
        (lambda api: api.error(400), 400, "no such book"),
        (lambda api: api.assertion(), 409, "Conflict"),
        (lambda api: api.fault(), 77, "my own"),
        (lambda api: api.missing(), -32601, "there is no method 'missing'"),
        (lambda api: api.only.get(), -32601, "there is no method 'only.get'"),
        (lambda api: api.add(), -32602, "parameter a is required"),
        (lambda api: api.add(1, 2, 3), -32602, "the method takes 2 parameters at most"),
        (lambda api: api.anything(1), -32602, "the method takes 0 parameters at most"),
    ],
)
def test_faults_of_xmlrpc(url, call, code, text):
    with xml_client(url) as api:
        assert fault_of(lambda: call(api)) == (code, text)
        assert api.add(1) == 2


def test_multicall_of_xmlrpc(url):
    with xml_client(url) as api:
        calls = xmlrpc.client.MultiCall(api)
        calls.add(1, 2)
        calls.later.add(3, 4)
        calls.missing()
        calls.crash()
        calls.where()
        calls.echo(None)
        results = calls()
        assert [results[0], results[1], results[5]] == [3, 7, None]
        assert results[4]["path"] == "/api/where"
        assert fault_of(lambda: results[2])[0] == -32601
        assert fault_of(lambda: results[3]) == (1, "internal server error")
        assert list(xmlrpc.client.MultiCall(api)()) == []


# -- by hand


DEEP = 150
BOMB = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefg", "bcdefgh", strict=True))
    + "]>"
    + value_xml("&h;")
)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("no xml", -32700),
        ("<methodCall>", -32700),
        ("<methodCall></params>", -32700),
        (value_xml("&#0;"), -32700),
        (value_xml("&#xD800;"), -32700),
        (value_xml("\x00"), -32700),
        (BOMB, -32700),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd">' + value_xml(""), -32700),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + value_xml("&x;"), -32700),
        (b"\xff" + value_xml("").encode(), -32700),
        (b'<?xml version="1.0" encoding="nonsense"?>' + value_xml("").encode(), -32700),
        (b'<?xml version="1.0" encoding="utf-7"?>' + value_xml("").encode(), -32700),
        (b'<?xml version="1.0" encoding="idna"?>' + value_xml("").encode(), -32700),
        ("<html/>", -32600),
        ("<methodCall/>", -32600),
        ("<methodCall><methodName/></methodCall>", -32600),
        ("<methodResponse><params/></methodResponse>", -32600),
        (xmlrpc.client.dumps(xmlrpc.client.Fault(1, "x")), -32600),
        (value_xml("<int>x</int>"), -32600),
        (value_xml("<int></int>"), -32600),
        (value_xml("<int>" + "9" * 5000 + "</int>"), -32600),
        (value_xml("<boolean>2</boolean>"), -32600),
        (value_xml("<double>x</double>"), -32600),
        (value_xml("<ex:bigdecimal xmlns:ex='x'>x</ex:bigdecimal>"), -32600),
        (value_xml("<dateTime.iso8601>yesterday</dateTime.iso8601>"), -32600),
        (value_xml("<base64>é</base64>"), -32600),
        (value_xml("<base64>abc</base64>"), -32600),
        (value_xml("<struct><member><name>a</name></member></struct>"), -32600),
        (value_xml("<struct><member><value>a</value></member></struct>"), -32600),
        (value_xml("<array><data><value></array>"), -32700),
        (value_xml("<unknown>1</unknown>"), -32600),
        (value_xml("<array><data><value>" * 300 + "</value></data></array>" * 300), -32600),
        ("<a>" * 100_000 + "</a>" * 100_000, -32600),
        ("<methodCall>" + "<a>" * 1000 + "</a>" * 1000 + "</methodCall>", -32600),
        (xml_of("system.multicall"), -32600),
        (xml_of("system.multicall", 1), -32600),
        (xml_of("system.multicall", [], []), -32600),
        (xml_of("system.multicall", [{"methodName": "add"}] * (MAX_CALLS + 1)), -32600),
    ],
    ids=range(38),
)
def test_broken_documents_are_faults(driver, log, document, code):
    for path in ("/api", "/api/echo", "/elsewhere", "/"):
        assert xml_fault(driver.send(path, document, XML)) == code
    assert not log.records


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("text", "text"),
        ("", ""),
        ("<string>a</string>", "a"),
        ("<i4>-5</i4>", -5),
        ("<i8>1099511627776</i8>", 2**40),
        ("<nil/>", None),
        ("<double>-1e3</double>", -1000.0),
        (
            "<dateTime.iso8601>20261121T12:30:59</dateTime.iso8601>",
            datetime(2026, 11, 21, 12, 30, 59),
        ),
        (
            "<dateTime.iso8601>2026-11-21T12:30:59Z</dateTime.iso8601>",
            datetime(2026, 11, 21, 12, 30, 59),
        ),
        ("<base64> AP8= </base64>", b"\0\xff"),
        ("<![CDATA[<a>]]>", "<a>"),
        ("&lt;&#65;&#x42;", "<AB"),
        ("<array><data/></array>", []),
        ("<struct/>", {}),
    ],
)
def test_values_in_documents(driver, value, found):
    assert xml_answer(driver.send("/api", value_xml(value), XML)) == found


@pytest.mark.parametrize("kind", ["text/xml", "application/xml", "Text/XML; charset=utf-8"])
def test_content_types_of_xmlrpc(driver, kind):
    assert xml_answer(driver.send("/api", xml_of("add", 1), kind)) == 2


def test_documents_may_have_another_charset(driver):
    declared = '<?xml version="1.0" encoding="{}"?>' + value_xml("한é")
    for name, kind in (("euc-kr", XML), ("utf-8", XML), ("utf-16", XML)):
        text = value_xml("한") if name == "euc-kr" else value_xml("한é")
        document = f'<?xml version="1.0" encoding="{name}"?>{text}'.encode(name)
        assert xml_answer(driver.send("/api", document, kind)).startswith("한")
    document = declared.format("latin-1").encode("euc-kr", "replace")
    assert xml_answer(driver.send("/api", document, XML + "; charset=euc-kr")).startswith("한")
    assert xml_answer(driver.send("/api", value_xml("é").encode("utf-8-sig"), XML)) == "é"
    assert xml_fault(driver.send("/api", value_xml("é"), XML + "; charset=rot13")) == -32700


def test_nesting_is_bounded_but_not_tight(driver):
    deep = "<array><data><value>" * DEEP + "1" + "</value></data></array>" * DEEP
    found = xml_answer(driver.send("/api", value_xml(deep), XML))
    for _ in range(DEEP):
        (found,) = found
    assert found == "1"


def test_large_text_in_a_deep_document_is_read_once(driver):
    text = "x" * 1_000_000
    deep = "<array><data><value>" * DEEP + text + "</value></data></array>" * DEEP
    assert driver.send("/api", value_xml(deep), XML).status == 200


def test_entries_of_a_multicall_stand_for_themselves(driver):
    entries = [
        {"methodName": "add", "params": [1]},
        {"methodName": "add"},
        {"methodName": 1},
        {"params": []},
        {"methodName": "add", "params": {}},
        "text",
        {"methodName": "system.multicall", "params": [[]]},
        {"methodName": "add", "params": [2]},
    ]
    found = xml_answer(driver.send("/api", xml_of("system.multicall", entries), XML))
    codes = [entry if isinstance(entry, list) else entry["faultCode"] for entry in found]
    assert codes == [[2], -32602, -32600, -32600, -32600, -32600, -32600, [3]]


# -- results


class Colour(enum.IntEnum):
    RED = 1


@dataclass
class Book:
    title: str
    year: int


RESULTS = [
    (2**40, 2**40),
    (-(2**63), -(2**63)),
    (2**100, 2**100),
    (Colour.RED, 1),
    (float("inf"), float("inf")),
    ((1, 2), [1, 2]),
    ({1}, [1]),
    ({1: "a"}, {"1": "a"}),
    (Decimal("1.50"), "1.50"),
    (UUID(int=5), str(UUID(int=5))),
    (date(2026, 11, 21), "2026-11-21"),
    (Book("Momo", 1973), {"title": "Momo", "year": 1973}),
    (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=9))), datetime(2026, 1, 1, 18)),
    (bytearray(b"ab"), b"ab"),
    (xmlrpc.client.Binary(b"ab"), b"ab"),
    (xmlrpc.client.DateTime("20260102T03:04:05"), datetime(2026, 1, 2, 3, 4, 5)),
    ("a\rb\n", "a\rb\n"),
    ("a\0\x1f\ufffeb", "a\ufffd\ufffd\ufffdb"),
    ({"<&>": "]]>"}, {"<&>": "]]>"}),
]


@pytest.mark.parametrize(("value", "found"), RESULTS, ids=range(len(RESULTS)))
def test_results_have_a_form_in_xml(value, found):
    assert xml_answer(returning(value).send("/", xml_of("get"), XML)) == found


# -- whatever is sent


@given(
    st.one_of(
        st.binary(max_size=60),
        st.text("<>/&;methodCallNameparsvuint 1\"'=?!", max_size=80).map(str.encode),
        st.text(st.characters(), max_size=20).map(
            lambda text: value_xml(text).encode("utf-8", "replace")
        ),
    )
)
@settings(deadline=None, max_examples=200)
def test_any_document_is_a_result_or_a_fault(body):
    answer = Driver(make_app()).send("/api", body, XML)
    assert answer.status == 200
    with contextlib.suppress(xmlrpc.client.Fault):
        xml_answer(answer)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**31), 2**31 - 1)
        | st.floats(allow_nan=False)
        | st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"))
        | st.binary()
        | st.datetimes(datetime(1000, 1, 1)).map(lambda moment: moment.replace(microsecond=0)),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("ab<&> é", max_size=3), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
@settings(deadline=None, max_examples=150)
def test_what_xmlrpc_can_say_comes_back(value):
    assert xml_answer(Driver(make_app()).send("/api", xml_of("echo", value), XML)) == value
