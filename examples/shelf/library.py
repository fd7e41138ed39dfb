"""The library: books in one SQLite file, shared by all workers and threads. Services call it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .fields import DEFAULTS, clean
from .samples import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Iterator

Book = dict[str, Any]

SCHEMA = """
CREATE TABLE book (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    author TEXT NOT NULL,
    year INTEGER,
    status TEXT NOT NULL,
    rating INTEGER NOT NULL,
    notes TEXT NOT NULL,
    added TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d', 'now'))
)
"""
COLUMNS = "id, title, author, year, status, rating, notes, added"
FIELDS = tuple(DEFAULTS)


class Library:
    """All books. Every method may be called from any thread; each thread has its own connection.

    Parameters:
        path: the database file. It is created with some sample books if it doesn't exist.

    Raises ``RuntimeError`` naming the path when the file can't be made or isn't a database.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._mine = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        try:
            self._prepare()
        except (OSError, sqlite3.Error) as exc:
            self.close()
            raise RuntimeError(
                f"SHELF_DB: can't keep books in {self.path}: {exc}. "
                "Set it to a file in a directory that this user may write to"
            ) from exc

    def search(self, status: str = "", q: str = "") -> list[Book]:
        """Return the books of a status whose title, author or notes contain ``q``, newest first.

        An empty ``status`` or ``q`` (the defaults) matches every book.
        """
        return self._rows(
            f"SELECT {COLUMNS} FROM book WHERE (:status = '' OR status = :status)"
            " AND instr(fold(title || char(10) || author || char(10) || notes), fold(:q)) > 0"
            " ORDER BY id DESC",
            {"status": status, "q": q},
        )

    def by_author(self, author: str) -> list[Book]:
        """Return the books of one author, oldest work first."""
        return self._rows(
            f"SELECT {COLUMNS} FROM book WHERE fold(author) = fold(?) ORDER BY year, id", (author,)
        )

    def counts(self) -> dict[str, int]:
        """Return how many books have each status; a status without books is left out."""
        rows = self._rows("SELECT status, count(*) AS books FROM book GROUP BY status", ())
        return {row["status"]: row["books"] for row in rows}

    def get(self, id: int | str) -> Book | None:
        """Return one book, or None if there is no such number."""
        # As text, because a URL can hold a number that is too large for SQLite's integers.
        rows = self._rows(f"SELECT {COLUMNS} FROM book WHERE id = ?", (str(id),))
        return rows[0] if rows else None

    def add(self, fields: Book) -> Book:
        """Store a new book (clean fields, see fields.py) and return it with its number."""
        marks = ", ".join(f":{name}" for name in FIELDS)
        cursor = self._connection().execute(
            f"INSERT INTO book ({', '.join(FIELDS)}) VALUES ({marks})", fields
        )
        book = self.get(cursor.lastrowid or 0)
        assert book is not None
        return book

    def change(self, id: int | str, fields: Book) -> Book | None:
        """Store some fields of a book and return the whole; None if there is no such number."""
        # Only names from FIELDS become part of the SQL; values are always bound.
        names = [name for name in FIELDS if name in fields]
        if names:
            places = ", ".join(f"{name} = :{name}" for name in names)
            self._connection().execute(
                f"UPDATE book SET {places} WHERE id = :id", {**fields, "id": str(id)}
            )
        return self.get(id)

    def remove(self, id: int | str) -> bool:
        """Forget a book; False if there is no such number."""
        cursor = self._connection().execute("DELETE FROM book WHERE id = ?", (str(id),))
        return cursor.rowcount == 1

    def each(self, page: int = 200) -> Iterator[Book]:
        """Yield every book in the order of their numbers, reading ``page`` books at a time.

        Nothing is kept open between two pages, so a slow reader holds up nobody.
        """
        last = 0
        while books := self._rows(
            f"SELECT {COLUMNS} FROM book WHERE id > ? ORDER BY id LIMIT ?", (last, page)
        ):
            yield from books
            last = books[-1]["id"]

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            while self._connections:
                self._connections.pop().close()
            self._mine = threading.local()

    def _rows(self, sql: str, values: dict[str, Any] | tuple[Any, ...]) -> list[Book]:
        return [dict(row) for row in self._connection().execute(sql, values)]

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = self._connect()
            with self._lock:
                self._connections.append(connection)
        return connection

    def _connect(self) -> sqlite3.Connection:
        # Each thread uses only its own connection; check_same_thread is off for close() alone.
        # isolation_level=None: every statement is its own transaction, nothing stays locked.
        connection = sqlite3.connect(
            self.path,
            timeout=10,  # seconds to wait for another writer
            isolation_level=None,
            check_same_thread=False,
        )
        connection.row_factory = sqlite3.Row
        # SQLite's own lower() knows only ASCII; readers also look for Ö and Ш.
        connection.create_function("fold", 1, str.casefold, deterministic=True)
        return connection

    def _prepare(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _alone_in(self.path.parent):
            connection = self._connection()
            # WAL: readers don't wait for writers. The setting stays in the file.
            connection.execute("PRAGMA journal_mode = WAL")
            if connection.execute("PRAGMA user_version").fetchone()[0]:
                return
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(SCHEMA)
                for book in SAMPLES:
                    self.add(clean(book))
                connection.execute("PRAGMA user_version = 1")


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    # All workers start at the same moment and one must make the file. SQLite doesn't wait while
    # another connection switches to WAL, so its own locks aren't enough here.
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
