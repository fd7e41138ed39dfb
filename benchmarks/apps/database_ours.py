"""Rows of PostgreSQL in atila on skitai, as plain functions, coroutines and generators.

`STATEMENTS=builder` in the environment builds each statement anew instead of giving its text,
`COROUTINES=generator` has generators in place of `async def`. The server is found by the
environment variables of libpq.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import skitai
from atila import Atila
from benchmarks.apps.picks import keys

if TYPE_CHECKING:
    from collections.abc import Generator

CONNECTIONS = 32
ROW = "select id, name, price from item where id = %s"
PAGE = "select id, name, price from item where id between %s and %s order by id"

app = Atila(__name__)


def ask_row(was: Any, id: int) -> Any:
    """Start a query for one row."""
    return was.db("@bench").execute(ROW, id)


def ask_page(was: Any, id: int) -> Any:
    """Start a query for 50 rows."""
    return was.db("@bench").execute(PAGE, id, id + 49)


def build_row(was: Any, id: int) -> Any:
    """Start a query for one row."""
    return was.db("@bench").select("item").get("id, name, price").filter(id=id).execute()


def build_page(was: Any, id: int) -> Any:
    """Start a query for 50 rows."""
    select = was.db("@bench").select("item").get("id, name, price")
    return select.filter(id__between=(id, id + 49)).order_by("id").execute()


if os.environ.get("STATEMENTS") == "builder":
    ask_row, ask_page = build_row, build_page


@app.route("/row/<int:id>")
def row(was: Any, id: int) -> Any:
    """Answer with one row."""
    return ask_row(was, id).one()


@app.route("/queries/<int:id>")
def queries(was: Any, id: int) -> Any:
    """Ask 20 times at once."""
    return was.Tasks([ask_row(was, key) for key in keys(id)]).one()


@app.route("/page/<int:id>")
def page(was: Any, id: int) -> Any:
    """Render 50 rows."""
    items = ask_page(was, id).fetch()
    return was.render("table.html", title=f"Items from {id}", items=items)


async def async_row(was: Any, id: int) -> Any:
    """Answer with one row."""
    task = await ask_row(was, id)
    return task.one()


async def async_queries(was: Any, id: int) -> Any:
    """Ask 20 times at once."""
    tasks = await was.Tasks([ask_row(was, key) for key in keys(id)])
    return tasks.one()


async def async_page(was: Any, id: int) -> Any:
    """Render 50 rows."""
    task = await ask_page(was, id)
    return was.render("table.html", title=f"Items from {id}", items=task.fetch())


def generator_row(was: Any, id: int) -> Generator[Any, Any, Any]:
    """Answer with one row."""
    task = yield ask_row(was, id)
    return task.one()


def generator_queries(was: Any, id: int) -> Generator[Any, Any, Any]:
    """Ask 20 times at once."""
    tasks = yield was.Tasks([ask_row(was, key) for key in keys(id)])
    return tasks.one()


def generator_page(was: Any, id: int) -> Generator[Any, Any, Any]:
    """Render 50 rows."""
    task = yield ask_page(was, id)
    return was.render("table.html", title=f"Items from {id}", items=task.fetch())


if os.environ.get("COROUTINES") == "generator":
    coroutines, options = (generator_row, generator_queries, generator_page), {"coroutine": True}
else:
    coroutines, options = (async_row, async_queries, async_page), {}
for work, function in zip(("row", "queries", "page"), coroutines, strict=True):
    app.route(f"/async/{work}/<int:id>", **options)(function)


if __name__ == "__main__":
    user, password = (quote(os.environ[name], safe="") for name in ("PGUSER", "PGPASSWORD"))
    host, port, name = (os.environ[name] for name in ("PGHOST", "PGPORT", "PGDATABASE"))
    member = f"{user}:{password}@{host}:{port}/{name}"
    skitai.alias("@bench", skitai.DB_PGSQL, [member], max_conns=CONNECTIONS)
    skitai.mount("/", app)
    skitai.run(address="127.0.0.1", access_log=False)
