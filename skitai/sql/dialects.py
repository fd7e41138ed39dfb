"""The two dialects: their placeholders, and which of Python's values can be bound in each.

Drivers make of a bound value what their database takes; here is only what SQL has to know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import orjson

from skitai.sql.errors import SqlError

# Bound as they are.
_PLAIN = (str, int, float, bool, bytes, Decimal, datetime, date, time, UUID, dict)
_SEQUENCES = (list, tuple, set, frozenset)


class Dialect:
    """What differs between databases.

    Attributes:
        name: as in ``compile(dialect)``.
        index: the place of this dialect in pairs of texts.
        placeholder: of a parameter.
        doubled_percent: whether ``%`` in a text is written twice beside parameters.
        plain: the types whose values are bound as they are.
        bind: makes a value of another type one that can be bound.
    """

    __slots__ = ("bind", "doubled_percent", "index", "name", "placeholder", "plain")

    def __init__(
        self,
        name: str,
        index: int,
        placeholder: str,
        plain: tuple[type, ...],
        bind: Callable[[Any], Any],
    ) -> None:
        self.name = name
        self.index = index
        self.placeholder = placeholder
        self.doubled_percent = placeholder == "%s"
        self.plain = frozenset(plain)
        self.bind = bind

    def refuse(self, what: str) -> SqlError:
        """The error for what this database does not have."""
        return SqlError(f"{what} is not available for {self.name}")


def find_dialect(name: str) -> Dialect:
    """The dialect of a name. Raises ``SqlError`` for an unknown one."""
    try:
        return DIALECTS[name]
    except KeyError:
        known = " or ".join(map(repr, DIALECTS))
        raise SqlError(f"dialect {name!r} is unknown: use {known}") from None


def json_text(value: Any) -> str:
    """A value as JSON. Raises ``SqlError`` for what has no JSON form."""
    try:
        return orjson.dumps(value, _json_default, orjson.OPT_NON_STR_KEYS).decode()
    except TypeError as exc:
        raise SqlError(f"the {type(value).__name__} can't be bound as JSON: {exc}") from None


def _json_default(value: Any) -> Any:
    if isinstance(value, Decimal) and value.is_finite():
        return orjson.Fragment(str(value))
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _bind_postgresql(value: Any) -> Any:
    if isinstance(value, _SEQUENCES):
        # A list is an array; a tuple would be the right side of IN for psycopg2.
        return [_bind_postgresql(item) for item in value]
    return _bind_common(value)


def _bind_sqlite(value: Any) -> Any:
    if isinstance(value, _SEQUENCES):
        text = f"SQLite has no arrays: a {type(value).__name__} can't be bound"
        raise SqlError(f"{text}; for one of several values use the operator 'in'")
    if isinstance(value, timedelta):
        raise SqlError("SQLite has no intervals: bind value.total_seconds() instead")
    return _bind_common(value)


def _bind_common(value: Any) -> Any:
    """Types that are not known here are left to the drivers, which may have adapters for them."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, type) or callable(value):
        name = getattr(value, "__name__", type(value).__name__)
        raise SqlError(f"{name} is code, not a value that can be bound: was a call forgotten?")
    return value


POSTGRESQL = Dialect("postgresql", 0, "%s", (*_PLAIN, timedelta), _bind_postgresql)
SQLITE = Dialect("sqlite", 1, "?", _PLAIN, _bind_sqlite)
DIALECTS = {dialect.name: dialect for dialect in (POSTGRESQL, SQLITE)}
