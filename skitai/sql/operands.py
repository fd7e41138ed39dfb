"""What stands left of an operator: a column, a path into its JSON, a part of its date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from skitai.sql.dialects import POSTGRESQL

if TYPE_CHECKING:
    from skitai.sql.names import Texts
    from skitai.sql.writer import Writer

# The number that a part of a date is: the field of PostgreSQL, and an expression for SQLite.
_NUMBERS = {
    "century": ("CENTURY", "(strftime('%Y', {0}) + 99) / 100"),
    "decade": ("DECADE", "strftime('%Y', {0}) / 10"),
    "year": ("YEAR", "strftime('%Y', {0})"),
    "quarter": ("QUARTER", "(strftime('%m', {0}) + 2) / 3"),
    "month": ("MONTH", "strftime('%m', {0})"),
    "day": ("DAY", "strftime('%d', {0})"),
    "day_of_week": ("DOW", "strftime('%w', {0})"),
    "day_of_year": ("DOY", "strftime('%j', {0})"),
    "hour": ("HOUR", "strftime('%H', {0})"),
    "minute": ("MINUTE", "strftime('%M', {0})"),
}
# Around a column, in each dialect; empty where there is no such thing.
DATE_PARTS: dict[str, Texts] = {
    **{
        name: (f"EXTRACT({field} FROM {{0}})", f"CAST({text} AS INTEGER)")
        for name, (field, text) in _NUMBERS.items()
    },
    "week": ("EXTRACT(WEEK FROM {0})", ""),
    # PostgreSQL's seconds have a fraction.
    "second": ("FLOOR(EXTRACT(SECOND FROM {0}))", "CAST(strftime('%S', {0}) AS INTEGER)"),
    "date": ("CAST({0} AS date)", "date({0})"),
    "time": ("CAST({0} AS time)", "time({0})"),
}
# PostgreSQL gives what a JSON path leads to as text; it is compared with values of these types as …
_CASTS: dict[type, str] = {
    bool: "boolean",
    int: "numeric",
    float: "numeric",
    Decimal: "numeric",
    date: "date",
    time: "time",
    timedelta: "interval",
    UUID: "uuid",
}
_DOCUMENTS = (Mapping, list, tuple)


class Operand:
    """The left side of a condition.

    Parameters:
        column: the column, in each dialect.
        path: keys and indexes into its JSON document.
        part: one of ``DATE_PARTS``.
    """

    __slots__ = ("column", "part", "path", "plain")

    def __init__(
        self, column: Texts, path: tuple[str | int, ...] = (), part: str | None = None
    ) -> None:
        self.column = column
        self.path = path
        self.part = part
        self.plain = not path and part is None

    def write(self, writer: Writer, sample: Any = None) -> None:
        """Write it, to be compared with a value of the type of ``sample``."""
        if self.plain:
            writer.text.append(self.column[writer.index])
            return
        text = self.column[writer.index]
        if self.path:
            text = self._path_text(text, "->>")
            if writer.dialect is POSTGRESQL:
                cast = self._cast(sample)
                text = f"({text})::{cast}" if cast else text
        if self.part is not None:
            template = DATE_PARTS[self.part][writer.index]
            if not template:
                raise writer.dialect.refuse(f"{self.part!r} of a date")
            text = template.format(text)
        writer.raw(text)

    def write_document(self, writer: Writer) -> None:
        """Write the JSON document at the end of the path."""
        text = self.column[writer.index]
        if self.path:
            text = self._path_text(text, "->")
            text = f"({text})" if writer.dialect is POSTGRESQL else text
        writer.text.append(f"{text}::jsonb" if writer.dialect is POSTGRESQL else text)

    def leads_to_document(self, value: Any) -> bool:
        """Whether it is compared with ``value`` as a JSON document, not as text or number."""
        return bool(self.path) and self.part is None and isinstance(value, _DOCUMENTS)

    def _cast(self, sample: Any) -> str:
        if self.part is not None:
            return "timestamp"
        if isinstance(sample, datetime):
            return "timestamp" if sample.utcoffset() is None else "timestamptz"
        return _CASTS.get(type(sample), "")

    def _path_text(self, text: str, last: str) -> str:
        # Keys consist of letters, digits and _: see skitai.sql.keys.
        steps = [str(step) if isinstance(step, int) else f"'{step}'" for step in self.path]
        inner = "".join([f" -> {step}" for step in steps[:-1]])
        return f"{text}{inner} {last} {steps[-1]}"


class _NoColumn(Operand):
    """For an operator with nothing on its left, as ``V(__gt=3)`` in a template."""

    __slots__ = ()

    def write(self, writer: Writer, sample: Any = None) -> None:
        pass

    def write_document(self, writer: Writer) -> None:
        pass


NO_COLUMN = _NoColumn(("", ""))
