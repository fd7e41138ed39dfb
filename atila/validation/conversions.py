"""Declared types: how text is converted to them, and JSON checked against them.

``@app.inspect`` and the type hints of handlers use the same conversions. Text (path, query, form)
has no types, so it is converted; JSON has them, so only what JSON can't say (dates, UUIDs, …) is.
What was converted before is left as it is.
"""

from __future__ import annotations

import inspect
import math
import types
import typing
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from atila.validation.msgspec_errors import refused_by
from atila.validation.msgspec_types import is_list, is_object, takes_list, unchecked, words_for
from atila.validation.refusal import Refused
from skitai.wire.multipart import UploadedFile

if TYPE_CHECKING:
    from collections.abc import Callable

    Convert: TypeAlias = Callable[[Any], Any]

MAX_DIGITS = 40
ONCE = "is given more than once"
_TRUE, _FALSE = ("true", "yes", "y", "t"), ("false", "no", "n", "f")
# The words of ``booleans``; a type hint takes those of check boxes and numbers too.
BOOLEANS: dict[str, bool] = {
    spelling: value
    for words, value in ((_TRUE, True), (_FALSE, False))
    for word in words
    for spelling in (word, word.upper(), word.capitalize())
}
_SWITCHES = BOOLEANS | {"1": True, "0": False, "on": True, "off": False}


class Unsupported(Exception):
    """A type that can't be checked, though it looks as if it should; the message says why."""


class Conversion:
    """A declared type.

    Attributes:
        text: takes text, a list of texts (a repeated name) or an uploaded file.
        json: takes a value of a JSON document.
        wants: what it is in plain words, after "must be".
        form: takes the fields of a form or query as the members of an object; None for types that
            are no objects.

    Each returns the value to use, or raises ``Refused``.
    """

    __slots__ = ("form", "json", "text", "wants")

    def __init__(
        self, text: Convert, json: Convert, wants: str, form: Convert | None = None
    ) -> None:
        self.text = text
        self.json = json
        self.wants = wants
        self.form = form


def conversion_of(hint: Any) -> Conversion | None:
    """How values become ``hint``; None when there is nothing to check, e.g. for ``Any``.

    Parameters:
        hint: a resolved type hint: a class, ``int | None``, ``list[X]``, ``Literal[…]``,
            ``Annotated[…, msgspec.Meta(…)]``, a dataclass, a ``msgspec.Struct``, …

    Raises ``Unsupported`` when parts of the type can't be checked.
    """
    hint = _bare(hint)
    try:
        if hint in _BASIC:
            return _BASIC[hint]
    except TypeError:  # Literal[[]], Annotated[int, {}]: can't be looked up
        pass
    if hint is Any or hint is object:
        return None
    other = _without_none(hint)
    if other is not None:
        inner = conversion_of(other)
        return None if inner is None else nullable(inner)
    if inspect.isclass(hint) and issubclass(hint, UploadedFile):
        return _FILE
    return _by_msgspec(hint)


def nullable(inner: Conversion) -> Conversion:
    """The same type, or None. An empty text is None too where it is no value of the type."""
    to_value, check = inner.text, inner.json

    def text_or_none(value: Any) -> Any:
        return to_value(value) if value != "" and value is not None else None

    def json(value: Any) -> Any:
        return check(value) if value is not None else None

    try:
        to_value("")
        text = to_value
    except Refused:
        text = text_or_none
    return Conversion(text, json, f"{inner.wants} or null", inner.form)


def _without_none(hint: Any) -> Any:
    """``X`` of ``X | None``; None for a type without None."""
    annotated = typing.get_origin(hint) is typing.Annotated
    union = hint.__origin__ if annotated else hint
    if typing.get_origin(union) not in (typing.Union, types.UnionType):
        return None
    members = typing.get_args(union)
    others = tuple(member for member in members if member is not types.NoneType)
    if not others or len(others) == len(members):
        return None
    union_of: Any = typing.Union
    other = union_of[others]
    if not annotated:
        return other
    annotation_of: Any = typing.Annotated
    parts = (other, *hint.__metadata__)
    return annotation_of[parts]


def _bare(hint: Any) -> Any:
    """Without names and annotations that mean nothing for the check."""
    while True:
        if typing.get_origin(hint) is typing.Annotated:
            if any(isinstance(extra, msgspec.Meta) for extra in hint.__metadata__):
                return hint
            hint = hint.__origin__
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":  # type UserId = int, from Python 3.12
            hint = hint.__value__
        else:
            return hint


# -- the types of text and JSON themselves: called for almost every request, so without msgspec


def text_to_int(value: Any) -> Any:
    """Decimal digits with an optional sign; blanks around them don't matter."""
    if type(value) is str:
        if len(value) <= MAX_DIGITS:
            if value.isdigit() and value.isascii():
                return int(value)
            digits = value.strip()
            if digits.removeprefix("-").removeprefix("+").isdigit() and digits.isascii():
                try:
                    return int(digits)
                except ValueError:  # both signs
                    pass
    elif type(value) is int:
        return value
    raise Refused(ONCE if type(value) is list else "must be a whole number")


def json_int(value: Any) -> Any:
    """A number without a fraction."""
    if type(value) is int:
        return value
    raise Refused("must be a whole number")


def text_to_float(value: Any) -> Any:
    """A finite number as Python writes it, without underscores."""
    if type(value) is str:
        if value.isascii() and "_" not in value:
            try:
                number = float(value)
            except ValueError:
                pass
            else:
                if math.isfinite(number):
                    return number
    elif type(value) is float:
        return value
    elif type(value) is int:
        return json_float(value)
    raise Refused(ONCE if type(value) is list else "must be a number")


def json_float(value: Any) -> Any:
    """A finite number."""
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            pass
    raise Refused("must be a number")


def text_to_str(value: Any) -> Any:
    """Text, once. What became something else before was meant to."""
    if type(value) is str:
        return value
    if type(value) is list:
        raise Refused(ONCE)
    if isinstance(value, UploadedFile):
        raise Refused("must be text")
    return value


def one_text(value: Any) -> Any:
    """Text, once, and nothing else."""
    if type(value) is str:
        return value
    raise Refused(ONCE if type(value) is list else "must be text")


def json_str(value: Any) -> Any:
    """A string."""
    if type(value) is str:
        return value
    raise Refused("must be text")


def words_to_bool(words: dict[str, bool]) -> Convert:
    """A conversion of the given words in lower, upper and title case."""
    reason = "must be true or false"

    def convert(value: Any) -> Any:
        if type(value) is str:
            converted = words.get(value)
            if converted is not None:
                return converted
        elif type(value) is bool:
            return value
        raise Refused(ONCE if type(value) is list else reason)

    return convert


def json_bool(value: Any) -> Any:
    """``true`` or ``false``."""
    if type(value) is bool:
        return value
    raise Refused("must be true or false")


def a_file(value: Any) -> Any:
    """An uploaded file."""
    if isinstance(value, UploadedFile):
        return value
    raise Refused(ONCE if type(value) is list else "must be a file")


_FILE = Conversion(a_file, a_file, "a file")
_BASIC: dict[Any, Conversion] = {
    int: Conversion(text_to_int, json_int, "a whole number"),
    float: Conversion(text_to_float, json_float, "a number"),
    str: Conversion(text_to_str, json_str, "text"),
    bool: Conversion(words_to_bool(_SWITCHES), json_bool, "true or false"),
}


# -- all others


def _by_msgspec(hint: Any) -> Conversion | None:
    try:
        node = msgspec.inspect.type_info(hint)
    except Exception as exc:  # types are code of the app: their errors are not limited
        raise Unsupported(str(exc)) from None
    foreign = [kind for kind in unchecked(node) if not issubclass(kind, UploadedFile)]
    if foreign:
        if isinstance(node, msgspec.inspect.CustomType):
            return None
        raise Unsupported(f"values of {foreign[0].__qualname__} can't be made from requests")
    wants = words_for(node)
    lax = _converter(hint, wants, strict=False)
    strict = _converter(hint, wants, strict=True)
    listed, repeated = is_list(node), takes_list(node)

    def text(value: Any) -> Any:
        if type(value) is str or isinstance(value, UploadedFile):
            return lax([value] if listed else value)
        if type(value) is not list:
            return value
        if not repeated:
            raise Refused(ONCE)
        return lax(value)

    return Conversion(text, strict, wants, _form(hint, node, lax) if is_object(node) else None)


def _converter(hint: Any, wants: str, strict: bool) -> Convert:
    # PERF: msgspec.convert analyses a type at each call, but not the fields of a Struct that it
    # knows already: an enum takes 0.6 us instead of 2.7, a Literal 0.6 instead of 1.0.
    holder: Any = msgspec.defstruct("Holder", [("value", hint)], array_like=True)
    convert = msgspec.convert

    def to_value(value: Any) -> Any:
        try:
            made = convert((value,), holder, strict=strict, str_keys=True).value
        except msgspec.ValidationError as exc:
            raise refused_by(exc, wants, strict) from None
        except RecursionError:
            raise Refused("is nested too deeply") from None
        except TypeError:  # a list in a set, as a key …
            raise Refused(f"must be {wants}") from None
        if type(made) is Decimal and not made.is_finite():
            raise Refused("must be a number")
        return made

    return to_value


def _form(hint: Any, node: Any, to_object: Convert) -> Convert:
    """Fields of a form: each is converted like a parameter of its type, then all together."""
    fields = _fields(hint, node)

    def form(values: dict[str, Any]) -> Any:
        values = dict(values)
        for name, convert in fields:
            if name in values:
                try:
                    values[name] = convert(values[name])
                except Refused as exc:
                    raise Refused(exc.reason, f".{name}{exc.where}") from None
        return to_object(values)

    return form


def _fields(hint: Any, node: Any) -> list[tuple[str, Convert]]:
    try:
        hints = typing.get_type_hints(hint, include_extras=True)
    except Exception:  # generic or local types: msgspec converts their fields by its own rules
        return []
    fields = []
    for field in getattr(node, "fields", ()):
        try:
            conversion = conversion_of(hints[field.name])
        except (Unsupported, KeyError):
            continue
        if conversion is not None:
            fields.append((field.encode_name, conversion.text))
    return fields
