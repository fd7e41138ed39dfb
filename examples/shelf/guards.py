"""What a route asks before it goes on; the answer is a value or an HTTP error. Services call it."""

from .fields import BadField, clean, clean_status


def good_fields(was, given, whole=True):
    """Return the fields ready to store, or answer 400 and say which one is wrong."""
    try:
        return clean(given, whole=whole)
    except BadField as exc:
        raise was.Error("400 Bad Request", str(exc)) from exc


def good_search(was, status, q):
    """Return what to search for ("" matches all), or answer 400 and say what is wrong."""
    try:
        # ?q=a&q=b arrives as a list.
        if not isinstance(q, str):
            raise BadField("q must be text, and only once")
        return status and clean_status(status), q
    except BadField as exc:
        raise was.Error("400 Bad Request", str(exc)) from exc


def found(was, task):
    """Return the rows that a task of the library brings, or answer 404 if there are none."""
    rows = task.fetch()  # a thread waits here; after an await there is nothing left to wait for
    if not rows:
        raise was.Error("404 Not Found", "no such book")
    return rows
