"""The two answers in FastAPI, plain functions and coroutines; served by uvicorn and Granian."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/plaintext", response_class=PlainTextResponse)
def plaintext() -> PlainTextResponse:
    """Answer with text."""
    return PlainTextResponse(b"Hello, World!")


@app.get("/items/{id}")
def item(id: int, q: str) -> dict[str, Any]:
    """Answer with JSON."""
    return {"id": id, "q": q}


@app.get("/async/plaintext", response_class=PlainTextResponse)
async def async_plaintext() -> PlainTextResponse:
    """Answer with text."""
    return PlainTextResponse(b"Hello, World!")


@app.get("/async/items/{id}")
async def async_item(id: int, q: str) -> dict[str, Any]:
    """Answer with JSON."""
    return {"id": id, "q": q}
