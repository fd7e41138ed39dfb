"""The router against a model that only follows the rules."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from atila.binding import Signature
from atila.converters import CONVERTERS, NoMatch
from atila.errors import HTTPError
from atila.routing import Resolution, Route, Router, Rule

SEGMENTS = st.sampled_from(["a", "b", "5", "x.y", "me"])
PIECES = st.one_of(SEGMENTS, st.sampled_from(["<{}>", "<int:{}>", "<float:{}>", "<path:{}>"]))
RULES = st.builds(
    lambda pieces, slash: "/" + "/".join(pieces) + ("/" if slash and pieces else ""),
    st.lists(PIECES, max_size=3),
    st.booleans(),
)
METHODS = st.sampled_from([["GET"], ["PUT"], ["GET", "PUT"], ["OPTIONS", "PUT"]])
PATHS = st.builds(
    lambda pieces, slash: "/" + "/".join(pieces) + ("/" if slash and pieces else ""),
    st.lists(st.one_of(SEGMENTS, st.sampled_from(["7", "1.2", "x y", ""])), max_size=4),
    st.booleans(),
)


def make_route(number, rule, methods):
    for name in "pqr":
        rule = rule.replace("{}", name, 1)

    def handler(was, **parameters): ...

    route = Route(rule, handler, Signature(handler), f"r{number}", {"methods": methods}, {})
    route.endpoint = number
    return route


def fits(rule: Rule, path: str) -> list[dict]:
    """All ways to read a path by a rule, the one with the longest first parameters first."""
    expected, given_pieces = rule.text.split("/"), path.split("/")

    def read(wanted, rest, found):
        if not wanted:
            return [found] if not rest else []
        head, *others = wanted
        if not head.startswith("<"):
            return read(others, rest[1:], found) if rest and rest[0] == head else []
        name = head.strip("<>").rpartition(":")[2]
        convert = rule.converters[rule.names.index(name)]
        sizes = range(len(rest), 0, -1) if "<path:" in head else [1]
        ways = []
        for size in sizes:
            text = "/".join(rest[:size])
            if not rest or (not text and "<path:" not in head):
                continue
            try:
                value = convert(text)
            except NoMatch:
                continue
            ways += read(others, rest[size:], {**found, name: value})
        return ways

    return read(expected, given_pieces, {})


def model(routes, method, path):
    """What the documentation of ``Router`` says, without any regard to speed."""
    table = {}
    for route in routes:
        methods = set(route.methods) - {"OPTIONS"}
        for name in methods:
            table.setdefault(route.rule.text, {})[name] = route
    for answers in table.values():
        if "GET" in answers:
            answers.setdefault("HEAD", answers["GET"])
    literals = {text: found for text, found in table.items() if "<" not in text}
    if path in literals:
        return literals[path][method].endpoint if method in literals[path] else 405
    if path + "/" in literals:
        return 301
    rules = [Rule(text) for text in table if "<" in text]
    rules.sort(key=lambda rule: -len(rule.prefix))
    status = 404
    for rule in rules:
        ways = fits(rule, path)
        if ways and method in table[rule.text]:
            return table[rule.text][method].endpoint, ways[0]
        if ways:
            status = 405
    return status


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(RULES, METHODS), max_size=6),
    st.sampled_from(["GET", "HEAD", "PUT", "POST"]),
    st.lists(PATHS, min_size=1, max_size=6),
)
def test_the_router_agrees_with_the_model(declared, method, paths):
    routes = [make_route(at + 1000, rule, methods) for at, (rule, methods) in enumerate(declared)]
    router = Router(routes)
    for path in paths:
        try:
            endpoint, params = router.find(method, path)
            found = endpoint if params is None else (endpoint, params)
        except Resolution as verdict:
            found = verdict.code
        except HTTPError as error:
            found = error.code
        try:
            expected = model(routes, method, path)
        except HTTPError as error:
            expected = error.code
        # One of the two may have met 1.2.3 in a rule that the other did not need to try.
        assert found == expected or 400 in (found, expected)


@given(st.sampled_from(sorted(CONVERTERS)), st.text(max_size=20))
def test_converters_take_any_text(kind, text):
    try:
        CONVERTERS[kind](text)
    except (NoMatch, HTTPError):
        pass
