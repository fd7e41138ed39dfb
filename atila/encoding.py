"""JSON for answers: fast, and exact where JSON libraries differ (big integers, decimals, dates)."""

from __future__ import annotations

import json
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
    UUIDs text, sets lists. Raises ``TypeError`` for anything that has no JSON form.
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
    # Large integers are the one thing that only the standard library writes.
    return json.dumps(data, default=_fallback, ensure_ascii=False, separators=(",", ":")).encode()


def default(value: Any) -> Any:
    """The JSON form of what JSON has no type for."""
    if isinstance(value, datetime):
        text = value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        return f"{text}+00"
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _fallback(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value, default, _ANY_KEYS))
