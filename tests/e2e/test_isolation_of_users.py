"""64 users at once on one worker, with hooks, events, sessions and errors around every handler."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from http.cookies import SimpleCookie

import pytest
from live_service import PATIENCE

from atila.tokens.jwt_claims import encode_jwt

pytestmark = pytest.mark.e2e

USERS = 64
REQUESTS = 60  # of each user
KEY = "a key for the tests, long enough"

SERVE = f"""
    import skitai
    import myapp

    if __name__ == "__main__":
        with skitai.preference () as pref:
            pref.securekey = {KEY!r}
            skitai.mount ("/", myapp, pref)
        skitai.run (address="127.0.0.1", access_log=False, threads=16)
"""

# Whatever runs for a request writes down whom it runs for: handlers, hooks, guards, events, pages.
APP = """
    import asyncio
    import threading
    from atila import Atila
    from skitai import was as current

    def __app__ ():
        return Atila (__name__)

    def pause ():
        threading.Event ().wait (0.0001)  # the interpreter goes on with another thread

    def seen (was, place):
        # Who this place thinks the user is, from all that a request has.
        if "token" not in was.request.g: # the test asks how it went
            return
        facts = {
            was.request.g.token, was.request.get_header ("x-token"), was.request.user.name,
            was.request.args.get ("token"), was.env ["HTTP_X_TOKEN"], was.cookie ["token"],
            was.request.uri.partition ("?") [0].rpartition ("/") [2],
        }
        was.request.g.places.append ([place, sorted (map (str, facts))])

    def __setup__ (app, mntopt):
        app.g.torn = 0
        app.g.wrong = 0

        @app.bearer_handler
        def bearer (was, token):
            was.request.g.token = was.request.get_header ("x-token")
            was.request.g.places = []
            was.request.user = type ("User", (), {"name": was.decode_jwt (token) ["name"]}) ()

        @app.before_request
        def before (was):
            pause ()
            seen (was, "before")

        @app.finish_request
        async def finish (was, response):
            await asyncio.sleep (0)
            seen (was, "finish")
            was.response.add_header ("X-Finished", was.request.g.get ("token", ""))

        @app.failed_request
        def failed (was, info):
            pause ()
            seen (was, "failed")

        @app.teardown_request
        def teardown (was):
            seen (was, "teardown")
            if "token" not in was.request.g:
                return
            app.g.increment ("torn")
            if {tuple (names) for _, names in was.request.g.places} != {(was.request.g.token,)}:
                app.g.increment ("wrong")

        @app.on ("before_request")
        def on_before (was):
            seen (was, "event")

        @app.on ("custom")
        def on_custom (was, token):
            seen (was, "custom")
            assert token == was.request.g.token

        @app.default_error_handler
        def page (was, error):
            token = was.request.get_header ("x-token")
            return f"<p>{error ['code']} {error ['detail']} {token}</p>"

    def guard (was):
        pause ()
        seen (was, "guard")

    def report (was, token):
        app = was.app
        app.emit ("custom", token)
        assert current.request is was.request
        was.session ["token"] = token
        was.session ["count"] = (was.session ["count"] or 0) + 1
        was.mbox.send (f"for {token}")
        was.response.set_header ("X-Handled", token)
        seen (was, "handler")
        return {
            "count": was.session ["count"], "token": was.session ["token"],
            "messages": [message.msg for message in was.mbox.get ()],
            "places": was.request.g.places, "current": current.request.g.token,
        }

    def __mount__ (app, mntopt):
        @app.route ("/plain/<token>")
        @app.authorization_required ("bearer")
        @app.run_before (guard)
        def plain (was, token, body = None):
            pause ()
            return was.API (report (was, token))

        @app.route ("/async/<token>")
        @app.authorization_required ("bearer")
        @app.run_before (guard)
        async def async_ (was, token, body = None):
            await asyncio.sleep (0)
            told = report (was, token)
            await asyncio.sleep (0)
            return was.API (told)

        @app.route ("/page/<token>")
        @app.authorization_required ("bearer")
        def page (was, token, body = None):
            report (was, token)
            return was.render ("page.j2", token = token)

        @app.route ("/stream/<token>")
        @app.authorization_required ("bearer")
        def stream (was, token, body = None):
            told = report (was, token)
            for _ in range (3):
                pause ()
                yield f"{was.request.g.token} {token} "

        @app.route ("/astream/<token>")
        @app.authorization_required ("bearer")
        async def astream (was, token, body = None):
            report (was, token)
            for _ in range (3):
                await asyncio.sleep (0)
                yield f"{was.request.g.token} {token} {current.request.g.token} "

        @app.route ("/conflict/<token>")
        @app.authorization_required ("bearer")
        def conflict (was, token, body = None):
            report (was, token)
            pause ()
            raise was.Error ("409 Conflict", was.request.g.token)

        @app.route ("/crash/<token>")
        @app.authorization_required ("bearer")
        async def crash (was, token, body = None):
            report (was, token)
            await asyncio.sleep (0)
            raise KeyError (token)

        @app.route ("/torn")
        def torn (was):
            return was.API (torn = app.g.torn, wrong = app.g.wrong)
"""

PAGE = "{{ token }} {{ request.g.token }} {{ was.request.user.name }} {{ request.cookie.token }}"

GOOD = ("plain", "async", "page", "stream", "astream")
FAILING = {"conflict": 409, "crash": 500, "missing": 404}
KINDS = (*GOOD, *FAILING)
SERVED = len(KINDS) - 1  # kinds with a route

_TOKEN = re.compile(r"token\.\d+\.\d+")


class User:
    """One user with a connection, cookies of their own, and an eye on everything that comes."""

    def __init__(self, number, port):
        self.number = number
        self.count = 0
        self.jar = {}
        self.problems = []
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self.connection.connect()

    def ask(self, at):
        kind = KINDS[(self.number + at) % len(KINDS)]
        token = f"token.{self.number}.{at}"
        claims = {"name": token, "exp": int(time.time()) + 600}
        self.jar["token"] = token
        headers = {
            "X-Token": token,
            "Authorization": f"Bearer {encode_jwt(claims, KEY.encode())}",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self.jar.items()),
            "Accept": "text/html" if at % 3 else "application/json",
        }
        body = None
        if at % 2:
            headers["Content-Type"] = "application/json"
            body = json.dumps({"body": token})
        self.connection.request("POST" if body else "GET", f"/{kind}/{token}?", body, headers)
        response = self.connection.getresponse()
        text = response.read().decode()
        self.check(kind, token, response, text, at)

    def check(self, kind, token, response, text, at):
        cookies = response.headers.get_all("Set-Cookie") or []
        everything = f"{response.headers}{text}"
        facts = {"tokens": set(_TOKEN.findall(everything)) <= {token}}
        facts["status"] = response.status == FAILING.get(kind, 200)
        if kind in FAILING:
            facts["cookies"] = not cookies
            facts["headers"] = response.getheader("X-Handled") in (None, token)
            if at % 3:
                facts["page"] = text.endswith(f"{token}</p>")
        else:
            self.count += 1
            self.store(cookies)
            facts["headers"] = response.getheader("X-Handled") == token
            if kind in ("plain", "async"):
                told = json.loads(text)
                facts["count"] = told["count"] == self.count
                facts["session"] = (told["token"], told["current"]) == (token, token)
                facts["messages"] = told["messages"] == [f"for {token}"]
                facts["places"] = {tuple(names) for _, names in told["places"]} == {(token,)}
            else:
                facts["text"] = text.split() == [token] * len(text.split())
        if not all(facts.values()):
            self.problems.append((kind, token, response.status, facts, everything))

    def store(self, cookies):
        for line in cookies:
            for name, morsel in SimpleCookie(line).items():
                self.jar.pop(name, None)
                if morsel.value:
                    self.jar[name] = morsel.coded_value


def test_what_belongs_to_a_user_stays_with_that_user(launch):
    service = launch({"serve.py": SERVE, "myapp/__init__.py": APP, "myapp/templates/page.j2": PAGE})
    together = threading.Barrier(USERS)
    users = [User(number, service.port) for number in range(USERS)]

    def ask_on(user):
        try:
            together.wait(PATIENCE)
            for at in range(REQUESTS):
                user.ask(at)
        except Exception as exc:
            user.problems.append(repr(exc))
        finally:
            user.connection.close()

    threads = [threading.Thread(target=ask_on, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [problem for user in users for problem in user.problems][:3] == []
    asked = sum(
        (user.number + at) % len(KINDS) < SERVED for user in users for at in range(REQUESTS)
    )
    assert service.get("/torn").json() == {"torn": asked, "wrong": 0}
