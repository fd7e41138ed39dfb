"""``Builder``: what all statements have in common: WITH, appended statements, cloning, running.

A builder is changed by its methods, which return it. All that it keeps is never changed afterwards:
tuples, and other builders the way they were when they were handed over. So a clone is a shallow
copy, and nothing that is rendered is used up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from skitai.sql.dialects import SQLITE, Dialect, find_dialect
from skitai.sql.errors import SqlError
from skitai.sql.expressions import Columns, Constant, D
from skitai.sql.operators import kept
from skitai.sql.scanner import trimmed
from skitai.sql.statement import Statement, changes_data, combine
from skitai.sql.writer import Expression, Writer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

_RECURSIVE = "recursive "


class Runner(Protocol):
    """Who executes: a database of an app."""

    def run(self, builder: Builder) -> Any:
        """Start ``builder.compile()`` and return a task."""


class RawStatement(Expression):
    """A whole statement as text."""

    __slots__ = ("sql",)

    def __init__(self, sql: str) -> None:
        if not sql.strip():
            raise SqlError("a statement is empty")
        self.sql = trimmed(sql)

    def write(self, writer: Writer) -> None:
        writer.writes = writer.writes or changes_data(self.sql)
        writer.raw(self.sql)


class ValueRows(Expression):
    """``VALUES (…), (…)``: the columns of several D as a table."""

    __slots__ = ("rows",)

    def __init__(self, rows: tuple[D, ...]) -> None:
        names = [name for name, _ in rows[0].items]
        if any([name for name, _ in row.items] != names for row in rows):
            raise SqlError("all D of a list need the same columns, in the same order")
        self.rows = rows

    def write(self, writer: Writer) -> None:
        separator = "VALUES ("
        for row in self.rows:
            for _, value in row.items:
                writer.text.append(separator)
                writer.value(value)
                separator = ", "
            separator = "), ("
        writer.text.append(")")


class Cte(NamedTuple):
    """A part of a WITH clause."""

    name: str
    source: Expression
    nameless: bool = False  # nothing can refer to it

    def goes_before(self) -> bool:
        """Whether it is a change of data that can as well be a statement of its own."""
        source = self.source
        return self.nameless and isinstance(source, Builder) and source.only_changes


class Builder(Expression):
    """A statement that is being built.

    Parameters:
        dialect: of the database.
        runner: what executes it; None when there is no database.
    """

    _ctes: tuple[Cte, ...] = ()
    _recursive = False
    _appended: tuple[Expression, ...] = ()
    _constants: Mapping[str, Any] = {}
    _framed = False

    def __init__(self, dialect: Dialect, runner: Runner | None) -> None:
        self._dialect = dialect
        self._runner = runner

    @property
    def only_changes(self) -> bool:
        """Whether it changes data and gives no rows back."""
        return False

    # -- parts that every statement may have

    def with_(self, alias: Any, sql: Any = None) -> Self:
        """Add ``WITH alias AS (sql)``.

        Parameters:
            alias: a name, with columns if you like: ``"a(x, y)"``. ``"recursive a(x)"`` makes the
                clause recursive. Left out, it is ``cte_1``, ``cte_2`` and so on: ``with_(sql)``.
            sql: a builder, text, a ``D`` or a list of them.
        """
        name, source = ("", alias) if sql is None else (str(alias).strip(), sql)
        if name.lower().startswith(_RECURSIVE):
            name = name[len(_RECURSIVE) :].strip()
            self._recursive = True
        self._ctes += (Cte(name or self._free_name(), as_source(source), not name),)
        return self

    def _free_name(self) -> str:
        used = {cte.name for cte in self._ctes}
        number = 1
        while f"cte_{number}" in used:
            number += 1
        return f"cte_{number}"

    def append(self, sql: Builder | str) -> Self:
        """Add a statement that runs after this one, in the same transaction."""
        self._appended += (as_statement(sql),)
        return self

    def tran(self) -> Self:
        """Say that all statements are one transaction, which they are anyway: it shows in the text.

        The driver begins and commits by itself; an error undoes everything.
        """
        self._framed = True
        return self

    def const(self, name: str, value: Any) -> Self:
        """Give ``const(name)`` its value, here and in everything inside this statement."""
        if isinstance(value, Constant):
            raise SqlError(f"const({name!r}) can't stand for another const")
        self._constants = {**self._constants, name: kept(value)}
        return self

    def clone(self) -> Self:
        """An independent copy: changing one does not change the other."""
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    branch = clone
    snapshot = clone

    # -- what comes out

    def compile(self, dialect: str | None = None) -> Statement:
        """The statement for a driver.

        Parameters:
            dialect: ``"postgresql"`` or ``"sqlite"``; None for that of the database.

        Raises ``SqlError`` for what can't be a statement, and of it ``UnfilteredError`` for an
        update or delete of everything without ``all()``.
        """
        chosen = self._dialect if dialect is None else find_dialect(dialect)
        return combine(self._statements(chosen, {}), chosen.doubled_percent)

    def _statements(self, dialect: Dialect, constants: Mapping[str, Any]) -> list[Statement]:
        if self._constants:
            constants = {**constants, **self._constants}
        if dialect is SQLITE and any(cte.goes_before() for cte in self._ctes):
            return self._one_by_one(constants)
        writer = Writer(dialect, constants)
        self._write(writer)
        statements = [writer.statement()] if writer.text else []
        for one in self._appended:
            if isinstance(one, Builder):
                statements += one._statements(dialect, constants)
            else:
                writer = Writer(dialect, constants)
                one.write(writer)
                statements.append(writer.statement())
        return statements

    def _one_by_one(self, constants: Mapping[str, Any]) -> list[Statement]:
        """Changes of WITH first, which SQLite does not know, in the same transaction."""
        rest = self.clone()
        rest._ctes = tuple([cte for cte in self._ctes if not cte.goes_before()])
        changes = [cte.source for cte in self._ctes if cte.goes_before()]
        return [
            statement
            for one in (*changes, rest)
            if isinstance(one, Builder)
            for statement in one._statements(SQLITE, constants)
        ]

    def as_sql(self, dialect: str | None = None) -> str:
        """The text, with placeholders instead of values."""
        text = self.compile(dialect).sql
        return f"BEGIN;\n{text};\nCOMMIT" if self._framed else text

    render = as_sql

    @property
    def query(self) -> str:
        """The text, with placeholders instead of values."""
        return self.as_sql()

    def __str__(self) -> str:
        return self.as_sql()

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__}: {self.as_sql()}>"
        except SqlError as exc:
            return f"<{type(self).__name__}, unfinished: {exc}>"

    # -- running

    def execute(self) -> Any:
        """Start it; returns a task.

        Raises ``SqlError`` for what can't be a statement, or if there is no database to ask.
        """
        if self._runner is None:
            raise SqlError("there is no database to execute this: begin with was.db('@alias')")
        return self._runner.run(self)

    def exone(self, **options: Any) -> Any:
        """``execute().one()``"""
        return self.execute().one(**options)

    def exfetch(self, **options: Any) -> Any:
        """``execute().fetch()``"""
        return self.execute().fetch(**options)

    def excommit(self, **options: Any) -> Any:
        """``execute().commit()``"""
        return self.execute().commit(**options)

    # -- writing

    def write(self, writer: Writer) -> None:
        """Write it as a part of another statement."""
        if self._appended or self._framed:
            raise SqlError("several statements can't be part of another one: use with_()")
        outer = writer.constants
        writer.constants = {**outer, **self._constants}
        self._write(writer)
        writer.constants = outer

    def write_value(self, writer: Writer) -> None:
        writer.text.append("(")
        self.write(writer)
        writer.text.append(")")

    def _write(self, writer: Writer) -> None:
        """Write the statement alone."""
        raise NotImplementedError

    def _write_ctes(self, writer: Writer) -> None:
        if not self._ctes:
            return
        writer.text.append("WITH RECURSIVE " if self._recursive else "WITH ")
        wrote = writer.writes
        writer.writes = False
        for position, (name, source, _) in enumerate(self._ctes):
            if position:
                writer.text.append(", ")
            writer.raw(name)
            if isinstance(source, ValueRows) and "(" not in name:
                writer.text.append(" (")
                Columns(source.rows[0]).write(writer)
                writer.text.append(")")
            writer.text.append(" AS (")
            source.write(writer)
            writer.text.append(")")
        writer.text.append("\n")
        if writer.writes and writer.dialect is SQLITE:
            raise writer.dialect.refuse("a WITH clause that changes data")
        writer.writes = writer.writes or wrote


def as_statement(sql: Any) -> Expression:
    """A statement as it is kept: text, or a builder the way it is now."""
    if isinstance(sql, Builder):
        return sql.clone()
    if isinstance(sql, str):
        return RawStatement(sql)
    raise SqlError(f"a statement is a builder or text, not {type(sql).__name__}")


def as_source(sql: Any) -> Expression:
    """What WITH can name: a statement, or the columns of D."""
    if isinstance(sql, D):
        return ValueRows((sql,))
    if isinstance(sql, (list, tuple)):
        if not sql or not all(isinstance(row, D) for row in sql):
            raise SqlError("a list for with_() has D, one for each row")
        return ValueRows(tuple(sql))
    return as_statement(sql)
