"""The order of rows, and which part of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from skitai.sql.builder import Builder
from skitai.sql.dialects import SQLITE
from skitai.sql.errors import SqlError
from skitai.sql.scanner import split_list
from skitai.sql.writer import Expression

if TYPE_CHECKING:
    from typing_extensions import Self

    from skitai.sql.writer import Writer

_MAX = 2**63 - 1
_NULLS = re.compile(r"\s+nulls\s+(?:first|last)\s*$", re.IGNORECASE)


class Ordered(Builder):
    """A statement with ORDER BY, LIMIT and OFFSET."""

    _order: tuple[str | Expression, ...] = ()
    _limit: int | None = None
    _offset: int | None = None
    __iter__ = None

    def order_by(self, *columns: Any) -> Self:
        """Sort.

        Parameters:
            columns: SQL as text or ``F``: ``"name"``, ``"-name"`` from the end, ``"a, -b"``. Take
                care that none comes from a request: it would be SQL as well.
        """
        for column in columns:
            if isinstance(column, Expression):
                self._order += (column,)
            elif isinstance(column, str):
                self._order += tuple([order_text(part) for part in split_list(column) if part])
            elif column is not None:
                raise SqlError(f"order_by() takes names of columns, not {type(column).__name__}")
        return self

    def limit(self, count: Any) -> Self:
        """At most so many rows. None: all.

        Raises ``SqlError`` for what is no number from 0 on.
        """
        self._limit = as_count("limit", count)
        return self

    def offset(self, count: Any) -> Self:
        """Leave out the first rows. None: none.

        Raises ``SqlError`` for what is no number from 0 on.
        """
        self._offset = as_count("offset", count)
        return self

    def __getitem__(self, part: slice) -> Self:
        """``[:20]`` is ``limit(20)``, ``[10:30]`` is ``offset(10).limit(20)``."""
        if not isinstance(part, slice):
            raise SqlError("a builder has slices, [10:30]; its rows are in execute().fetch()")
        if part.step is not None:
            raise SqlError("a slice of a builder has no step")
        start = as_count("slice", part.start) or 0
        stop = as_count("slice", part.stop)
        self._offset = start or None
        self._limit = None if stop is None else max(stop - start, 0)
        return self

    def _write_order(self, writer: Writer) -> None:
        if self._order:
            writer.text.append("\nORDER BY ")
            writer.list(self._order)

    def _write_limits(self, writer: Writer) -> None:
        self._write_limit(writer)
        if self._offset is not None:
            if self._limit is None and writer.dialect is SQLITE:
                writer.text.append("\nLIMIT -1")
            writer.text.append("\nOFFSET ")
            writer.value(self._offset)

    def _write_limit(self, writer: Writer) -> None:
        if self._limit is not None:
            writer.text.append("\nLIMIT ")
            writer.value(self._limit)


def order_text(text: str) -> str:
    """``-name`` as ``name DESC``."""
    text = text.strip()
    if text[:1] == "-":
        nulls = _NULLS.search(text)
        end = nulls.start() if nulls else len(text)
        return f"{text[1:end].strip()} DESC{text[end:]}"
    return text[1:].strip() if text[:1] == "+" else text


def as_count(what: str, value: Any) -> int | None:
    """A number of rows, from an int or its text. Raises ``SqlError`` for anything else."""
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if type(value) is not int or not 0 <= value <= _MAX:
        raise SqlError(f"{what} must be a number from 0 on, not {value!r}"[:200])
    return value
