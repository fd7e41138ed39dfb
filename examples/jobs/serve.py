"""Work that takes longer than a request should, and work of which a request waits."""

import shutil
from typing import Annotated

import skitai
from atila import Atila
from msgspec import Meta

import primes

app = Atila(__name__)
Below = Annotated[int, Meta(ge=10, le=1_000_000)]
Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]  # others the database can't have
PARTS = 10
SCHEMA = """
    create table if not exists job (
        id integer primary key, below int, done int default 0, primes int default 0,
        failed boolean default false
    )
"""


@app.on("mounted")
def prepare(was):
    was.db("@jobs").execute(SCHEMA).commit()


# Tasks in other threads and processes run at the same time; no thread of requests waits for them.
@app.get("/now")
def now(was, below: Below):
    return was.Map(
        primes=was.Process(primes.count, 0, below),
        disk_free=was.Thread(lambda: shutil.disk_usage("/").free),
    )


# A job answers at once and says where to ask for it.
@app.post("/jobs")
async def begin(was, below: Below):
    task = await was.db("@jobs").insert("job").set(below=below).returning().execute()
    job = task.one()
    app.emit("job:begun", job.id, below)
    was.response.set_header("Location", was.urlfor("look", job.id))
    return was.API("202 Accepted", progress(job))


@app.get("/jobs/<id>")
async def look(was, id: Id):
    rows = (await was.db("@jobs").select("job").filter(id=id).execute()).fetch()
    if not rows:
        raise was.Error("404 Not Found", "there is no such job")
    return was.API(progress(rows[0]))


def progress(job):
    state = "failed" if job.failed else "done" if job.done == PARTS else "running"
    return {"id": job.id, "state": state, "percent": job.done * 100 // PARTS, "primes": job.primes}


@app.on("job:begun")
async def work(was, id, below):
    """Runs on the loop and waits there for other processes; it goes on when the client is gone.

    What it raises is logged, as of all handlers of events.
    """
    job = app.was.db("@jobs").update("job").filter(id=id)
    found = 0
    try:
        for part in range(PARTS):
            limits = below * part // PARTS, below * (part + 1) // PARTS
            task = await app.was.Process(primes.count, *limits)
            found += task.fetch()
            (await job.clone().set(done=part + 1, primes=found).execute()).commit()
    except Exception:
        (await job.clone().set(failed=True).execute()).commit()
        raise


if __name__ == "__main__":
    skitai.alias("@jobs", skitai.DB_SQLITE3, "jobs.sqlite3")
    skitai.config_executors(2, 60)  # processes and threads for tasks; seconds that one may take
    skitai.mount("/", app)
    skitai.run(port=5000)
