"""Shelf, a shared reading list: the demo app. The engine finds the hooks below by their names.

Read on in services/__init__.py (pages), services/books.py (forms), services/api.py (JSON).
"""

import os
import time

import skitai
from atila import Atila


def __config__(pref):
    # Runs first, before any worker exists. Paths are seen from serve.py, wherever it is started.
    # Under /static a file always wins over a route.
    pref.set_static("/static", skitai.abspath("examples/shelf/static"))
    # The database gets a name, by which was.db("@shelf") reaches it from everywhere. This one is a
    # file, so the demo needs no server.
    path = skitai.abspath(os.environ.get("SHELF_DB") or "shelf.sqlite3")
    skitai.alias("@shelf", skitai.DB_SQLITE3, path)


def __app__():
    return Atila(__name__)


def __setup__(app, mntopt):
    # Runs once in every worker process: make what the routes need, then mount the modules.
    from . import services

    # app.g belongs to this worker. Workers meet in the database, not in Python variables.
    app.g["started"] = time.time()
    app.mount("/", services)


def __mounted__(app, mntopt):
    # Runs once in every worker, before its first request. If it fails, the service doesn't start.
    from . import library

    library.prepare(app.was)
