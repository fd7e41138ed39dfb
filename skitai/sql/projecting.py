"""Which columns a select has, and its groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.sql.assigning import as_columns
from skitai.sql.builder import Builder
from skitai.sql.conditions import Condition, make_conditions, write_conditions
from skitai.sql.errors import SqlError

if TYPE_CHECKING:
    from typing_extensions import Self

    from skitai.sql.writer import Expression, Writer


class Projected(Builder):
    """A statement with columns, GROUP BY and HAVING."""

    _columns: tuple[str | Expression, ...] = ()
    _groups: tuple[str | Expression, ...] = ()
    _having: tuple[Condition, ...] = ()

    def get(self, *columns: Any) -> Self:
        """Choose columns instead of ``*``; later calls add.

        Parameters:
            columns: SQL, of several columns too: ``"id, name"``; or ``F``, ``V``, a builder.
        """
        self._columns += as_columns("get", columns)
        return self

    def group_by(self, *columns: Any) -> Self:
        """Make one row of those that have the same values here."""
        self._groups += as_columns("group_by", columns)
        return self

    def having(self, /, *conditions: Any, **named: Any) -> Self:
        """Only groups that meet the conditions, which are as in ``filter``."""
        self._having += make_conditions(conditions, named)
        return self

    def _write_columns(self, writer: Writer) -> None:
        if self._columns:
            writer.list(self._columns)
        else:
            writer.text.append("*")

    def _write_groups(self, writer: Writer) -> None:
        if self._groups:
            writer.text.append("\nGROUP BY ")
            writer.list(self._groups)
        if self._having:
            if not self._groups:
                raise SqlError("having() needs group_by()")
            writer.text.append("\nHAVING ")
            write_conditions(writer, self._having)
