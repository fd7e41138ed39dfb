"""URL parameter types: what ``<int:id>`` matches and the value it gives (seed, Routing).

``routing`` compiles rules with them; ``urls`` checks values against them when it builds URLs.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from atila.errors import HTTPError

if TYPE_CHECKING:
    from collections.abc import Callable

WORDS = frozenset(("me", "notme", "new"))
MAX_DIGITS = 40


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
        return float(text)
    except ValueError:
        raise HTTPError(400, f"{text} is not a number") from None


def to_uuid(text: str) -> uuid.UUID | str:
    """A UUID in its usual form, or one of the words."""
    if text in WORDS:
        return text
    try:
        return uuid.UUID(text)
    except ValueError:
        raise NoMatch from None


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
