"""Routes and the router: from method and path to the route, its parameters, or the right error.

An app collects ``Route`` objects; at start ``Router`` compiles them. Nothing is decided later that
could be decided then.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from atila.errors import ConfigError, HTTPError
from atila.routing.converters import CONVERTERS, PATTERNS, NoMatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.binding import Signature
    from atila.endpoints import RouteEndpoint as Endpoint

    Convert = Callable[[str], Any]
    Params = dict[str, Any]

_PARAMETER = re.compile(r"<(?:([a-z]*):)?([A-Za-z_][A-Za-z0-9_]*)>")
MAX_STEPS = 1_000_000  # of matching one path
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"))


class Rule:
    """A path with parameters, e.g. ``/items/<int:id>``.

    Parameters:
        text: empty or starting with ``/``; a parameter follows a ``/``.

    Attributes:
        prefix: literal text before the first parameter.
        names: the parameters in order.

    Raises ``ConfigError`` for a rule that can't be matched.
    """

    __slots__ = ("_pattern", "converters", "names", "pieces", "prefix", "text")

    def __init__(self, text: str) -> None:
        if text and not text.startswith("/"):
            raise ConfigError(f"route {text!r} must start with '/' (or be empty)")
        self.text = text
        self.pieces: list[str] = []
        self.names: list[str] = []
        self.converters: list[Convert] = []
        at = 0
        for match in _PARAMETER.finditer(text):
            self.pieces.append(text[at : match.start()])
            self._add(match.group(1) or "", match.group(2))
            at = match.end()
        self.pieces.append(text[at:])
        for number, piece in enumerate(self.pieces):
            if "<" in piece or ">" in piece:
                raise ConfigError(f"route {text!r} has a broken parameter: write <name> or <int:n>")
            if number and number < len(self.pieces) and not self.pieces[number - 1].endswith("/"):
                raise ConfigError(f"route {text!r}: a parameter must follow a '/'")
        self.prefix = self.pieces[0]
        self._pattern = self._compile()

    def _add(self, kind: str, name: str) -> None:
        convert = CONVERTERS.get(kind)
        if convert is None:
            known = ", ".join(name for name in CONVERTERS if name)
            raise ConfigError(f"route {self.text!r}: type {kind!r} is unknown, choose from {known}")
        if name in self.names:
            raise ConfigError(f"route {self.text!r} has two parameters {name!r}")
        self.names.append(name)
        self.converters.append(convert)

    def _compile(self) -> re.Pattern[str]:
        source = re.escape(self.prefix)
        for convert, piece in zip(self.converters, self.pieces[1:], strict=True):
            source += f"({PATTERNS[convert]}){re.escape(piece)}"
        return re.compile(source, re.DOTALL)

    def matcher(self) -> Callable[[str], Params | None]:
        """A function from a path, known to start with the prefix, to its parameters or None."""
        if len(self.names) == 1 and not self.pieces[1]:
            return self._tail_matcher()
        pattern, names, converters = self._pattern, self.names, self.converters
        longest = self._longest_path()

        def match(path: str) -> Params | None:
            if len(path) > longest:
                raise HTTPError(414, "the path is too long for its route")
            found = pattern.fullmatch(path)
            if found is None:
                return None
            try:
                values = zip(names, converters, found.groups(), strict=True)
                return {name: convert(text) for name, convert, text in values}
            except NoMatch:
                return None

        return match

    def _longest_path(self) -> float:
        """Characters of a path that can be matched in 5 ms.

        Of several ``<path:…>`` each may end anywhere: that takes the length to the power of their
        number. Three of them took 4 s for 2000 characters.
        """
        count = self.converters.count(CONVERTERS["path"])
        return math.inf if count < 2 else MAX_STEPS ** (1 / count)

    def _tail_matcher(self) -> Callable[[str], Params | None]:
        # PERF: one parameter at the end is the common case; a slice beats a regex (-0.5 us).
        name, convert, size = self.names[0], self.converters[0], len(self.prefix)
        whole = convert is CONVERTERS["path"]

        def match(path: str) -> Params | None:
            text = path[size:]
            if "/" in text and not whole:
                return None
            try:
                return {name: convert(text)}
            except NoMatch:
                return None

        return match

    def is_path(self, at: int) -> bool:
        """Whether parameter number ``at`` may contain slashes."""
        return self.converters[at] is CONVERTERS["path"]

    def shortened(self) -> str | None:
        """The rule without its last parameter, which has a default; None when there is none."""
        cut = self.emptied()
        return None if cut is None else cut.rstrip("/") or "/"

    def emptied(self) -> str | None:
        """The rule with an empty last parameter; None when it doesn't end with a parameter."""
        if not self.names or self.pieces[-1]:
            return None
        return self.text[: self.text.rindex("<")]


class Route:
    """A function behind a rule.

    Attributes:
        rule: compiled rule, with the prefix of the module it was declared in.
        methods: methods it answers.
        function: the app's function.
        name: resource id for ``urlfor``, e.g. ``"books.show"``.
        options: every keyword of ``@app.route``.
        rank: above 0 for overriding modules, below for extended ones.
        endpoint: what the app compiled it to, set at start.
    """

    __slots__ = (
        "endpoint",
        "function",
        "methods",
        "mntopt",
        "name",
        "options",
        "rank",
        "rule",
        "signature",
    )

    def __init__(
        self,
        rule: str,
        function: Callable[..., Any],
        signature: Signature,
        name: str,
        options: dict[str, Any],
        mntopt: dict[str, Any],
        rank: int = 0,
    ) -> None:
        self.rank = rank
        self.rule = Rule(rule)
        self.function = function
        self.signature = signature
        self.name = name
        self.options = options
        self.mntopt = mntopt
        self.methods = _methods(rule, options.get("methods"))
        self.endpoint: Endpoint | None = None

    def content_types(self) -> frozenset[str]:
        """The media types that the route accepts; empty for all."""
        types = self.options.get("content_types") or ()
        return frozenset(kind.lower() for kind in ([types] if isinstance(types, str) else types))

    def describe(self) -> dict[str, Any]:
        """The route for ``was.request.routable`` (seed, Route Options).

        It has every option by its name, and in ``options``. Beside them: ``route`` is the rule with
        its module's point, ``func_id`` the resource id; ``args``, ``keywords`` and ``defaults`` are
        names and defaults of the function's parameters, ``urlargs`` how many are in the path.
        """
        signature = self.signature
        return {
            **self.options,
            "methods": sorted(self.methods),
            "content_types": self.options.get("content_types", []),
            "options": self.options,
            "mntopt": self.mntopt,
            "route": self.rule.text,
            "func_id": self.name,
            "args": list(signature.names),
            "keywords": signature.keywords,
            "defaults": dict(signature.defaults),
            "urlargs": len(self.rule.names),
        }


def _methods(rule: str, given: Any) -> frozenset[str]:
    if given is None:
        return frozenset(("GET", "POST"))
    if isinstance(given, str):
        given = [given]
    methods = frozenset(str(method).upper() for method in given)
    unknown = methods - METHODS
    if unknown or not methods:
        raise ConfigError(
            f"route {rule!r}: methods={given!r} must be a list of {', '.join(sorted(METHODS))}"
        )
    return methods


def _no_parameters(path: str) -> Params | None:
    return None


_NO_METHODS: frozenset[str] = frozenset()


class _Table:
    """The endpoints of one path, by method; none for a path that only wants a slash."""

    __slots__ = ("_grades", "endpoints", "level", "match")

    def __init__(self, match: Callable[[str], Params | None] = _no_parameters) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.match = match
        self.level: tuple[float, int] = (-math.inf, 0)  # of its first route in precedence
        self._grades: dict[str, tuple[int, bool, int]] = {}

    def add(self, route: Route, layer: int, written: bool = True) -> None:
        """Add a route to the methods that no better one has.

        Parameters:
            layer: the higher, the better; then the route's rank counts.
            written: somebody wrote this rule. Of two such routes the later one is better, both are
                better than one that is only implied.
        """
        assert route.endpoint is not None
        self.level = max(self.level, (layer, route.rank))
        grade = (layer, written, route.rank)
        # Listing OPTIONS beside other methods asks for the usual answer, not for the function.
        for method in route.methods - {"OPTIONS"} or route.methods:
            known = self._grades.get(method)
            if known is None or known < grade or (known == grade and written):
                self.endpoints[method] = route.endpoint
                self._grades[method] = grade


class Resolution(Exception):
    """Why there is no endpoint. ``allow`` has the methods the path would answer."""

    def __init__(self, code: int, allow: frozenset[str] = frozenset()) -> None:
        super().__init__(code)
        self.code = code
        self.allow = allow


class Router:
    """Finds endpoints; compiled once from the routes of an app.

    Precedence: literal paths, then literal paths that end with a slash more (they redirect), then
    rules with the longest literal prefix, then those of the higher rank, then in the order of
    declaration. A rule whose last parameter has a default also answers without it, unless another
    route has that very path; where the parameter may be empty, the default stands for that too.

    Parameters:
        layers: routes; those of an earlier layer come before the same ones, and the same prefixes,
            of a later one, whatever their rank.
    """

    __slots__ = ("_literals", "_patterns", "_reach")

    def __init__(self, *layers: list[Route]) -> None:
        self._literals: dict[str, _Table] = {}
        patterns: dict[str, dict[str, _Table]] = {}
        shortened: list[tuple[Rule, Route, int]] = []
        for depth, routes in enumerate(layers):
            for route in routes:
                rule = route.rule
                short, emptied = rule.shortened(), rule.emptied()
                if short is not None and emptied and rule.names[-1] in route.signature.defaults:
                    shortened.append((Rule(short), route, -depth))
                    if route.mntopt.get("point") == short != "/":  # a module has both, as an app
                        shortened.append((Rule(f"{short}/"), route, -depth))
                    if rule.is_path(len(rule.names) - 1):
                        self._table(patterns, Rule(emptied)).add(route, -depth, written=False)
                self._table(patterns, rule).add(route, -depth)
                if not rule.text:  # the point of the app, which is also written with a slash
                    self._literal("/").add(route, -depth, written=False)
        for rule, route, layer in shortened:  # of rules that match the same, they come last
            self._table(patterns, rule).add(route, layer, written=False)
        for text in [text for text in self._literals if text[-1:] == "/" != text]:
            self._literal(text[:-1])
        self._patterns = {
            prefix: sorted(tables.values(), key=lambda table: table.level, reverse=True)
            for prefix, tables in patterns.items()
        }
        self._reach = max(map(len, patterns), default=0)
        for table in (*self._literals.values(), *(t for p in self._patterns.values() for t in p)):
            if "GET" in table.endpoints:
                table.endpoints.setdefault("HEAD", table.endpoints["GET"])

    def _literal(self, path: str) -> _Table:
        return self._literals.setdefault(path, _Table())

    def _table(self, patterns: dict[str, dict[str, _Table]], rule: Rule) -> _Table:
        if not rule.names:
            return self._literal(rule.text)
        tables = patterns.setdefault(rule.prefix, {})
        if rule.text not in tables:
            tables[rule.text] = _Table(rule.matcher())
        return tables[rule.text]

    def find(self, method: str, path: str) -> tuple[Endpoint, Params | None]:
        """The endpoint and the path's parameters.

        Raises ``Resolution`` with 404, 405, or 301 when the literal path is ``path + "/"``.
        """
        literal = self._literals.get(path)
        if literal is not None:
            endpoint = literal.endpoints.get(method)
            if endpoint is None:
                allow = frozenset(literal.endpoints)
                raise Resolution(405 if allow else 301, allow)
            return endpoint, None
        allow = _NO_METHODS
        # A path of nothing but slashes would take 18 ms if all of them were looked up.
        at = len(path)
        if at > self._reach:
            at = self._reach
        while at > 0:
            at = path.rfind("/", 0, at)
            tables = self._patterns.get(path[: at + 1])
            if tables is None:
                continue
            for table in tables:
                params = table.match(path)
                if params is not None:
                    endpoint = table.endpoints.get(method)
                    if endpoint is not None:
                        return endpoint, params
                    allow |= frozenset(table.endpoints)
        raise Resolution(405 if allow else 404, allow)
