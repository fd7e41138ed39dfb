"""JSON for answers: fast, and exact where JSON libraries differ (big integers, decimals, dates)."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import Any

import msgspec
import orjson

_OPTIONS = orjson.OPT_PASSTHROUGH_DATETIME
_ANY_KEYS = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS


def encode(data: Any) -> bytes:
    """Encode to UTF-8 JSON.

    Datetimes become ``YYYY-MM-DD HH:MM:SS+00`` in UTC (naive ones are local time), decimals and
    UUIDs text, sets lists, infinite numbers null. Raises ``TypeError`` for anything that has no
    JSON form.
    """
    try:
        return orjson.dumps(data, default, _OPTIONS)
    except orjson.JSONEncodeError as exc:
        return _encode_slowly(data, exc)


def _encode_slowly(data: Any, exc: orjson.JSONEncodeError) -> bytes:
    """Encode what the fast way refused: keys that are no text, integers of more than 64 bits."""
    if "key" in str(exc):
        try:
            return orjson.dumps(data, default, _ANY_KEYS)
        except orjson.JSONEncodeError as again:
            exc = again
    if "64-bit" not in str(exc):
        raise TypeError(str(exc)) from exc.__cause__
    return orjson.dumps(_spell_out(data), lambda value: _spell_out(default(value)), _ANY_KEYS)


def default(value: Any) -> Any:
    """The JSON form of what JSON has no type for."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(" ", "seconds").removesuffix(":00")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _spell_out(value: Any) -> Any:
    """``value`` with its large integers, however deep, as the JSON text that orjson won't write."""
    if isinstance(value, int):
        return value if _fits(value) else orjson.Fragment(b"%d" % value)
    if isinstance(value, dict):
        return {
            key if not isinstance(key, int) or _fits(key) else str(key): _spell_out(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_spell_out(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value) if not field.name.startswith("_")]
        return {name: _spell_out(getattr(value, name)) for name in names}
    return value


def _fits(number: int) -> bool:
    return -(2**63) <= number < 2**64
