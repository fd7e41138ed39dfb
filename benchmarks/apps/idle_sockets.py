"""Websockets that live long and say little, for `benchmarks.idle_sockets`."""

from __future__ import annotations

from typing import Any

import skitai
from atila import Atila

app = Atila(__name__)


@app.route("/idle")
@app.websocket(skitai.WS_REPORTY | skitai.WS_NOPOOL, timeout=3600)
def idle(was: Any, message: str) -> str:
    """Send a message back."""
    return message


if __name__ == "__main__":
    skitai.mount("/", app)
    skitai.run(address="127.0.0.1", access_log=False, max_connections=100_000)
