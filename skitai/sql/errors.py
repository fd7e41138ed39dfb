"""What the builder raises while a statement is put together, before any database sees it."""

from __future__ import annotations

from skitai.errors import SkitaiError


class SqlError(SkitaiError, ValueError):
    """A statement can't be made from this; the message says what was wrong and what would work."""


class UnfilteredError(SqlError, AssertionError):
    """An update or delete of all rows that was not asked for by ``.all ()``."""
