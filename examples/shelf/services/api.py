"""The JSON API. Mounted at /api; static/js/shelf.js is its first client."""

import asyncio
import os
import threading
import time

from ..guards import found, good_fields, good_search


def __mount__(app, mntopt):
    library = app.g["library"]

    # A plain function runs in a thread of the pool: it may wait for a database or a disk.
    @app.route("/books", methods=["GET"])
    def books(was, status="", q=""):
        return was.API(books=library.search(*good_search(was, status, q)))

    # A JSON object in the body is spread over the arguments, just like a form.
    @app.route("/books", methods=["POST"])
    def add(was, **fields):
        book = library.add(good_fields(was, fields))
        was.response.set_header("Location", was.urlfor("api.book", book["id"]))
        return was.API("201 Created", book)

    # was.Error (see guards.py) becomes JSON here and a page for browsers.
    @app.route("/books/<int:id>", methods=["GET"])
    def book(was, id):
        return was.API(found(was, library.get(id)))

    # PATCH changes the fields that were sent; PUT also sets the others back to their defaults.
    @app.route("/books/<int:id>", methods=["PUT", "PATCH"])
    def change(was, id, **fields):
        whole = was.request.method == "PUT"
        return was.API(found(was, library.change(id, good_fields(was, fields, whole))))

    @app.route("/books/<int:id>", methods=["DELETE"])
    def remove(was, id):
        found(was, library.remove(id))
        return was.response("204 No Content", "")

    # async def runs on the worker's event loop: thousands can wait here without a thread each.
    # It must never block, so no library calls in here. /api/clock?wait=2 takes two seconds.
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
