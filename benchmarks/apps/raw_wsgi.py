"""The two answers as a WSGI callable without a framework; served by Granian."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer `/plaintext` and `/items/<int>?q=<str>`."""
    path = environ["PATH_INFO"]
    if path == "/plaintext":
        body = b"Hello, World!"
        content_type = "text/plain"
    elif path.startswith("/items/"):
        query = parse_qs(environ["QUERY_STRING"])
        body = orjson.dumps({"id": int(path[7:]), "q": query["q"][0]})
        content_type = "application/json"
    else:
        start_response("404 Not Found", [("Content-Length", "0")])
        return [b""]
    headers = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
