"""What clients may ask for. Type hints say what is let in; everything else is answered with 400."""

from typing import Annotated

import msgspec
from msgspec import Meta

from . import store

Title = Annotated[str, Meta(min_length=1, max_length=100)]
Body = Annotated[str, Meta(max_length=10_000)]
Limit = Annotated[int, Meta(ge=1, le=100)]
Id = Annotated[int, Meta(ge=1, le=2**63 - 1)]  # others the database can't have


class NewNote(msgspec.Struct, forbid_unknown_fields=True):
    """A note as clients send it."""

    title: Title
    body: Body = ""


class NoteChange(msgspec.Struct, forbid_unknown_fields=True):
    """Those fields of a note that are to change."""

    title: Title | msgspec.UnsetType = msgspec.UNSET
    body: Body | msgspec.UnsetType = msgspec.UNSET


def __mount__(app, mntopt):
    @app.get("")
    async def index(was, before: Id | None = None, limit: Limit = 20, q: str | None = None):
        """List notes, the newest first.

        `next` is the address of the page behind this one; it is null on the last one.
        """
        with was.db("@notes") as db:
            rows = (await store.page_before(db, before, limit + 1, q)).fetch()
        following = None
        if len(rows) > limit:
            rows.pop()
            following = was.urlfor("notes.index", before=rows[-1].id, limit=limit, q=q)
        return was.API(notes=rows, next=following)

    @app.post("")
    async def add(was, note: NewNote):
        """Write a note."""
        with was.db("@notes") as db:
            row = (await store.add(db, note.title, note.body)).one()
        was.response.set_header("Location", was.urlfor("notes.note", row.id))
        return was.API("201 Created", row)

    @app.get("/<id>")
    async def note(was, id: Id):
        """Read a note."""
        with was.db("@notes") as db:
            return was.API(found(was, await store.get(db, id)))

    @app.patch("/<id>")
    async def change(was, id: Id, note: NoteChange):
        """Change the fields that are sent."""
        fields = msgspec.to_builtins(note)
        if not fields:
            raise was.Error("400 Bad Request", "give title or body")
        with was.db("@notes") as db:
            return was.API(found(was, await store.change(db, id, fields)))

    @app.delete("/<id>")
    async def remove(was, id: Id):
        """Delete a note."""
        with was.db("@notes") as db:
            found(was, await store.remove(db, id))
        return was.response("204 No Content", "")


def found(was, task):
    """The only row of a task that has ended, or 404."""
    rows = task.fetch()
    if not rows:
        raise was.Error("404 Not Found", "there is no such note")
    return rows[0]
