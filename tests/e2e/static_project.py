"""A project with static files of all kinds, and a client that sends targets as they are written."""

from __future__ import annotations

import os
import random
import struct
from typing import TYPE_CHECKING

from live_service import receive, write_files

if TYPE_CHECKING:
    import http.client
    from collections.abc import Iterator
    from pathlib import Path

    from live_service import LiveService

SERVE = """
    import skitai
    from atila import Atila

    app = Atila (__name__)

    @app.route ("/<path:rest>")
    def everything (was, rest):
        return f"the app has {rest}"

    if __name__ == "__main__":
        skitai.mount ("/", app)
        skitai.mount ("/", "site")
        skitai.mount ("/static", "public")
        skitai.mount ("/static", "more")
        skitai.run (address="127.0.0.1", access_log=False)
"""

SMALL = bytes(range(100))  # kept in memory by the server
LARGE = random.Random(1).randbytes(300_000)  # sent from the disk
TEXT = b"All work and no play makes Jack a dull boy. " * 2000
SECRET = b"SECRET"
HUGE_SIZE = 64 * 1024 * 1024

FILES = {
    "serve.py": SERVE,
    "secret.txt": SECRET,
    "public/small.bin": SMALL,
    "public/large.bin": LARGE,
    "public/empty.txt": b"",
    "public/text.txt": TEXT,
    "public/style.css": "a {}",
    "public/name with ü.txt": "named",
    "public/lib.js": "plain();" * 1000,
    "public/lib.js.br": b"brotli bytes",
    "public/lib.js.gz": b"gzip bytes",
    "public/folder/index.html": "<p>folder</p>",
    "public/both/index.html": "second choice",
    "public/both/index.htm": "first choice",
    "public/bare/file.txt": "in bare",
    "public/.hidden": SECRET,
    "public/.git/config": SECRET,
    "public/.well-known/security.txt": "Contact: us",
    "more/small.bin": "of lower priority",
    "more/only-here.txt": "only here",
    "site/robots.txt": "User-agent: *",
    "public-secrets/key.txt": SECRET,
}


def build(folder: Path) -> None:
    """Write the project: script, files, links and what only looks like a file."""
    write_files(folder, FILES)
    public = folder / "public"
    (public / "link-inside").symlink_to("small.bin")
    (public / "link-out").symlink_to("../secret.txt")
    (public / "link-absolute").symlink_to(folder / "secret.txt")
    (public / "link-to-hidden").symlink_to(".hidden")
    (public / "link-to-folder").symlink_to("folder")
    (public / "link-to-outer-folder").symlink_to("../public-secrets")
    (public / "link-to-nothing").symlink_to("nothing")
    os.mkfifo(public / "pipe")
    with open(public / "huge.bin", "wb") as huge:
        for block in huge_blocks():
            huge.write(block)
    with open(public / "shrinking.bin", "wb") as shrinking:
        os.truncate(shrinking.fileno(), 1 << 30)  # more than the buffers on the way can hold


def huge_blocks() -> Iterator[bytes]:
    """A megabyte at a time; no two are equal."""
    return (struct.pack(">I", number) * 262144 for number in range(HUGE_SIZE >> 20))


def fetch(
    site: LiveService, target: str, method: str = "GET", **headers: str
) -> http.client.HTTPResponse:
    """Ask for a target exactly as it is written; keywords are headers with ``_`` for ``-``."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    connection = site.connect()
    connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    response = receive(connection, method)
    connection.close()
    return response
