"""The answers in Flask; served by Granian and gunicorn.

The provider is the documented way to give Flask a faster JSON library.
"""

from __future__ import annotations

from typing import Any

import orjson
from flask import Flask, Response, render_template, request, session
from flask.json.provider import JSONProvider
from pydantic import ValidationError

from benchmarks.apps.person import Person

ITEMS = [{"id": n, "name": f"<item {n}> & co.", "price": n * 2.5} for n in range(1, 51)]


class OrjsonProvider(JSONProvider):
    """Flask's JSON through orjson."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """Serialise to text, as the interface asks."""
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        """Parse text or bytes."""
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        """Make the response from bytes, without the way over text."""
        body = orjson.dumps(self._prepare_response_obj(args, kwargs))
        return self._app.response_class(body, mimetype="application/json")


app = Flask(__name__)
app.json = OrjsonProvider(app)
app.secret_key = "a secret of the benchmark, not of anybody"


@app.get("/plaintext")
def plaintext() -> Response:
    """Answer with text."""
    return Response(b"Hello, World!", mimetype="text/plain")


@app.get("/items/<int:id>")
def item(id: int) -> dict[str, Any]:
    """Answer with JSON."""
    return {"id": id, "q": request.args["q"]}


@app.post("/form")
def form() -> Response:
    """Check and convert with pydantic, which is faster here than WTForms."""
    person = Person.model_validate(request.form.to_dict())
    return Response(person.model_dump_json(), mimetype="application/json")


@app.errorhandler(ValidationError)
def refuse(error: ValidationError) -> tuple[dict[str, Any], int]:
    """Name what is wrong with a form."""
    return {"errors": error.errors(include_url=False, include_input=False)}, 422


@app.get("/session")
def count() -> dict[str, Any]:
    """Count in the session."""
    session["count"] = session.get("count", 0) + 1
    return {"count": session["count"]}


@app.get("/template")
def template() -> str:
    """Render 50 rows."""
    return render_template("table.html", title=request.args["title"], items=ITEMS)
