"""``Writer``: puts one statement together, text and parameters in the same order.

Whatever is part of a statement is an ``Expression``: it writes itself to a writer, as often as it
is asked to, and is not changed by that.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from skitai.sql.dialects import SQLITE, Dialect, json_text
from skitai.sql.errors import SqlError
from skitai.sql.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Expression:
    """A part of a statement. Parts don't change once they belong to one."""

    __slots__ = ()

    def write(self, writer: Writer) -> None:
        """Write it where it stands alone."""
        raise SqlError(f"{type(self).__name__} can't be written here")

    def write_value(self, writer: Writer) -> None:
        """Write it where a value is expected."""
        self.write(writer)

    def write_field(self, writer: Writer) -> None:
        """Write it in place of a field of a template."""
        self.write_value(writer)

    def snapshot(self) -> Expression:
        """What a statement keeps of it: the thing as it is now."""
        return self


class Writer:
    """A statement that is being written.

    Parameters:
        dialect: of the database.
        constants: what ``const(name)`` stands for.

    Attributes:
        text: pieces of SQL. Constant text without ``%`` is appended directly.
        params: the values so far.
        index: of the dialect, in pairs of texts.
        writes: whether something was written that changes data.
    """

    __slots__ = (
        "_derived",
        "_double",
        "_placeholder",
        "_plain",
        "constants",
        "dialect",
        "index",
        "params",
        "text",
        "writes",
    )

    def __init__(self, dialect: Dialect, constants: Mapping[str, Any]) -> None:
        self.text: list[str] = []
        self.params: list[Any] = []
        self.dialect = dialect
        self.index = dialect.index
        self.writes = False
        self.constants = constants
        self._placeholder = dialect.placeholder
        self._plain = dialect.plain
        self._double = dialect.doubled_percent
        self._derived = 0

    def raw(self, text: str) -> None:
        """Write SQL that an app wrote; ``%`` means itself."""
        if self._double and "%" in text:
            text = text.replace("%", "%%")
        self.text.append(text)

    def value(self, value: Any) -> None:
        """Write a placeholder for a value, or an expression in its place."""
        if type(value) in self._plain:
            self.params.append(value)
            self.text.append(self._placeholder)
        elif value is None:
            self.text.append("NULL")
        elif isinstance(value, Expression):
            value.write_value(self)
        else:
            self.params.append(self.dialect.bind(value))
            self.text.append(self._placeholder)

    def compared(self, value: Any) -> None:
        """Write a value that something is compared with."""
        if type(value) is Decimal and self.dialect is SQLITE:
            # The driver may have to bind it as text, which SQLite finds greater than every number.
            self.params.append(value)
            self.text.append("CAST(? AS NUMERIC)")
        else:
            self.value(value)

    def json(self, value: Any) -> None:
        """Write a value as a JSON document."""
        self.params.append(json_text(value))
        self.text.append("json(?)" if self.dialect is SQLITE else "%s::jsonb")

    def list(self, items: Iterable[Any], separator: str = ", ") -> None:
        """Write SQL texts and expressions one after the other; other values are bound."""
        for position, item in enumerate(items):
            if position:
                self.text.append(separator)
            if isinstance(item, str):
                self.raw(item)
            else:
                self.value(item)

    def derived_name(self) -> str:
        """A name for a sub-select that has none and needs one."""
        self._derived += 1
        return f"derived_{self._derived}"

    def constant(self, name: str) -> Any:
        """What ``const(name)`` stands for. Raises ``SqlError`` if nobody said."""
        try:
            return self.constants[name]
        except KeyError:
            raise SqlError(
                f"const({name!r}) has no value: give one by .const({name!r}, …)"
            ) from None

    def statement(self) -> Statement:
        """What was written, for the driver."""
        text = "".join(self.text)
        if self._double and not self.params and "%" in text:
            text = text.replace("%%", "%")
        return Statement(text, tuple(self.params), self.writes)
