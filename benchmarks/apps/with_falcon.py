"""The two answers in Falcon (WSGI), with orjson as its media handler; served by Granian and bjoern.

Run as a script it serves itself with bjoern, which has no command line of its own.
"""

from __future__ import annotations

import argparse

import falcon
import orjson
from falcon import media


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


app = falcon.App()
app.resp_options.media_handlers[falcon.MEDIA_JSON] = media.JSONHandler(
    dumps=orjson.dumps, loads=orjson.loads
)
app.add_route("/plaintext", Plaintext())
app.add_route("/items/{id:int}", Item())


if __name__ == "__main__":
    import bjoern

    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    bjoern.run(app, "127.0.0.1", parser.parse_args().port)
