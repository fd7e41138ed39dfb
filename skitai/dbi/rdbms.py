"""``SqlConnect``: the base of interfaces to SQL databases that an app brings itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from skitai.upstream.custom import Interface

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Result = tuple[Sequence[str], Iterable[Sequence[Any]]] | int | None


class SqlConnect(Interface):
    """A connection that runs statements.

    ``was.db("@alias")`` then is what it is for PostgreSQL and SQLite: builders, ``execute``,
    transactions, cursors; and rows have attributes.

    Attributes:
        dialect: what builders write: ``"sqlite"``, with ``?`` for parameters, or ``"postgresql"``,
            with ``%s`` for them, and ``%%`` for ``%`` in statements that have any.
    """

    dialect: ClassVar[str | None] = "sqlite"

    async def execute(  # type: ignore[override]  # called with statements
        self, sql: str, params: Sequence[Any]
    ) -> Result:
        """Run one statement, which commits by itself unless a transaction was begun.

        Parameters:
            sql: with placeholders.
            params: their values, as an app gave them.

        Returns the names of the columns and the rows; or, for a statement without rows, how many
        were changed; None where that means nothing. Raises as ``Interface`` says.
        """
        raise NotImplementedError(f"{type(self).__name__}.execute is missing")

    async def begin(self) -> None:
        """Begin a transaction; by default the statement BEGIN."""
        await self.execute("BEGIN", ())

    async def commit(self) -> None:
        """Keep what was done since; by default the statement COMMIT."""
        await self.execute("COMMIT", ())

    async def rollback(self) -> None:
        """Undo what was done since; by default the statement ROLLBACK."""
        await self.execute("ROLLBACK", ())
