"""Things to take home: all books as CSV, and a bookplate to print. Mounted at /."""

import csv
import io

import skitai

COLUMNS = ["id", "title", "author", "year", "status", "rating", "notes", "added"]


def __mount__(app, mntopt):
    library = app.g["library"]

    # A generator as the body is sent while it is produced: memory stays small for any length.
    @app.route("/books.csv", methods=["GET"])
    def books_csv(was):
        def generate():
            yield csv_line(COLUMNS)
            for book in library.each():
                yield csv_line(book[column] for column in COLUMNS)

        headers = [("Content-Type", "text/csv; charset=utf-8")]
        return was.response("200 OK", generate(), headers=headers)

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
