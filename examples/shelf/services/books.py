"""Pages about one book, and what their HTML forms send. Mounted at /books."""

from .. import library
from ..fields import DEFAULTS, STATUSES
from ..guards import found, good_fields
from .live import announce


def __mount__(app, mntopt):
    # A literal rule wins over <int:id> below, so "new" is never taken for a book.
    @app.route("/new", methods=["GET"])
    def new(was):
        return was.render("new.j2", book=DEFAULTS, statuses=STATUSES)

    # "" is /books itself. **fields takes every argument that the form sends.
    @app.route("", methods=["POST"])
    def add(was, **fields):
        with was.db("@shelf") as db:
            book = library.add(db, good_fields(was, fields)).one()
        announce(app, book)
        # After a POST send the browser elsewhere, so that reloading doesn't post again.
        # urlfor needs [module.]function and the arguments; no URL is written by hand.
        return was.redirect(was.urlfor("books.show", book.id), status="303 See Other")

    # <int:id> arrives as an int; /books/cat never gets here and is answered with 404.
    @app.route("/<int:id>", methods=["GET"])
    def show(was, id):
        with was.db("@shelf") as db:
            (book,) = found(was, library.get(db, id))
        return was.render("show.j2", book=book, statuses=STATUSES)

    # The same rule with another method may be another function.
    @app.route("/<int:id>", methods=["POST"])
    def edit(was, id, **fields):
        with was.db("@shelf") as db:
            (book,) = found(was, library.change(db, id, good_fields(was, fields)))
        return was.redirect(was.urlfor("books.show", book.id), status="303 See Other")
