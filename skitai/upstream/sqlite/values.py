"""Values on their way into SQLite and out of it. Nothing is registered with ``sqlite3`` itself.

SQLite has numbers, text and bytes. Everything else is kept as text in the form that its own
functions understand, and is brought back where a column is declared with a type of ``CONVERTERS``.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timezone
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from skitai.sql.dialects import json_text
from skitai.sql.errors import SqlError
from skitai.tasks.errors import RequestFailed, request_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    Converter = Callable[[Any], Any]
    Parameters = Sequence[Any] | Mapping[str, Any]

PLAIN = frozenset({type(None), int, float, str, bytes, bool, bytearray, memoryview})

# SQLite promises so many digits of a number with a fraction.
EXACT_DIGITS = 15
LARGEST = 2**63 - 1


def adapt_all(parameters: Parameters) -> Parameters:
    """Parameters of a statement as ``sqlite3`` takes them; see ``adapt``."""
    # A tuple nearly always: asking whether it is a Mapping takes longer.
    if not isinstance(parameters, (tuple, list)) and isinstance(parameters, Mapping):
        return {name: adapt(value) for name, value in parameters.items()}
    return [value if type(value) in PLAIN else adapt(value) for value in parameters]


def adapt(value: Any) -> Any:
    """One value as ``sqlite3`` takes it.

    - ``datetime``, ``date``, ``time``: ISO text, with a space between day and time. Moments that
      have a zone are told in UTC, so that texts compare as they do.
    - ``Decimal``: a number if that keeps the value, as numbers are compared as numbers; else text.
    - ``UUID``: text. A dictionary: JSON text. Integers of other libraries: integers.

    Raises ``Failure`` with ``RequestFailed`` for a list, tuple or set, as SQLite has no arrays, and
    for a dictionary that JSON can't express.
    """
    if type(value) in PLAIN:
        return value
    if isinstance(value, datetime):
        return _in_utc(value).isoformat(" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _adapt_decimal(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return _adapt_mapping(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        raise request_failure(
            RequestFailed(
                f"SQLite has no arrays, so a {type(value).__name__} can't be a value: "
                "keep it in a table of its own, or give it as JSON text"
            )
        )
    if not isinstance(value, (int, float, str, bytes)) and hasattr(value, "__index__"):
        return operator.index(value)
    return value


def _in_utc(value: datetime) -> datetime:
    try:
        return value if value.utcoffset() is None else value.astimezone(timezone.utc)
    except OverflowError:  # within hours of the years 1 and 9999
        return value


def _adapt_decimal(value: Decimal) -> int | float | str:
    if not value.is_finite():
        return str(value)
    whole = value.to_integral_value()
    if whole == value and abs(whole) <= LARGEST:
        return int(whole)
    if len(value.normalize().as_tuple().digits) <= EXACT_DIGITS:
        number = float(value)
        if Decimal(repr(number)) == value:
            return number
    return str(value)


def _adapt_mapping(value: Mapping[Any, Any]) -> str:
    try:
        return json_text(value)
    except SqlError as exc:
        raise request_failure(RequestFailed(str(exc))) from exc


def _to_date(value: Any) -> Any:
    # The length keeps all versions of Python to the one form: YYYY-MM-DD.
    return date.fromisoformat(value) if _has_day(value) and len(value) == 10 else value


def _to_datetime(value: Any) -> Any:
    if not _has_day(value):
        return value
    if value[-1] in "Zz":
        value = value[:-1] + "+00:00"
    return datetime.fromisoformat(value)


def _to_time(value: Any) -> Any:
    return time.fromisoformat(value) if isinstance(value, str) and value[2:3] == ":" else value


def _has_day(value: Any) -> bool:
    return isinstance(value, str) and value[4:5] == "-" and value[7:8] == "-"


def _to_bool(value: Any) -> Any:
    return bool(value) if value in (0, 1) else value


def _to_decimal(value: Any) -> Any:
    if isinstance(value, float):
        value = format(value, f".{EXACT_DIGITS}g")
    return Decimal(value) if isinstance(value, (int, str)) else value


def _to_uuid(value: Any) -> Any:
    return UUID(value) if isinstance(value, str) else value


def _to_json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str) else value


def _lenient(convert: Converter) -> Converter:
    """A value that is not what its column says stays as it is: other programs write files too."""

    def converter(value: Any) -> Any:
        try:
            return convert(value)
        except (ValueError, InvalidOperation):
            return value

    return converter


# By declared type, without what follows the first word, e.g. "(10, 2)" or "WITH TIME ZONE".
CONVERTERS: dict[str, Converter] = {
    "DATE": _lenient(_to_date),
    "DATETIME": _lenient(_to_datetime),
    "TIMESTAMP": _lenient(_to_datetime),
    "TIMESTAMPTZ": _lenient(_to_datetime),
    "TIME": _lenient(_to_time),
    "BOOLEAN": _to_bool,
    "BOOL": _to_bool,
    "DECIMAL": _lenient(_to_decimal),
    "UUID": _lenient(_to_uuid),
    "JSON": _lenient(_to_json),
}


def converter_of(declared: str) -> Converter | None:
    """What brings back the values of a column that is declared so; None if nothing has to."""
    word, _, _ = declared.replace("(", " ").strip().partition(" ")
    return CONVERTERS.get(word.upper())
