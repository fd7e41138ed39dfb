"""``Statement``: text and parameters, ready for a driver. The builder makes it, drivers run it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skitai.sql.errors import SqlError
from skitai.sql.scanner import blank, trimmed

if TYPE_CHECKING:
    from collections.abc import Sequence

_READING = re.compile(r"[\s(]*(?:select|with|values|table|show|explain)\b", re.IGNORECASE)
# What is never in a statement that only reads, if it begins as one of those.
_WRITING = re.compile(
    r"\b(?:insert|update|delete|merge|into|replace\s+into|nextval|setval)\b", re.IGNORECASE
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


def combine(statements: Sequence[Statement], doubled_percent: bool) -> Statement:
    """One statement of several, to be run in a single transaction.

    Parameters:
        statements: batches among them are unfolded.
        doubled_percent: for PostgreSQL, where ``%`` has a meaning beside parameters.

    Raises ``SqlError`` when there are none.
    """
    batch = [single for one in statements for single in one.batch or (one,)]
    if len(batch) < 2:
        if not batch:
            raise SqlError("there is nothing to execute: the statement is empty")
        return batch[0]
    params = tuple([value for one in batch for value in one.params])
    texts = []
    for one in batch:
        text = trimmed(one.sql)
        double = doubled_percent and params and not one.params
        texts.append(text.replace("%", "%%") if double else text)
    writes = any(one.writes for one in batch)
    return Statement(";\n".join(texts), params, writes, tuple(batch))


def changes_data(sql: str) -> bool:
    """Whether a text may change data; true in doubt.

    A function that changes data and is called in a ``SELECT`` is not seen.
    """
    try:
        text = blank(sql)
    except SqlError:
        return True
    singles = [single for single in text.split(";") if single.strip()]
    return not singles or any(
        _READING.match(single) is None or _WRITING.search(single) is not None for single in singles
    )
