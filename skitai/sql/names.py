"""Names of columns that come as keywords: checked, and quoted where SQL needs it.

Keywords may be keys of a request's dictionary, so nothing but names gets through.
"""

from __future__ import annotations

import re
from functools import lru_cache

from skitai.sql.errors import SqlError

MAX_KEY = 255  # characters; several times what a database takes as a name
_NAME = re.compile(r"[^\W\d]\w*")
# Reserved words of PostgreSQL (appendix C) and SQLite (lang_keywords). Unquoted they are errors, or
# worse: ``user = 'x'`` asks PostgreSQL who is connected.
_RESERVED = frozenset(
    """
    abort add all alter always analyse analyze and any array as asc asymmetric authorization
    autoincrement begin between binary both by cascade case cast check collate collation column
    commit concurrently conflict constraint create cross current_catalog current_date current_role
    current_schema current_time current_timestamp current_user default deferrable deferred delete
    desc distinct do drop each else end escape except exclusive exists explain fail false fetch
    filter for foreign freeze from full generated glob grant group having if ignore ilike immediate
    in index indexed initially inner insert instead intersect into is isnull join lateral leading
    left like limit localtime localtimestamp match materialized natural no not nothing notnull null
    of offset on only or order outer over overlaps placing plan pragma primary query raise
    recursive references regexp reindex release rename replace restrict returning right rollback
    row rows savepoint select session_user set similar some symmetric system_user table tablesample
    temp temporary then to trailing transaction trigger true union unique update user using vacuum
    values variadic verbose view virtual when where window with without
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
