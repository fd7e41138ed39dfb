"""SQL: a builder of statements with bound parameters, and the rows that come back. No IO."""

from __future__ import annotations

from skitai.sql.builder import Builder, Runner
from skitai.sql.builders import Builders
from skitai.sql.changes import Delete, Insert, Update
from skitai.sql.conditions import Q
from skitai.sql.errors import SqlError, UnfilteredError
from skitai.sql.expressions import D, F, V, const
from skitai.sql.rows import Row
from skitai.sql.select import Select
from skitai.sql.statement import Statement, changes_data, combine
from skitai.sql.template_files import SqlTemplates

__all__ = [
    "Builder",
    "Builders",
    "D",
    "Delete",
    "F",
    "Insert",
    "Q",
    "Row",
    "Runner",
    "Select",
    "SqlError",
    "SqlTemplates",
    "Statement",
    "UnfilteredError",
    "Update",
    "V",
    "changes_data",
    "combine",
    "const",
]
