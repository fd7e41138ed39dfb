"""``filter``, ``exclude`` and ``all``: which rows a statement is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.sql.builder import Builder
from skitai.sql.conditions import (
    Condition,
    Every,
    Negation,
    make_conditions,
    restricting,
    write_conditions,
)
from skitai.sql.errors import UnfilteredError

if TYPE_CHECKING:
    from typing_extensions import Self

    from skitai.sql.writer import Writer


class Filtered(Builder):
    """A statement with WHERE."""

    _where: tuple[Condition, ...] = ()
    _unrestricted = False

    def filter(self, /, *conditions: Any, **named: Any) -> Self:
        """Only rows that meet all conditions, and those of earlier calls.

        Parameters:
            conditions: ``Q``, or SQL as text or ``F``.
            named: ``[alias__]column[__operator]=value``. One whose value is None drops out.

        Raises ``SqlError`` for an unknown operator, a bad name, or a value that the operator can't
        take.
        """
        self._where += make_conditions(conditions, named)
        return self

    def exclude(self, /, *conditions: Any, **named: Any) -> Self:
        """Only rows that do not meet all of these conditions at once."""
        found = make_conditions(conditions, named)
        if found:
            self._where += (Negation(found[0] if len(found) == 1 else Every(found)),)
        return self

    def all(self) -> Self:
        """All rows: what an update or delete without a filter needs."""
        self._unrestricted = True
        return self

    def _write_where(self, writer: Writer) -> None:
        if self._where:
            writer.text.append("\nWHERE ")
            write_conditions(writer, self._where)

    def _check_restricted(self, what: str) -> None:
        if not self._unrestricted and not restricting(self._where):
            raise UnfilteredError(
                f"{what} without a filter would concern all rows; if that is meant, add .all(). "
                "Conditions whose value is None drop out"
            )
