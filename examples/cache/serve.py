"""Three places to keep an answer: the worker, the browser, and both until the data changes."""

from typing import Annotated

import skitai
from atila import Atila
from msgspec import Meta

app = Atila(__name__)
SCHEMA = """
    create table if not exists book (id integer primary key, title text);
    insert or ignore into book (id, title) values (1, 'Momo'), (2, 'Krabat');
"""
Title = Annotated[str, Meta(min_length=1, max_length=100)]
Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]  # others the database can't have


@app.on("mounted")
def prepare(was):
    was.db("@books").execute(SCHEMA).commit()


# In the worker: the rows are kept until "tables.book" is updated, by whichever worker. token is
# made by the database, so it shows whether that was asked.
@app.get("/books")
async def books(was):
    with was.db("@books", use_cache="tables.book") as db:
        task = await db.execute("select id, title, hex(randomblob(4)) as token from book")
    return task.fetch()


# In the browser too: who has this version gets 304, and the rest of the function isn't run.
@app.get("/titles")
async def titles(was):
    was.response.set_etag(f"titles {was.getlu('tables.book')}")
    was.response.set_header("Cache-Control", "no-cache")  # keep it, but ask each time
    with was.db("@books", use_cache="tables.book") as db:
        task = await db.select("book").get("title").order_by("title").execute()
    return [row.title for row in task.fetch()]


# For some time, whatever happens: for what may be a little old.
@app.get("/count")
async def count(was):
    was.response.set_max_age(60)
    with was.db("@books", use_cache=True, cache=60) as db:
        return (await db.execute("select count(*) as books from book")).one()


# rm_cache updates the name when the change is stored, and not if that fails.
@app.put("/books/<id>")
async def rename(was, id: Id, title: Title):
    with was.db("@books", rm_cache="tables.book") as db:
        change = db.update("book").set(title=title).filter(id=id).returning("id, title")
        rows = (await change.execute()).fetch()
    if not rows:
        raise was.Error("404 Not Found", "there is no such book")
    return was.API(rows[0])


if __name__ == "__main__":
    skitai.register_g("tables.book")
    skitai.alias("@books", skitai.DB_SQLITE3, "books.sqlite3")
    skitai.mount("/", app)
    skitai.run(port=5000, workers=2)
