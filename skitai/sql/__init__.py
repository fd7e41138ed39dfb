"""SQL: a builder of statements with bound parameters, and the rows that come back. No IO."""

from __future__ import annotations

from skitai.sql.errors import SqlError, UnfilteredError
from skitai.sql.rows import Row
from skitai.sql.statement import Statement, changes_data

__all__ = ["Row", "SqlError", "Statement", "UnfilteredError", "changes_data"]
