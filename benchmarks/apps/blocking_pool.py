"""psycopg2's pool as Flask and FastAPI use it: a connection for a request, rows as dictionaries.

The server is found by the environment variables of libpq.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg2.extras import RealDictCursor
from psycopg2.pool import ThreadedConnectionPool

if TYPE_CHECKING:
    from collections.abc import Iterator

# The same for all contenders.
CONNECTIONS = 32


class BlockingPool:
    """Connections of a process, opened at once.

    PERF: without autocommit every request would begin and roll back a transaction: two more trips.
    """

    def __init__(self) -> None:
        self._pool = ThreadedConnectionPool(CONNECTIONS, CONNECTIONS, "")

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        """Borrow a connection for the time of the block."""
        connection = self._pool.getconn()
        try:
            connection.autocommit = True
            with connection.cursor(cursor_factory=RealDictCursor) as cursor:
                yield cursor
        finally:
            self._pool.putconn(connection)

    def row(self, statement: str, *params: Any) -> dict[str, Any]:
        """Return the first row."""
        with self.cursor() as cursor:
            cursor.execute(statement, params)
            found: dict[str, Any] = cursor.fetchone()
            return found

    def rows(self, statement: str, *params: Any) -> list[dict[str, Any]]:
        """Return all rows."""
        with self.cursor() as cursor:
            cursor.execute(statement, params)
            found: list[dict[str, Any]] = cursor.fetchall()
            return found
