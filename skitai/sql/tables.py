"""Tables of a statement: text, a model or a sub-select; and what is joined to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.sql.builder import Builder
from skitai.sql.conditions import Condition, make_conditions, write_conditions
from skitai.sql.errors import SqlError
from skitai.sql.expressions import F
from skitai.sql.writer import Expression

if TYPE_CHECKING:
    from typing_extensions import Self

    from skitai.sql.writer import Writer


class Table(Expression):
    """A table.

    Parameters:
        table: text, with an alias if you like; ``F``; a builder; or a model, which has
            ``get_table_name``.
        alias: its name in the statement. A builder without one gets ``derived_1`` and so on.
    """

    __slots__ = ("alias", "source")

    def __init__(self, table: Any, alias: str = "") -> None:
        self.alias = alias
        if type(table) is str and table:
            self.source: str | Expression = table
        elif isinstance(table, (Builder, F)):
            self.source = table.snapshot()
        elif callable(getattr(table, "get_table_name", None)):
            self.source = str(table.get_table_name())
        else:
            found = repr(table) if table == "" else type(table).__name__
            raise SqlError(f"a table is its name, a model or a builder, not {found}")

    def write(self, writer: Writer) -> None:
        alias = self.alias
        if isinstance(self.source, str):
            writer.raw(self.source)
        else:
            self.source.write_value(writer)
            if not alias and isinstance(self.source, Builder):
                alias = writer.derived_name()
        if alias:
            writer.raw(f" AS {alias}")


class Join(Expression):
    """A table beside the first one.

    Parameters:
        kind: JOIN, LEFT JOIN …; a comma for one more table in FROM.
        table: what is joined.
        conditions: of ON.
    """

    __slots__ = ("conditions", "kind", "table")

    def __init__(self, kind: str, table: Table, conditions: tuple[Condition, ...]) -> None:
        self.kind = kind
        self.table = table
        self.conditions = conditions

    def write(self, writer: Writer) -> None:
        writer.text.append(", " if self.kind == "," else f"\n{self.kind} ")
        self.write_joined(writer)

    def write_joined(self, writer: Writer) -> None:
        """Write the table and the conditions only."""
        self.table.write(writer)
        if self.conditions:
            writer.text.append(" ON ")
            write_conditions(writer, self.conditions)


class Joined(Builder):
    """A statement about several tables."""

    _joins: tuple[Join, ...] = ()
    _where: tuple[Condition, ...] = ()

    def join(self, table: Any, alias: Any = "", on: Any = None, *more: Any, **named: Any) -> Self:
        """Join a table.

        Parameters:
            table: name, model or builder.
            alias: name in the statement. ``"true"`` stands for a condition that always holds.
            on: text or ``Q``.
            more, named: conditions as in ``filter``; ``a__id=F("b.id")`` compares columns.

        Raises ``SqlError`` when there is no condition.
        """
        return self._join("JOIN", table, alias, (on, *more), named)

    def left_join(
        self, table: Any, alias: Any = "", on: Any = None, *more: Any, **named: Any
    ) -> Self:
        """As ``join``: LEFT JOIN."""
        return self._join("LEFT JOIN", table, alias, (on, *more), named)

    def right_join(
        self, table: Any, alias: Any = "", on: Any = None, *more: Any, **named: Any
    ) -> Self:
        """As ``join``: RIGHT JOIN; SQLite has it from 3.39 on."""
        return self._join("RIGHT JOIN", table, alias, (on, *more), named)

    def full_join(
        self, table: Any, alias: Any = "", on: Any = None, *more: Any, **named: Any
    ) -> Self:
        """As ``join``: FULL JOIN; SQLite has it from 3.39 on."""
        return self._join("FULL JOIN", table, alias, (on, *more), named)

    def cross_join(self, table: Any, alias: str = "") -> Self:
        """Join every row with every row."""
        self._joins += (Join("CROSS JOIN", Table(table, alias), ()),)
        return self

    def from_(self, table: Any, alias: str = "", on: Any = None, *more: Any, **named: Any) -> Self:
        """Add a table to FROM; in a delete to USING. Conditions are as those of ``filter``."""
        self._where += make_conditions((on, *more), named)
        self._joins += (Join(",", Table(table, alias), ()),)
        return self

    def _join(
        self, kind: str, table: Any, alias: Any, parts: tuple[Any, ...], named: dict[str, Any]
    ) -> Self:
        if alias is True or alias == "true":
            alias, parts = "", ("true", *parts)
        parts = tuple(["true" if part is True else part for part in parts])
        conditions = make_conditions(parts, named)
        if not conditions:
            raise SqlError(f"{kind} needs a condition, or use cross_join()")
        self._joins += (Join(kind, Table(table, alias), conditions),)
        return self

    def _write_joins(self, writer: Writer) -> None:
        for join in self._joins:
            join.write(writer)

    def _write_other_tables(self, writer: Writer, word: str) -> None:
        """The tables of a statement whose own table is not in FROM."""
        if not self._joins:
            return
        first, *others = self._joins
        if first.kind != ",":
            raise SqlError(f"{first.kind} needs a table before it: use from_() first")
        writer.text.append(f"\n{word} ")
        first.write_joined(writer)
        for join in others:
            join.write(writer)
