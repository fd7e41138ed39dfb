"""Short links, and a project of which each promise has a test: see tests/."""

import os
import secrets
from typing import Annotated

import skitai
from atila import Atila
from msgspec import Meta

app = Atila(__name__)
# Only addresses of the web: a link with javascript: would run in the page of whoever shows it.
Address = Annotated[str, Meta(max_length=2000, pattern=r"^https?://[^\s/]+")]
SCHEMA = "create table if not exists link (code text primary key, url text, visits int default 0)"


@app.on("mounted")
def prepare(was):
    was.db("@links").execute(SCHEMA).commit()


@app.post("/links")
async def shorten(was, url: Address):
    code = secrets.token_urlsafe(6)
    (await was.db("@links").insert("link").set(code=code, url=url).execute()).commit()
    return was.API("201 Created", code=code, short=was.urlfor("follow", code))


@app.get("/l/<code>")
async def follow(was, code):
    change = "update link set visits = visits + 1 where code = ? returning url"
    rows = (await was.db("@links").execute(change, code)).fetch()
    if not rows:
        raise was.Error("404 Not Found", "there is no such link")
    return was.redirect(rows[0].url)


@app.get("/links/<code>")
async def visits(was, code):
    task = await was.db("@links").select("link").get("visits").filter(code=code).execute()
    return was.API(task.one())


if __name__ == "__main__":
    # Tests say where their own database is.
    skitai.alias("@links", skitai.DB_SQLITE3, os.environ.get("LINKS_DB", "links.sqlite3"))
    skitai.mount("/", app)
    skitai.run(port=5000)
