"""Apps that use every feature and give back all that a client sends; for the hostile requests.

``main_app`` has plain hooks before and behind coroutines and the other way round, ``second_app``
mirrors it; ``meta_app`` has none and tells what the others have counted.
"""

import asyncio
import os
from typing import Annotated

from hostile_routes import (
    add_downloads,
    add_files,
    add_headers,
    add_values,
    refused,
    without_files,
)
from msgspec import Meta

from atila import Atila

# What the apps read, below the launch script.
FILES = {
    "templates/error.j2": "<h1>{{ error.code }}</h1><p>{{ error.detail }}</p>",
    "templates/form.j2": '<form action="/pay" method="post">{{ was.csrf_token_input }}</form>',
    "templates/page.j2": "<title>{{ title }}</title><p>{{ request.args }}</p>",
    "static/small.txt": "small " * 100,
    "static/medium.txt": "medium " * 10_000,
    "static/big.bin": bytes(300_000),
}
COUNTED = ("before", "finish", "failed", "teardown", "left", "started", "finished", "heard")
BIG = 200_000  # bytes that a client takes some time to read


def main_app() -> Atila:
    """The app at ``/``."""
    app = Atila("main")
    app.securekey = "the key of the main app"
    app.users = {"kim": ("secret", False, {"role": "staff"}), "lee": None, "élan": "pässword"}
    app.access_control_allow_origin = ["https://good.example"]
    app.access_control_max_age = 60
    app.config.MAX_UPLOAD_SIZE = 3_000_000
    _add_hooks(app)
    _add_authentication(app)
    add_values(app)
    add_files(app)
    add_downloads(app)
    add_headers(app)
    _add_state(app)
    _add_access(app)
    _add_streams(app)
    _add_work(app)
    _add_methods(app)
    return app


def second_app() -> Atila:
    """The app at ``/second``: only for those with a token, and all coroutines."""
    app = Atila("second")
    app.securekey = "the key of the second app"
    app.authenticate = "bearer"
    app.config.MAX_UPLOAD_SIZE = 100_000
    _count(app, asynchronous=("before", "failed"))
    app.default_error_handler(lambda was, error: was.render("error.j2", error=error))

    @app.route("/login", authenticate=False)
    async def login(was, name: str):
        app.emit("logged-in", name)
        return was.API(token=was.encode_jwt({"username": name, "exp": 4_000_000_000}))

    @app.route("/me", methods=["GET", "POST", "PUT"])
    async def me(was, **args):
        await asyncio.sleep(0)
        return was.API(
            name=was.request.user.name, claims=dict(was.request.user), args=without_files(args)
        )

    @app.route("/plain/<path:rest>", authenticate="basic")
    def plain(was, rest: str = ""):
        return rest

    @app.authorization_handler
    async def account(was, username):
        return None if username == "nobody" else "password"

    @app.route("/stream", authenticate=False)
    async def stream(was, size: Annotated[int, Meta(ge=0, le=100)] = 3):
        for number in range(size):
            await asyncio.sleep(0)
            yield f"{number}\n"

    return app


def meta_app() -> Atila:
    """The app at ``/meta``."""
    app = Atila("meta")

    @app.route("/counts")
    def counts(was):
        found = {}
        for name in ("main", "second"):
            g = was.apps[name].g
            found[name] = {key: g.get(key, 0) for key in COUNTED}
        return was.API(pid=os.getpid(), counts=found)

    return app


# -- hooks and events


def _count(app: Atila, asynchronous: tuple[str, ...] = ()) -> None:
    """Count the hooks of requests; those named are coroutine functions."""

    def plain(name):
        def hook(was, *args):
            app.g.increment(name)

        return hook

    def coroutine(name):
        async def hook(was, *args):
            app.g.increment(name)
            await asyncio.sleep(0)

        return hook

    def hook(name):
        return (coroutine if name in asynchronous else plain)(name)

    app.before_request(hook("before"))
    app.failed_request(hook("failed"))
    app.teardown_request(hook("teardown"))
    app.on("before_request")(plain("started"))
    app.on("request:finished")(plain("finished"))
    finish = hook("finish")
    if "finish" in asynchronous:

        async def counted(was, response):
            await finish(was)

        app.finish_request(counted)
    else:
        app.finish_request(lambda was, response: finish(was))


def _add_hooks(app: Atila) -> None:
    _count(app, asynchronous=("finish", "teardown"))

    @app.on("second:logged-in", "logged-in")
    def heard(was, name):
        app.g.increment("heard")

    @app.on("echoed")
    async def on_the_loop(was, args=None):
        await asyncio.sleep(0)

    @app.maintain
    def tidy(was, now, count):
        app.g["rounds"] = count

    @app.error_handler(404)
    def not_found(was, error):
        return was.render("error.j2", error=error)

    @app.error_handler(400)
    async def bad_request(was, error):
        await asyncio.sleep(0)
        return was.render("error.j2", error=error)

    app.unroute("/gone/*", 410)


# -- cookies, sessions, messages, tokens


def _add_state(app: Atila) -> None:
    @app.route("/session", methods=["GET", "POST", "DELETE"])
    @app.inspect(key__len__lte=100)
    def session(was, key=None, value=None):
        if was.request.method == "DELETE":
            was.session.expire()
        elif key is not None:
            try:
                was.session[key] = value
                return was.API(dict(was.session))
            except (TypeError, ValueError) as exc:
                raise was.Error(400, str(exc)) from None
        return was.API(visits=was.session.get("visits"), left=was.session.get_expiry())

    @app.route("/session/visits")
    async def visits(was):
        was.session["visits"] = (was.session["visits"] or 0) + 1
        with was.session.mounted("admin", session_timeout=60, path="/session") as session:
            session["visits"] = True
        return was.API(visits=was.session["visits"])

    @app.route("/messages", methods=["GET", "POST"])
    def messages(was, text: str | None = None, category: str = "info"):
        if text is not None:
            try:
                was.mbox.send(text, category)
            except ValueError as exc:
                raise refused(was, exc) from None
        return was.API(messages=[message.msg for message in was.mbox.get(category)])

    @app.route("/tokens")
    def tokens(was, ott: str = "", otp: str = "", jwt: str = ""):
        was.revoke_ott(ott)
        return was.API(
            ott=was.decode_ott(ott), otp=was.verify_otp(otp), jwt=was.decode_jwt(jwt or None)
        )

    @app.route("/form", methods=["GET"])
    def form(was):
        return was.render("form.j2")

    @app.route("/pay", methods=["GET", "POST"])
    @app.csrf_verification_required
    def pay(was, amount: int = 0):
        return was.API(amount=amount)


# -- who may


def _add_authentication(app: Atila) -> None:
    @app.bearer_handler
    def check_token(was, token):
        if not token.startswith("good"):
            return f"no such token: {token}"
        was.request.user = token

    @app.permission_handler
    def permissions(was, perms):
        level = was.request.get_header("x-level")
        if level is None:
            raise was.Error("401 Unauthorized")
        if perms and level not in perms:
            raise was.Error("403 Permission Denied", f"{level} is not {' or '.join(sorted(perms))}")
        was.request.user = level

    @app.route("/user/basic", authenticate="basic")
    def basic(was, **args):
        return was.API(user=str(was.request.user))

    @app.route("/user/digest", authenticate="digest")
    async def digest(was, **args):
        return was.API(user=str(was.request.user))

    @app.route("/user/bearer")
    @app.authorization_required("bearer")
    def bearer(was, **args):
        return was.API(user=str(was.request.user))


def _add_access(app: Atila) -> None:
    @app.route("/animals/<id>", methods=["GET", "POST", "DELETE"])
    @app.permission_required(["user"], id=["staff"], DELETE=["admin"])
    def animals(was, id: str | None = None):
        return was.API(id=id)

    @app.route("/profile")
    @app.login_required
    async def profile(was):
        return was.request.user

    @app.route("/anybody")
    @app.identification_required
    def anybody(was):
        return str(was.request.user)

    @app.route("/control")
    @app.testpass_required(lambda was: was.request.get_header("x-level") == "root")
    def control(was):
        return "under control"

    @app.route(
        "/open", methods=["GET", "POST", "OPTIONS"], access_control_allow_origin=["*"],
        access_control_max_age=10,
    )  # fmt: skip
    async def opened(was, **args):
        return was.API(origin=was.request.origin)

    @app.route("/host", subdomain="k")
    def host(was):
        return was.request.host

    @app.route("/gone/<path:rest>")
    def gone(was, rest: str = ""):
        return rest


# -- pieces


def _add_streams(app: Atila) -> None:
    def pieces(number, size):
        complete = False
        try:
            for _ in range(number):
                yield "x" * size
            complete = True
        finally:
            if not complete:
                app.g.increment("left")

    @app.route("/stream")
    def stream(was, number: Annotated[int, Meta(ge=0, le=100)] = 3):
        return was.response("200 OK", pieces(number, 1000), {"Content-Type": "text/plain"})

    @app.route("/stream/endless")
    def endless(was):
        return pieces(10**9, BIG)

    @app.route("/stream/async")
    async def async_stream(was, number: Annotated[int, Meta(ge=0, le=100)] = 3):
        for at in range(number):
            await asyncio.sleep(0)
            yield f"{at}\n"

    @app.route("/stream/async/endless")
    async def async_endless(was):
        try:
            while True:
                yield "x" * BIG
        finally:
            app.g.increment("left")

    @app.route("/wait")
    async def wait(was):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            app.g.increment("left")
            raise
        return "at last"


# -- helpers


def _add_work(app: Atila) -> None:
    def check(was):
        return "stopped" if was.request.args["stop"] else None

    async def count(was):
        app.g.increment("worked")

    def reload(was, name):
        app.g["reloaded"] = name

    @app.route("/work")
    @app.run_before(check)
    @app.run_after(count)
    @app.if_file_modified("static/small.txt", reload, interval=0)
    @app.if_cache_updated(["books", "authors"], reload)
    def work(was, stop=None):
        return "worked"

    @app.route("/pipe")
    def pipe(was, **args):
        return was.pipe("echo", **args)

    @app.route("/links/<name>")
    def links(was, **args):
        name = was.request.PARAMS["name"]
        return was.API(
            item=was.urlfor("typed", 7, tag=name), echo=was.urlfor("echo", name),
            again=was.urlpatch("links"), static=was.static(name), spec=was.urlspec("links"),
            base=was.baseurl("links"),
        )  # fmt: skip


def _add_methods(app: Atila) -> None:
    @app.put("/things/<path:name>")
    def put(was, name: str):
        return was.API(name=name, size=len(was.request.body))

    @app.patch("/things/<path:name>")
    async def patch(was, name: str, **args):
        return was.API(without_files(args), name=name)

    @app.delete("/things/<path:name>")
    def delete(was, name: str):
        return was.response("204 No Content", "")
