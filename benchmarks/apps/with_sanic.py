"""Messages of websockets sent back by Sanic, with one worker in this process."""

from __future__ import annotations

import argparse
from typing import Any

from sanic import Sanic

app = Sanic("echo")
app.config.WEBSOCKET_MAX_SIZE = 1024 * 1024


@app.websocket("/async/echo")
async def echo(request: Any, ws: Any) -> None:
    """Send messages back."""
    async for message in ws:
        await ws.send(message)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    app.run("127.0.0.1", parser.parse_args().port, single_process=True, access_log=False)
