"""``Statement``: text and parameters, ready for a driver. The builder makes it, drivers run it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

# What can't be in a statement that only reads; strings and comments are taken out before.
_WRITING = re.compile(
    r"\b(?:insert|update|delete|merge|into|replace|create|alter|drop|truncate|lock|call|do|set|copy"
    r"|grant|revoke|vacuum|reindex|refresh|attach|detach|begin|commit|rollback|nextval|setval)\b",
    re.IGNORECASE,
)
_READING = re.compile(r"[\s(]*(?:select|with|values|table|show|explain)\b", re.IGNORECASE)
_INERT = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|(\$\w*\$).*?\1", re.DOTALL
)


@dataclass(slots=True)
class Statement:
    """What a driver executes.

    Attributes:
        sql: the text. Placeholders are ``%s`` for PostgreSQL, ``?`` for SQLite. For PostgreSQL a
            literal ``%`` is doubled if there are parameters, and only then: psycopg2 has to be
            given ``params or None``.
        params: the values of the placeholders, in their order.
        writes: whether it may change data. What does not can be repeated on another member.
        batch: the single statements, when there are several; empty otherwise. They are to be run in
            one transaction, and the rows are those of the last one. PostgreSQL does so by itself
            when it gets ``sql`` in one message; SQLite has to be given them one by one.
    """

    sql: str
    params: tuple[Any, ...] = ()
    writes: bool = True
    batch: tuple[Statement, ...] = ()


def changes_data(sql: str) -> bool:
    """Whether a text may change data; true in doubt.

    A function that changes data and is called in a ``SELECT`` is not seen.
    """
    text = _INERT.sub(" ", sql)
    return _READING.match(text) is None or _WRITING.search(text) is not None
