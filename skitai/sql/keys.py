"""Keywords of conditions: ``[alias__]column[___path][__date part][__operator]``.

The rule for the last part: it is an operator if one has this name; if not, it is a column, and the
parts before it are its alias. A last part that is *nearly* an operator is an error, as it is far
more often misspelt than the name of a column. What is meant as a column whatever its name has a dot
before it: ``filter (**{"a.contain": 1})``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from skitai.sql.errors import SqlError
from skitai.sql.names import bad_name, check_key, dotted
from skitai.sql.operands import DATE_PARTS, NO_COLUMN, Operand
from skitai.sql.operators import (
    Always,
    Between,
    Exists,
    HasKey,
    IsNull,
    Membership,
    Operator,
    Regex,
)
from skitai.sql.patterns import Pattern

_EQUAL = Operator(" = ")
OPERATORS: dict[str, Operator] = {
    "eq": _EQUAL,
    "exact": _EQUAL,
    "neq": Operator(" <> "),
    "gt": Operator(" > "),
    "gte": Operator(" >= "),
    "lt": Operator(" < "),
    "lte": Operator(" <= "),
    "between": Between(""),
    "range": Between(""),
    "in": Membership(" IN "),
    "notin": Membership(" NOT IN "),
    "isnull": IsNull(""),
    "exists": Exists("EXISTS "),
    "nexists": Exists("NOT EXISTS "),
    "notexist": Exists("NOT EXISTS "),
    "all": Always(""),
    "iexact": Pattern(before=False, after=False, negated=False, blind=True),
    "regex": Regex(" ~ "),
    "iregex": Regex(" ~* "),
    "haskey": HasKey(" ? "),
    "haskeyin": HasKey(" ?| "),
}
for _name, _not_name, _before, _after in (
    ("contains", "contain", True, True),
    ("startswith", "startwith", False, True),
    ("endswith", "endwith", True, False),
):
    OPERATORS[_name] = Pattern(_before, _after, negated=False, blind=False)
    OPERATORS[f"i{_name}"] = Pattern(_before, _after, negated=False, blind=True)
    for _form in (f"n{_name}", f"not{_not_name}"):
        OPERATORS[_form] = Pattern(_before, _after, negated=True, blind=False)
    for _form in (f"in{_name}", f"inot{_not_name}"):
        OPERATORS[_form] = Pattern(_before, _after, negated=True, blind=True)

# What other builders call them, and what people write.
_ALSO_KNOWN = {
    "ne": "neq", "not": "neq", "ge": "gte", "le": "lte", "is": "eq", "equal": "eq", "equals": "eq",
    "nin": "notin", "not_in": "notin", "like": "contains", "ilike": "icontains",
    "null": "isnull", "is_null": "isnull", "notnull": "isnull", "isnotnull": "isnull",
    "has_key": "haskey", "has_keys": "haskeyin", "has_any_keys": "haskeyin",
    "not_contains": "ncontains", "starts_with": "startswith", "ends_with": "endswith",
    "dow": "day_of_week", "doy": "day_of_year", "week_day": "day_of_week",
}  # fmt: skip
_STEP = re.compile(r"\w+")


class Key(NamedTuple):
    """A keyword, understood.

    Attributes:
        operand: what is compared; ``NO_COLUMN`` if the keyword begins with its operator.
        operator: how.
    """

    operand: Operand
    operator: Operator


@lru_cache(4096)
def parse_key(key: str) -> Key:
    """Understand a keyword.

    Raises ``SqlError`` for one that is malformed, or whose operator seems misspelt.
    """
    check_key(key)
    head, *steps = key.split("___")
    if key.startswith("__") and not key.startswith("___"):
        return _bare_operator(key)
    groups = [head.split("__"), *[step.split("__") for step in steps]]
    operator, part = _take_suffixes(key, groups[-1])
    names, path = _split_indexes(key, groups[0])
    for group in groups[1:]:
        step, indexes = _split_indexes(key, group)
        if len(step) != 1 or not _STEP.fullmatch(step[0]):
            raise _bad_key(key)
        path += [step[0], *indexes]
    pieces = [piece for name in names for piece in name.split(".")]
    if not all(pieces):
        raise _bad_key(key)
    if not operator.needs_column:
        raise SqlError(f"{key!r}: the operator takes no column: write it as __exists or __all")
    return Key(Operand(dotted(pieces), tuple(path), part), operator)


def _bare_operator(key: str) -> Key:
    name = key[2:]
    operator = OPERATORS.get(name)
    if operator is None:
        _check_spelling(key, name, [*OPERATORS])
        raise SqlError(f"{key!r}: {name!r} is no operator; known are {', '.join(OPERATORS)}")
    return Key(NO_COLUMN, operator)


def _take_suffixes(key: str, pieces: list[str]) -> tuple[Operator, str | None]:
    """Take operator and part of a date away from the last pieces of a keyword."""
    operator, part = _EQUAL, None
    candidates = [*DATE_PARTS]
    if len(pieces) > 1 and pieces[-1] in OPERATORS:
        operator = OPERATORS[pieces.pop()]
    else:
        candidates += OPERATORS
    if len(pieces) > 1 and pieces[-1] in DATE_PARTS:
        part = pieces.pop()
    elif len(pieces) > 1:
        _check_spelling(key, pieces[-1], candidates)
    return operator, part


def _split_indexes(key: str, pieces: list[str]) -> tuple[list[str], list[str | int]]:
    """Split ``tags__0__1`` into its name and the indexes into arrays."""
    at = 1
    while at < len(pieces) and not (pieces[at].isascii() and pieces[at].isdigit()):
        at += 1
    indexes = pieces[at:]
    if not all(index.isascii() and index.isdigit() for index in indexes):
        raise _bad_key(key)
    return pieces[:at], [int(index) for index in indexes]


def _check_spelling(key: str, name: str, candidates: list[str]) -> None:
    near = [one for one in candidates if _looks_like(name.lower(), one)]
    near.sort(key=lambda one: distance(name, one))
    meant = _ALSO_KNOWN.get(name) or next(iter(near), None)
    if meant is not None:
        dotted_name = key[: key.rfind(name)].replace("__", ".") + name
        hint = "" if key.startswith("__") else f" (a column is written with a dot: {dotted_name!r})"
        raise SqlError(f"{key!r}: {name!r} is no operator, did you mean {meant!r}?{hint}")


def _looks_like(name: str, operator: str) -> bool:
    """Whether ``name`` is a misspelt ``operator``.

    Long ones may have one slip, or two from 9 letters on: a letter too many, one missing, another
    one, or two of them swapped. Columns are as short as the short ones, so there it's only
    letters that are swapped; and a plural of a part of a date is likely to be one.
    """
    if name == operator:
        return True
    if len(operator) < 5:
        return sorted(name) == sorted(operator) and distance(name, operator) == 1
    if operator in DATE_PARTS and name == f"{operator}s":
        return False
    slips = 2 if len(operator) > 8 else 1
    return abs(len(name) - len(operator)) <= slips and distance(name, operator) <= slips


def distance(one: str, other: str) -> int:
    """How many slips are between two words (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, target in enumerate(other, 1):
            cost = min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != target))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == target:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]


def _bad_key(key: str) -> SqlError:
    return SqlError(f"{bad_name(key)}; conditions are written [alias__]column[__operator]")
