"""What shops of ours have in common: a page of help and a layout."""

from atila import Atila


def __app__():
    return Atila(__name__)


def __mount__(app, mntopt):
    @app.get("/")
    def index(was):
        return was.render("page.j2", text="Nothing here yet.")

    @app.get("/help")
    def help(was):
        return was.render("page.j2", text="Write to help@example.com.")
