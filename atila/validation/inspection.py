"""``@app.inspect``: what the parameters of a handler must be (seed, Parameter and Validation).

The decorator leaves an ``Inspection`` on the handler; the endpoint compiles it to a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from atila.arguments import JSON
from atila.errors import ConfigError, HTTPError
from atila.routing.converters import to_path, to_text
from atila.steps import Step, add_guard, guards_of, inline
from atila.validation.inspection_rules import Rules
from atila.validation.operators import did_you_mean
from atila.validation.refusal import ERRNO, Refused, missing, origin_of, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.app import Atila
    from atila.routing.router import Route
    from atila.was import Was

    Convert: TypeAlias = Callable[[Any], Any]
    Arguments: TypeAlias = dict[str, Any]
    Plan: TypeAlias = list[tuple[str, Convert]]

F = TypeVar("F", bound="Callable[..., Any]")

_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
_ANY_METHOD = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "DELETE")) | _WITH_BODY
# Scope: the methods for which it is checked, and where it looks.
SCOPES: dict[str, tuple[frozenset[str], str]] = {
    "ARGS": (_ANY_METHOD, "ARGS"),
    "URL": (_ANY_METHOD, "URL"),
    "FORM": (_WITH_BODY, "FORM"),
    "JSON": (_WITH_BODY, "JSON"),
    "DATA": (_WITH_BODY, "DATA"),
    "GET": (frozenset(("GET", "HEAD")), "URL"),
    "DELETE": (frozenset(("DELETE",)), "URL"),
    **{method: (frozenset((method,)), "DATA") for method in ("POST", "PUT", "PATCH")},
}


class InspectDecorators:
    """The decorator of an app, under all of its names."""

    def inspect(
        self, scope: str = "ARGS", required: Any = None, **options: Any
    ) -> Callable[[F], F]:
        """Check and convert parameters before the function is called.

        Parameters:
            scope: where they are: ``ARGS`` (anywhere, the default), ``URL`` (the query), ``FORM``,
                ``JSON``, ``DATA`` (JSON or form), or a method: its query for GET and DELETE, its
                body for POST, PUT and PATCH. Other requests are not checked.
            required: names that must be there and neither ``None`` nor ``""``.
            options: ``oneof``, ``manyof`` (at least one of these names must be there); ``nones``,
                ``ints``, ``floats``, ``strings``, ``booleans``, ``lists``, ``dicts``, ``ranges``,
                ``emails``, ``uuids``, ``safes``, ``notags``: names, as a list or divided by
                blanks; ``name=type``, ``name=[types]``, ``name=pattern``, ``name=value``,
                ``name__operator=value``, ``name__len__operator=value``.

        Text is converted to the declared type, JSON is checked against it. Converted values take
        the place of the old ones. What is refused is 400 with the code 40050. Absent parameters
        and None are only refused by ``required``, ``oneof`` and ``manyof``.

        Raises ``ConfigError`` for an option that can't work.
        """
        inspection = Inspection(scope, {"required": required, **options})

        def declare(function: F) -> F:
            if not callable(function):
                raise ConfigError(f"@app.inspect must decorate a function, not {function!r}")
            add_guard(function, inspection)
            return function

        return declare

    require = parameters_required = params_required = test_params = inspect


def requirements_of(function: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """What the inspections of a handler ask, by scope: option to its names or value as text."""
    found: dict[str, dict[str, Any]] = {}
    for guard in guards_of(function):
        if isinstance(guard, Inspection):
            options = found.setdefault(guard.scope, {})
            for name, value in guard.rules.described.items():
                if name not in options:
                    options[name] = value
                elif isinstance(value, list):
                    options[name] = list(dict.fromkeys(options[name] + value))
                else:
                    options[name] = f"{options[name]} and {value}"
    return found


class Inspection:
    """The guard that one ``@app.inspect`` leaves.

    Attributes:
        scope: where the parameters are.
        rules: what is asked of them.
    """

    __slots__ = ("_methods", "_place", "rules", "scope")

    def __init__(self, scope: str, options: dict[str, Any]) -> None:
        if not isinstance(scope, str):
            raise ConfigError(
                f"@app.inspect({scope!r}): the first argument is a scope such as 'FORM'; write "
                "@app.inspect(required=[…]) for names, and the parentheses even without options"
            )
        self.scope = scope.upper()
        if self.scope not in SCOPES:
            hint = did_you_mean(self.scope, SCOPES)
            raise ConfigError(f"@app.inspect({scope!r}): there is no such scope{hint}")
        self._methods, self._place = SCOPES[self.scope]
        self.rules = Rules(options)

    @property
    def facts(self) -> tuple[str, Any]:
        """For the documentation of the API."""
        return ("inspect", {self.scope: self.rules.described})

    def compile(self, app: Atila, route: Route | None) -> Step | None:
        """The step for one route, or for a hook; None when none of its methods is checked."""
        methods = _ANY_METHOD if route is None else route.methods
        if "GET" in methods:
            methods |= {"HEAD"}
        if not methods & self._methods:
            return None
        run = _COMPILERS[self._place](_Check(self.rules, _typed_names(route)))
        if methods <= self._methods:
            return inline(run)
        applies = self._methods

        def run_for_methods(was: Was) -> None:
            if was.exchange.request.method in applies:
                run(was)

        return inline(run_for_methods)


class _Check:
    """Rules, ready to run over values of one place.

    Attributes:
        text: names and conversions of text.
        text_or_word: the same, where a typed parameter of the path may be a word.
        json: names and conversions of JSON.
    """

    def __init__(self, rules: Rules, typed: frozenset[str]) -> None:
        compiled = {name: field.compile() for name, field in rules.fields.items()}
        self.text: Plan = [(name, text) for name, (text, _) in compiled.items()]
        self.json: Plan = [(name, json) for name, (_, json) in compiled.items()]
        self.text_or_word: Plan = [
            (name, rules.fields[name].compile_typed() if name in typed else text)
            for name, text in self.text
        ]
        self._required = rules.required
        self._groups = rules.groups

    def present(self, values: Arguments, origin: str = "") -> None:
        """Refuse when something that must be there isn't; ``origin`` is where that would be."""
        for name in self._required:
            if _is_missing(values.get(name)):
                raise missing(name, origin)
        for names in self._groups:
            if all(_is_missing(values.get(name)) for name in names):
                place = f" in the {origin}" if origin else ""
                explain = f"one of the parameters {', '.join(names)} is required{place}"
                raise HTTPError(400, explain, ERRNO)

    def run(self, values: Arguments, plan: Plan, origin: str) -> None:
        """Check and convert the values of one place."""
        self.present(values, origin)
        try:
            for name, convert in plan:
                value = values.get(name)
                if value is not None:
                    values[name] = convert(value)
        except Refused as refused:
            raise refusal(name, refused, origin) from None


def _is_missing(value: Any) -> bool:
    return value is None or (type(value) is str and not value)


def _typed_names(route: Route | None) -> frozenset[str]:
    """Parameters of the path that are no text any more, but may be words."""
    if route is None:
        return frozenset()
    pairs = zip(route.rule.names, route.rule.converters, strict=True)
    return frozenset(name for name, convert in pairs if convert not in (to_text, to_path))


# -- one function per place; each returns what a request runs


def _compile_args(check: _Check) -> Callable[[Was], None]:
    present, plan = check.present, check.text_or_word
    texts = dict(plan)
    mixed = [(name, texts[name], json) for name, json in check.json]

    def run(was: Was) -> None:
        arguments = was.arguments()
        present(arguments)
        document = was.request.JSON if was.exchange.body is not None else None
        try:
            if isinstance(document, dict):
                for name, text, json in mixed:
                    value = arguments.get(name)
                    if value is not None:
                        arguments[name] = json(value) if name in document else text(value)
            else:
                for name, text in plan:
                    value = arguments.get(name)
                    if value is not None:
                        arguments[name] = text(value)
        except Refused as refused:
            raise refusal(name, refused, origin_of(was, name)) from None

    return run


def _compile_url(check: _Check) -> Callable[[Was], None]:
    plan = check.text

    def run(was: Was) -> None:
        fields = was.request.URL
        check.run(fields, plan, "query")
        arguments = was.arguments()
        winning = {**(was.exchange.params or {}), **_body_fields(was)}
        for name, _ in plan:
            if name in fields and name not in winning:
                arguments[name] = fields[name]

    return run


def _compile_form(check: _Check) -> Callable[[Was], None]:
    def run(was: Was) -> None:
        _run_body(was, check, check.text, was.request.FORM or {}, "form")

    return run


def _compile_json(check: _Check) -> Callable[[Was], None]:
    def run(was: Was) -> None:
        if _has_json(was):
            _run_body(was, check, check.json, _object(was), "JSON body")

    return run


def _compile_data(check: _Check) -> Callable[[Was], None]:
    def run(was: Was) -> None:
        if _has_json(was):
            _run_body(was, check, check.json, _object(was), "JSON body")
        else:
            form = was.request.FORM
            origin = "body" if form is None else "form"
            _run_body(was, check, check.text, form or {}, origin)

    return run


_COMPILERS: dict[str, Callable[[_Check], Callable[[Was], None]]] = {
    "ARGS": _compile_args,
    "URL": _compile_url,
    "FORM": _compile_form,
    "JSON": _compile_json,
    "DATA": _compile_data,
}


def _run_body(was: Was, check: _Check, plan: Plan, fields: Arguments, origin: str) -> None:
    check.run(fields, plan, origin)
    arguments = was.arguments()
    arguments.update((name, fields[name]) for name, _ in plan if name in fields)


def _has_json(was: Was) -> bool:
    if was.exchange.body is None:
        return False
    content_type = was.exchange.request.headers.get("content-type", "")
    return content_type[: len(JSON)].lower() == JSON


def _object(was: Was) -> Arguments:
    document = was.request.JSON
    if isinstance(document, dict):
        return document
    raise HTTPError(400, "the JSON body must be an object", ERRNO)


def _body_fields(was: Was) -> Arguments:
    if was.exchange.body is None:
        return {}
    document = was.request.JSON
    if document is None:
        document = was.request.FORM
    return document if isinstance(document, dict) else {}
