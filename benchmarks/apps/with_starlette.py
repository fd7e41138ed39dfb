"""The two answers in Starlette, as plain functions and as coroutines; served by uvicorn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request


class OrjsonResponse(JSONResponse):
    """The custom response that Starlette's documentation recommends for speed."""

    def render(self, content: Any) -> bytes:
        """Serialise with orjson."""
        return orjson.dumps(content)


def plaintext(request: Request) -> PlainTextResponse:
    """Answer with text."""
    return PlainTextResponse(b"Hello, World!")


def item(request: Request) -> OrjsonResponse:
    """Answer with JSON."""
    return OrjsonResponse({"id": request.path_params["id"], "q": request.query_params["q"]})


async def async_plaintext(request: Request) -> PlainTextResponse:
    """Answer with text."""
    return PlainTextResponse(b"Hello, World!")


async def async_item(request: Request) -> OrjsonResponse:
    """Answer with JSON."""
    return OrjsonResponse({"id": request.path_params["id"], "q": request.query_params["q"]})


app = Starlette(
    routes=[
        Route("/plaintext", plaintext),
        Route("/items/{id:int}", item),
        Route("/async/plaintext", async_plaintext),
        Route("/async/items/{id:int}", async_item),
    ]
)
