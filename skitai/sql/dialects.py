"""The two dialects: their placeholders, and how Python's values are bound in each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import orjson

from skitai.sql.errors import SqlError

_SEQUENCES = (list, tuple, set, frozenset)


class Dialect:
    """What differs between databases.

    Attributes:
        name: as in ``compile(dialect)``.
        index: the place of this dialect in pairs of texts.
        placeholder: of a parameter.
        doubled_percent: whether ``%`` in a text is written twice beside parameters.
        plain: the types whose values are bound as they are.
        bind: makes a value of another type one that the driver knows, and the type of the database
            to which it is cast where nothing else says it: ``(value, "uuid")``.
    """

    __slots__ = ("bind", "doubled_percent", "index", "name", "placeholder", "plain")

    def __init__(
        self,
        name: str,
        index: int,
        placeholder: str,
        plain: tuple[type, ...],
        bind: Callable[[Any], tuple[Any, str]],
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


def _bind_common(value: Any) -> Any:
    """A value of a type that is not bound as it is, as one that both drivers know.

    Other types are left to the drivers, which have their own adapters.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, type) or callable(value):
        name = getattr(value, "__name__", type(value).__name__)
        raise SqlError(f"{name} is code, not a value that can be bound: was a call forgotten?")
    return value


def _bind_postgresql(value: Any) -> tuple[Any, str]:
    if isinstance(value, Enum):
        return _rebind(value.value, POSTGRESQL)
    if isinstance(value, UUID):
        return str(value), "uuid"
    if isinstance(value, Mapping):
        return json_text(value), "jsonb"
    if isinstance(value, _SEQUENCES):
        return _bind_array(value)
    return _bind_common(value), ""


def _bind_array(values: Any) -> tuple[list[Any], str]:
    bound = []
    cast = ""
    for value in values:
        item, kind = _rebind(value, POSTGRESQL)
        bound.append(item)
        if kind:
            cast = kind if kind.endswith("[]") else f"{kind}[]"
    return bound, cast


def _bind_sqlite(value: Any) -> tuple[Any, str]:
    if isinstance(value, Enum):
        return _rebind(value.value, SQLITE)
    if isinstance(value, datetime):
        return _utc(value).isoformat(" "), ""
    if isinstance(value, (date, time)):
        return value.isoformat(), ""
    if isinstance(value, (Decimal, UUID)):
        return str(value), ""
    if isinstance(value, Mapping):
        return json_text(value), ""
    if isinstance(value, _SEQUENCES):
        text = f"SQLite has no arrays: a {type(value).__name__} can't be bound"
        raise SqlError(f"{text}; for one of several values use the operator 'in'")
    if isinstance(value, timedelta):
        raise SqlError("SQLite has no intervals: bind value.total_seconds() instead")
    return _bind_common(value), ""


def _utc(value: datetime) -> datetime:
    """Of one zone, so that texts compare as the moments do; naive ones stay as they are."""
    if value.utcoffset() is None:
        return value
    try:
        return value.astimezone(timezone.utc)
    except OverflowError:  # within hours of the years 1 and 9999
        return value


def _rebind(value: Any, dialect: Dialect) -> tuple[Any, str]:
    if value is None or type(value) in dialect.plain:
        return value, ""
    return dialect.bind(value)


POSTGRESQL = Dialect(
    "postgresql",
    0,
    "%s",
    (str, int, float, bool, bytes, Decimal, datetime, date, time, timedelta),
    _bind_postgresql,
)
SQLITE = Dialect("sqlite", 1, "?", (str, int, float, bool, bytes), _bind_sqlite)
DIALECTS = {dialect.name: dialect for dialect in (POSTGRESQL, SQLITE)}
