"""``was.API`` and ``was.Fault`` as objects; how they are sent is in test_results and test_xml."""

from __future__ import annotations

import sys

import pytest
from driving import Driver, answer, returning

from atila import API, Atila
from atila.response import Response
from atila.results.api import Fault
from atila.was import Was


def test_api_and_fault_are_on_was_and_on_its_response():
    assert Was.API is Response.API is Response.api is API
    assert Was.Fault is Response.Fault is Fault
    got = answer(lambda was: was.response.API("201 Created", a=1))
    assert (got.status, got.json) == (201, {"a": 1})


def test_keys_are_read_set_and_removed():
    api = API(a=1, b=2)
    del api["a"]
    assert "a" not in api
    assert "b" in api
    assert (api["b"], api.get("a"), api.get("a", 3)) == (2, None, 3)
    with pytest.raises(KeyError):
        api["a"]


@pytest.mark.parametrize(
    ("fault", "status", "data"),
    [
        (Fault("400 Bad Request"), 400, {"code": 40000, "message": ""}),
        (Fault(404, "no book"), 404, {"code": 40400, "message": "no book"}),
        (Fault("409 Conflict", "x", 40911), 409, {"code": 40911, "message": "x"}),
        (
            Fault(400, "x", more_info={"a": [1]}, debug="why"),
            400,
            {"code": 40000, "message": "x", "debug": "why", "more_info": {"a": [1]}},
        ),
        (Fault(500, "x", traceback=True), 500, {"code": 50090, "message": "x"}),
        (Fault(500, "x", 7, traceback=True), 500, {"code": 7, "message": "x"}),
    ],
    ids=range(6),
)
def test_forms_of_fault(fault, status, data):
    got = answer(lambda was: fault)
    assert (got.status, got["Content-Type"], got.json) == (status, "application/json", data)


@pytest.mark.parametrize("status", ["", "abc", 99, None, "200 a\r\nb"])
def test_a_fault_needs_a_status(status):
    with pytest.raises(ValueError, match="status"):
        Fault(status)


@pytest.mark.parametrize("debug", [False, True])
def test_the_traceback_of_a_fault_is_sent_in_debug_only(debug):
    def make(was):
        try:
            {}["missing"]
        except KeyError:
            return was.Fault("500 Internal Server Error", "broken", traceback=True)

    got = returning(make, debug=debug).get("/").json
    assert (got["code"], got["message"]) == (50090, "broken")
    assert ("traceback" in got) is debug
    if debug:
        assert got["traceback"][0].startswith("Traceback")
        assert got["traceback"][-1] == "KeyError: 'missing'"


def test_the_exception_of_a_fault_may_be_given():
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        info = sys.exc_info()
    assert Fault(500, exc_info=info, traceback=True).trace[-2:] == ["ValueError: first", "second"]
    assert Fault(500, exc_info=(None, None, None), traceback=True).trace == []
    assert Fault(500, exc_info=info).trace == []


def test_a_fault_can_be_xml():
    app = Atila("fault")
    app.route("/")(lambda was: was.Fault(404, "no <book>"))
    got = Driver(app).get("/", accept="text/xml")
    assert (got.status, got["Content-Type"]) == (404, "text/xml")
    assert "no &lt;book&gt;" in got.text
