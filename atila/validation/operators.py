"""Operators of ``@app.inspect``: ``name__gte=3``, ``name__len__between=(3, 64)`` (seed, Parameter
and Validation).

``inspection_rules`` builds rules with ``condition`` when a decorator runs.
"""

from __future__ import annotations

import difflib
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from uuid import UUID

from atila.errors import ConfigError
from atila.validation.conversions import (
    BOOLEANS,
    ONCE,
    conversion_of,
    json_bool,
    json_str,
    one_text,
    text_to_float,
    text_to_int,
    words_to_bool,
)
from atila.validation.msgspec_types import choices
from atila.validation.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    Convert: TypeAlias = Callable[[Any], Any]
    Test: TypeAlias = Callable[[Any], Any]


class Rule(NamedTuple):
    """One rule for the value of a parameter: returns the value to go on with, or refuses it.

    Attributes:
        text: for text.
        json: for JSON.
        phase: rules run by phase: 0 makes a value of its type, 1 checks it, 2 escapes it.
        words: it is about text, so it also holds for the words ``me``, ``notme`` and ``new`` in
            the place of a number of the path.
    """

    text: Convert
    json: Convert
    phase: int = 1
    words: bool = False


class Operator(NamedTuple):
    """What is compared how.

    Attributes:
        takes: ``"one"`` value, ``"ordered"``: one that has an order, ``"pair"``, ``"many"``,
            ``"text"`` or ``"pattern"``.
        bind: makes the test of values from the operand.
        words: after "must", with a place for the operand.
    """

    takes: str
    bind: Callable[[Any], Test]
    words: str


def _between(pair: tuple[Any, Any]) -> Test:
    low, high = pair
    return lambda value: low <= value <= high


OPERATORS: dict[str, Operator] = {
    "between": Operator("pair", _between, "be between {}"),
    "in": Operator("many", lambda values: values.__contains__, "be {}"),
    "notin": Operator("many", lambda values: lambda value: value not in values, "not be {}"),
    "eq": Operator("one", lambda same: lambda value: value == same, "be {}"),
    "neq": Operator("one", lambda other: lambda value: value != other, "not be {}"),
    "lte": Operator("ordered", lambda top: lambda value: value <= top, "be at most {}"),
    "lt": Operator("ordered", lambda top: lambda value: value < top, "be less than {}"),
    "gte": Operator("ordered", lambda low: lambda value: value >= low, "be at least {}"),
    "gt": Operator("ordered", lambda low: lambda value: value > low, "be more than {}"),
    "contains": Operator("text", lambda part: lambda text: part in text, "contain {}"),
    "notcontain": Operator("text", lambda part: lambda text: part not in text, "not contain {}"),
    "startswith": Operator(
        "text", lambda part: lambda text: text.startswith(part), "start with {}"
    ),
    "notstartwith": Operator(
        "text", lambda part: lambda text: not text.startswith(part), "not start with {}"
    ),
    "endswith": Operator("text", lambda part: lambda text: text.endswith(part), "end with {}"),
    "notendwith": Operator(
        "text", lambda part: lambda text: not text.endswith(part), "not end with {}"
    ),
    "regex": Operator("pattern", lambda pattern: pattern.search, "match {}"),
}
OPERATORS |= {
    alias: OPERATORS[name]
    for alias, name in (
        ("exact", "eq"),
        ("ncontains", "notcontain"),
        ("nstartswith", "notstartwith"),
        ("nendswith", "notendwith"),
    )
}


def condition(label: str, name: str, operand: Any, of_length: bool) -> Rule:
    """The rule that an operator and its operand make.

    Parameters:
        label: the keyword and its value as the app wrote them, for errors.
        name: of an operator.
        operand: what values are compared with. They are compared as values of its type: text is
            converted to it, JSON has to be of it.
        of_length: the length of the value is compared, not the value.

    Raises ``ConfigError`` for an operand that the operator can't take.
    """
    kind = OPERATORS[name]
    if of_length and kind.takes in ("text", "pattern"):
        raise ConfigError(f"{label}: a length is a number, {name} compares text")
    operand, samples = _OPERANDS[kind.takes](label, operand)
    reason = f"must {kind.words.format(_show(kind, operand))}"
    if of_length:
        if any(type(sample) is not int for sample in samples):
            raise ConfigError(f"{label}: a length must be compared with int")
        check = _checker(length_of, kind.bind(operand), f"length {reason}")
        return Rule(check, check, words=True)
    text, json = _casts(label, samples, kind.takes)
    return Rule(
        _checker(text, kind.bind(operand), reason),
        _checker(json, kind.bind(operand), reason),
        words=isinstance(samples[0], str),
    )


def did_you_mean(word: str, known: Any) -> str:
    """``", did you mean 'gte'?"``, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else f"; choose from {', '.join(known)}"


def length_of(value: Any) -> int:
    """The length of text, a list or an object."""
    try:
        return len(value)
    except TypeError:
        raise Refused("must be text, a list or an object") from None


def _checker(cast: Convert, test: Test, reason: str) -> Convert:
    def check(value: Any) -> Any:
        try:
            if test(cast(value)):
                return value
        except (TypeError, ArithmeticError):  # with and without a time zone, Decimal("NaN")
            pass
        raise Refused(reason)

    return check


# -- operands: each returns what is compared with, and samples of its type


def _one(label: str, operand: Any) -> tuple[Any, list[Any]]:
    if operand is None:
        raise ConfigError(f"{label}: None is never compared; use nones, or leave the rule out")
    return operand, [operand]


def _ordered(label: str, operand: Any) -> tuple[Any, list[Any]]:
    try:
        operand <= operand  # noqa: B015  # whether it can be compared at all
    except TypeError:
        raise ConfigError(f"{label}: give a value that has an order, e.g. a number") from None
    return operand, [operand]


def _pair(label: str, operand: Any) -> tuple[Any, list[Any]]:
    if not isinstance(operand, (list, tuple)) or len(operand) != 2:
        raise ConfigError(f"{label}: give a pair, the lowest and the highest value")
    low, high = operand
    try:
        in_order = low <= high
    except TypeError:
        raise ConfigError(f"{label}: the two values can't be compared") from None
    if not in_order:
        raise ConfigError(f"{label}: give the lowest value first, nothing is between these")
    return (low, high), [low, high]


def _many(label: str, operand: Any) -> tuple[Any, list[Any]]:
    if isinstance(operand, str) or not hasattr(operand, "__iter__"):
        raise ConfigError(f"{label}: give a list of values")
    values = list(operand)
    if not values:
        raise ConfigError(f"{label}: the list is empty")
    try:
        return frozenset(values), values
    except TypeError:
        return values, values


def _text(label: str, operand: Any) -> tuple[Any, list[Any]]:
    if not isinstance(operand, str) or not operand:
        raise ConfigError(f"{label}: give the text to look for")
    return operand, [operand]


def _pattern(label: str, operand: Any) -> tuple[Any, list[Any]]:
    if hasattr(operand, "search"):
        return operand, [""]
    try:
        return re.compile(operand), [""]
    except (TypeError, re.error) as exc:
        raise ConfigError(f"{label}: this is no regular expression: {exc}") from None


_OPERANDS: dict[str, Callable[[str, Any], tuple[Any, list[Any]]]] = {
    "one": _one,
    "ordered": _ordered,
    "pair": _pair,
    "many": _many,
    "text": _text,
    "pattern": _pattern,
}


def _show(kind: Operator, operand: Any) -> str:
    if kind.takes == "pair":
        return f"{operand[0]} and {operand[1]}"
    if kind.takes == "many":
        try:
            operand = sorted(operand)
        except TypeError:
            pass
        return choices(_plain(value) for value in operand)
    return f"{operand!r}" if kind.takes == "text" else str(_plain(operand))


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return getattr(value, "pattern", value)


# -- casts: how values become comparable with an operand


def _number(convert: Convert) -> Convert:
    def cast(value: Any) -> Any:
        kind = type(value)
        if kind is str:
            return convert(value)
        if kind is int or kind is float or kind is Decimal:
            return value
        raise Refused(ONCE if kind is list else "must be a number")

    return cast


def _no_number(value: str) -> Any:
    raise Refused("must be a number")


def _unchanged(value: Any) -> Any:
    return value


_COMPARABLE = (Decimal, UUID, datetime, date, time, timedelta, Enum)


def _casts(label: str, samples: list[Any], takes: str) -> tuple[Convert, Convert]:
    """How text and JSON become values of the samples' type."""
    sample = samples[0]
    if isinstance(sample, str) and not isinstance(sample, Enum):
        return one_text, json_str
    if isinstance(sample, bool):
        return words_to_bool(BOOLEANS), json_bool
    if isinstance(sample, (int, float)) and not isinstance(sample, Enum):
        whole = all(isinstance(value, int) for value in samples)
        return _number(text_to_int if whole else text_to_float), _number(_no_number)
    if isinstance(sample, _COMPARABLE):
        conversion = conversion_of(type(sample))
        assert conversion is not None
        return conversion.text, conversion.json
    if takes == "one" and isinstance(sample, (list, dict)):
        return _unchanged, _unchanged
    raise ConfigError(f"{label}: requests have no values of the type {type(sample).__name__}")
