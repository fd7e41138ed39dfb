"""The library: all questions to the database about books. Services call it with was.db("@shelf").

Each function starts a task and returns it. The work goes on elsewhere, so several may be on their
way at once; what came out is fetched, awaited or handed to was.Map.
"""

from atila import F

from .fields import clean
from .samples import SAMPLES

SCHEMA = """
CREATE TABLE book (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    author TEXT NOT NULL,
    year INTEGER,
    status TEXT NOT NULL,
    rating INTEGER NOT NULL,
    notes TEXT NOT NULL,
    added DATE NOT NULL DEFAULT (date('now'))
)
"""


def prepare(was):
    """Make the table, with some books on it, if the file is new."""
    # All workers do this when they start. The first one gets the transaction, the others wait and
    # find the work done. What isn't committed is undone at the end of the block.
    with was.transaction("@shelf") as db:
        if db.execute("PRAGMA user_version").one().user_version:
            return
        db.execute(SCHEMA)
        db.insert("book").set([clean(book) for book in SAMPLES]).execute()
        db.execute("PRAGMA user_version = 1")
        db.commit()


def search(db, status="", q=""):
    """Find the books of a status whose title, author or notes contain ``q``, newest first.

    An empty ``status`` or ``q`` (the defaults) matches every book.
    """
    # A condition whose value is None drops out.
    books = db.select("book").filter(status=status or None).order_by("-id")
    if q:
        # LIKE knows the cases of ASCII only; readers also look for Ö and Ш. {} becomes a bound
        # value: nothing that a client sends is ever part of the SQL.
        text = "title || char(10) || author || char(10) || notes"
        books.filter(F(f"instr(casefold({text}), casefold({{}})) > 0", q))
    return books.execute()


def by_author(db, author):
    """Find the books of one author, oldest work first."""
    same = F("casefold(author) = casefold({})", author)
    return db.select("book").filter(same).order_by("year", "id").execute()


def counts(db):
    """Count the books of each status: rows with ``status`` and ``books``."""
    return db.select("book").get("status, count(*) AS books").group_by("status").execute()


def get(db, id):
    """Find one book: a list of it, or an empty one."""
    return db.select("book").filter(id=number(id)).execute()


def add(db, fields):
    """Store a new book (clean fields, see fields.py) and give it back with its number."""
    return db.insert("book").set(fields).returning().execute()


def change(db, id, fields):
    """Store some fields of a book and give all of it back: a list of it, or an empty one."""
    if not fields:
        return get(db, id)
    return db.update("book").set(fields).filter(id=number(id)).returning().execute()


def remove(db, id):
    """Forget a book: a list of its number, or an empty one."""
    return db.delete("book").filter(id=number(id)).returning("id").execute()


def page_after(db, id, size=200):
    """Find the ``size`` books that follow the one with this number."""
    return db.select("book").filter(id__gt=id).order_by("id")[:size].execute()


def number(id):
    """Return the number of a book as text, as a URL can hold one too large for SQLite."""
    return str(id)
