"""Rows of PostgreSQL in FastAPI; served by uvicorn and Granian.

Coroutines ask through the pool of asyncpg, plain functions through one of psycopg2. `RESET=off` in
the environment keeps asyncpg from resetting a connection each time it is given back, which costs
one more query.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import asyncpg
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from benchmarks.apps.blocking_pool import CONNECTIONS, BlockingPool
from benchmarks.apps.picks import keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROW = "select id, name, price from item where id = $1"
PAGE = "select id, name, price from item where id between $1 and $2 order by id"
BLOCKING_ROW, BLOCKING_PAGE = (text.replace("$1", "%s").replace("$2", "%s") for text in (ROW, PAGE))

templates = Jinja2Templates(directory=Path(__file__).parent / "templates")
templates.env.auto_reload = False
blocking = BlockingPool()


async def leave(connection: Any) -> None:
    """Leave a connection as it is: no function here changes its state."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the connections; as many threads as connections, or some would find none."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = CONNECTIONS
    options: Any = {"reset": leave} if os.environ.get("RESET") == "off" else {}
    async with asyncpg.create_pool(min_size=CONNECTIONS, max_size=CONNECTIONS, **options) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/row/{id}")
def row(id: int) -> dict[str, Any]:
    """Answer with one row."""
    return blocking.row(BLOCKING_ROW, id)


@app.get("/queries/{id}")
def queries(id: int) -> list[dict[str, Any]]:
    """Ask 20 times, one after the other."""
    with blocking.cursor() as cursor:
        found = []
        for key in keys(id):
            cursor.execute(BLOCKING_ROW, (key,))
            found.append(cursor.fetchone())
        return found


@app.get("/page/{id}", response_class=HTMLResponse)
def page(request: Request, id: int) -> Response:
    """Render 50 rows."""
    items = blocking.rows(BLOCKING_PAGE, id, id + 49)
    context = {"title": f"Items from {id}", "items": items}
    return templates.TemplateResponse(request, "table.html", context)


@app.get("/async/row/{id}")
async def async_row(id: int) -> dict[str, Any]:
    """Answer with one row."""
    return dict(await app.state.pool.fetchrow(ROW, id))


@app.get("/async/queries/{id}")
async def async_queries(id: int) -> list[dict[str, Any]]:
    """Ask 20 times at once."""
    pool = app.state.pool
    found = await asyncio.gather(*(pool.fetchrow(ROW, key) for key in keys(id)))
    return [dict(one) for one in found]


@app.get("/async/page/{id}", response_class=HTMLResponse)
async def async_page(request: Request, id: int) -> Response:
    """Render 50 rows."""
    items = await app.state.pool.fetch(PAGE, id, id + 49)
    context = {"title": f"Items from {id}", "items": items}
    return templates.TemplateResponse(request, "table.html", context)
