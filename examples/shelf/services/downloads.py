"""Things to take home: all books as CSV, and a bookplate to print. Mounted at /."""

import csv
import io

import skitai

from .. import library

COLUMNS = ["id", "title", "author", "year", "status", "rating", "notes", "added"]


def __mount__(app, mntopt):
    # A coroutine: every text it yields is sent at once, every task comes back when it has ended.
    # A page of books is in memory, no thread waits, and a slow reader holds up nobody.
    @app.route("/books.csv", methods=["GET"], coroutine=True)
    def books_csv(was):
        was.response.set_header("Content-Type", "text/csv; charset=utf-8")
        yield csv_line(COLUMNS)
        last = 0
        while True:
            with was.db("@shelf") as db:
                task = yield library.page_after(db, last)
            books = task.fetch()
            if not books:
                return
            yield "".join(csv_line(map(book.get, COLUMNS)) for book in books)
            last = books[-1].id

    # was.File sends a file from disk; with a name the browser saves it instead of showing it.
    @app.route("/bookplate", methods=["GET"])
    def bookplate(was):
        path = skitai.abspath("examples/shelf/resources/bookplate.svg")
        return was.File(path, "image/svg+xml", "bookplate.svg")


def csv_line(values):
    """Return the values as one line of CSV, quoted where needed."""
    line = io.StringIO()
    csv.writer(line).writerow(values)
    return line.getvalue()
