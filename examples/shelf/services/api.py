"""The JSON API. Mounted at /api; static/js/shelf.js is its first client."""

import asyncio
import os
import threading
import time

from .. import library
from ..guards import found, good_fields, good_search
from .live import announce


def __mount__(app, mntopt):
    # was.Map gives the thread back at once, and makes JSON of the tasks when they have ended.
    @app.route("/books", methods=["GET"])
    def books(was, status="", q=""):
        with was.db("@shelf") as db:
            return was.Map(books=library.search(db, *good_search(was, status, q)))

    # A JSON object in the body is spread over the arguments, just like a form.
    # A plain function runs in a thread of the pool: it may wait for a database or a disk.
    @app.route("/books", methods=["POST"])
    def add(was, **fields):
        with was.db("@shelf") as db:
            book = library.add(db, good_fields(was, fields)).one()
        announce(app, book)
        was.response.set_header("Location", was.urlfor("api.book", book.id))
        return was.API("201 Created", book)

    # async def runs on the worker's event loop: thousands can wait here without a thread each. It
    # must never block, so tasks are awaited. was.Error (see guards.py) becomes JSON here and a
    # page for browsers.
    @app.route("/books/<int:id>", methods=["GET"])
    async def book(was, id):
        with was.db("@shelf") as db:
            (book,) = found(was, await library.get(db, id))
        return was.API(book)

    # PATCH changes the fields that were sent; PUT also sets the others back to their defaults.
    @app.route("/books/<int:id>", methods=["PUT", "PATCH"])
    async def change(was, id, **fields):
        fields = good_fields(was, fields, whole=was.request.method == "PUT")
        with was.db("@shelf") as db:
            (book,) = found(was, await library.change(db, id, fields))
        return was.API(book)

    @app.route("/books/<int:id>", methods=["DELETE"])
    async def remove(was, id):
        with was.db("@shelf") as db:
            found(was, await library.remove(db, id))
        return was.response("204 No Content", "")

    # Here only time passes, and nobody else has to wait. /api/clock?wait=2 takes two seconds.
    @app.route("/clock", methods=["GET"])
    async def clock(was, wait="0"):
        try:
            seconds = float(wait)
        except (TypeError, ValueError):
            seconds = -1.0
        if not 0 <= seconds <= 10:
            raise was.Error("400 Bad Request", "wait is a number of seconds from 0 to 10")
        await asyncio.sleep(seconds)
        return was.API(
            time=time.strftime("%H:%M:%S"),
            worker=os.getpid(),
            thread=threading.current_thread().name,
        )
