"""The answers in atila on skitai, as plain functions and as coroutines.

`ACCESS_LOG=on` in the environment turns the access log on, for the second row of the report;
`CERTIFICATE` and `KEY` turn TLS on, `FILES` is a directory to serve. The forms have no type hints,
which would be a second check of what `app.inspect` has converted.
"""

from __future__ import annotations

import os
import re
from typing import Any

import skitai
from atila import Atila

app = Atila(__name__)
app.securekey = "a secret of the benchmark, not of anybody"

ITEMS = [{"id": n, "name": f"<item {n}> & co.", "price": n * 2.5} for n in range(1, 51)]
PERSON = dict(
    ints=["age", "birth_year"],
    floats=["score"],
    booleans=["newsletter"],
    emails=["email"],
    name__len__between=(3, 64),
    age__between=(18, 130),
    gender__in=["male", "female", "other"],
    birth_year__between=(1900, 2030),
    zip=re.compile(r"^[0-9]{5}$"),
)


@app.route("/plaintext")
def plaintext(was: Any) -> bytes:
    """Answer with text."""
    was.response.set_header("Content-Type", "text/plain")
    return b"Hello, World!"


@app.route("/items/<int:id>")
def item(was: Any, id: int, q: str) -> Any:
    """Answer with JSON."""
    return was.API(id=id, q=q)


@app.route("/form", methods=["POST"])
@app.inspect(**PERSON)
def form(was, name, email, age, gender, birth_year, newsletter, score, city, zip, comment=None):
    """Answer with the checked and converted form."""
    return was.API(
        name=name,
        email=email,
        age=age,
        gender=gender,
        birth_year=birth_year,
        newsletter=newsletter,
        score=score,
        city=city,
        zip=zip,
        comment=comment,
    )


@app.route("/session")
def count(was: Any) -> Any:
    """Count in the session."""
    was.session["count"] = was.session.get("count", 0) + 1
    return was.API(count=was.session["count"])


@app.route("/template")
def template(was: Any, title: str) -> Any:
    """Render 50 rows."""
    return was.render("table.html", title=title, items=ITEMS)


@app.route("/async/plaintext")
async def async_plaintext(was: Any) -> bytes:
    """Answer with text."""
    was.response.set_header("Content-Type", "text/plain")
    return b"Hello, World!"


@app.route("/async/items/<int:id>")
async def async_item(was: Any, id: int, q: str) -> Any:
    """Answer with JSON."""
    return was.API(id=id, q=q)


@app.route("/async/form", methods=["POST"])
@app.inspect(**PERSON)
async def async_form(
    was, name, email, age, gender, birth_year, newsletter, score, city, zip, comment=None
):
    """Answer with the checked and converted form."""
    return was.API(
        name=name,
        email=email,
        age=age,
        gender=gender,
        birth_year=birth_year,
        newsletter=newsletter,
        score=score,
        city=city,
        zip=zip,
        comment=comment,
    )


@app.route("/async/session")
async def async_count(was: Any) -> Any:
    """Count in the session."""
    was.session["count"] = was.session.get("count", 0) + 1
    return was.API(count=was.session["count"])


@app.route("/async/template")
async def async_template(was: Any, title: str) -> Any:
    """Render 50 rows."""
    return was.render("table.html", title=title, items=ITEMS)


@app.route("/async/echo")
@app.websocket(skitai.WS_COROUTINE)
async def echo(was: Any) -> None:
    """Send messages back."""
    async for message in was.websocket:
        was.websocket.send(message)


if __name__ == "__main__":
    skitai.mount("/", app)
    if "FILES" in os.environ:
        skitai.mount("/files", os.environ["FILES"])
    if "CERTIFICATE" in os.environ:
        skitai.enable_ssl(os.environ["CERTIFICATE"], os.environ["KEY"])
    skitai.run(address="127.0.0.1", access_log=os.environ.get("ACCESS_LOG") == "on")
