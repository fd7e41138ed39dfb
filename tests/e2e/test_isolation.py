"""64 clients at once on one worker: what a request puts into `was` never shows up in another."""

from __future__ import annotations

import http.client
import json
import threading

import pytest
from live_service import PATIENCE

pytestmark = pytest.mark.e2e

CLIENTS = 64
REQUESTS = 80  # of each client

SERVE = """
    import skitai
    import myapp

    if __name__ == "__main__":
        skitai.mount ("/", myapp)
        skitai.run (address="127.0.0.1", access_log=False, threads=16)
"""

# Each handler writes its token everywhere, lets others run, and reports what it finds then.
APP = """
    import asyncio
    import threading
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def write (was, token):
        was.request.g.token = token
        was.response.set_header ("X-Token", token)
        was.response.set_status (f"200 {token}")

    def read (was, token):
        return {
            "argument": token,
            "g": was.request.g.token,
            "args": was.request.args ["token"],
            "uri": was.request.uri,
            "header": was.request.get_header ("x-sent"),
            "response": was.response.get_header ("x-token"),
            "body": (was.request.JSON or {}).get ("token"),
        }

    def pause ():
        threading.Event ().wait (0.0001)  # the interpreter goes on with another thread

    def __mount__ (app, mntopt):
        @app.route ("/plain/<token>", methods = ["GET", "POST"])
        def plain (was, token):
            write (was, token)
            pause ()
            return was.API (read (was, token))

        @app.route ("/async/<token>", methods = ["GET", "POST"])
        async def async_ (was, token):
            write (was, token)
            await asyncio.sleep (0)
            await asyncio.sleep (0)
            return was.API (read (was, token))

        @app.route ("/stream/<token>", methods = ["GET", "POST"])
        def stream (was, token):
            def pieces ():
                write (was, token)
                yield '{"pieces": ['
                for _ in range (3):
                    pause ()
                    yield f'"{was.request.g.token} {was.request.args ["token"]}", '
                yield f'"{token} {token}"]}}'
            write (was, token)
            return was.response ("200 " + token, pieces (), [("X-Token", token)])

        @app.route ("/astream/<token>", methods = ["GET", "POST"])
        async def astream (was, token):
            write (was, token)
            yield '{"pieces": ['
            for _ in range (3):
                await asyncio.sleep (0)
                yield f'"{was.request.g.token} {was.request.args ["token"]}", '
            yield f'"{token} {token}"]}}'

        @app.route ("/error/<token>", methods = ["GET", "POST"])
        def error (was, token):
            write (was, token)
            pause ()
            raise was.Error ("409 Conflict", was.request.g.token)
"""

KINDS = ("plain", "async", "stream", "astream", "error")


def ask(connection, kind, token, post):
    """What is wrong with the answer; nothing if all is well."""
    path = f"/{kind}/{token}"
    headers = {"X-Sent": token, "Content-Type": "application/json"}
    body = json.dumps({"token": token}) if post else None
    connection.request("POST" if post else "GET", path, body, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    if kind == "error":
        good = (response.status, answer.get("more_info")) == (409, token)
        return None if good else (path, response.status, answer)
    expected = {"pieces": [f"{token} {token}"] * 4}
    if not kind.endswith("stream"):
        expected = dict.fromkeys(("argument", "g", "args", "header", "response"), token)
        expected.update(uri=path, body=token if post else None)
    found = (response.status, response.reason, response.getheader("X-Token"), answer)
    return None if found == (200, token, token, expected) else (path, found)


def test_what_belongs_to_a_request_stays_with_it(launch):
    service = launch({"serve.py": SERVE, "myapp/__init__.py": APP})
    together = threading.Barrier(CLIENTS)
    problems, answered = [], []

    def ask_on(number):
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
        try:
            connection.connect()
            together.wait(PATIENCE)
            for at in range(REQUESTS):
                kind = KINDS[(number + at) % len(KINDS)]
                problem = ask(connection, kind, f"t-{number}-{at}", post=at % 2 == 1)
                if problem is not None:
                    problems.append(problem)
                answered.append(number)
        except Exception as exc:
            problems.append((number, repr(exc)))
        finally:
            connection.close()

    clients = [threading.Thread(target=ask_on, args=(number,)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert problems == []
    assert len(answered) == CLIENTS * REQUESTS
