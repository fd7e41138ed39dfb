"""The answers in BlackSheep; served by Granian.

Coroutines only: BlackSheep calls a plain function on the loop, not in a thread.
"""

from __future__ import annotations

from pathlib import Path

import orjson
from blacksheep import Application, Content, FromForm, Request, Response, json, text
from blacksheep.server.rendering.jinja2 import JinjaRenderer
from blacksheep.server.responses import view
from blacksheep.sessions import SessionMiddleware
from blacksheep.sessions.cookies import CookieSessionStore
from blacksheep.settings.html import html_settings
from blacksheep.settings.json import json_settings
from jinja2 import FileSystemLoader

from benchmarks.apps.person import Person  # noqa: TC001  evaluated at run time

ITEMS = [{"id": n, "name": f"<item {n}> & co.", "price": n * 2.5} for n in range(1, 51)]
json_settings.use(loads=orjson.loads, dumps=lambda value: orjson.dumps(value).decode())
html_settings.use(JinjaRenderer(FileSystemLoader(Path(__file__).parent / "templates")))
# As middleware of the app it would cost all other routes too.
sessions = SessionMiddleware(CookieSessionStore("a secret of the benchmark, not of anybody"))

app = Application()


@app.router.get("/async/plaintext")
async def plaintext() -> Response:
    """Answer with text."""
    return text("Hello, World!")


@app.router.get("/async/items/{int:id}")
async def item(id: int, q: str) -> Response:
    """Answer with JSON."""
    return json({"id": id, "q": q})


@app.router.post("/async/form")
async def form(person: FromForm[Person]) -> Response:
    """Check and convert a form with pydantic."""
    body = person.value.model_dump_json().encode()
    return Response(200, content=Content(b"application/json", body))


@app.router.get("/async/session")
async def session(request: Request) -> Response:
    """Count in the session."""
    return await sessions(request, count)


async def count(request: Request) -> Response:
    """Answer with the counter."""
    request.session["count"] = request.session.get("count", 0) + 1
    return json({"count": request.session["count"]})


@app.router.get("/async/template")
async def template(title: str) -> Response:
    """Render 50 rows."""
    return view("table", {"title": title, "items": ITEMS})
