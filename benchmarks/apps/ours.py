"""The two answers in atila on skitai, as plain functions and as coroutines.

`ACCESS_LOG=on` in the environment turns the access log on, for the second row of the report.
"""

from __future__ import annotations

import os
from typing import Any

import skitai
from atila import Atila

app = Atila(__name__)


@app.route("/plaintext")
def plaintext(was: Any) -> bytes:
    """Answer with text."""
    was.response.set_header("Content-Type", "text/plain")
    return b"Hello, World!"


@app.route("/items/<int:id>")
def item(was: Any, id: int, q: str) -> Any:
    """Answer with JSON."""
    return was.API(id=id, q=q)


@app.route("/async/plaintext")
async def async_plaintext(was: Any) -> bytes:
    """Answer with text."""
    was.response.set_header("Content-Type", "text/plain")
    return b"Hello, World!"


@app.route("/async/items/<int:id>")
async def async_item(was: Any, id: int, q: str) -> Any:
    """Answer with JSON."""
    return was.API(id=id, q=q)


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(address="127.0.0.1", access_log=os.environ.get("ACCESS_LOG") == "on")
