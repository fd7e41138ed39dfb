"""``was.log``, ``was.traceback`` and the ids that find the lines of a request."""

from __future__ import annotations

import logging
import re
import subprocess
import sys

import pytest
from driving import Driver

from atila import Atila
from atila.context import AppContext
from atila.journal import LEVELS, transaction_id


def txnid(**headers):
    """What a handler gets as its transaction id."""
    app = Atila("journal")
    app.route("/")(lambda was: [was.txnid(), was.txnid(), was.request.txnid])
    ids = Driver(app).get("/", **headers).json
    assert len(set(ids)) == 1, "it changed within a request"
    return ids[0]


# Ids


def test_a_request_begins_a_chain():
    first, second = txnid(), txnid()
    assert re.fullmatch(r"[0-9a-f]{16}/1000", first)
    assert re.fullmatch(r"[0-9a-f]{16}/1000", second)
    assert first != second


def test_a_chain_goes_on():
    assert txnid(X_Gtxn_Id="abc-1.2:3_4") == "abc-1.2:3_4/1000"
    assert txnid(X_Gtxn_Id="abc", X_Ltxn_Id="1000") == "abc/1001"
    assert txnid(X_Gtxn_Id="abc", X_Ltxn_Id="0") == "abc/1"
    assert txnid(X_Gtxn_Id="abc", X_Ltxn_Id="999999999") == "abc/1000000000"


@pytest.mark.parametrize("step", ["", "-1", "1.5", "x", "1 2", "1" * 10, "١", "²", "1\n2", "0x10"])
def test_a_step_that_is_no_number_starts_again(step):
    assert txnid(X_Gtxn_Id="abc", X_Ltxn_Id=step) == "abc/1000"


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "a b",
        "a/b",
        "a" * 65,
        "a\nERROR forged line",
        "a\r\nSet-Cookie: x=1",
        "a\x1b[31m",
        "a\x00",
        "<script>",
        "a, b",
        "한",
        "a\n",
        "%s%n",
    ],
)
def test_what_is_no_plain_id_is_ignored(hostile):
    given = transaction_id({"x-gtxn-id": hostile, "x-ltxn-id": "1005"})
    assert re.fullmatch(r"[0-9a-f]{16}/1000", given)


def test_a_step_without_a_chain_is_ignored():
    assert re.fullmatch(r"[0-9a-f]{16}/1000", txnid(X_Ltxn_Id="1005"))


FORK = """
import os
from atila.journal import transaction_id
if os.fork():
    os.wait()
print(transaction_id({}), flush=True)
"""


def test_workers_have_ids_of_their_own():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    child, parent = done.stdout.split()
    assert child[:8] != parent[:8]
    assert child[8:] == parent[8:] == "00000001/1000"


# Lines


@pytest.mark.parametrize("category", sorted(LEVELS))
def test_categories_are_levels(category, log):
    log.set_level(logging.DEBUG, "skitai.app")
    Atila("journal").log("text", category)
    assert [(record.levelno, record.getMessage()) for record in log.records] == [
        (LEVELS[category], "text")
    ]


def test_a_category_that_is_off_costs_nothing(log):
    log.set_level(logging.WARNING, "skitai.app")

    class Costly:
        def __str__(self):
            raise AssertionError("this was formatted for nobody")

    AppContext(Atila("journal")).log(Costly(), "info")
    assert log.records == []


def test_anything_can_be_logged(log):
    app = Atila("journal")
    for thing in (None, 5, {"a": 1}, "100% %s {x}", "two\nlines", "\udc80", b"\xff"):
        app.log(thing)
    assert [record.getMessage() for record in log.records] == [
        "None", "5", "{'a': 1}", "100% %s {x}", "two\nlines", "\udc80", "b'\\xff'",
    ]  # fmt: skip


def test_all_lines_of_a_request_have_its_id(log):
    app = Atila("journal")

    @app.route("/")
    def index(was):
        was.log("called index", "info")
        try:
            1 / 0  # noqa: B018  # it is to fail
        except ZeroDivisionError:
            was.log("exception occurred", "error")
            was.traceback()
            was.trace("mine")
        was.log("done index")
        return was.txnid()

    txnid = Driver(app).get("/").text
    assert [(record.levelname, record.getMessage()) for record in log.records] == [
        ("INFO", f"called index [{txnid}]"),
        ("ERROR", f"exception occurred [{txnid}]"),
        ("ERROR", f"[{txnid}]"),
        ("ERROR", "[mine]"),
        ("INFO", f"done index [{txnid}]"),
    ]
    assert log.text.count("ZeroDivisionError") == 2


def test_a_crash_is_found_by_the_id_too(log):
    app = Atila("journal")

    @app.route("/")
    def index(was):
        raise KeyError("lost")

    Driver(app).get("/", X_Gtxn_Id="find-me")
    assert "[find-me/1000]" in log.text


def test_without_a_request_the_app_has_a_name(log):
    app = Atila("journal")
    try:
        raise KeyError("lost")
    except KeyError:
        app.traceback()
        AppContext(app).traceback()
        AppContext(app).traceback("here")
    assert [record.getMessage() for record in log.records] == ["[journal]", "[journal]", "[here]"]
    assert AppContext(app).txnid() == ""
