"""The two answers as an RSGI callable without a framework; served by Granian."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import orjson

TEXT = [("content-type", "text/plain")]
JSON = [("content-type", "application/json")]


async def app(scope: Any, protocol: Any) -> None:
    """Answer `/async/plaintext` and `/async/items/<int>?q=<str>`."""
    path = scope.path
    if path == "/async/plaintext":
        protocol.response_bytes(200, TEXT, b"Hello, World!")
    elif path.startswith("/async/items/"):
        query = parse_qs(scope.query_string)
        body = orjson.dumps({"id": int(path[13:]), "q": query["q"][0]})
        protocol.response_bytes(200, JSON, body)
    else:
        protocol.response_empty(404, [])
