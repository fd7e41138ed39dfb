"""The answers in FastAPI, plain functions and coroutines; served by uvicorn and Granian.

PERF: the forms answer with a ready response, which is up to 14 % faster than to return the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Form, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.routing import APIRoute
from fastapi.templating import Jinja2Templates
from starlette.middleware.sessions import SessionMiddleware

from benchmarks.apps.person import Person  # noqa: TC001  evaluated at run time

ITEMS = [{"id": n, "name": f"<item {n}> & co.", "price": n * 2.5} for n in range(1, 51)]
templates = Jinja2Templates(directory=Path(__file__).parent / "templates")
templates.env.auto_reload = False


class SessionRoute(APIRoute):
    """A route with a session; as middleware of the app it would cost all other routes too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        secret = "a secret of the benchmark, not of anybody"
        self.app = SessionMiddleware(self.app, secret_key=secret)


app = FastAPI()


@app.get("/plaintext", response_class=PlainTextResponse)
def plaintext() -> PlainTextResponse:
    """Answer with text."""
    return PlainTextResponse(b"Hello, World!")


@app.get("/items/{id}")
def item(id: int, q: str) -> dict[str, Any]:
    """Answer with JSON."""
    return {"id": id, "q": q}


@app.post("/form")
def form(person: Annotated[Person, Form()]) -> Response:
    """Check and convert a form."""
    return Response(person.model_dump_json(), media_type="application/json")


def count(request: Request) -> dict[str, Any]:
    """Count in the session."""
    request.session["count"] = request.session.get("count", 0) + 1
    return {"count": request.session["count"]}


@app.get("/template", response_class=HTMLResponse)
def template(request: Request, title: str) -> Response:
    """Render 50 rows."""
    context = {"title": title, "items": ITEMS}
    return templates.TemplateResponse(request, "table.html", context)


@app.get("/async/plaintext", response_class=PlainTextResponse)
async def async_plaintext() -> PlainTextResponse:
    """Answer with text."""
    return PlainTextResponse(b"Hello, World!")


@app.get("/async/items/{id}")
async def async_item(id: int, q: str) -> dict[str, Any]:
    """Answer with JSON."""
    return {"id": id, "q": q}


@app.post("/async/form")
async def async_form(person: Annotated[Person, Form()]) -> Response:
    """Check and convert a form."""
    return Response(person.model_dump_json(), media_type="application/json")


async def async_count(request: Request) -> dict[str, Any]:
    """Count in the session."""
    request.session["count"] = request.session.get("count", 0) + 1
    return {"count": request.session["count"]}


@app.get("/async/template", response_class=HTMLResponse)
async def async_template(request: Request, title: str) -> Response:
    """Render 50 rows."""
    context = {"title": title, "items": ITEMS}
    return templates.TemplateResponse(request, "table.html", context)


for target, function in (("/session", count), ("/async/session", async_count)):
    app.router.add_api_route(target, function, route_class_override=SessionRoute)
