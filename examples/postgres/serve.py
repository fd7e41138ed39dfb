"""Books in PostgreSQL: `BOOKS_DB=user:password@localhost:5432/books python3 serve.py --devel`"""

import os
from typing import Annotated

import psycopg2
import skitai
from atila import Atila
from msgspec import Meta
from skitai.sql import F

app = Atila(__name__)
Title = Annotated[str, Meta(min_length=1, max_length=200)]
Pieces = Annotated[int, Meta(ge=1, le=1000)]
Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]  # others the database can't have
SCHEMA = """
    create table if not exists book (
        id bigserial primary key,
        title text not null unique,
        tags text[] not null default '{}',
        pieces int not null default 0 check (pieces >= 0)
    )
"""


@app.on("mounted")
def prepare(was):
    # Workers start at the same time; the lock lets one after the other make the table.
    with was.transaction("@books") as tx:
        tx.execute("select pg_advisory_xact_lock(5000)")
        tx.execute(SCHEMA)
        tx.commit()


@app.post("/books")
async def add(was, title: Title, tags: list[str] = (), pieces: Pieces = 1):
    """Store a book; a title that is there gets more pieces. A list is an array."""
    book = {"title": title, "tags": list(tags), "pieces": pieces}
    with was.db("@books") as db:
        insert = db.insert("book").set(book)
        more = F("book.pieces + excluded.pieces")
        task = await insert.upflict("title", pieces=more).returning().execute()
    return was.API("201 Created", task.one())


@app.get("/books")
async def books(was, tag: str | None = None):
    """Both statements run at the same time, each on a connection of the pool."""
    with was.db("@books") as db:
        rows = db.execute("select * from book where %s is null or %s = any(tags)", tag, tag)
        total = db.select("book").get("coalesce(sum(pieces), 0) as pieces").execute()
        tasks = await was.Tasks(books=rows, total__one__pieces=total)
    return was.API(tasks.fetch())


@app.post("/books/<id>/sales")
async def sell(was, id: Id, pieces: Pieces):
    """All or nothing: what is not committed when the block ends is undone."""
    async with was.transaction("@books") as tx:
        change = "update book set pieces = pieces - %s where id = %s returning id, pieces"
        task = await tx.execute(change, pieces, id)
        try:
            rows = task.fetch()
        except psycopg2.errors.CheckViolation as exc:
            raise was.Error("409 Conflict", "there are not so many") from exc
        if not rows:
            raise was.Error("404 Not Found", "there is no such book")
        await tx.commit()
    return was.API(rows[0])


def address():
    """Where the database is: no password belongs into a file of the project."""
    given = os.environ.get("BOOKS_DB")
    if not given:
        raise skitai.ConfigError("BOOKS_DB is not set: give user:password@host:5432/database")
    return given


if __name__ == "__main__":
    with skitai.preference() as pref:
        skitai.alias("@books", skitai.DB_PGSQL, address(), max_conns=8)
        skitai.mount("/", app, pref)

    skitai.run(port=5000)
