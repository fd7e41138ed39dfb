"""Options of ``@app.inspect`` as rules for parameters (seed, Parameter and Validation).

``inspection`` parses them when a decorator runs, and compiles them for the routes of the function.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias

from atila.errors import ConfigError
from atila.routing.converters import WORDS
from atila.validation.conversions import Conversion, Unsupported, conversion_of
from atila.validation.field_paths import at_path, parse_keyword
from atila.validation.operators import Rule, condition
from atila.validation.refusal import Refused
from atila.validation.value_rules import VALUE_RULES

if TYPE_CHECKING:
    from collections.abc import Callable

    Convert: TypeAlias = Callable[[Any], Any]

GROUPS = ("oneof", "manyof")
OPTIONS = ("required", *GROUPS, "nones", *VALUE_RULES)


class Field:
    """The rules for one parameter."""

    __slots__ = ("nones", "rules")

    def __init__(self) -> None:
        self.nones = False
        self.rules: list[Rule] = []

    def compile(self) -> tuple[Convert, Convert]:
        """What text and JSON go through. Each returns the value to use, or raises ``Refused``."""
        rules = sorted(self.rules, key=lambda rule: rule.phase)
        text = _chain([rule.text for rule in rules], self.nones)
        return text, _chain([rule.json for rule in rules], self.nones)

    def compile_typed(self) -> Convert:
        """What text goes through in the place of a typed path parameter: it may be a word."""
        text, _ = self.compile()
        of_words = _chain([rule.text for rule in self.rules if rule.words], False)

        def to_value(value: Any) -> Any:
            if type(value) is str and value in WORDS:
                return of_words(value)
            return text(value)

        return to_value


class Rules:
    """What one ``@app.inspect`` asks.

    Parameters:
        options: all keywords of the decorator but the scope.

    Attributes:
        required: names that must be there.
        groups: lists of names of which at least one must be there.
        fields: name to its rules.
        options: as they were given.
        described: the options as text and lists of text.

    Raises ``ConfigError`` that names the option, its value and the fix.
    """

    __slots__ = ("described", "fields", "groups", "options", "required")

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.required: list[str] = []
        self.groups: list[list[str]] = []
        self.fields: dict[str, Field] = {}
        self.described: dict[str, Any] = {}
        for keyword, value in options.items():
            if keyword not in OPTIONS:
                self._add_keyword(keyword, value)
            elif value is not None:
                self._add_names(keyword, _names(keyword, value))

    def _add_names(self, option: str, names: list[str]) -> None:
        if not names:
            return
        self.described[option] = names
        if option == "required":
            self.required = names
        elif option in GROUPS:
            self.groups.append(names)
        for name in names if option == "nones" else ():
            self._field(name).nones = True
        for name in names if option in VALUE_RULES else ():
            self._add(name, VALUE_RULES[option], f"{option}={names!r}")

    def _add_keyword(self, keyword: str, value: Any) -> None:
        label = f"@app.inspect({keyword}={value!r})"
        name, path, of_length, operator = parse_keyword(label, keyword)
        if operator:
            rule = condition(label, operator, value, of_length)
        else:
            rule = _rule_without_operator(label, keyword, value)
        self._add(name, at_path(path, rule) if path else rule, label)
        self.described[keyword] = describe(value)

    def _add(self, name: str, rule: Rule, label: str) -> None:
        field = self._field(name)
        if rule.phase == 0 and any(other.phase == 0 for other in field.rules):
            raise ConfigError(f"{label}: parameter {name} has two types, leave one out")
        field.rules.append(rule)

    def _field(self, name: str) -> Field:
        return self.fields.setdefault(name, Field())


def describe(value: Any) -> str:
    """A rule's value as text, for the documentation of the API."""
    if isinstance(value, (list, tuple)):
        return ", ".join(describe(item) for item in value)
    if inspect.isclass(value) and typing.get_origin(value) is None:
        return value.__name__
    return str(getattr(value, "pattern", value))


def _names(option: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return value.split()
    if isinstance(value, (list, tuple, set, frozenset)):
        names = list(value)
        if all(isinstance(name, str) and name for name in names):
            return names
    raise ConfigError(
        f"@app.inspect({option}={value!r}): give the names of parameters, e.g. {option}=['id']"
    )


def _chain(steps: list[Convert], nones: bool) -> Convert:
    """One function of several; with ``nones``, what is blank or zero-like is None at last."""
    if len(steps) == 1:
        run = steps[0]
    elif len(steps) == 2:
        run = _pair(*steps)
    else:
        run = _all(steps)
    if not nones:
        return run

    def to_value(value: Any) -> Any:
        return (run(value) or None) if value else None

    return to_value


def _pair(first: Convert, second: Convert) -> Convert:
    def run(value: Any) -> Any:
        return second(first(value))

    return run


def _all(steps: list[Convert]) -> Convert:
    def run(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return run


# -- name=type, name=[types], name=pattern, name=value


def _rule_without_operator(label: str, keyword: str, value: Any) -> Rule:
    if _is_type(value):
        return _rule_of(_conversion(label, value))
    if isinstance(value, (list, tuple)):
        if value and all(_is_type(item) for item in value):
            return _any_of(label, list(value))
        near = difflib.get_close_matches(keyword, OPTIONS, n=1, cutoff=0.5)
        hint = f", or did you mean {near[0]}={value!r}?" if near else ""
        raise ConfigError(
            f"{label}: a list here has types; for values write {keyword}__in={value!r}{hint}"
        )
    if hasattr(value, "search"):
        return condition(label, "regex", value, False)
    if callable(value):
        raise ConfigError(f"{label}: a function is no rule; check it in a guard or in the handler")
    return condition(label, "eq", value, False)


def _is_type(value: Any) -> bool:
    return inspect.isclass(value) or typing.get_origin(value) is not None


def _conversion(label: str, declared: Any) -> Conversion:
    try:
        conversion = conversion_of(declared)
    except Unsupported as exc:
        raise ConfigError(f"{label}: {exc}") from None
    if conversion is None:
        raise ConfigError(f"{label}: requests have no values of this type")
    return conversion


def _rule_of(conversion: Conversion) -> Rule:
    is_text = conversion is conversion_of(str)
    return Rule(conversion.text, conversion.json, 0, words=is_text)


def _any_of(label: str, kinds: list[Any]) -> Rule:
    conversions = [_conversion(label, kind) for kind in kinds]
    reason = f"must be {' or '.join(conversion.wants for conversion in conversions)}"

    def first_that_fits(converts: list[Convert], own: frozenset[Any]) -> Convert:
        def to_value(value: Any) -> Any:
            if type(value) in own:
                return value
            for convert in converts:
                with suppress(Refused):
                    return convert(value)
            raise Refused(reason)

        return to_value

    classes = frozenset(kind for kind in kinds if inspect.isclass(kind))
    text = first_that_fits([made.text for made in conversions], classes - {str})
    json = first_that_fits([made.json for made in conversions], classes)
    return Rule(text, json, 0, words=str in kinds)
