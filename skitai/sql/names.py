"""Names of columns that come as keywords: checked, and quoted where SQL needs it.

Keywords may be keys of a request's dictionary, so nothing but names gets through.
"""

from __future__ import annotations

import re
from functools import lru_cache

from skitai.sql.errors import SqlError

MAX_KEY = 255  # characters; several times what a database takes as a name
_NAME = re.compile(r"[^\W\d]\w*")
# What PostgreSQL (appendix C) or SQLite (lang_keywords) does not take for a column. Unquoted it is
# an error, or worse: ``user = 'x'`` asks PostgreSQL who is connected.
_RESERVED = frozenset(
    """
    add all alter analyse analyze and any array as asc asymmetric authorization autoincrement
    between binary both case cast check collate collation column commit concurrently constraint
    create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user default deferrable delete desc distinct do drop else end escape
    except exists false fetch for foreign freeze from full grant group having ilike in index
    initially inner insert intersect into is isnull join lateral leading left like limit localtime
    localtimestamp natural not nothing notnull null offset on only or order outer overlaps placing
    primary raise references returning right select session_user set similar some symmetric
    system_user table tablesample then to trailing transaction true union unique update user using
    values variadic verbose when where window with
    """.split()
)

Texts = tuple[str, str]  # one for each dialect, in the order of Dialect.index


def check_key(key: str) -> None:
    """Raise ``SqlError`` for a keyword that is too long to be one; values are of any length."""
    if not isinstance(key, str):
        raise SqlError(f"the name of a column must be text, not {type(key).__name__}")
    if len(key) > MAX_KEY:
        raise SqlError(f"{key[:40]!r}… has {len(key)} characters: a name has {MAX_KEY} at most")


@lru_cache(4096)
def column(name: str) -> Texts:
    """A column as it is written in each dialect. Raises ``SqlError`` for what is no name."""
    check_key(name)
    if not _NAME.fullmatch(name):
        raise bad_name(name)
    folded = name.lower()
    if folded in _RESERVED:
        # SQLite takes "x" for a text if there is no column x; `x` is never a text.
        return f'"{folded}"', f"`{folded}`"
    return name, name


def dotted(names: list[str]) -> Texts:
    """A name of several parts, such as alias and column."""
    parts = [column(name) for name in names]
    return ".".join([part[0] for part in parts]), ".".join([part[1] for part in parts])


def bad_name(name: str) -> SqlError:
    """The error for what can't be a column."""
    return SqlError(f"{name!r} is no name of a column: use letters, digits and _")
