"""``Select``, and the inserts of what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.sql.assigning import Returned, Upserted, as_columns
from skitai.sql.builder import as_statement
from skitai.sql.compounds import Member, write_members
from skitai.sql.dialects import SQLITE
from skitai.sql.errors import SqlError
from skitai.sql.filtering import Filtered
from skitai.sql.ordering import Ordered
from skitai.sql.projecting import Projected
from skitai.sql.tables import Joined, Table

if TYPE_CHECKING:
    from typing_extensions import Self

    from skitai.sql.builder import Builder, Runner
    from skitai.sql.dialects import Dialect
    from skitai.sql.writer import Expression, Writer


class Select(Projected, Filtered, Joined, Ordered, Upserted, Returned):
    """A select; with ``into`` an insert of its rows.

    Parameters:
        dialect, runner: of the database.
        table, alias: as in ``Table``.
    """

    _members: tuple[Member, ...] = ()
    _into: tuple[Table, tuple[str | Expression, ...]] | None = None

    def __init__(
        self, dialect: Dialect, runner: Runner | None, table: Any, alias: str = ""
    ) -> None:
        super().__init__(dialect, runner)
        self._table = Table(table, alias)

    def aggregate(self, *columns: Any, ignore_limit: bool = True) -> Self:
        """Another select, of the same rows, for ``count(*)`` and the like.

        Parameters:
            columns: as in ``get``, instead of those there are. Order and groups are dropped, and
                what is not about rows: ``into``, appended statements.
            ignore_limit: drop limit and offset too; False for the rows within them.
        """
        other = self.clone()
        other._into = other._conflict = None
        other._returned = other._appended = ()
        other._framed = False
        if ignore_limit:
            other._limit = other._offset = None
        limited = other._limit is not None or other._offset is not None
        if not limited:
            other._order = ()
        if limited or self._members:
            outer = type(self)(self._dialect, self._runner, other, "derived")
            return outer.get(*columns)
        other._columns = as_columns("aggregate", columns)
        other._groups = ()
        other._having = ()
        return other

    def union(self, sql: Builder | str) -> Self:
        """Add the rows of another select, each once."""
        return self._combine("UNION", sql)

    def union_all(self, sql: Builder | str) -> Self:
        """Add the rows of another select."""
        return self._combine("UNION ALL", sql)

    def intersect(self, sql: Builder | str) -> Self:
        """Only the rows that another select has too."""
        return self._combine("INTERSECT", sql)

    def except_(self, sql: Builder | str) -> Self:
        """Only the rows that another select does not have."""
        return self._combine("EXCEPT", sql)

    def _combine(self, word: str, sql: Builder | str) -> Self:
        self._members += (Member(word, as_statement(sql)),)
        return self

    def into(self, table: Any, *columns: Any) -> Self:
        """Insert the rows into a table.

        Parameters:
            table: its name, or a model.
            columns: those of the table, in the order of this select.
        """
        self._into = (Table(table), as_columns("into", columns))
        return self

    @property
    def is_simple(self) -> bool:
        """Whether it can be a member of a UNION without parentheses."""
        return not (
            self._order
            or self._limit is not None
            or self._offset is not None
            or self._members
            or self._ctes
        )

    def _write(self, writer: Writer) -> None:
        self._write_ctes(writer)
        if self._into is not None:
            self._write_into(writer)
        elif self._returned or self._conflict is not None:
            raise SqlError("a select has no returning() or upflict() without into()")
        start = len(writer.text)
        writer.text.append("SELECT ")
        self._write_columns(writer)
        writer.text.append("\nFROM ")
        self._table.write(writer)
        self._write_joins(writer)
        self._write_where(writer)
        self._write_groups(writer)
        if self._members:
            write_members(writer, start, self._members)
        self._write_order(writer)
        self._write_limits(writer)
        if self._into is not None:
            self._write_conflict(writer)
            self._write_returning(writer)

    def _write_into(self, writer: Writer) -> None:
        assert self._into is not None
        table, columns = self._into
        writer.writes = True
        writer.text.append("INSERT INTO ")
        table.write(writer)
        if columns:
            writer.text.append(" (")
            writer.list(columns)
            writer.text.append(")")
        writer.text.append("\n")

    def _write_limits(self, writer: Writer) -> None:
        super()._write_limits(writer)
        unlimited = self._limit is None and self._offset is None
        if self._conflict is not None and unlimited and writer.dialect is SQLITE:
            # Otherwise SQLite takes ON CONFLICT for the ON of a join (lang_upsert, 2.2).
            writer.text.append("\nLIMIT -1")
