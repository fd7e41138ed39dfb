"""The answers in Falcon (WSGI), with orjson as its media handler; served by Granian and bjoern.

Falcon has no sessions and no templates. Run as a script it serves itself with bjoern, which has no
command line of its own.
"""

from __future__ import annotations

import argparse

import falcon
import orjson
from falcon import media
from pydantic import ValidationError

from benchmarks.apps.person import Person


class Plaintext:
    """`GET /plaintext`"""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer with text."""
        resp.content_type = "text/plain"
        resp.data = b"Hello, World!"


class Item:
    """`GET /items/<int>?q=<str>`"""

    def on_get(self, req: falcon.Request, resp: falcon.Response, id: int) -> None:
        """Answer with JSON."""
        resp.media = {"id": id, "q": req.get_param("q", required=True)}


class Form:
    """`POST /form`"""

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Check and convert with pydantic."""
        person = Person.model_validate(req.get_media())
        resp.data = person.model_dump_json().encode()


def refuse(
    req: falcon.Request, resp: falcon.Response, error: ValidationError, params: dict[str, str]
) -> None:
    """Name what is wrong with a form."""
    resp.status = 422
    resp.media = {"errors": error.errors(include_url=False, include_input=False)}


app = falcon.App()
app.resp_options.media_handlers[falcon.MEDIA_JSON] = media.JSONHandler(
    dumps=orjson.dumps, loads=orjson.loads
)
app.add_error_handler(ValidationError, refuse)
app.add_route("/plaintext", Plaintext())
app.add_route("/items/{id:int}", Item())
app.add_route("/form", Form())


if __name__ == "__main__":
    import bjoern

    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    bjoern.run(app, "127.0.0.1", parser.parse_args().port)
