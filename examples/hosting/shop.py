"""An app of Flask, made by a function."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, url_for

if TYPE_CHECKING:
    from collections.abc import Iterator


def create_app() -> Flask:
    """Make the app; each worker calls it once."""
    app = Flask(__name__)

    @app.get("/")
    def index() -> str:
        return f"a shop with a list at {url_for('items')}"

    @app.get("/items")
    def items() -> Iterator[str]:
        return (f"item {number}\n" for number in range(3))

    return app
