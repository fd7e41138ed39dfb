"""Which of several routes for the same is served, by the rank of their modules."""

from __future__ import annotations

import itertools

import pytest
from driving import Driver

from atila import Atila
from atila.binding import Signature
from atila.routing.precedence import arrange
from atila.routing.router import Resolution, Route, Router

ORDERS = list(itertools.permutations(range(3)))


def make(name, rule, rank=0, methods=("GET",), defaults=False, **options):
    """A route that is known by its name; ``defaults`` gives its parameters some."""
    if defaults:

        def handler(was, p=None, q=None): ...
    else:

        def handler(was, p, q): ...

    options["methods"] = list(methods)
    return Route(rule, handler, Signature(handler), name, options, {}, rank)


def winner(routes, path, method="GET"):
    """The name of the route that answers."""
    kept = arrange(routes)
    for route in kept:
        route.endpoint = route.name
    try:
        return Router(kept).find(method, path)[0]
    except Resolution as verdict:
        return verdict.code


def test_the_order_is_that_of_ranks_then_of_declaration():
    routes = [make("d", "/d", 1), make("a", "/a"), make("c", "/c", -1), make("b", "/b")]
    assert [route.name for route in arrange(routes)] == ["c", "a", "b", "d"]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("rules", "path"),
    [
        (["/x", "/x", "/x"], "/x"),
        (["/x/<p>", "/x/<p>", "/x/<p>"], "/x/5"),
        (["/x/<p>", "/x/<q>", "/x/<int:p>"], "/x/5"),
        (["/x/<path:p>", "/x/<q>", "/x/<int:q>"], "/x/5"),
        (["", "", ""], ""),
        (["", "", ""], "/"),
    ],
)
def test_the_highest_rank_has_the_path(rules, path, order):
    routes = [
        make("extended", rules[0], -1),
        make("own", rules[1], 0),
        make("overriding", rules[2], 1),
    ]
    assert winner([routes[at] for at in order], path) == "overriding"
    assert winner([routes[at] for at in order if at < 2], path) == "own"


def test_of_extended_modules_the_first_and_of_overriding_ones_the_last_wins():
    assert winner([make("second", "/x", -2), make("first", "/x", -1)], "/x") == "first"
    assert winner([make("last", "/x", 2), make("before", "/x", 1)], "/x") == "last"


def test_in_one_rank_the_last_has_the_path_and_the_first_the_tie():
    assert winner([make("a", "/x"), make("b", "/x")], "/x") == "b"
    assert winner([make("a", "/<p>"), make("b", "/<p>")], "/x") == "b"
    assert winner([make("a", "/<p>"), make("b", "/<q>")], "/x") == "a"


def test_methods_of_different_ranks_live_together():
    routes = [
        make("own", "/x", 0, ["GET", "PUT"]),
        make("overriding", "/x", 1, ["GET", "DELETE"]),
        make("extended", "/x", -1, ["PATCH", "PUT"]),
    ]
    answers = {method: winner(routes, "/x", method) for method in ("GET", "PUT", "DELETE", "PATCH")}
    assert answers == {
        "GET": "overriding", "PUT": "own", "DELETE": "overriding", "PATCH": "extended",
    }  # fmt: skip


def test_a_literal_path_comes_before_a_parameter_whatever_its_rank():
    routes = [make("overriding", "/x/<p>", 1), make("extended", "/x/new", -1)]
    assert winner(routes, "/x/new") == "extended"
    assert winner(routes, "/x/old") == "overriding"


@pytest.mark.parametrize("order", ORDERS)
def test_what_a_default_implies_follows_the_rank(order):
    routes = [
        make("extended", "/x/<int:p>", -1, defaults=True),
        make("own", "/x/<q>", 0, defaults=True),
        make("overriding", "/x/<path:p>", 1, defaults=True),
    ]
    given = [routes[at] for at in order]
    assert winner(given, "/x") == "overriding"
    assert winner(given, "/x/") == "overriding"
    assert winner([route for route in given if route.rank < 1], "/x") == "own"


@pytest.mark.parametrize("ranks", [(0, 0), (1, 0), (-1, 0), (1, -1)])
def test_a_path_that_somebody_wrote_comes_before_an_implied_one(ranks):
    implied, written = ranks
    routes = [make("implied", "/x/<p>", implied, defaults=True), make("written", "/x", written)]
    for given in (routes, routes[::-1]):
        assert winner(given, "/x") == "written"


def test_a_resource_that_the_app_has_too_is_left_out_of_an_extended_module():
    routes = [make("show", "/base/show", -1), make("show", "/show"), make("list", "/list", -1)]
    assert winner(routes, "/base/show") == 404
    assert winner(routes, "/show") == "show"
    assert winner(routes, "/list") == "list"


def test_an_overridden_resource_keeps_its_other_paths():
    routes = [make("show", "/old"), make("show", "/new", 1)]
    assert winner(routes, "/old") == "show"
    assert winner(routes, "/new") == "show"


# What is logged


def said(routes, log):
    arrange(routes)
    return [(record.levelname, record.getMessage()) for record in log.records]


def test_two_resources_of_one_name_are_told(log):
    ((level, text),) = said([make("show", "/a"), make("show", "/b")], log)
    assert level == "ERROR"
    assert "two resources are named show, at /a and /b: rename one, or give its module ns=" in text


def test_a_path_that_is_replaced_is_told(log):
    routes = [make("a", "/x", methods=["GET", "PUT"]), make("b", "/x", methods=["PUT", "DELETE"])]
    assert said(routes, log) == [("WARNING", "PUT /x of a is replaced by b")]


@pytest.mark.parametrize(
    "routes",
    [
        [make("a", "/x"), make("b", "/x", 1)],
        [make("a", "/x", -1), make("b", "/x")],
        [make("a", "/x", subdomain="a"), make("b", "/x", subdomain="b"), make("c", "/x")],
        [make("a", "/x", methods=["GET"]), make("b", "/x", methods=["PUT"])],
        [make("a", "/x", methods=["GET", "OPTIONS"]), make("b", "/x", methods=["PUT", "OPTIONS"])],
        [make("a", "/<p>"), make("b", "/<q>")],
    ],
    ids=range(6),
)
def test_what_is_meant_is_not_told(routes, log):
    assert said(routes, log) == []


def test_one_function_at_several_paths_is_no_conflict(log):
    app = Atila("stacked")

    @app.route("/a")
    @app.route("/b")
    @app.route("/b")
    def show(was):
        return "shown"

    driver = Driver(app)
    assert driver.get("/a").text == driver.get("/b").text == "shown"
    assert log.records == []
