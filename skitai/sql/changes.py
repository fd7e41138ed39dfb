"""``Insert``, ``Update`` and ``Delete``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.sql.assigning import Assigned, Assignments, Returned, Upserted, assignments, write_pairs
from skitai.sql.dialects import SQLITE
from skitai.sql.errors import SqlError
from skitai.sql.filtering import Filtered
from skitai.sql.tables import Joined, Table

if TYPE_CHECKING:
    from typing_extensions import Self

    from skitai.sql.builder import Runner
    from skitai.sql.dialects import Dialect
    from skitai.sql.writer import Writer


class Insert(Assigned, Upserted, Returned):
    """An insert of one row, or of several."""

    _changes = True
    _rows: tuple[Assignments, ...] = ()

    def __init__(
        self, dialect: Dialect, runner: Runner | None, table: Any, alias: str = ""
    ) -> None:
        super().__init__(dialect, runner)
        self._table = Table(table, alias)

    def set(self, values: Any = None, /, **named: Any) -> Self:
        """Give values to columns; later calls add to earlier ones.

        Parameters:
            values: by column; or a list of such, one for each row.
            named: by column, for all rows. None is NULL; a builder is a sub-select; ``F`` is SQL.

        Raises ``SqlError`` for what is no name of a column, and for an empty list.
        """
        if isinstance(values, (list, tuple)):
            if not values:
                raise SqlError("set() got a list without rows")
            self._rows += tuple([assignments(row) for row in values])
            values = None
        return super().set(values, **named)

    data = set

    def _write(self, writer: Writer) -> None:
        self._write_ctes(writer)
        writer.writes = True
        writer.text.append("INSERT INTO ")
        self._table.write(writer)
        rows = [{**row, **self._data} for row in self._rows] if self._rows else [self._data]
        if rows[0]:
            self._write_rows(writer, rows)
        elif len(rows) == 1:
            writer.text.append("\nDEFAULT VALUES")
        else:
            raise SqlError("an insert can't have several rows without values")
        self._write_conflict(writer)
        self._write_returning(writer)

    def _write_rows(self, writer: Writer, rows: list[Any]) -> None:
        names = list(rows[0])
        writer.text += " (", ", ".join([name[writer.index] for name in names]), ")\nVALUES ("
        for number, row in enumerate(rows):
            if row.keys() != rows[0].keys():
                raise SqlError(f"row {number + 1} has other columns than the first one")
            separator = "), (" if number else ""
            for name in names:
                if separator:
                    writer.text.append(separator)
                writer.value(row[name])
                separator = ", "
        writer.text.append(")")


class Update(Assigned, Filtered, Joined, Returned):
    """An update of the rows that were filtered."""

    _changes = True

    def __init__(
        self, dialect: Dialect, runner: Runner | None, table: Any, alias: str = ""
    ) -> None:
        super().__init__(dialect, runner)
        self._table = Table(table, alias)

    def _write(self, writer: Writer) -> None:
        if not self._data:
            raise SqlError("an update needs values: use set()")
        self._check_restricted("an update")
        self._write_ctes(writer)
        writer.writes = True
        writer.text.append("UPDATE ")
        self._table.write(writer)
        writer.text.append("\nSET ")
        write_pairs(writer, self._data)
        self._write_other_tables(writer, "FROM")
        self._write_where(writer)
        self._write_returning(writer)


class Delete(Filtered, Joined, Returned):
    """A delete of the rows that were filtered."""

    _changes = True

    def __init__(
        self, dialect: Dialect, runner: Runner | None, table: Any, alias: str = ""
    ) -> None:
        super().__init__(dialect, runner)
        self._table = Table(table, alias)

    def _write(self, writer: Writer) -> None:
        self._check_restricted("a delete")
        self._write_ctes(writer)
        writer.writes = True
        writer.text.append("DELETE FROM ")
        self._table.write(writer)
        if self._joins and writer.dialect is SQLITE:
            raise writer.dialect.refuse("a delete with other tables")
        self._write_other_tables(writer, "USING")
        self._write_where(writer)
        self._write_returning(writer)
