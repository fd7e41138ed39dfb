"""A plugin: a page of feedback for any app, which needs to know nothing about that app.

Options of `app.mount`: `title` of the page, `most` entries that are kept by a worker. It emits
`feedback:given` with the text.
"""

from typing import Annotated

from msgspec import Meta

Text = Annotated[str, Meta(min_length=1, max_length=500)]


def __setup__(app, mntopt):
    app.g["feedback"] = []


def __mount__(app, mntopt):
    most = mntopt.get("most", 20)

    @app.get("")
    def form(was):
        title = mntopt.get("title", "Feedback")
        return was.render("feedback.j2", title=title, entries=app.g["feedback"])

    @app.post("")
    @app.csrf_verification_required
    def give(was, text: Text):
        with app.g.lock:
            app.g["feedback"] = [*app.g["feedback"], text][-most:]
        app.emit("feedback:given", text)
        return was.redirect(was.urlfor("feedback.form"), status="303 See Other")
