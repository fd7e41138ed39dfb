"""The router against a model that only follows the rules."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from atila.binding import Signature
from atila.errors import HTTPError
from atila.routing.converters import CONVERTERS, NoMatch
from atila.routing.router import Resolution, Route, Router, Rule

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


def make_route(number, rule, methods, defaults=False):
    for name in "pqr":
        rule = rule.replace("{}", name, 1)

    def required(was, **parameters): ...

    def optional(was, p=None, q=None, r=None): ...

    handler = optional if defaults else required
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


def implied_by(route):
    """The rules that a default of the last parameter stands for: an empty one, and none at all."""
    text = route.rule.text
    if not text.endswith(">") or not route.signature.defaults:
        return [], []
    cut = text[: text.rindex("<")]
    return ([cut] if text[len(cut) :].startswith("<path:") else []), [cut.rstrip("/") or "/"]


def table_of(routes):
    """The routes of each rule by method, in the order in which rules are tried."""
    table, implied = {}, []
    for route in routes:
        emptied, shortened = implied_by(route)
        for text in emptied:
            table.setdefault(text, {})  # before the rule itself, which matches the same
        implied += [(text, route) for text in emptied]
        for name in set(route.methods) - {"OPTIONS"}:
            table.setdefault(route.rule.text, {})[name] = route
    implied = sorted(
        implied + [(text, route) for route in routes for text in implied_by(route)[1]],
        key=lambda pair: pair[1].endpoint,
    )
    for text, route in implied:
        for name in set(route.methods) - {"OPTIONS"}:
            table.setdefault(text, {}).setdefault(name, route)
    return table


def model(routes, method, path):
    """What the documentation of ``Router`` says, without any regard to speed."""
    table = table_of(routes)
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
    st.lists(st.tuples(RULES, METHODS, st.booleans()), max_size=6),
    st.sampled_from(["GET", "HEAD", "PUT", "POST"]),
    st.lists(PATHS, min_size=1, max_size=6),
)
def test_the_router_agrees_with_the_model(declared, method, paths):
    routes = [make_route(at + 1000, *given) for at, given in enumerate(declared)]
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
