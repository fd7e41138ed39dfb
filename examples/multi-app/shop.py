"""A shop: its own first page and orders; all else comes from base."""

from atila import Atila


def __app__():
    return Atila(__name__)


def __mount__(app, mntopt):
    @app.get("/")
    def index(was):
        return was.render("page.j2", text="Welcome to the shop.")

    # Whoever subscribes to the shop hears of it, and the shop knows none of them.
    @app.post("/orders")
    def order(was, item: str, pieces: int = 1):
        app.emit("order:placed", item, pieces)
        return was.API("201 Created", item=item, pieces=pieces)
