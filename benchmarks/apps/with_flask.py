"""The two answers in Flask; served by Granian and gunicorn.

The provider is the documented way to give Flask a faster JSON library.
"""

from __future__ import annotations

from typing import Any

import orjson
from flask import Flask, Response, request
from flask.json.provider import JSONProvider


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


@app.get("/plaintext")
def plaintext() -> Response:
    """Answer with text."""
    return Response(b"Hello, World!", mimetype="text/plain")


@app.get("/items/<int:id>")
def item(id: int) -> dict[str, Any]:
    """Answer with JSON."""
    return {"id": id, "q": request.args["q"]}
