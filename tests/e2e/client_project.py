"""What tests of the test client ask for: an app, and its service with and without TLS."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from live_service import LiveService, write_files
from tls_project import make_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

APP = """
    import asyncio
    import skitai
    from atila import Atila

    app = Atila(__name__)
    app.securekey = "only for tests"
    waiting = []

    @app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def echo(was, **given):
        request = was.request
        return was.API(method=request.method, given=given, version=request.version,
                       extra=request.get_header("X-Extra"))

    @app.route("/login")
    def login(was, user):
        was.session["user"] = user
        return was.redirect("/who")

    @app.route("/who")
    def who(was):
        return was.session.get("user") or "nobody"

    @app.route("/peer")
    async def peer(was, n: int):
        # Nobody is answered before all have asked.
        waiting.append(n)
        while len(waiting) % 8:
            await asyncio.sleep(0.01)
        return f"{n} {was.request._exchange.channel.peer[1]}"

    @app.route("/port")
    def port(was):
        return str(was.request._exchange.channel.peer[1])

    @app.route("/large", methods=["GET", "POST"])
    def large(was):
        return was.request.body or "0123456789" * 100_000

    @app.route("/silent")
    async def silent(was):
        await asyncio.sleep(60)
        return ""
"""


@contextmanager
def serving(folder: Path, files: Mapping[str, str], *, tls: bool) -> Iterator[LiveService]:
    """A service of these files; the line ``SETUP`` of its serve.py becomes what TLS needs."""
    make_certificates(folder)
    setup = "skitai.enable_ssl('server.pem')" if tls else ""
    write_files(folder, {**files, "serve.py": files["serve.py"].replace("SETUP", setup)})
    service = LiveService(folder)
    service.tls = tls
    try:
        yield service
    finally:
        service.close()
