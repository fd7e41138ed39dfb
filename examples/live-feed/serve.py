"""News that appear in all open browsers: `python3 serve.py`, then open http://127.0.0.1:5000/

Server-sent events: a stream that browsers open again by themselves, saying what they have already.
"""

import asyncio
import csv
import io
import json
from typing import Annotated

import skitai
from atila import Atila
from msgspec import Meta

app = Atila(__name__)
SCHEMA = "create table if not exists news (id integer primary key, text text not null)"
LOOK = 0.2  # seconds between two looks at whether there is something new
PULSE = 15  # seconds of silence after which a comment tells proxies that the stream lives


@app.on("mounted")
def prepare(was):
    was.db("@news").execute(SCHEMA).commit()


@app.get("/")
def page(was):
    return was.render("feed.j2")


@app.post("/news")
async def add(was, text: Annotated[str, Meta(min_length=1, max_length=200)]):
    # rm_cache tells all workers that "news" has changed, when the row is stored.
    with was.db("@news", rm_cache="news") as db:
        row = (await db.insert("news").set(text=text).returning().execute()).one()
    return was.API("201 Created", row)


@app.get("/events")
async def events(was):
    """Stream what is new, beginning behind the id that the browser had last."""
    had = was.request.get_header("Last-Event-ID", "")
    last = int(had) if had.isdecimal() and len(had) < 19 else 0  # more, no id of SQLite has
    was.response.set_header("Content-Type", "text/event-stream")
    was.response.set_header("Cache-Control", "no-store")
    seen, quiet = None, 0.0
    yield ": welcome\n\n"
    while True:
        updated = was.getlu("news")  # a number in shared memory: nothing is asked here
        if updated != seen:
            seen, quiet = updated, 0.0
            task = await was.db("@news").select("news").filter(id__gt=last).order_by("id").execute()
            for row in task.fetch():
                last = row.id
                yield f"id: {row.id}\ndata: {json.dumps({'text': row.text})}\n\n"
        elif quiet > PULSE:
            quiet = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(LOOK)
        quiet += LOOK


@app.get("/news.csv")
async def as_csv(was):
    """All news, read and sent piece by piece: they may be more than fit into memory."""
    was.response.set_header("Content-Type", "text/csv; charset=utf-8")
    async for row in was.db("@news").stream("select id, text from news order by id"):
        line = io.StringIO()
        csv.writer(line).writerow([row.id, row.text])
        yield line.getvalue()


if __name__ == "__main__":
    skitai.register_g("news")
    skitai.alias("@news", skitai.DB_SQLITE3, "news.sqlite3")
    skitai.mount("/", app)
    # Streams never end by themselves: a restart waits for them so long, then browsers reconnect.
    skitai.run(port=5000, workers=2)
