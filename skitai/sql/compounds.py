"""UNION, INTERSECT and EXCEPT: read from left to right in both dialects."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from skitai.sql.writer import Expression, Writer


class Member(NamedTuple):
    """A select that is combined with those before it."""

    word: str
    select: Expression


def write_members(writer: Writer, start: int, members: tuple[Member, ...]) -> None:
    """Write the members after the select that begins at ``writer.text[start]``."""
    mixed = False
    for word, select in members:
        if word == "INTERSECT" and mixed:
            # In PostgreSQL it would belong to the member before it only.
            writer.text.insert(start, "SELECT * FROM (")
            writer.text.append(f") AS {writer.derived_name()}")
            mixed = False
        mixed = mixed or word != "INTERSECT"
        writer.text.append(f"\n{word}\n")
        if getattr(select, "is_simple", True):
            select.write(writer)
        else:
            # SQLite has no parentheses around members.
            writer.text.append("SELECT * FROM (")
            select.write(writer)
            writer.text.append(f") AS {writer.derived_name()}")
