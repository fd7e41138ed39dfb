"""``set``, ``returning`` and ``upflict``: the values of insert and update, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skitai.sql.builder import Builder
from skitai.sql.errors import SqlError
from skitai.sql.expressions import D
from skitai.sql.names import column
from skitai.sql.operators import kept
from skitai.sql.writer import Expression

if TYPE_CHECKING:
    from typing_extensions import Self

    from skitai.sql.names import Texts
    from skitai.sql.writer import Writer

Assignments = Mapping["Texts", Any]


class Assigned(Builder):
    """A statement with values for columns."""

    _data: Assignments = {}

    def set(self, values: Mapping[str, Any] | D | None = None, /, **named: Any) -> Self:
        """Give values to columns; later calls add to earlier ones.

        Parameters:
            values: by column.
            named: by column. None is NULL; a builder is a sub-select; ``F`` is SQL.

        Raises ``SqlError`` for what is no name of a column.
        """
        self._data = {**self._data, **assignments(values), **assignments(named)}
        return self

    data = set


class Returned(Builder):
    """A statement with RETURNING."""

    _returned: tuple[str | Expression, ...] = ()
    _changes = False

    @property
    def only_changes(self) -> bool:
        """Whether it changes data and gives no rows back."""
        return self._changes and not self._returned

    def returning(self, *columns: Any) -> Self:
        """Give back these columns of the changed rows; without any, all of them."""
        self._returned += as_columns("returning", columns) or ("*",)
        return self

    def _write_returning(self, writer: Writer) -> None:
        if self._returned:
            writer.text.append("\nRETURNING ")
            writer.list(self._returned)


class Upserted(Builder):
    """An insert with ON CONFLICT."""

    _conflict: tuple[str, Assignments] | None = None

    def upflict(self, field: str = "", /, **updates: Any) -> Self:
        """When a row with the same ``field`` is there, update that, or leave it as it is.

        Parameters:
            field: the column with the unique index, or several: ``"a, b"``.
            updates: as in ``set``; ``F("excluded.name")`` is what would have been inserted. None:
                nothing is changed.

        Raises ``SqlError`` for updates without a field.
        """
        field = field.strip()
        if updates and not field:
            raise SqlError("upflict() with updates needs the column that is unique")
        self._conflict = (field, assignments(updates))
        return self

    def _write_conflict(self, writer: Writer) -> None:
        if self._conflict is None:
            return
        field, updates = self._conflict
        writer.text.append("\nON CONFLICT ")
        if field:
            writer.raw(f"({field}) ")
        if updates:
            writer.text.append("DO UPDATE SET ")
            write_pairs(writer, updates)
        else:
            writer.text.append("DO NOTHING")


def assignments(values: Mapping[str, Any] | D | None) -> Assignments:
    """Values by column, checked. Raises ``SqlError`` for what is no name of a column."""
    if isinstance(values, D):
        return dict(values.items)
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise SqlError(f"set() takes a dictionary or a D, not {type(values).__name__}")
    return {column(name): kept(value) for name, value in values.items()}


def write_pairs(writer: Writer, values: Assignments) -> None:
    """Write ``a = 1, b = 2``."""
    separator = ""
    for name, value in values.items():
        writer.text += separator, name[writer.index], " = "
        writer.value(value)
        separator = ", "


def as_columns(what: str, columns: tuple[Any, ...]) -> tuple[str | Expression, ...]:
    """Columns given as text or expressions; empty ones drop out."""
    found: list[str | Expression] = []
    for one in columns:
        if isinstance(one, str):
            if one.strip():
                found.append(one)
        elif isinstance(one, Expression):
            found.append(one.snapshot())
        elif one is not None:
            raise SqlError(f"{what}() takes columns as text, not {type(one).__name__}; or V(value)")
    return tuple(found)
