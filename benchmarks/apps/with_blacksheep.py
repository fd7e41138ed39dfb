"""The two answers in BlackSheep; served by Granian.

Coroutines only: BlackSheep calls a plain function on the loop, not in a thread.
"""

from __future__ import annotations

import orjson
from blacksheep import Application, Response, json, text
from blacksheep.settings.json import json_settings

json_settings.use(loads=orjson.loads, dumps=lambda value: orjson.dumps(value).decode())

app = Application()


@app.router.get("/async/plaintext")
async def plaintext() -> Response:
    """Answer with text."""
    return text("Hello, World!")


@app.router.get("/async/items/{int:id}")
async def item(id: int, q: str) -> Response:
    """Answer with JSON."""
    return json({"id": id, "q": q})
