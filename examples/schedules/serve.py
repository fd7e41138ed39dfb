"""Work beside the workers: a queue that a program of its own works off, a figure every two seconds,
and a clean-up every night. Each runs once, however many workers there are.
"""

from typing import Annotated

import skitai
from atila import Atila
from msgspec import Meta

app = Atila(__name__)
Item = Annotated[str, Meta(min_length=1, max_length=100)]
Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]  # others the database can't have
SCHEMA = """
    create table if not exists orders (
        id integer primary key,
        item text not null,
        ordered timestamp not null default current_timestamp,
        packed timestamp
    )
"""
skitai.register_g("waiting")  # a number that workers and jobs share


@app.on("mounted")
def prepare(was):
    was.db("@orders").execute(SCHEMA).commit()


# What is in the database outlives the request, the worker and the service.
@app.post("/orders")
async def order(was, item: Item):
    task = await was.db("@orders").insert("orders").set(item=item).returning("id").execute()
    return was.API("202 Accepted", task.one())


@app.get("/orders/<id>")
async def look(was, id: Id):
    rows = (await was.db("@orders").select("orders").filter(id=id).execute()).fetch()
    if not rows:
        raise was.Error("404 Not Found", "there is no such order")
    return was.API(item=rows[0].item, state="packed" if rows[0].packed else "waiting")


@app.get("/waiting")
async def waiting(was):
    return was.API(waiting=skitai.g.waiting)


@skitai.sched(2)
def count(was):
    """Every two seconds: what many ask for is computed once."""
    orders = was.db("@orders").select("orders").filter(packed__isnull=True)
    skitai.g.waiting = orders.aggregate("count(*) as n").execute().one().n


@skitai.cron("15 3 * * *", timezone="Europe/Berlin", timeout=600)
def tidy(was):
    """Every night at a quarter past three; it is ended, and a failure, after ten minutes."""
    was.db("@orders").execute(
        "delete from orders where packed < datetime('now', '-30 days')"
    ).commit()


if __name__ == "__main__":
    skitai.alias("@orders", skitai.DB_SQLITE3, "orders.sqlite3")
    skitai.background_task("packer", "packer.py")  # started again whenever it ends
    skitai.mount("/", app)
    skitai.run(port=5000, workers=2)
