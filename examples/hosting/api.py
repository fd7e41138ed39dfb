"""An app of FastAPI with a start, an end and a websocket."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, WebSocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, float]]:
    """What every request finds in its state, once for each worker."""
    yield {"began": time.time()}


app = FastAPI(title="Hosted", root_path_in_servers=False, lifespan=lifespan)


@app.get("/hello")
async def hello(request: Request) -> dict[str, float]:
    """Tell since when this worker serves."""
    return {"serving_since": request.state.began}


@app.websocket("/echo")
async def echo(socket: WebSocket) -> None:
    """Send back what comes."""
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)
