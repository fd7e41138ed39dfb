"""The Markdown of ``pytest --docs``: what is shown, in which order, and what is left out."""

from __future__ import annotations

from atila.documenting.report import anchor, render_report


def record(
    name="product.tickers",
    method="GET",
    url="/apis/tickers/123",
    sent=None,
    got=None,
    status="200 OK",
    rule="/tickers/<int:code>",
    **spec,
):
    told = {
        "id": name,
        "doc": "",
        "routeopt": {"route": rule, "args": ["code"], "defaults": {}},
        "parameter_requirements": {},
        "auth_requirements": [],
        **spec,
    }
    return {
        "time": 1.0,
        "spec": told,
        "method": method,
        "url": url,
        "request": {"type": "application/json" if sent is not None else "", "data": sent},
        "response": {
            "status": status,
            "type": "application/json",
            "data": {"instock": 2} if got is None else got,
        },
    }


def test_the_sample_of_the_seed():
    assert render_report([record()]) == (
        "## Table of Content\n"
        "\n"
        "1. [/apis/tickers/&lt;int:code&gt;](#producttickers)"
        " [**`GET`**](#get-apistickersintcode)\n"
        "\n"
        "## product.tickers\n"
        "**URL Parameters**: `code`  \n"
        "**Authorization Required**: NO  \n"
        "\n"
        "#### `GET` `/apis/tickers/<int:code>`\n"
        "\n"
        "**Success Response Example**  \n"
        "> **_URL_**: `/apis/tickers/123`  \n"
        "> **_Response_**: `200 OK`  \n"
        "> **_Response Data_** (application/json)  \n"
        "\n"
        "```json\n"
        "{\n"
        '  "instock": 2\n'
        "}\n"
        "```\n"
    )


def test_resources_are_sorted_by_path_and_methods_by_custom():
    records = [
        record("b", "DELETE", "/b", rule="/b"),
        record("b", "GET", "/b", rule="/b"),
        record("a", "PATCH", "/a", rule="/a"),
        record("b", "POST", "/b", rule="/b"),
    ]
    lines = render_report(records).splitlines()
    assert lines[2:4] == [
        "1. [/a](#a) [**`PATCH`**](#patch-a)",
        "1. [/b](#b) [**`GET`**](#get-b) [**`POST`**](#post-b) [**`DELETE`**](#delete-b)",
    ]
    assert [line for line in lines if line.startswith("## ")][1:] == ["## a", "## b"]


def test_demands_and_rules_are_listed():
    spec = {
        "doc": "Keep an order.",
        "routeopt": {
            "route": "/orders/<id>",
            "args": ["id", "name", "count", "note"],
            "defaults": {"count": 1, "note": None},
        },
        "parameter_requirements": {
            "ARGS": {"required": ["name"], "oneof": ["a", "b"]},
            "JSON": {"ints": ["count"], "name__len__lte": "9", "tags___first__1__gt": "2"},
            "DELETE": {"required": ["sure"]},
        },
        "auth_requirements": [
            ["authorization", "bearer"],
            ["permission", ["staff", "root"]],
            ["testpass", "is_owner"],
        ],
    }
    text = render_report([record(method="POST", url="/orders/1", **spec)])
    for expected in (
        "Keep an order.\n\n**URL Parameters**: `id`  \n",
        "**Common Parameters**:  \n"
        "  - name (*required*)\n  - count (*optional, default: 1*)\n  - note (*optional*)\n",
        "  - name: `required`\n  - a | b: `one of these is required`\n",
        "**Authorization Required**: bearer  \n"
        "**Permission Required**: `staff` `root`  \n**Test Pass Required**: `is_owner`  \n",
        "#### `POST` `/orders/1`\n\n**JSON Parameters Requirements Detail**:  \n"
        "  - count: `int`\n  - name: `len lte 9`\n",
    ):
        assert expected in text.replace("/orders/<id>", "/orders/1"), text
    assert "sure" not in text


def test_permissions_alone_ask_for_somebody():
    told = render_report([record(auth_requirements=[["permission", []]])])
    assert "**Authorization Required**: YES" in told


def test_two_successes_and_all_errors_that_differ():
    records = [record(url=f"/apis/tickers/{number}") for number in (1, 1, 2, 3)]
    records += [record(url=f"/apis/tickers/{n}", status="404 Not Found") for n in (7, 8, 9, 9)]
    text = render_report(records)
    assert text.count("Success Response") == 2
    assert text.count("Error Response") == 3


def test_bodies_that_say_the_same_again_are_dropped():
    def post(sent, got, status="201 Created"):
        return record(method="POST", sent=sent, got=got, status=status)

    again = [
        post({"a": 1}, {"id": 1}),
        post({"a": 1}, {"id": 2}),  # the same was sent
        post({"a": 2}, {"id": 1}),  # the same keys, the same answer
        post({"a": 3, "b": 1}, {"id": 1}),
        post({"c": 1}, {"id": 5}),
    ]
    text = render_report(again)
    assert text.count("Success Response") == 2
    assert '"a": 2' not in text
    assert '"b": 1' in text


def test_long_texts_are_cut():
    text = render_report([record(got={"list": ["x" * 81, "y" * 80]})])
    assert f'"{"x" * 77}..."' in text
    assert f'"{"y" * 80}"' in text


def test_paths_without_their_last_parameter_stay_as_they_were():
    assert "[/apis/tickers](" in render_report([record(url="/apis/tickers?x=1")])
    assert "(#)" not in render_report([record(rule="/<path:p>/edit", url="/a/b/edit")])


def test_anchors_are_those_of_markdown():
    assert anchor("GET /apis/a_b-c/<int:id>") == "get-apisa_b-cintid"
