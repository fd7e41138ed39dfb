"""Values between Python and PostgreSQL: what psycopg2 does not do alike for all connections.

Nothing is registered globally, so that apps that use psycopg2 themselves find it as they left it.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isinf
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import psycopg2
from psycopg2.extensions import AsIs, new_array_type, new_type, register_type

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from psycopg2.extensions import connection, cursor

_encode_json = msgspec.json.Encoder(decimal_format="number").encode

# psycopg2 takes these as they are; numbers only if they have no sign.
_PLAIN = frozenset(
    {str, bool, type(None), bytes, bytearray, memoryview, datetime, date, time, timedelta}
)
_NUMBERS = frozenset({int, float})


class _Json:
    """A dictionary as a literal of jsonb; an adapter of psycopg2."""

    __slots__ = ("_text",)

    def __init__(self, value: dict[Any, Any]) -> None:
        self._text = _encode_json(value).replace(b"'", b"''")

    def getquoted(self) -> bytes:
        # JSON has backslashes of its own; they are for the type, not for the literal.
        prefix = b" E'" if b"\\" in self._text else b"'"
        return prefix + self._text.replace(b"\\", b"\\\\") + b"'::jsonb"

    def __conform__(self, protocol: object) -> _Json:
        return self


def _number(value: float) -> Any:
    """A negative number in parentheses: ``-1::text`` is minus the text of 1."""
    if value >= 0 or value != value:
        return value
    if isinstance(value, float):
        return AsIs("'-Infinity'::float" if isinf(value) else f"({float(value)!r})")
    return AsIs(f"({int(value)})")


def _decimal(value: Decimal) -> Any:
    if value.is_nan():
        return value
    if value.is_infinite():  # psycopg2 makes NaN of it
        return AsIs(f"'{'-' if value < 0 else ''}Infinity'::numeric")
    return AsIs(f"({value})") if value.is_signed() else value


def _uuid(value: UUID) -> Any:
    return AsIs(f"'{value}'::uuid")


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    bool: bool,
    int: _number,
    float: _number,
    dict: _Json,
    UUID: _uuid,
    Decimal: _decimal,
    list: lambda values: [_convert(value) for value in values],
    tuple: lambda values: tuple(_convert(value) for value in values),
}


def _convert(value: Any) -> Any:
    for kind in type(value).__mro__:
        conversion = _CONVERSIONS.get(kind)
        if conversion is not None:
            return conversion(value)
    return value


def adapt(params: Sequence[Any]) -> Sequence[Any] | None:
    """Parameters as psycopg2 takes them.

    A dictionary becomes jsonb, a list an array, a tuple the right side of ``IN``. None stands for
    no parameters: then psycopg2 leaves a percent sign in the statement alone.

    Raises ``TypeError`` for what JSON can't hold.
    """
    if not params:
        return None
    for value in params:
        kind = type(value)
        if kind not in _PLAIN and (kind not in _NUMBERS or value < 0):
            return [_convert(value) for value in params]
    return params


def _cast_bytes(value: Any, cursor: cursor) -> bytes | None:
    return None if value is None else bytes(psycopg2.BINARY(value, cursor))


def _cast_uuid(value: Any, cursor: cursor) -> UUID | None:
    return None if value is None else UUID(value)


_BYTEA = new_type((17,), "SKITAI_BYTEA", _cast_bytes)
_UUID = new_type((2950,), "SKITAI_UUID", _cast_uuid)
_CASTS = (
    _BYTEA,
    _UUID,
    new_array_type((1001,), "SKITAI_BYTEA_ARRAY", _BYTEA),
    new_array_type((2951,), "SKITAI_UUID_ARRAY", _UUID),
)


def register(raw: connection) -> None:
    """Let a connection give bytes for bytea and ``UUID`` for uuid, in arrays too."""
    for cast in _CASTS:
        register_type(cast, raw)
