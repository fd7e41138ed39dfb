"""What is there, and less of it after each order that the shop tells of."""

from atila import Atila


def __app__():
    return Atila(__name__)


def __setup__(app, mntopt):
    app.g["tea"] = 10

    @app.on("order:placed")
    def on_order(was, item, pieces):
        app.g.increment(item, -pieces)


def __mount__(app, mntopt):
    @app.get("/<item>")
    async def pieces(was, item):
        if item not in app.g:
            raise was.Error("404 Not Found", "there is no such item")
        return was.API(pieces=app.g[item])
