"""A blog for a host of its own."""

from atila import Atila


def __app__():
    return Atila(__name__)


def __mount__(app, mntopt):
    @app.get("/")
    async def index(was):
        return was.API(posts=["How to make tea"])

    @app.get("/comments")
    async def comments(was):
        return was.API(comments=["Good tea!"])
