"""Keywords of ``@app.inspect``: ``d___k__1__len__gte`` is the length of ``d["k"][1]`` (three
underscores descend to a key, two to an index, an operator or ``len``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from atila.errors import ConfigError
from atila.validation.operators import OPERATORS, Rule, did_you_mean
from atila.validation.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    Convert: TypeAlias = Callable[[Any], Any]

Path: TypeAlias = "list[str | int]"


def parse_keyword(label: str, keyword: str) -> tuple[str, Path, bool, str]:
    """Parameter, path within it, whether the length is meant, and the operator or ``""``.

    Raises ``ConfigError`` for a keyword that is not made like this; ``label`` begins its message.
    """
    names: list[str] = []
    path: Path = []
    rest: list[str] = []
    for piece in keyword.split("___"):
        if rest:
            raise ConfigError(f"{label}: {'__'.join(rest)} must be the end of the keyword")
        name, *rest = piece.split("__")
        if not name:
            raise ConfigError(f"{label}: write name__operator, or name___key for a member of JSON")
        path.append(name)
        while rest and rest[0].isdecimal():
            path.append(int(rest.pop(0)))
        names.append(name)
    of_length = rest[:1] == ["len"]
    operator = rest[of_length:]
    if of_length and not operator:
        raise ConfigError(f"{label}: add an operator, e.g. {keyword}__lte")
    if operator and (operator[0] not in OPERATORS or len(operator) > 1):
        unknown = "__".join(operator)
        raise ConfigError(
            f"{label}: there is no operator {unknown!r}{did_you_mean(unknown, ['len', *OPERATORS])}"
        )
    return names[0], path[1:], of_length, operator[0] if operator else ""


def at_path(path: Path, rule: Rule) -> Rule:
    """The rule for a member of the value; what it makes of the member takes its place."""
    return Rule(_descend(path, rule.text), _descend(path, rule.json))


def _descend(path: Path, convert: Convert) -> Convert:
    *parents, last = path
    where = "".join(_place(key) for key in path)

    def check(value: Any) -> Any:
        parent = value
        place = ""
        for key in parents:
            parent = _member(parent, key, place)
            place += _place(key)
        member = _member(parent, last, place)
        if member is None:
            return value
        try:
            made = convert(member)
        except Refused as refused:
            raise Refused(refused.reason, where + refused.where) from None
        if made is not member and not isinstance(parent, tuple):
            parent[last] = made
        return value

    return check


def _member(value: Any, key: str | int, place: str) -> Any:
    kind: Any
    kind, name = (dict, "an object") if isinstance(key, str) else ((list, tuple), "a list")
    if not isinstance(value, kind):
        raise Refused(f"must be {name}", place)
    try:
        return value[key]
    except LookupError:
        raise Refused("is required", place + _place(key)) from None


def _place(key: str | int) -> str:
    return f".{key}" if isinstance(key, str) else f"[{key}]"
