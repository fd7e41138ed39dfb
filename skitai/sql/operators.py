"""The operators of keywords: what they take, and what they write in each dialect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from skitai.sql.dialects import POSTGRESQL
from skitai.sql.errors import SqlError
from skitai.sql.operands import NO_COLUMN, Operand
from skitai.sql.writer import Expression

if TYPE_CHECKING:
    from skitai.sql.writer import Writer

NEVER = "1 = 0"
ALWAYS = "1 = 1"


class Operator:
    """Compares with a sign: ``column = value``.

    Parameters:
        sign: with blanks around it.
    """

    __slots__ = ("sign",)
    needs_column = True

    def __init__(self, sign: str) -> None:
        self.sign = sign

    def prepare(self, key: str, value: Any) -> Any:
        """What a condition keeps of a value; None for no condition.

        Raises ``SqlError`` for a value that the operator can't take.
        """
        return value

    def write(self, writer: Writer, operand: Operand, value: Any) -> None:
        """Write the condition."""
        if operand.plain:
            operand.write(writer)
            writer.text.append(self.sign)
            writer.compared(value)
        elif operand.leads_to_document(value):
            operand.write_document(writer)
            writer.text.append(self.sign)
            writer.json(value)
        else:
            operand.write(writer, value)
            writer.text.append(self.sign)
            writer.compared(value)


class Between(Operator):
    """``column BETWEEN a AND b``; a missing end is open."""

    def prepare(self, key: str, value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) != 2:
            raise SqlError(f"{key}: needs two values, the lowest and the highest")
        low, high = value
        return None if low is None and high is None else (kept(low), kept(high))

    def write(self, writer: Writer, operand: Operand, value: Any) -> None:
        low, high = value
        operand.write(writer, low if high is None else high)
        if high is None or low is None:
            writer.text.append(" >= " if high is None else " <= ")
            writer.compared(low if high is None else high)
            return
        writer.text.append(" BETWEEN ")
        writer.compared(low)
        writer.text.append(" AND ")
        writer.compared(high)


class Membership(Operator):
    """``column IN (…)`` for values or a sub-select. None is in no list."""

    def prepare(self, key: str, value: Any) -> Any:
        if isinstance(value, Expression):
            return kept(value)
        if isinstance(value, (str, bytes, bytearray, Mapping)) or not isinstance(value, Iterable):
            raise SqlError(f"{key}: needs a list of values, or a select, not {named(value)}")
        return tuple([kept(item) for item in value if item is not None])

    def write(self, writer: Writer, operand: Operand, value: Any) -> None:
        if isinstance(value, Expression):
            operand.write(writer)
            writer.text += self.sign, "("
            value.write(writer)
            writer.text.append(")")
        elif value:
            operand.write(writer, value[0])
            writer.text += self.sign, "("
            writer.compared(value[0])
            for item in value[1:]:
                writer.text.append(", ")
                writer.compared(item)
            writer.text.append(")")
        else:
            writer.text.append(self._empty(writer, operand))

    def _empty(self, writer: Writer, operand: Operand) -> str:
        inside = self.sign == " IN "
        if operand is not NO_COLUMN:
            return NEVER if inside else ALWAYS
        if writer.dialect is POSTGRESQL:
            return " = ANY ('{}')" if inside else " <> ALL ('{}')"
        return f"{self.sign}()"


class IsNull(Operator):
    """``column IS NULL``, or for False ``IS NOT NULL``."""

    def prepare(self, key: str, value: Any) -> Any:
        if value not in (True, False):
            raise SqlError(f"{key}: needs True or False, not {named(value)}")
        return bool(value)

    def write(self, writer: Writer, operand: Operand, value: Any) -> None:
        operand.write(writer)
        writer.text.append(" IS NULL" if value else " IS NOT NULL")


class Exists(Operator):
    """``EXISTS (SELECT …)``."""

    needs_column = False

    def prepare(self, key: str, value: Any) -> Any:
        if not isinstance(value, Expression):
            raise SqlError(f"{key}: needs a select, not {named(value)}")
        return kept(value)

    def write(self, writer: Writer, operand: Operand, value: Any) -> None:
        writer.text += self.sign, "("
        value.write(writer)
        writer.text.append(")")


class Always(Operator):
    """``__all=True``: a condition that everything meets."""

    needs_column = False

    def prepare(self, key: str, value: Any) -> Any:
        if value is not True and value is not False:
            raise SqlError(f"{key}: needs True, not {named(value)}")
        return value or None

    def write(self, writer: Writer, operand: Operand, value: Any) -> None:
        writer.text.append(ALWAYS)


class Regex(Operator):
    """A regular expression of PostgreSQL."""

    def prepare(self, key: str, value: Any) -> Any:
        if not isinstance(value, (str, Expression)):
            raise SqlError(f"{key}: needs a regular expression as text, not {named(value)}")
        return kept(value)

    def write(self, writer: Writer, operand: Operand, value: Any) -> None:
        if writer.dialect is not POSTGRESQL:
            raise writer.dialect.refuse("matching of regular expressions")
        super().write(writer, operand, value)


class HasKey(Operator):
    """Whether a JSON document has a key, or one of several."""

    def prepare(self, key: str, value: Any) -> Any:
        if isinstance(value, Expression):
            return kept(value)
        if self.sign == " ? ":
            if not isinstance(value, str):
                raise SqlError(f"{key}: needs a key as text, not {named(value)}")
            return value
        if isinstance(value, (list, tuple, set, frozenset)):
            keys = [item for item in value if isinstance(item, str)]
            if len(keys) == len(value):
                return keys
        raise SqlError(f"{key}: needs a list of keys, not {named(value)}")

    def write(self, writer: Writer, operand: Operand, value: Any) -> None:
        if writer.dialect is not POSTGRESQL:
            raise writer.dialect.refuse("looking for keys of JSON documents")
        operand.write_document(writer)
        writer.text.append(self.sign)
        writer.value(value)


def kept(value: Any) -> Any:
    """A value as a condition keeps it: of a builder the way it is now."""
    return value.snapshot() if isinstance(value, Expression) else value


def named(value: Any) -> str:
    """The type of a value for a message; the value itself may be a secret."""
    return "None" if value is None else f"a value of type {type(value).__name__}"
