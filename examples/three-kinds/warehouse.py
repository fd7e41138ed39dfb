"""A service that takes its time: how many pieces of a book there are."""

import asyncio

from atila import Atila

app = Atila(__name__)
PIECES = {1: 3, 2: 0}


@app.get("/stock/<int:id>")
async def stock(was, id):
    await asyncio.sleep(0.1)
    if id not in PIECES:
        raise was.Error("404 Not Found")
    return was.API(pieces=PIECES[id])
