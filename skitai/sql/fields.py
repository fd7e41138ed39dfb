"""SQL text with fields, ``{name}``, that get values: bound ones, or expressions.

Braces that are meant as such are doubled. A field can't stand inside quotes or comments: what is
put there would not be a value.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from skitai.sql.errors import SqlError
from skitai.sql.scanner import inert_spans
from skitai.sql.writer import Expression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skitai.sql.writer import Writer

_BRACES = re.compile(r"\{\{|\}\}|\{(?P<name>[^\W\d]\w*)?(?:\.(?P<attribute>[^\W\d]\w*))?\}|[{}]")


class Field(NamedTuple):
    """``{name}`` or ``{name.attribute}``; the name of ``{}`` is its number, from ``"0"`` on."""

    name: str
    attribute: str | None


Pieces: TypeAlias = tuple["str | Field", ...]


@lru_cache(512)
def parse_fields(text: str) -> Pieces:
    """Split a text into SQL and fields.

    Raises ``SqlError`` for a single brace, and for a field inside quotes or a comment.
    """
    pieces: list[str | Field] = []
    literal = ""
    at = 0
    numbers = iter(range(len(text)))
    inside = _inside(text)
    for match in _BRACES.finditer(text):
        literal += text[at : match.start()]
        at = match.end()
        if match[0] in ("{{", "}}"):
            literal += match[0][0]
        elif match[0] in ("{", "}"):
            raise SqlError(f"a single {match[0]} is no field: double it, in the text {text!r}")
        elif inside(match.start()):
            raise SqlError(
                f"{match[0]} stands inside quotes or a comment of the text {text!r}: a field is "
                "written without quotes, braces that are no field are doubled"
            )
        else:
            pieces += [literal, Field(match["name"] or str(next(numbers)), match["attribute"])]
            literal = ""
    return (*pieces, literal + text[at:])


def _inside(text: str) -> Callable[[int], bool]:
    """A function that says whether a position is inert; it is asked from left to right."""
    spans: Iterator[tuple[int, int]] = iter(inert_spans(text))
    span = next(spans, None)

    def inside(position: int) -> bool:
        nonlocal span
        while span is not None and span[1] <= position:
            span = next(spans, None)
        return span is not None and span[0] <= position

    return inside


def field_names(pieces: Pieces) -> list[str]:
    """The names of the fields, in order."""
    return [piece.name for piece in pieces if isinstance(piece, Field)]


def write_field(writer: Writer, value: Any) -> None:
    """Write what a field stands for."""
    if isinstance(value, Expression):
        value.write_field(writer)
    else:
        writer.value(value)
