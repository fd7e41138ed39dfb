"""The answers in Starlette, as plain functions and as coroutines; served by uvicorn.

A plain function can't read a form in Starlette, so there is a coroutine only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from benchmarks.apps.person import Person

if TYPE_CHECKING:
    from starlette.requests import Request

ITEMS = [{"id": n, "name": f"<item {n}> & co.", "price": n * 2.5} for n in range(1, 51)]
templates = Jinja2Templates(directory=Path(__file__).parent / "templates")
templates.env.auto_reload = False


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


def count(request: Request) -> OrjsonResponse:
    """Count in the session."""
    request.session["count"] = request.session.get("count", 0) + 1
    return OrjsonResponse({"count": request.session["count"]})


def template(request: Request) -> Response:
    """Render 50 rows."""
    context = {"title": request.query_params["title"], "items": ITEMS}
    return templates.TemplateResponse(request, "table.html", context)


async def async_plaintext(request: Request) -> PlainTextResponse:
    """Answer with text."""
    return PlainTextResponse(b"Hello, World!")


async def async_item(request: Request) -> OrjsonResponse:
    """Answer with JSON."""
    return OrjsonResponse({"id": request.path_params["id"], "q": request.query_params["q"]})


async def async_form(request: Request) -> Response:
    """Check and convert a form with pydantic."""
    try:
        person = Person.model_validate(dict(await request.form()))
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_input=False)
        return OrjsonResponse({"errors": errors}, 422)
    return Response(person.model_dump_json(), media_type="application/json")


async def async_count(request: Request) -> OrjsonResponse:
    """Count in the session."""
    request.session["count"] = request.session.get("count", 0) + 1
    return OrjsonResponse({"count": request.session["count"]})


async def async_template(request: Request) -> Response:
    """Render 50 rows."""
    context = {"title": request.query_params["title"], "items": ITEMS}
    return templates.TemplateResponse(request, "table.html", context)


# Only the routes with a session pay for it.
sessions = [Middleware(SessionMiddleware, secret_key="a secret of the benchmark, not of anybody")]
app = Starlette(
    routes=[
        Route("/plaintext", plaintext),
        Route("/items/{id:int}", item),
        Route("/session", count, middleware=sessions),
        Route("/template", template),
        Route("/async/plaintext", async_plaintext),
        Route("/async/items/{id:int}", async_item),
        Route("/async/form", async_form, methods=["POST"]),
        Route("/async/session", async_count, middleware=sessions),
        Route("/async/template", async_template),
    ]
)
