"""The operators that look for text in text, without wildcards for whom asks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from skitai.sql.dialects import SQLITE
from skitai.sql.errors import SqlError
from skitai.sql.operators import Operator, kept, named
from skitai.sql.writer import Expression

if TYPE_CHECKING:
    from skitai.sql.operands import Operand
    from skitai.sql.writer import Writer

_LIKE = re.compile(r"[\\%_]")
_GLOB = re.compile(r"[*?\[]")


class Pattern(Operator):
    """``column LIKE pattern``; the value is looked for as it is.

    LIKE of SQLite is blind to the case of ASCII letters, so what is to see it is written with GLOB
    there. Blind to case, SQLite knows ASCII only.

    Parameters:
        before, after: whether anything may stand before and after the value.
        negated: whether it must not match.
        blind: whether upper and lower case are the same.
    """

    __slots__ = ("after", "before", "blind", "negated")

    def __init__(self, before: bool, after: bool, negated: bool, blind: bool) -> None:
        super().__init__("")
        self.before = before
        self.after = after
        self.negated = negated
        self.blind = blind

    def prepare(self, key: str, value: Any) -> Any:
        if isinstance(value, Expression):
            return kept(value)
        if isinstance(value, (bytes, bytearray, list, tuple, set, frozenset, dict)):
            raise SqlError(f"{key}: needs text, not {named(value)}")
        return str(value)

    def write(self, writer: Writer, operand: Operand, value: Any) -> None:
        operand.write(writer)
        glob = writer.dialect is SQLITE and not self.blind
        name = (
            "GLOB" if glob else "ILIKE" if self.blind and writer.dialect is not SQLITE else "LIKE"
        )
        writer.text.append(f" NOT {name} " if self.negated else f" {name} ")
        if isinstance(value, Expression):
            self._write_expression(writer, value, glob)
        elif glob:
            writer.value(self._framed(_GLOB.sub(r"[\g<0>]", value), "*"))
        else:
            writer.value(self._framed(_LIKE.sub(r"\\\g<0>", value), "%"))
            if writer.dialect is SQLITE:
                writer.text.append(r" ESCAPE '\'")

    def _framed(self, text: str, wildcard: str) -> str:
        return (wildcard if self.before else "") + text + (wildcard if self.after else "")

    def _write_expression(self, writer: Writer, value: Expression, glob: bool) -> None:
        """The value is only known to the database: it has to escape it."""
        special = "[*?" if glob else "!%_"
        wildcard = "*" if glob else "%"
        if self.before:
            writer.raw(f"'{wildcard}' || ")
        writer.text.append("replace(" * len(special))
        writer.text.append("(")
        value.write_value(writer)
        writer.text.append(")")
        for character in special:
            escaped = f"[{character}]" if glob else f"!{character}"
            writer.raw(f", '{character}', '{escaped}')")
        if self.after:
            writer.raw(f" || '{wildcard}'")
        if not glob:
            writer.text.append(" ESCAPE '!'")
