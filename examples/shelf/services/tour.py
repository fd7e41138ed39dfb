"""The tour: how a request is served, an error on purpose, and the source of all this. At /."""

import os
import platform
import threading
import time
from pathlib import Path

import skitai

SHOWN = {".py", ".j2", ".css", ".js"}


def __mount__(app, mntopt):
    sources = find_sources(Path(skitai.abspath("examples/shelf")))

    @app.route("/about", methods=["GET"])
    def about(was):
        facts = {
            "Method": was.request.method,
            "Your browser": was.request.get_header("User-Agent") or "unknown",
            "Worker process": os.getpid(),
            "Thread": threading.current_thread().name,
            "Worker started": f"{time.time() - app.g['started']:.0f} seconds ago",
            "Static files at": app.config.STATIC_URL,
            "Python": platform.python_version(),
        }
        return was.render("about.j2", facts=facts)

    # An error nobody expects. With --devel the page shows where; without, it tells nothing.
    # openapi=False keeps the route out of the description of the API.
    @app.route("/oops", methods=["GET"], openapi=False)
    def oops(was):
        unwritten_books = []
        return unwritten_books[0]

    # <path:name> takes the rest of the path with its slashes: /source/services/tour.py
    # The last parameter of a rule is optional if it has a default: /source works as well.
    @app.route("/source/<path:name>", methods=["GET"])
    def source(was, name="__init__.py"):
        # Looked up, never joined to a path: no client gets out of this directory.
        if name not in sources:
            raise was.Error("404 Not Found", f"no source file {name!r} in this app")
        lines = sources[name].read_text(encoding="utf-8").splitlines()
        return was.render("source.j2", name=name, names=list(sources), lines=lines)


def find_sources(home):
    """Return the app's own source files by their path below ``home``, modules first."""
    names = [path for path in home.rglob("*") if path.suffix in SHOWN]
    names.sort(key=lambda path: (path.suffix != ".py", path.parent, path.name))
    return {path.relative_to(home).as_posix(): path for path in names}
