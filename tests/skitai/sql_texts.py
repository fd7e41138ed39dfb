"""What the tests of the SQL builder share: both dialects, and statements in one line."""

from __future__ import annotations

from skitai.sql import Builders

pg = Builders("postgresql")
lite = Builders("sqlite")


def flat(builder, dialect=None):
    """Text in one line, and parameters."""
    statement = builder.compile(dialect)
    return " ".join(statement.sql.split("\n")), statement.params


def where(builder):
    """The condition of a statement, and parameters."""
    text, params = flat(builder)
    return text.partition(" WHERE ")[2], params
