"""The notes in the database. Each function starts a task; who calls it decides how to wait."""

SCHEMA = """
    create table if not exists note (
        id integer primary key,
        title text not null,
        body text not null,
        created timestamp not null default current_timestamp
    )
"""


def prepare(was):
    """Make the table; called in every worker before its first request."""
    was.db("@notes").execute(SCHEMA).commit()


def page_before(db, last, limit, q):
    """The notes that are older than the one with the id ``last``, the newest ones first.

    An id as the mark of a page stays right when notes come and go, and is found by the index. A
    condition whose value is None drops out.
    """
    notes = db.select("note").filter(id__lt=last, title__icontains=q)
    return notes.order_by("-id").limit(limit).execute()


def get(db, id):
    """One note."""
    return db.select("note").filter(id=id).execute()


def add(db, title, body):
    """A new note, as it was stored."""
    return db.insert("note").set(title=title, body=body).returning().execute()


def change(db, id, fields):
    """Set some fields of a note; gives the note."""
    return db.update("note").set(fields).filter(id=id).returning().execute()


def remove(db, id):
    """Delete a note; gives its id."""
    return db.delete("note").filter(id=id).returning("id").execute()
