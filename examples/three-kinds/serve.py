"""One page of a shop in three kinds of functions: all ask database and service at the same time."""

import skitai
from atila import Atila

app = Atila(__name__)
SCHEMA = """
    create table if not exists book (id integer primary key, title text, price int);
    insert or ignore into book values (1, 'Momo', 12), (2, 'Krabat', 9);
"""


@app.on("mounted")
def prepare(was):
    was.db("@books").execute(SCHEMA).commit()


def ask(was, id):
    """Start the two tasks of a page. They run from here on, whoever waits for them, and how."""
    with was.db("@books") as db:
        book = db.select("book").get("title, price").filter(id=id).execute()
    with was.stub("@stock") as stub:
        stock = stub.get("/stock/{}", id)
    return was.Tasks(book__one=book, stock=stock)


# A thread of the pool waits: simple, and right where libraries block anyway.
@app.get("/plain/<int:id>")
def plain(was, id):
    return was.API(ask(was, id).fetch())


# The function pauses at each yield, and no thread waits. It needs no async libraries.
@app.get("/generator/<int:id>", coroutine=True)
def generator(was, id):
    tasks = yield ask(was, id)
    return was.API(tasks.fetch())


# It runs on the loop and must never block. Thousands can wait here, and asyncio's libraries work.
@app.get("/async/<int:id>")
async def coroutine(was, id):
    tasks = await ask(was, id)
    return was.API(tasks.fetch())


# The shortest one: the function is over, the answer is made when the tasks have ended.
@app.get("/mapped/<int:id>")
def mapped(was, id):
    return was.Mapped(ask(was, id))


if __name__ == "__main__":
    skitai.alias("@books", skitai.DB_SQLITE3, "books.sqlite3")
    # A service of another team, in real life; here it is in the same process.
    skitai.alias("@stock", skitai.PROTO_HTTP, "127.0.0.1:5000/warehouse")
    skitai.mount("/", app)
    skitai.mount("/warehouse", "warehouse.py")
    skitai.run(port=5000)
