"""URL parameter types: what ``<int:id>`` matches and the value it gives (seed, Routing).

``routing`` compiles rules with them; ``urls`` checks values against them when it builds URLs.
"""

from __future__ import annotations

import math
import re
import uuid
from typing import TYPE_CHECKING, Any

from atila.errors import HTTPError

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = frozenset(("me", "notme", "new"))
MAX_DIGITS = 40
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class NoMatch(Exception):
    """The text is not of this type; another rule may match."""


def to_text(text: str) -> str:
    """Any text that is not empty."""
    if not text:
        raise NoMatch
    return text


def to_int(text: str) -> int | str:
    """Digits as int; the words ``me``, ``notme`` and ``new`` stay text."""
    if text.isdigit() and text.isascii() and len(text) <= MAX_DIGITS:
        return int(text)
    if text in WORDS:
        return text
    raise NoMatch


def to_float(text: str) -> float | str:
    """Digits and dots as float, or one of the words; ``1.2.3`` is a bad request."""
    if text in WORDS:
        return text
    digits = text.replace(".", "")
    if not (digits.isdigit() and digits.isascii()):
        raise NoMatch
    try:
        number = float(text)
    except ValueError:
        raise HTTPError(400, f"{text} is not a number") from None
    if math.isinf(number):
        raise HTTPError(400, "a number in the path is too large")
    return number


def to_uuid(text: str) -> uuid.UUID | str:
    """A UUID in its usual form, in any case, or one of the words."""
    if text in WORDS:
        return text
    if not _UUID.fullmatch(text):
        raise NoMatch
    return uuid.UUID(text)


def to_path(text: str) -> str:
    """The rest of the path, slashes included; may be empty."""
    return text


CONVERTERS: dict[str, Callable[[str], Any]] = {
    "": to_text,
    "string": to_text,
    "int": to_int,
    "float": to_float,
    "uuid": to_uuid,
    "path": to_path,
}

# Where a rule has several parameters, the first look at the path has to know their types: in
# /<path:p>/<int:n>/<path:rest> the number decides where the path before it ends.
_WORDS = "|".join(sorted(WORDS))
PATTERNS: dict[Callable[[str], Any], str] = {
    to_text: "[^/]+",
    to_int: f"[0-9]{{1,{MAX_DIGITS}}}|{_WORDS}",
    to_float: rf"\.*[0-9][0-9.]*|{_WORDS}",
    to_uuid: f"{_UUID.pattern}|{_WORDS}",
    to_path: ".*",
}
