"""Statements as text: ``sql``, and ``template``, whose fields get values and parts of a builder."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from skitai.sql.assigning import Assigned, Returned, write_pairs
from skitai.sql.builder import Builder
from skitai.sql.conditions import write_conditions
from skitai.sql.dialects import SQLITE
from skitai.sql.errors import SqlError
from skitai.sql.expressions import attribute_of, with_values, write_pieces
from skitai.sql.fields import Field, Pieces, field_names, parse_fields, write_field
from skitai.sql.filtering import Filtered
from skitai.sql.operators import ALWAYS, kept
from skitai.sql.ordering import Ordered
from skitai.sql.projecting import Projected
from skitai.sql.scanner import trimmed
from skitai.sql.statement import changes_data

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

    from skitai.sql.builder import Runner
    from skitai.sql.dialects import Dialect
    from skitai.sql.writer import Writer

THIS = "this"


class Sql(Builder):
    """A statement as text.

    Parameters:
        dialect, runner: of the database.
        text: SQL; empty for what only has appended statements.
        values, names: what its fields ``{}`` and ``{name}`` stand for, as in ``F``.
    """

    def __init__(
        self,
        dialect: Dialect,
        runner: Runner | None,
        text: str = "",
        values: tuple[Any, ...] = (),
        names: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(dialect, runner)
        text = trimmed(text)
        self._pieces, self._values = with_values(text, values, names or {})
        self._changes = bool(text) and changes_data(text)

    def _write(self, writer: Writer) -> None:
        self._write_ctes(writer)
        writer.writes = writer.writes or self._changes
        if self._pieces != ("",):
            write_pieces(writer, self._pieces, self._values)


class Parsed(NamedTuple):
    """The text of a template, understood once."""

    pieces: Pieces
    names: frozenset[str]
    parts: frozenset[str]
    changes: bool


@lru_cache(512)
def parse_template(text: str) -> Parsed:
    """Understand a text. Raises ``SqlError`` for a malformed or unknown field."""
    pieces = parse_fields(trimmed(text))
    parts = set()
    for piece in pieces:
        if isinstance(piece, Field) and piece.name == THIS:
            part = _SYNONYMS.get(piece.attribute or "", piece.attribute)
            if part not in _PARTS:
                raise SqlError(f"{{this.{part}}} is unknown: there are {', '.join(_PARTS)}")
            parts.add(part)
    names = frozenset(field_names(pieces)).difference((THIS,))
    for name in names:
        if name.isdigit():
            raise SqlError(f"a field of a template needs a name, in the text {text!r}")
    return Parsed(pieces, names, frozenset(parts), changes_data(text))


class Template(Projected, Assigned, Filtered, Ordered, Returned):
    """A statement as text with fields.

    ``{name}`` is what ``feed(name=…)`` gives: a bound value, or an expression. ``{this.filter}``
    and the like are what the methods of the builder collect.

    Parameters:
        dialect, runner: of the database.
        text: SQL with fields; other braces are doubled.

    Raises ``SqlError`` for malformed fields, and those inside quotes or comments.
    """

    def __init__(self, dialect: Dialect, runner: Runner | None, text: str) -> None:
        super().__init__(dialect, runner)
        self._parsed = parse_template(text)
        self._fed: Mapping[str, Any] = {}

    def feed(self, /, **values: Any) -> Self:
        """Give fields what they stand for; later calls add.

        Parameters:
            values: by the name of the field. Values are bound; ``F`` is SQL, ``Q`` a condition,
                ``D`` has ``{name.columns}``, ``.values`` and ``.pairs``, a builder is a sub-select.

        Raises ``SqlError`` for a name that the text does not have.
        """
        if unknown := values.keys() - self._parsed.names:
            known = ", ".join(sorted(self._parsed.names)) or "none"
            raise SqlError(f"the template has no field {{{min(unknown)}}}; its fields: {known}")
        self._fed = {**self._fed, **{name: kept(value) for name, value in values.items()}}
        return self

    def _write(self, writer: Writer) -> None:
        self._check()
        self._write_ctes(writer)
        writer.writes = writer.writes or self._parsed.changes
        for piece in self._parsed.pieces:
            if not isinstance(piece, Field):
                writer.raw(piece)
            elif piece.name == THIS:
                self._write_part(piece.attribute or "", writer)
            else:
                write_field(writer, attribute_of(piece, self._fed[piece.name]))

    def _write_part(self, name: str, writer: Writer) -> None:
        start = len(writer.text)
        _PARTS[_SYNONYMS.get(name, name)](self, writer)
        if len(writer.text) > start:
            writer.text[start] = writer.text[start].lstrip()  # the line is the template's

    def _check(self) -> None:
        """Nothing that was asked for may get lost."""
        if missing := self._parsed.names.difference(self._fed):
            raise SqlError(f"the template needs feed({min(missing)}=…)")
        used = {
            "filter": bool(self._where),
            "group_by": bool(self._groups),
            "having": bool(self._having),
            "order_by": bool(self._order),
            "limit": self._limit is not None,
            "offset": self._offset is not None,
            "returning": bool(self._returned),
        }
        parts = self._parsed.parts
        for part, given in used.items():
            if given and part not in parts:
                raise SqlError(
                    f"the text of the template has no {{this.{part}}}, so it would be lost"
                )
        if self._data and not parts & {"columns", "values", "pairs"}:
            raise SqlError(
                "the text has no {this.columns}, {this.values} or {this.pairs} for set()"
            )
        if self._columns and "columns" not in parts:
            raise SqlError("the text of the template has no {this.columns} for get()")
        if self._parsed.changes and "filter" in parts:
            self._check_restricted("a template that changes data")

    def _write_condition(self, writer: Writer) -> None:
        if not self._where:
            writer.text.append(ALWAYS)
            return
        writer.text.append("(")
        write_conditions(writer, self._where)
        writer.text.append(")")

    def _write_group_columns(self, writer: Writer) -> None:
        if self._groups:
            writer.text.append("GROUP BY ")
            writer.list(self._groups)

    def _write_having(self, writer: Writer) -> None:
        if self._having:
            writer.text.append("HAVING ")
            write_conditions(writer, self._having)

    def _write_names(self, writer: Writer) -> None:
        if self._data:
            writer.text.append(", ".join([name[writer.index] for name in self._data]))
        else:
            self._write_columns(writer)

    def _write_values(self, writer: Writer) -> None:
        self._check_data("values")
        for position, value in enumerate(self._data.values()):
            if position:
                writer.text.append(", ")
            writer.value(value)

    def _write_assignments(self, writer: Writer) -> None:
        self._check_data("pairs")
        write_pairs(writer, self._data)

    def _check_data(self, part: str) -> None:
        if not self._data:
            raise SqlError(f"{{this.{part}}} needs values: use set()")

    def _write_offset(self, writer: Writer) -> None:
        if self._offset is not None:
            unlimited = self._limit is None and writer.dialect is SQLITE
            writer.text.append("LIMIT -1 OFFSET " if unlimited else "OFFSET ")
            writer.value(self._offset)


_SYNONYMS = {"filters": "filter"}
_PARTS: dict[str, Callable[[Template, Writer], None]] = {
    "filter": Template._write_condition,
    "group_by": Template._write_group_columns,
    "having": Template._write_having,
    "order_by": Template._write_order,
    "limit": Template._write_limit,
    "offset": Template._write_offset,
    "returning": Template._write_returning,
    "columns": Template._write_names,
    "values": Template._write_values,
    "pairs": Template._write_assignments,
}
