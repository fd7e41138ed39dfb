"""The little that has to be known of SQL text: what it begins with, and where statements end.

The driver asks, to choose a connection. What it gets wrong costs time, never data: connections
for reading refuse to write.
"""

from __future__ import annotations

import re
import sqlite3
from functools import lru_cache

# What may be tried on a connection that only reads.
READING = frozenset({"SELECT", "VALUES", "WITH", "EXPLAIN"})
# What rules transactions itself, or can't be inside one.
UNWRAPPED = frozenset(
    {"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"}
    | {"PRAGMA", "VACUUM", "ATTACH", "DETACH"}
)

SHORT_TEXT = 2000  # characters; what is longer is not remembered

_QUOTED = r"'[^']*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]"
# With its end, so that no part of a comment can be taken for something else.
_COMMENT = r"--[^\n]*(?:\n|\Z)|/\*(?:[^*]|\*(?!/))*(?:\*/|\Z)"
_WORD = r"[^\W\d][\w$]*"
_PARAMETER = r"\?\d*|[:@$](?=\w)[\w$:]+"

_FIRST = re.compile(rf"(?:[\s;]|{_COMMENT})*([A-Za-z]+)", re.DOTALL)
_END = re.compile(rf"{_QUOTED}|{_COMMENT}|(;)", re.DOTALL)
_PARAMETERS = re.compile(rf"{_QUOTED}|{_COMMENT}|{_WORD}|({_PARAMETER})", re.DOTALL)
_NAME = rf"(?:(?:{_QUOTED}|{_WORD})\s*\.\s*)?({_QUOTED}|{_WORD})"
_OR = r"(?:\s+OR\s+\w+)?"
_CHANGED = re.compile(
    rf"{_QUOTED}|{_COMMENT}"
    rf"|\b(?:(?:INSERT|REPLACE){_OR}\s+INTO|UPDATE{_OR}|DELETE\s+FROM)\s+{_NAME}",
    re.DOTALL | re.IGNORECASE,
)


def first_word(sql: str) -> str:
    """The keyword that a text begins with, in capitals; empty if there is none."""
    match = _FIRST.match(sql)
    return match.group(1).upper() if match else ""


def split(sql: str) -> tuple[str, ...]:
    """The statements of a script, without those that are only space and comments.

    A trigger is one statement with all that it has between BEGIN and END.
    """
    return _split_again(sql) if len(sql) <= SHORT_TEXT else _split(sql)


def _split(sql: str) -> tuple[str, ...]:
    if ";" not in sql.rstrip("; \t\r\n"):
        return (sql,) if first_word(sql) else ()
    statements = []
    start = 0
    for match in _END.finditer(sql):
        if match.group(1) and sqlite3.complete_statement(sql[start : match.end()]):
            statements.append(sql[start : match.end()])
            start = match.end()
    statements.append(sql[start:])
    return tuple(statement for statement in statements if first_word(statement))


_split_again = lru_cache(512)(_split)


def without_parameters(sql: str) -> str:
    """The same statement with NULL for each parameter."""
    return _PARAMETERS.sub(lambda match: "NULL" if match.group(1) else match.group(), sql)


def changed_table(sql: str) -> str:
    """The table that a statement writes to; empty if none is found."""
    for match in _CHANGED.finditer(sql):
        name: str | None = match.group(1)
        if name:
            return name[1:-1] if name[0] in "'\"`[" else name
    return ""
