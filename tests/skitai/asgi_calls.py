"""Bare ASGI apps for tests: by path to coroutines that are called as apps are."""

from __future__ import annotations

from typing import Any

START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}


def start(status=200, *headers, **more):
    """The message that begins a response."""
    fields = [(name.encode(), value.encode()) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": fields, **more}


def body(data=b"", more=False):
    """The message with a piece of a body."""
    return {"type": "http.response.body", "body": data, "more_body": more}


class Paths:
    """An app that hands on to others; ``/again`` shows that it lives."""

    def __init__(self, **apps):
        self.apps = apps

    async def __call__(self, scope, receive, send):
        if scope["path"] == "/again":
            await send(START)
            await send(body(b"again"))
            return
        await self.apps[scope["path"].strip("/")](scope, receive, send)
