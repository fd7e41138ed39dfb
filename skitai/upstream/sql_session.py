"""What the drivers of SQL databases offer beside ``call``: sessions, and rows in batches.

The facade makes the transactions and cursors of apps on top of this, for any driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from skitai.upstream.interface import Backend

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from skitai.sql.rows import Row
    from skitai.sql.statement import Statement
    from skitai.upstream.sql_reply import SqlReply

# A session that nobody uses for so long is rolled back and closed, so that the connection and its
# locks are free for others.
SESSION_IDLE_SECONDS = 60.0
BATCH_ROWS = 1000


class SqlSession(Protocol):
    """One connection, for one after the other. Used on the loop; all methods may be cancelled.

    Who forgets a session without closing it has what was not committed rolled back.

    Attributes:
        in_transaction: something was executed that is neither committed nor rolled back.
        closed: nothing can be executed any more.
    """

    @property
    def in_transaction(self) -> bool: ...

    @property
    def closed(self) -> bool: ...

    async def execute(self, statement: Statement) -> SqlReply:
        """Run a statement, in the transaction of the session unless it commits automatically.

        Raises ``Failure``. After an error of PostgreSQL only ``rollback`` is possible.
        """

    async def commit(self) -> None:
        """Keep what was done; nothing to do without a transaction. Raises ``Failure``."""

    async def rollback(self) -> None:
        """Undo what was done since the last commit; nothing to do without a transaction."""

    async def close(self) -> None:
        """Roll back what is not committed and give the connection back; raises nothing."""


class SqlBackend(Backend, Protocol):
    """A backend for statements; ``call`` takes one ``Statement``, which commits by itself."""

    async def session(self, autocommit: bool) -> SqlSession:
        """Wait for a connection of its own.

        Parameters:
            autocommit: each statement commits by itself, as in a cursor; False for a transaction,
                which begins with the first statement.

        Raises ``Failure``.
        """

    def batches(
        self, statement: Statement, size: int = BATCH_ROWS
    ) -> AsyncGenerator[list[Row], None]:
        """The rows of a select, ``size`` at a time, read from the server as they are asked for.

        No list is empty. What is left is dropped when the generator is closed. Raises ``Failure``.
        """
