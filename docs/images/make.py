"""Makes the pictures of the documents: `make pictures`. Needs Chromium.

They are screenshots of the demo, served with its status page, while clients ask for its pages.
"""

from __future__ import annotations

import http.client
import math
import random
import tempfile
import threading
import time
from pathlib import Path

from chromium import Chromium

import skitai

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WIDTH, HEIGHT = 1000, 590
WATCHED_SECONDS = 180.0  # what its charts show
PATHS = (*("/", "/books/2", "/books/5", "/api/books", "/about") * 5, "/books/999")
SCRIPT = """
import skitai

if __name__ == "__main__":
    with skitai.preference(path="examples") as pref:
        import shelf

        skitai.mount("/", shelf, pref)
    skitai.run(name="shelf", workers=3, status_path="/-/status")
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = folder / "serve.py"
        script.write_text(SCRIPT, encoding="utf-8")
        (folder / "examples").symlink_to(ROOT / "examples")
        profile = folder / "profile"
        profile.mkdir()
        with skitai.test_client(script, port=0) as service, Chromium(profile) as browser:
            take(browser, service.port)


def take(browser: Chromium, port: int) -> None:
    """The front page, then the status page after some minutes of visitors."""
    browser.screen(WIDTH, HEIGHT)
    browser.open(f"http://127.0.0.1:{port}/")
    browser.screenshot(HERE / "shelf.png")
    ended = threading.Event()
    visitors = [threading.Thread(target=visit, args=(port, ended, n)) for n in range(4)]
    for visitor in visitors:
        visitor.start()
    try:
        browser.open(f"http://127.0.0.1:{port}/-/status")
        ended.wait(WATCHED_SECONDS)
        browser.screenshot(HERE / "status.png")
    finally:
        ended.set()
        for visitor in visitors:
            visitor.join()


def visit(port: int, ended: threading.Event, seed: int) -> None:
    """Ask for pages in waves, as people come and go, until the event is set."""
    chance = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while not ended.is_set():
        connection.request("GET", chance.choice(PATHS))
        connection.getresponse().read()
        busy = 1.2 + math.sin(time.monotonic() / 9 + seed)
        ended.wait(chance.random() * 0.04 / busy)
    connection.close()


if __name__ == "__main__":
    main()
