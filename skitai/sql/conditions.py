"""Conditions: what ``filter`` makes of its arguments, and ``Q``, which combines them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.sql.errors import SqlError
from skitai.sql.expressions import F
from skitai.sql.keys import parse_key
from skitai.sql.names import dotted
from skitai.sql.operands import NO_COLUMN, Operand
from skitai.sql.operators import ALWAYS, Always, kept
from skitai.sql.writer import Expression

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from skitai.sql.operators import Operator
    from skitai.sql.writer import Writer

    Translate = Callable[[str, Any, bool], tuple[str, Any]]


class Condition(Expression):
    """What is true or false for a row."""

    __slots__ = ()
    loose = True  # needs parentheses among others

    def restricts(self) -> bool:
        """Whether it can keep out anything: what an update or delete must have."""
        return True

    def translated(self, translate: Translate) -> Condition:
        """The same with other columns or values; SQL as text is left alone."""
        return self


class Comparison(Condition):
    """One comparison.

    Parameters:
        operand, operator: of the keyword.
        value: as the operator prepared it.
    """

    __slots__ = ("operand", "operator", "value")
    loose = False

    def __init__(self, operand: Operand, operator: Operator, value: Any) -> None:
        self.operand = operand
        self.operator = operator
        self.value = value

    def write(self, writer: Writer) -> None:
        self.operator.write(writer, self.operand, self.value)

    def restricts(self) -> bool:
        return not isinstance(self.operator, Always)

    def translated(self, translate: Translate) -> Condition:
        old = self.operand
        if old is NO_COLUMN:
            return self
        name = old.column[0].replace('"', "")
        new, value = translate(name, self.value, old.plain)
        operand = old if new == name else Operand(dotted(new.split(".")), old.path, old.part)
        return Comparison(operand, self.operator, value)


class Text(Condition):
    """SQL that an app wrote."""

    __slots__ = ("sql",)

    def __init__(self, sql: F) -> None:
        self.sql = sql

    def write(self, writer: Writer) -> None:
        self.sql.write(writer)


class Negation(Condition):
    """NOT of a condition."""

    __slots__ = ("condition",)
    loose = False

    def __init__(self, condition: Condition) -> None:
        self.condition = condition

    def write(self, writer: Writer) -> None:
        writer.text.append("NOT (")
        self.condition.write(writer)
        writer.text.append(")")

    def translated(self, translate: Translate) -> Condition:
        return Negation(self.condition.translated(translate))


class Every(Condition):
    """Conditions that must all hold."""

    __slots__ = ("conditions",)
    word = " AND "

    def __init__(self, conditions: tuple[Condition, ...]) -> None:
        self.conditions = conditions

    def write(self, writer: Writer) -> None:
        write_conditions(writer, self.conditions, self.word)

    def restricts(self) -> bool:
        return restricting(self.conditions)

    def translated(self, translate: Translate) -> Condition:
        return type(self)(tuple([one.translated(translate) for one in self.conditions]))


class Either(Every):
    """Conditions one of which must hold."""

    __slots__ = ()
    word = " OR "

    def restricts(self) -> bool:
        return all(condition.restricts() for condition in self.conditions)


def write_conditions(
    writer: Writer, conditions: tuple[Condition, ...], word: str = " AND "
) -> None:
    """Write conditions with a word between them; those that need parentheses get them."""
    if len(conditions) == 1:
        conditions[0].write(writer)
        return
    for position, condition in enumerate(conditions):
        if position:
            writer.text.append(word)
        if condition.loose:
            writer.text.append("(")
            condition.write(writer)
            writer.text.append(")")
        else:
            condition.write(writer)


def restricting(conditions: Iterable[Condition]) -> bool:
    """Whether the conditions together can keep out anything."""
    return any(condition.restricts() for condition in conditions)


def make_conditions(parts: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Condition, ...]:
    """The conditions of a call such as ``filter``.

    Parameters:
        parts: ``Q``, text or ``F``; what is empty drops out.
        named: values by keyword; what is None drops out.

    Raises ``SqlError`` for an unknown operator, a bad name, a value that the operator can't take.
    """
    found: list[Condition] = []
    for part in parts:
        if isinstance(part, Q):
            if part.condition is not None:
                found += _unfolded(part.condition)
        elif isinstance(part, str):
            if part.strip():
                found.append(Text(F(part)))
        elif isinstance(part, F):
            found.append(Text(part))
        elif part is not None and part is not False:
            raise SqlError(f"a condition is a Q, SQL text or a keyword, not {type(part).__name__}")
    for name, value in named.items():
        if value is not None:
            operand, operator = parse_key(name)
            if operand is NO_COLUMN and operator.needs_column:
                raise SqlError(f"{name!r} needs a column: write it as column{name}")
            prepared = operator.prepare(name, kept(value))
            if prepared is not None:
                found.append(Comparison(operand, operator, prepared))
        else:
            parse_key(name)  # a misspelt keyword is found whatever its value is
    return tuple(found)


def _unfolded(condition: Condition) -> tuple[Condition, ...]:
    return condition.conditions if type(condition) is Every else (condition,)


class Q(Expression):
    """Conditions that can be combined by ``|``, ``&`` and ``~``; never changed by that.

    Parameters:
        parts: other ``Q``, SQL text or ``F``.
        named: as in ``filter``: ``column__operator=value``.

    It is false if it has no condition, as all values were None. Such a one drops out wherever it is
    combined or used.
    """

    __slots__ = ("condition",)

    def __init__(self, *parts: Any, **named: Any) -> None:
        self.condition = _joined(make_conditions(parts, named), Every)

    def __bool__(self) -> bool:
        return self.condition is not None

    def __and__(self, other: Q) -> Q:
        return self._combine(other, Every)

    def __or__(self, other: Q) -> Q:
        return self._combine(other, Either)

    def __invert__(self) -> Q:
        return _made(None if self.condition is None else Negation(self.condition))

    def _combine(self, other: Q, kind: type[Every]) -> Q:
        if not isinstance(other, Q):
            return NotImplemented
        conditions: tuple[Condition, ...] = ()
        for condition in (self.condition, other.condition):
            if isinstance(condition, Every) and type(condition) is kind:
                conditions += condition.conditions
            elif condition is not None:
                conditions += (condition,)
        return _made(_joined(conditions, kind))

    def translated(self, translate: Translate) -> Q:
        """The same with other columns or values, for models.

        Parameters:
            translate: gets a name (``alias.column``), a value as its operator keeps it, and whether
                it is the column itself that is compared, not a part of it. It returns name and
                value.
        """
        return _made(None if self.condition is None else self.condition.translated(translate))

    def write(self, writer: Writer) -> None:
        if self.condition is None:
            writer.text.append(ALWAYS)
        else:
            self.condition.write(writer)

    def write_field(self, writer: Writer) -> None:
        writer.text.append("(")
        self.write(writer)
        writer.text.append(")")

    def write_value(self, writer: Writer) -> None:
        raise SqlError("Q is a condition, not a value")


def _joined(conditions: tuple[Condition, ...], kind: type[Every]) -> Condition | None:
    if len(conditions) > 1:
        return kind(conditions)
    return conditions[0] if conditions else None


def _made(condition: Condition | None) -> Q:
    combined = Q()
    combined.condition = condition
    return combined
