"""The website. It mounts the plugin where it likes, and says what it is called."""

from atila import Atila

import feedback


def __app__():
    return Atila(__name__)


def __setup__(app, mntopt):
    app.mount("/feedback", feedback, title="What do you think of our tea?", most=100)

    @app.on("feedback:given")
    def thank(was, text):
        was.log(f"{len(text)} characters of feedback")


def __mount__(app, mntopt):
    @app.get("/")
    def index(was):
        return was.render("index.j2")
