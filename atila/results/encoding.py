"""JSON for answers: fast, and exact where JSON libraries differ (big integers, decimals, dates).

An app compiles its encoder once, by its settings ``JSON_ENCODER`` and ``PRETTY_JSON``.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timezone
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import orjson

from atila.errors import ConfigError
from skitai.upstream.mongodb.results import json_form

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Encoder: TypeAlias = Callable[[Any], bytes]
    Default: TypeAlias = Callable[[Any], Any]


def make_encoder(config: Mapping[str, Any]) -> Encoder:
    """The encoder of an app: takes data, returns UTF-8 JSON.

    Parameters:
        config: ``JSON_ENCODER`` is how datetimes are written, ``"utcoffset"`` by default (see
            ``DATETIMES``), or a subclass of ``json.JSONEncoder``, or a function that takes all of
            the data and returns text or bytes. ``PRETTY_JSON`` indents by two blanks; a function
            does that itself.

    The encoder raises ``TypeError`` for what has no JSON form. Raises ``ConfigError`` for another
    ``JSON_ENCODER``.
    """
    chosen = config.get("JSON_ENCODER", "utcoffset")
    pretty = bool(config.get("PRETTY_JSON", False))
    if isinstance(chosen, str) and chosen in DATETIMES:
        if chosen == "utcoffset" and not pretty:
            return encode
        write = DATETIMES[chosen]
        return _compile(partial(_write_other, write), orjson.OPT_INDENT_2 if pretty else 0)
    if isinstance(chosen, type) and issubclass(chosen, json.JSONEncoder):
        return _from_class(chosen, pretty)
    if callable(chosen) and not isinstance(chosen, type):
        return _from_function(chosen)
    raise ConfigError(
        f"config.JSON_ENCODER is {chosen!r}: give one of {', '.join(map(repr, DATETIMES))}, "
        "a subclass of json.JSONEncoder, or a function that returns text"
    )


# -- how datetimes are written; naive ones are local time


def _in_utc(value: datetime) -> str:
    return value.astimezone(timezone.utc).isoformat(" ", "seconds").removesuffix(":00")


def _in_digits(value: datetime) -> str:
    return value.astimezone(timezone.utc).isoformat("T", "seconds")[:19].translate(_NO_MARKS)


def _in_seconds(value: datetime) -> int:
    return int(value.timestamp() // 1)


_NO_MARKS = str.maketrans("", "", "-:T")

DATETIMES: dict[str, Callable[[datetime], Any]] = {
    "utcoffset": _in_utc,  # "2024-05-01 12:30:00+00"
    "iso": datetime.isoformat,  # "2024-05-01T14:30:00+02:00", naive ones without an offset
    "unixepoch": _in_seconds,  # 1714566600
    "digit": _in_digits,  # "20240501123000", in UTC
    "str": str,  # "2024-05-01 14:30:00+02:00", naive ones without an offset
}


def default(value: Any) -> Any:
    """The JSON form of what JSON has no type for."""
    return _write_other(_in_utc, value)


def _write_other(write: Callable[[datetime], Any], value: Any) -> Any:
    if isinstance(value, datetime):
        return write(value)
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
    return json_form(value)


# -- the fast encoder


def _compile(default: Default, extra: int) -> Encoder:
    options = orjson.OPT_PASSTHROUGH_DATETIME | extra

    def encode(data: Any) -> bytes:
        """Encode to UTF-8 JSON.

        Decimals and UUIDs become text, sets lists, infinite numbers null. Raises ``TypeError`` for
        anything that has no JSON form.
        """
        try:
            return orjson.dumps(data, default, options)
        except orjson.JSONEncodeError as exc:
            return _encode_slowly(data, exc, default, options | orjson.OPT_NON_STR_KEYS)

    return encode


def _encode_slowly(data: Any, exc: orjson.JSONEncodeError, default: Default, options: int) -> bytes:
    """Encode what the fast way refused: keys that are no text, integers of more than 64 bits."""
    if "key" in str(exc):
        try:
            return orjson.dumps(data, default, options)
        except orjson.JSONEncodeError as again:
            exc = again
    if "64-bit" not in str(exc):
        raise TypeError(str(exc)) from exc.__cause__
    return orjson.dumps(_spell_out(data), lambda value: _spell_out(default(value)), options)


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


encode = _compile(default, 0)


# -- encoders that an app brings


def _from_class(cls: type[json.JSONEncoder], pretty: bool) -> Encoder:
    """An encoder out of a class; infinite numbers are refused, they would be no JSON."""
    layout: dict[str, Any] = {"indent": 2} if pretty else {"separators": (",", ":")}
    encoder = cls(ensure_ascii=False, allow_nan=False, **layout)

    def encode(data: Any) -> bytes:
        return encoder.encode(data).encode()

    return encode


def _from_function(function: Callable[[Any], Any]) -> Encoder:
    def encode(data: Any) -> bytes:
        text = function(data)
        if isinstance(text, str):
            return text.encode()
        if isinstance(text, bytes):
            return text
        raise TypeError(f"config.JSON_ENCODER returned {type(text).__name__}, not text or bytes")

    return encode
