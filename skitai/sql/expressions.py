"""What stands for a value: ``F`` (SQL), ``V`` (a bound value), ``D`` (columns), ``const``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.sql.errors import SqlError
from skitai.sql.fields import Field, Pieces, field_names, parse_fields, write_field
from skitai.sql.keys import parse_key
from skitai.sql.names import column
from skitai.sql.operands import NO_COLUMN
from skitai.sql.operators import kept
from skitai.sql.writer import Expression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skitai.sql.operators import Operator
    from skitai.sql.writer import Writer


class F(Expression):
    """SQL in place of a value: a column, or an expression.

    Parameters:
        text: SQL. With values given, its fields ``{}`` and ``{name}`` stand for them, and other
            braces have to be doubled; without, it is taken as it is.
        values, names: bound values, or expressions.

    Raises ``SqlError`` when fields and values do not match.
    """

    __slots__ = ("_pieces", "_values")

    def __init__(self, text: str, /, *values: Any, **names: Any) -> None:
        if not isinstance(text, str):
            raise SqlError(f"F() takes SQL as text, not {type(text).__name__}; V() takes values")
        self._pieces: Pieces
        self._values: Mapping[str, Any]
        self._pieces, self._values = with_values(text, values, names)

    def write(self, writer: Writer) -> None:
        write_pieces(writer, self._pieces, self._values)


def with_values(
    text: str, values: tuple[Any, ...], names: Mapping[str, Any]
) -> tuple[Pieces, Mapping[str, Any]]:
    """The pieces of a text and the values of its fields; a text without values has no fields."""
    if not values and not names:
        return (text,), {}
    pieces = parse_fields(text)
    given = {**{str(number): kept(value) for number, value in enumerate(values)},
             **{name: kept(value) for name, value in names.items()}}  # fmt: skip
    wanted = set(field_names(pieces))
    if missing := wanted.difference(given):
        raise SqlError(f"no value for {{{min(missing)}}} of the text {text!r}")
    if unused := set(given).difference(wanted):
        raise SqlError(f"there is no field {{{min(unused)}}} in the text {text!r}")
    return pieces, given


def write_pieces(writer: Writer, pieces: Pieces, values: Mapping[str, Any]) -> None:
    """Write a text with its values."""
    for piece in pieces:
        if isinstance(piece, Field):
            write_field(writer, attribute_of(piece, values[piece.name]))
        else:
            writer.raw(piece)


def attribute_of(field: Field, value: Any) -> Any:
    """What a field with an attribute stands for. Raises ``SqlError`` if the value has none."""
    if isinstance(value, D):
        return value.part(field)
    if field.attribute is not None:
        raise SqlError(f"{{{field.name}.{field.attribute}}}: only a D has columns, values or pairs")
    return value


class V(Expression):
    """A value that is bound, for texts and templates.

    Parameters:
        value: it; None is NULL.
        operator: instead of the value an operator with it, as ``V(__gte=3)`` for ``>= 3``.
    """

    __slots__ = ("_operator", "_value")

    def __init__(self, value: Any = None, /, **operator: Any) -> None:
        self._value = kept(value)
        self._operator: Operator | None = None
        if operator:
            (name, operand), *more = operator.items()
            key = parse_key(name)
            if more or key.operand is not NO_COLUMN or value is not None:
                raise SqlError("V() takes one value, or one operator with it: V(__gte=3)")
            self._operator = key.operator
            self._value = key.operator.prepare(f"V({name}=…)", operand)
            if self._value is None:
                raise SqlError(f"V({name}=None): there is nothing to compare with")

    def write(self, writer: Writer) -> None:
        if self._operator is None:
            writer.value(self._value)
        else:
            start = len(writer.text)
            self._operator.write(writer, NO_COLUMN, self._value)
            writer.text[start] = writer.text[start].lstrip()

    write_field = write

    def write_value(self, writer: Writer) -> None:
        if self._operator is not None:
            raise SqlError("V() with an operator is for templates: here a value is needed")
        self.write(writer)


class D(Expression):
    """Columns and their values.

    In templates: ``{name.columns}``, ``{name.values}`` and ``{name.pairs}``, which are ``a, b``,
    their bound values, and ``a = 1, b = 2``. As a table: ``with_("name", D(…))``.

    Parameters:
        mapping, columns: names and values, at least one.

    Raises ``SqlError`` for a name that is none.
    """

    __slots__ = ("items",)

    def __init__(self, mapping: Mapping[str, Any] | None = None, /, **columns: Any) -> None:
        merged = {**(mapping or {}), **columns}
        if not merged:
            raise SqlError("D() needs columns: D(name='Hans')")
        self.items = [(column(name), kept(value)) for name, value in merged.items()]

    def part(self, field: Field) -> Expression:
        """What a field of a template stands for."""
        kind = _PARTS.get(field.attribute or "")
        if kind is None:
            name = field.name
            raise SqlError(f"{{{name}}} is a D: write {{{name}.columns}}, .values or .pairs")
        return kind(self)


class Columns(Expression):
    """The names of a D."""

    __slots__ = ("data",)

    def __init__(self, data: D) -> None:
        self.data = data

    def write(self, writer: Writer) -> None:
        writer.text.append(", ".join([name[writer.index] for name, _ in self.data.items]))


class Values(Columns):
    """The values of a D."""

    __slots__ = ()

    def write(self, writer: Writer) -> None:
        for position, (_, value) in enumerate(self.data.items):
            if position:
                writer.text.append(", ")
            writer.value(value)


class Pairs(Columns):
    """The assignments of a D."""

    __slots__ = ()

    def write(self, writer: Writer) -> None:
        for position, (name, value) in enumerate(self.data.items):
            writer.text += ", " if position else "", name[writer.index], " = "
            writer.value(value)


_PARTS: dict[str, type[Columns]] = {"columns": Columns, "values": Values, "pairs": Pairs}


class Constant(Expression):
    """A name for a value that the builder gets later, by ``.const(name, value)``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def write(self, writer: Writer) -> None:
        writer.value(writer.constant(self.name))


const = Constant
