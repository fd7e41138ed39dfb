"""msgspec's validation errors in plain words: ``Expected `int`, got `str` - at `$.year` ``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from atila.validation.refusal import Refused

if TYPE_CHECKING:
    import msgspec

# All converted values stand in the first place of a list, see conversions.
_PLACE = re.compile(r"^(.*?)(?: - at (?:`(key)` in )?`\$\[0\](.*)`)?$", re.DOTALL)
_EXPECTED = re.compile(r"^Expected `([^`]*)`(.*?)(?:, got `([^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"^Object (missing required|contains unknown) field `(.*)`$", re.DOTALL)

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "str": "text",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
    "bytes": "base64 text",
    "uuid": "a UUID",
    "UploadedFile": "a file",
    "Upload": "a file",
}
_REASONS = {
    "Invalid UUID": "must be a UUID",
    "Invalid decimal string": "must be a number",
    "Invalid base64 encoded string": "must be base64 text",
    "Invalid RFC3339 encoded date": "must be a date such as 2026-01-31",
    "Invalid RFC3339 encoded datetime": "must be a date with time such as 2026-01-31T12:00:00Z",
    "Invalid RFC3339 encoded time": "must be a time such as 12:00:00",
    "Invalid ISO8601 duration": "must be a duration such as P3DT12H",
}


def refused_by(error: msgspec.ValidationError, wants: str, strict: bool) -> Refused:
    """The refusal that an error of msgspec stands for.

    Parameters:
        error: raised for a value in the first place of a list.
        wants: the whole type in plain words.
        strict: the value is JSON, so that it makes sense to say which type it has.
    """
    found = _PLACE.match(str(error))
    assert found is not None  # the pattern matches any text
    reason, key, where = found.group(1), found.group(2), found.group(3) or ""
    if key:
        where += "[key]"
    field = _FIELD.match(reason)
    if field is not None:
        lacks = field.group(1).startswith("missing")
        return Refused("is required" if lacks else "is not expected", f"{where}.{field.group(2)}")
    return Refused(_plain(reason, where, wants, strict), where)


def _plain(reason: str, where: str, wants: str, strict: bool) -> str:
    if reason.startswith("Invalid enum value"):
        return f"must be {wants}" if not where else "is none of its possible values"
    if reason.rstrip().endswith("out of range"):
        return "is out of range"
    expected = _EXPECTED.match(reason)
    if expected is None:
        return _REASONS.get(reason, reason)
    kind, limit, got = expected.groups()
    if where or limit:
        wants = " or ".join(_TYPES.get(name, name) for name in kind.split(" | "))
    instead = f", not {_TYPES.get(got, got)}" if strict and got and not limit else ""
    return f"must be {wants}{limit}{instead}"
