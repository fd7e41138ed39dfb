"""JSON for values that come back later: sessions, message boxes and tokens keep these types only.

Unlike in ``results.encoding``, nothing is turned into another type on the way: what JSON has no
type for is refused when it is stored.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgspec

MAX_DEPTH = 64

# What msgspec raises for text that is no JSON, or not of the type that is wanted.
MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

SCALARS = frozenset((str, int, bool, type(None)))

_dumps = msgspec.json.Encoder().encode
_loads = msgspec.json.Decoder().decode


def encode(value: Any, what: str) -> bytes:
    """UTF-8 JSON of text, numbers, booleans, None, lists, and dictionaries with text as keys.

    Tuples become lists; subclasses of these types are taken as these types.

    Parameters:
        value: what to encode.
        what: the value's name for messages, e.g. ``"session['cart']"``.

    Raises ``TypeError`` for all other types, and for what JSON can't express: infinite numbers,
    surrogates, more than 64 levels.
    """
    plain = simplify(value, what)
    try:
        return _dumps(plain)
    except UnicodeEncodeError as exc:
        raise TypeError(f"{what} has text that is not Unicode: {exc.reason}") from None


def decode(data: bytes) -> Any:
    """The value of JSON text. Raises ``ValueError`` when it is malformed."""
    try:
        return _loads(data)
    except MALFORMED as exc:
        raise ValueError(f"malformed JSON: {exc}") from None


def simplify(value: Any, what: str, depth: int = MAX_DEPTH) -> Any:
    """``value`` made of JSON's own types; the same object where it is of one already.

    Raises ``TypeError`` as ``encode`` does.
    """
    if type(value) in SCALARS:
        return value
    if depth == 0:
        raise TypeError(f"{what} is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, dict):
        return {
            _text(key, what): item
            if type(item) in SCALARS
            else simplify(item, f"{what}[{key!r}]", depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [
            item if type(item) in SCALARS else simplify(item, f"{what}[{at}]", depth - 1)
            for at, item in enumerate(value)
        ]
    return _simplify_scalar(value, what)


def _simplify_scalar(value: Any, what: str) -> str | float:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if isfinite(value):
            return float(value)
        raise TypeError(f"{what} is {value!r}: JSON has no such number")
    raise TypeError(
        f"{what} is of type {type(value).__name__}: only text, numbers, booleans, None, lists and "
        "dictionaries can be kept, change it to one of them"
    )


def _text(key: Any, what: str) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    raise TypeError(f"{what} has the key {key!r}: keys must be text")
