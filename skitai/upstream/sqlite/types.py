"""``ColumnTypes``: which columns of a result are declared with types that have converters.

``sqlite3`` tells the declared type of a result's column only to converters that are registered for
the whole process, and those belong to the app. But SQLite tells the types of a view: so each new
text is made a temporary view for a moment. PERF: that takes 31 us, once for each text.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, NamedTuple

from skitai.upstream.sqlite.text import changed_table, first_word, without_parameters
from skitai.upstream.sqlite.values import converter_of

if TYPE_CHECKING:
    from skitai.upstream.sqlite.values import Converter

    Converters = list[tuple[int, Converter]]

KEPT_TEXTS = 512
DEFINING = frozenset({"CREATE", "ALTER", "DROP"})
_VIEW = "skitai_columns"


class _Known(NamedTuple):
    columns: int  # that the result had
    converters: Converters


class ColumnTypes:
    """What is known of the statements that ran; shared by the connections of a file.

    Used by the threads of all of them without a lock: each access is a single step of a
    dictionary, and what another thread drops is found again.

    A table may get other columns later, also from another process. That is seen when a result has
    another number of columns, and when the next new statement comes.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._schema = -1

    def of(self, connection: sqlite3.Connection, sql: str, names: list[str]) -> Converters:
        """The converters of a statement that just ran, with the columns they are for.

        Parameters:
            connection: where it ran.
            names: of the columns of its result.
        """
        known = self._known.get(sql)
        if known is not None and known.columns == len(names):
            return known.converters
        self._notice_changes(connection)
        converters = self._find(connection, sql, names)
        if len(self._known) >= KEPT_TEXTS:
            self._known.clear()
        self._known[sql] = _Known(len(names), converters)
        return converters

    def forget(self) -> None:
        """Tables were made or changed."""
        self._known.clear()

    def _notice_changes(self, connection: sqlite3.Connection) -> None:
        (schema,) = connection.execute("PRAGMA schema_version").fetchone()
        if schema != self._schema:
            self._schema = schema
            self._known.clear()

    def _find(self, connection: sqlite3.Connection, sql: str, names: list[str]) -> Converters:
        word = first_word(sql)
        declared: list[str] = []
        try:
            if word in ("SELECT", "WITH"):
                declared = _types_of_result(connection, sql)
            if not declared and word in ("WITH", "INSERT", "REPLACE", "UPDATE", "DELETE"):
                types = _types_of_table(connection, changed_table(sql))
                declared = [types.get(name.lower(), "") for name in names]
        except sqlite3.Error:
            return []
        if len(declared) != len(names):
            return []
        found = ((at, converter_of(text)) for at, text in enumerate(declared))
        return [(at, converter) for at, converter in found if converter is not None]


def _types_of_result(connection: sqlite3.Connection, sql: str) -> list[str]:
    """The declared type of each column that a SELECT gives; nothing for other statements."""
    (reading,) = connection.execute("PRAGMA query_only").fetchone()
    if reading:
        connection.execute("PRAGMA query_only = OFF")
    try:
        connection.execute(f"CREATE TEMP VIEW {_VIEW} AS {without_parameters(sql)}")
        try:
            return [row[2] for row in connection.execute(f"PRAGMA temp.table_info({_VIEW})")]
        finally:
            connection.execute(f"DROP VIEW temp.{_VIEW}")
    except sqlite3.OperationalError:
        return []
    finally:
        if reading:
            connection.execute("PRAGMA query_only = ON")


def _types_of_table(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    if not table:
        return {}
    rows = connection.execute("SELECT name, type FROM pragma_table_xinfo(?)", (table,))
    return {name.lower(): declared for name, declared in rows}
