"""The app: create, read, update, delete, in a file of SQLite."""

import os

import skitai
from atila import Atila

from . import store


def __config__(pref):
    # Tests say where their own database is.
    skitai.alias("@notes", skitai.DB_SQLITE3, os.environ.get("NOTES_DB", "notes.sqlite3"))


def __app__():
    app = Atila(__name__)
    app.openapi(title="Notes", version="1.0", description="Short texts with a title.")
    return app


def __setup__(app, mntopt):
    from . import notes

    app.mount("/notes", notes)


def __mounted__(app, mntopt):
    store.prepare(app.was)
