"""Shelf, a shared reading list: the demo app. The engine finds the hooks below by their names.

Read on in services/__init__.py (pages), services/books.py (forms), services/api.py (JSON).
"""

import os
import time

import skitai
from atila import Atila

from .library import Library


def __config__(pref):
    # Runs first, before any worker exists. Paths are seen from serve.py, wherever it is started.
    # Under /static a file always wins over a route.
    pref.set_static("/static", skitai.abspath("examples/shelf/static"))
    # Your own settings go into pref.config and come back as app.config.
    pref.config.LIBRARY = skitai.abspath(os.environ.get("SHELF_DB") or "shelf.sqlite3")


def __app__():
    return Atila(__name__)


def __setup__(app, mntopt):
    # Runs once in every worker process: make what the routes need, then mount the modules.
    from . import services

    # app.g belongs to this worker. Workers meet in the database, not in Python variables.
    app.g["library"] = Library(app.config.LIBRARY)
    app.g["started"] = time.time()
    app.mount("/", services)


def __umount__(app):
    # Runs once when the worker stops, after its last request.
    app.g["library"].close()
