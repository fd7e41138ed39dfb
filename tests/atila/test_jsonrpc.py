"""JSON-RPC: with jsonrpclib-pelix over real sockets, and messages that no client would send."""

from __future__ import annotations

import json
import sys

import jsonrpclib
import pytest
from calling import (
    JSON,
    XML,
    error_of,
    json_client,
    make_app,
    served,
    xml_answer,
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


# -- JSON-RPC with jsonrpclib-pelix


def test_jsonrpc_calls_by_position_and_by_name(url):
    for version in (1.0, 2.0):
        with json_client(url, version=version) as api:
            assert api.add(1, 2) == 3
            assert api.later.add(1) == 2
            assert api.nothing() is None
            assert api.echo({"a": [1, None, "é"]}) == {"a": [1, None, "é"]}
    with json_client(url) as api:
        assert api.add(a=1, b=2) == 3
        assert api.add(b=2, a=1) == 3
        assert api.anything(x=1, y=[2]) == {"x": 1, "y": [2]}
        assert api.where()["path"] == "/api/where"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda api: api.crash(), (-32000, "internal server error")),
        (lambda api: api.later.crash(), (-32000, "internal server error")),
        (lambda api: api.error(), (404, "no such book", None)),
        (lambda api: api.error("409 Conflict", "", 1234), (1234, "Conflict", None)),
        (lambda api: api.fault(), (77, "my own", None)),
        (lambda api: api.missing(), (-32601, "there is no method 'missing'")),
        (lambda api: api.add(), (-32602, "parameter a is required")),
        (lambda api: api.add(1, 2, 3), (-32602, "the method takes 2 parameters at most")),
        (lambda api: api.add(a=1, c=2), (-32602, "parameter c is not expected")),
        (lambda api: api.anything(was=1), (400, "parameter was is not expected", None)),
    ],
)
def test_errors_of_jsonrpc(url, call, error):
    with json_client(url) as api:
        assert error_of(lambda: call(api)) == error
        assert api.add(1) == 2


def test_notifications_have_no_answer(url):
    for version in (1.0, 2.0):
        with json_client(url, version=version) as api:
            assert api._notify.add(1, 2) is None
            assert api._notify.missing() is None
            assert api.add(1, 2) == 3


def test_batches_of_jsonrpc(url):
    with json_client(url) as api:
        batch = jsonrpclib.MultiCall(api)
        batch.add(1, 2)
        batch._notify.add(3, 4)
        batch.later.add(5, 6)
        batch.missing()
        batch.add(b=1, a=2)
        results = batch()
        assert [results[0], results[1], results[3]] == [3, 11, 3]
        assert error_of(lambda: results[2])[0] == -32601


# -- JSON-RPC by hand


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", -32700),
        ("{", -32700),
        ('{"jsonrpc": "2.0", "method"', -32700),
        ('[{"jsonrpc": "2.0"}', -32700),
        ("\ufeff{}", -32700),
        (b'{"method": "\xff"}', -32700),
        ('{"method": "\\ud800"}', -32700),
        ("[" * 1000 + "]" * 1000, -32700),
        ("[]", -32600),
        ("1", -32600),
        ('"text"', -32600),
        ("null", -32600),
        ("{}", -32600),
        ('{"jsonrpc": "2.0"}', -32600),
        ('{"jsonrpc": "2.0", "method": 1, "id": 1}', -32600),
        ('{"jsonrpc": "2.0", "method": "", "id": 1}', -32600),
        ('{"jsonrpc": "2.0", "method": "add", "params": "bar", "id": 1}', -32600),
        ('{"jsonrpc": "2.0", "method": "add", "params": null, "id": 1}', -32600),
        ('{"jsonrpc": 2.0, "method": "add", "id": 1}', -32600),
        ('{"jsonrpc": "3.0", "method": "add", "id": 1}', -32600),
        ('{"jsonrpc": "2.0", "method": "add", "id": {}}', -32600),
        ('{"jsonrpc": "2.0", "method": "add", "id": [1]}', -32600),
        ('{"jsonrpc": "2.0", "method": "add", "id": true}', -32600),
        ('{"method": "add"}', -32600),
        (json.dumps([{"jsonrpc": "2.0", "method": "add"}] * (MAX_CALLS + 1)), -32600),
    ],
    ids=range(25),
)
def test_broken_messages_are_errors_without_an_id(driver, log, body, code):
    for path in ("/api", "/api/echo", "/elsewhere"):
        answer = driver.send(path, body, JSON)
        assert answer.status == 200
        found = answer.json
        assert (found["jsonrpc"], found["id"], found["error"]["code"]) == ("2.0", None, code)
        assert "result" not in found
    assert not log.records


@pytest.mark.parametrize("kind", [JSON, "Application/JSON-RPC; charset=utf-8"])
def test_content_types_of_jsonrpc(driver, kind):
    body = '{"jsonrpc": "2.0", "method": "add", "params": [1], "id": 7}'
    assert driver.send("/api", body, kind).json == {"jsonrpc": "2.0", "result": 2, "id": 7}


@pytest.mark.parametrize("id", [1, -1, 1.5, "", "text", None, 2**70])
def test_the_id_is_repeated(driver, id):
    body = json.dumps({"jsonrpc": "2.0", "method": "nothing", "id": id})
    assert driver.send("/api", body, JSON).json == {"jsonrpc": "2.0", "result": None, "id": id}


def test_messages_of_version_1_are_answered_in_their_way(driver):
    ok = driver.send("/api", '{"method": "add", "params": [1], "id": 1}', JSON).json
    assert ok == {"result": 2, "error": None, "id": 1}
    bad = driver.send("/api", '{"method": "missing", "params": [], "id": 1}', JSON).json
    assert (bad["result"], bad["id"], bad["error"]["code"]) == (None, 1, -32601)
    assert driver.send("/api", '{"method": "add", "params": [1], "id": null}', JSON).body == b""


def test_a_batch_is_answered_entry_by_entry(driver):
    batch = [
        {"jsonrpc": "2.0", "method": "add", "params": [1, 2], "id": "1"},
        {"jsonrpc": "2.0", "method": "add", "params": [7]},
        1,
        {"foo": "boo"},
        [],
        {"jsonrpc": "2.0", "method": "missing", "id": "5"},
        {"jsonrpc": "2.0", "method": "missing"},
        {"method": "add", "params": [3], "id": 9},
    ]
    found = driver.send("/api", json.dumps(batch), JSON).json
    assert [
        (entry["id"], entry.get("result"), (entry.get("error") or {}).get("code"))
        for entry in found
    ] == [
        ("1", 3, None),
        (None, None, -32600),
        (None, None, -32600),
        (None, None, -32600),
        ("5", None, -32601),
        (9, 4, None),
    ]


def test_notifications_alone_are_answered_with_nothing(driver):
    call = {"jsonrpc": "2.0", "method": "crash"}
    for body in (call, [call, call]):
        answer = driver.send("/api", json.dumps(body), JSON)
        assert (answer.status, answer.body, answer["Content-Type"]) == (200, b"", None)


def test_without_its_package_jsonrpc_says_what_to_install(monkeypatch, log):
    driver = Driver(make_app())
    monkeypatch.setitem(sys.modules, "jsonrpclib", None)
    monkeypatch.setitem(sys.modules, "jsonrpclib.jsonrpc", None)
    answer = driver.send("/api", '{"jsonrpc": "2.0", "method": "add", "id": 1}', JSON)
    assert answer.status == 501
    assert "pip install 'skitai[rpc]'" in answer.json["more_info"]
    assert "skitai[rpc]" in log.text
    assert xml_answer(driver.send("/api", xml_of("add", 1), XML)) == 2


# -- whatever is sent


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["2.0", "add", "echo", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["jsonrpc", "method", "params", "id", "a"]), inner)
    ),
    max_leaves=12,
)


@given(JSON_VALUES)
@settings(deadline=None, max_examples=200)
def test_any_json_is_answered_with_results_or_errors(value):
    answer = Driver(make_app()).send("/api", json.dumps(value), JSON)
    assert answer.status == 200
    found = answer.json if answer.body else []
    for entry in found if isinstance(found, list) else [found]:
        assert "id" in entry
        assert ("result" in entry) or ("error" in entry)
