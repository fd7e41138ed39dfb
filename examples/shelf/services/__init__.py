"""The shelf itself at /. Every other module mounts below, each with its own point."""

from .. import library
from ..fields import STATUSES
from ..guards import found, good_search


def __setup__(app, mntopt):
    # Mount sub-modules here, never in __mount__. A module's routes begin with its point.
    from . import api, books, downloads, live, tour

    app.mount("/books", books)
    app.mount("/api", api)
    app.mount("/live", live)
    app.mount("/", downloads)
    app.mount("/", tour)


def __mount__(app, mntopt):
    # Arguments come by name from the path, the query string, the form or the JSON body.
    # A default makes one optional: / and /?status=reading&q=cat both end up here.
    @app.route("/", methods=["GET"])
    def index(was, status="", q=""):
        status, q = good_search(was, status, q)
        # A task is on its way as soon as it is made. The database answers both questions at once.
        with was.db("@shelf") as db:
            books = library.search(db, status, q)
            counts = library.counts(db)
        counts = {row.status: row.books for row in counts.fetch()}
        return was.render(
            "index.j2",
            books=books.fetch(),
            statuses=STATUSES,
            counts=counts,
            total=sum(counts.values()),
            status=status,
            q=q,
        )

    # <name> is one part of the path, decoded: /authors/Tove%20Jansson
    @app.route("/authors/<name>", methods=["GET"])
    def author(was, name):
        with was.db("@shelf") as db:
            books = found(was, library.by_author(db, name))
        return was.render("author.j2", books=books, name=books[0].author, statuses=STATUSES)

    # Browsers ask for this on pages that name no icon, e.g. JSON. was.static makes the file's URL.
    @app.route("/favicon.ico", methods=["GET"])
    def favicon(was):
        return was.redirect(was.static("img/shelf.svg"))
