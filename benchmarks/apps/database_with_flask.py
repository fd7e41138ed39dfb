"""Rows of PostgreSQL in Flask through psycopg2's pool; served by Granian and gunicorn."""

from __future__ import annotations

from typing import Any

from flask import Flask, render_template

from benchmarks.apps.blocking_pool import BlockingPool
from benchmarks.apps.picks import keys
from benchmarks.apps.with_flask import OrjsonProvider

ROW = "select id, name, price from item where id = %s"
PAGE = "select id, name, price from item where id between %s and %s order by id"

app = Flask(__name__)
app.json = OrjsonProvider(app)
pool = BlockingPool()


@app.get("/row/<int:id>")
def row(id: int) -> dict[str, Any]:
    """Answer with one row."""
    return pool.row(ROW, id)


@app.get("/queries/<int:id>")
def queries(id: int) -> list[dict[str, Any]]:
    """Ask 20 times, one after the other."""
    with pool.cursor() as cursor:
        found = []
        for key in keys(id):
            cursor.execute(ROW, (key,))
            found.append(cursor.fetchone())
        return found


@app.get("/page/<int:id>")
def page(id: int) -> str:
    """Render 50 rows."""
    items = pool.rows(PAGE, id, id + 49)
    return render_template("table.html", title=f"Items from {id}", items=items)
