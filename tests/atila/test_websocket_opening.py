"""What comes before a websocket is open: checks, arguments, hooks, what goes out with the 101."""

from __future__ import annotations

import asyncio
import threading

import pytest
from browser import Jar
from socket_driving import closing_of, new_app, refusal, sockets_of, until

import skitai
from skitai import ConfigError

REPORTY = skitai.WS_REPORTY
UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def echo_app(**options):
    app = new_app()

    @app.route("/ws")
    @app.websocket(REPORTY, **options)
    def handler(was, message):
        return message

    return app


# -- who gets a socket


def test_ordinary_requests_are_told_to_upgrade():
    with sockets_of(echo_app()) as site:
        answer = site.get("/ws")
        assert answer.status == 426
        assert answer["Upgrade"] == "websocket"
        with site.serving.connect() as client:
            client.send("POST /ws HTTP/1.1", "Host: a", "Content-Length: 1", body=b"x")
            answer = client.read()
            assert answer.status == 405
            assert answer["Allow"] == "GET, HEAD, OPTIONS"
            client.send("HEAD /ws HTTP/1.1", "Host: a")
            assert client.read("HEAD").status == 426
        with site.serving.connect() as client:
            client.send("GET /ws HTTP/1.1", "Host: a", *UPGRADE[:2], "Sec-WebSocket-Version: 7")
            assert client.read().status == 426
        with site.serving.connect() as client:
            client.send("GET /ws HTTP/1.1", "Host: a", *UPGRADE[:3])
            assert client.read().status == 400


def test_there_is_no_socket_where_there_is_no_route():
    app = echo_app()

    @app.route("/page")
    def page(was):
        return "page"

    with sockets_of(app) as site:
        assert refusal(site, "/nothing").status_code == 404
        assert site.get("/page", *UPGRADE).status == 200


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (None, None, True),
        (None, "http://{host}", True),
        (None, "https://{host}", True),
        (None, "http://evil.example", False),
        (None, "null", False),
        ("*", "http://evil.example", True),
        ("https://good.example", "https://good.example", True),
        ("https://good.example", "http://{host}", False),
        (["self", "https://good.example"], "http://{host}", True),
        (["self", "https://good.example"], "https://evil.example", False),
    ],
)
def test_pages_of_other_sites_may_not_connect_unless_they_are_named(origins, origin, allowed):
    with sockets_of(echo_app(origins=origins)) as site:
        origin = origin and origin.format(host=site.host)
        if allowed:
            with site.connect("/ws", origin=origin) as client:
                client.send("a")
                assert client.recv() == "a"
        else:
            assert refusal(site, "/ws", origin=origin).status_code == 403


def test_cors_settings_decide_who_may_connect():
    app = echo_app()
    app.access_control_allow_origin = ["https://good.example"]
    with sockets_of(app) as site:
        assert refusal(site, "/ws", origin="https://evil.example").status_code == 403
        with site.connect("/ws", origin="https://good.example") as client:
            headers = client.response.headers
            assert headers["Access-Control-Allow-Origin"] == "https://good.example"


def test_routes_with_authentication_refuse_before_the_upgrade():
    app = new_app(authenticate="basic", users={"ann": "secret"})
    seen = []

    @app.route("/ws")
    @app.websocket(REPORTY)
    def handler(was, message):
        seen.append(was.request.user.name)
        return message

    with sockets_of(app) as site:
        answer = refusal(site, "/ws")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        wrong = refusal(site, "/ws", additional_headers={"Authorization": "Basic YW5uOndyb25n"})
        assert wrong.status_code == 401
        right = {"Authorization": "Basic YW5uOnNlY3JldA=="}
        with site.connect("/ws", additional_headers=right) as client:
            client.send("a")
            assert client.recv() == "a"
    assert seen == ["ann"]


def test_guards_run_before_the_upgrade():
    app = new_app()

    @app.permission_handler
    def permit(was, permissions):
        if was.request.args.get("who") != "staff":
            raise was.Error("403 Permission Denied")

    @app.route("/ws")
    @app.permission_required(["staff"])
    @app.inspect("URL", ints=["n"])
    @app.websocket(REPORTY)
    def handler(was, message, who, n):
        return f"{message} {n!r}"

    with sockets_of(app) as site:
        assert refusal(site, "/ws?who=guest&n=1").status_code == 403
        assert refusal(site, "/ws?who=staff&n=x").status_code == 400
        with site.connect("/ws?who=staff&n=7") as client:
            client.send("a")
            assert client.recv() == "a 7"


# -- arguments


def test_arguments_come_from_path_and_query():
    app = new_app()

    @app.route("/shelves/<int:shelf>/ws")
    @app.websocket(REPORTY)
    def handler(was, message, shelf, page: int, order="title"):
        return f"{message} {shelf!r} {page!r} {order}"

    @app.route("/closed")
    @app.websocket(REPORTY)
    def closed(was, message):
        return message

    @app.route("/open")
    @app.websocket(REPORTY)
    def anything(was, message, **options):
        return f"{message} {options}"

    @app.route("/chat/<name>")
    @app.websocket(skitai.WS_CHATTY)
    def chat(was, name, size: int = 3):
        yield f"{name} {size!r}"
        while (yield) is not None:
            pass

    @app.route("/async")
    @app.websocket(skitai.WS_COROUTINE)
    async def coroutine(was, names: list[str]):
        return f"{names}"

    with sockets_of(app) as site:
        with site.connect("/shelves/7/ws?page=2") as client:
            client.send("a")
            assert client.recv() == "a 7 2 title"
            client.send("b")
            assert client.recv() == "b 7 2 title"
        for path in (
            "/shelves/7/ws",
            "/shelves/7/ws?page=two",
            "/shelves/7/ws?page=2&colour=red",
            "/shelves/7/ws?page=2&message=mine",
            "/closed?a=1",
            "/closed?message=a",
            "/open?message=a",
            "/open?was=a",
            "/chat/a?size=x",
            "/open?%ff=1",
        ):
            assert refusal(site, path).status_code == 400, path
        assert refusal(site, "/shelves/x/ws?page=2").status_code == 404
        with site.connect("/open?a=1&b=2") as client:
            client.send("m")
            assert client.recv() == "m {'a': '1', 'b': '2'}"
        with site.connect("/chat/Ann?size=5") as client:
            assert client.recv() == "Ann 5"
        with site.connect("/async?names=a&names=b") as client:
            assert client.recv() == "['a', 'b']"


def test_a_hook_may_look_at_what_the_handler_does_not_take():
    app = new_app()
    seen = []

    @app.route("/ws")
    @app.websocket(REPORTY, onopen=lambda was: seen.append(was.request.ARGS["options"]))
    def handler(was, message, n: int = 1):
        return message * n

    with sockets_of(app) as site:
        with site.connect("/ws?options=all&n=2") as client:
            client.send("a")
            assert client.recv() == "aa"
        assert refusal(site, "/ws?options=all&n=two").status_code == 400
    assert seen == ["all"]


# -- the hooks of the socket


@pytest.mark.parametrize("threads", [4, 0])
@pytest.mark.parametrize("kind", ["plain", "nopool", "async"])
def test_what_onopen_sets_and_sends_goes_out_with_the_answer(kind, threads):
    app = new_app()
    closed = threading.Event()

    def onopen(was):
        was.cookie.set("mark", "7")
        was.session.set("id", was.websocket.client_id)
        was.mbox.send("hello")
        was.response.add_header("X-Mark", "open")
        was.websocket.send("first")
        return ["second", b"third"]

    async def onopen_async(was):
        await asyncio.sleep(0)
        return onopen(was)

    def onclose(was):
        closed.set()

    async def onclose_async(was):
        await asyncio.sleep(0)
        closed.set()

    hooks = (onopen_async, onclose_async) if kind == "async" else (onopen, onclose)
    option = skitai.WS_NOPOOL if kind == "nopool" else skitai.WS_THREAD

    @app.route("/ws")
    @app.websocket(REPORTY | option, 60, *hooks)
    def handler(was, message):
        return f"{was.session.get('id') == was.websocket.client_id} {was.cookie.get('mark')}"

    with sockets_of(app, threads=threads) as site:
        with site.connect("/ws") as client:
            headers = client.response.headers
            assert headers["X-Mark"] == "open"
            assert len(Jar().take(headers.get_all("Set-Cookie"))) == 3
            assert [client.recv() for _ in range(3)] == ["first", "second", b"third"]
            client.send("x")
            assert client.recv() == "True 7"
            assert not closed.is_set()
        assert closed.wait(10)


@pytest.mark.parametrize("spec", [skitai.WS_CHATTY, skitai.WS_COROUTINE])
def test_all_kinds_have_hooks(spec):
    app = new_app()
    closed = threading.Event()

    @app.route("/ws")
    @app.websocket(spec, 60, lambda was: "welcome", lambda was: closed.set())
    def handler(was):
        yield "from the handler"

    with sockets_of(app) as site, site.connect("/ws") as client:
        assert [client.recv(), client.recv()] == ["welcome", "from the handler"]
        assert closed.wait(10)


def test_onopen_may_refuse():
    app = new_app()
    closed = []

    def onopen(was):
        if was.request.args["key"] == "crash":
            raise ZeroDivisionError
        if was.request.args["key"] != "right":
            raise was.Error("403 Forbidden", "wrong key")

    @app.route("/ws")
    @app.websocket(REPORTY, 60, onopen, lambda was: closed.append(was.request.args["key"]))
    def handler(was, message, key):
        return message

    with sockets_of(app) as site:
        assert refusal(site, "/ws?key=wrong").status_code == 403
        assert refusal(site, "/ws?key=crash").status_code == 500
        assert not len(app.websockets)
        with site.connect("/ws?key=right"):
            pass
        until(lambda: closed, "onclose")
    assert closed == ["right"]


def test_a_failing_onclose_is_logged(log):
    app = new_app()

    def onclose(was):
        raise ZeroDivisionError("at the end")

    @app.route("/ws")
    @app.websocket(REPORTY, onclose=onclose)
    def handler(was, message):
        return message

    with sockets_of(app) as site, site.connect("/ws"):
        pass
    assert "at the end" in log.text


def test_changes_of_the_session_are_refused_in_between(log):
    app = new_app()

    @app.route("/ws")
    @app.websocket(REPORTY)
    def handler(was, message):
        was.session.set("a", 1)

    with sockets_of(app) as site, site.connect("/ws") as client:
        client.send("x")
        assert client.recv() == "[ERROR]"
    assert "the headers are sent" in log.text


class SharedStore:
    """Keeps sessions as a server does."""

    blocking = True

    def __init__(self):
        self.records = {}

    def load(self, ticket):
        return self.records.get(ticket)

    def save(self, ticket, record, deadline):
        if ticket is None:
            ticket = b"ticket %d" % len(self.records)
        elif ticket not in self.records:
            return None
        self.records[ticket] = record
        return ticket

    def delete(self, ticket):
        self.records.pop(ticket, None)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_onclose_changes_a_session_that_a_server_keeps(asynchronous):
    app = new_app(session_store=SharedStore())

    def onopen(was):
        was.session.set("WS_ID", was.websocket.client_id)
        was.session.set("kept", 1)

    def onclose(was):
        was.session.remove("WS_ID")

    async def onclose_async(was):
        await was.session.load()
        was.session.remove("WS_ID")

    @app.route("/ws")
    @app.websocket(REPORTY, 60, onopen, onclose_async if asynchronous else onclose)
    def handler(was, message):
        return str("WS_ID" in was.session)

    @app.route("/session")
    def session(was):
        was.session.set("seen", was.session.get("seen", 0) + 1)
        return dict(was.session.items())

    with sockets_of(app) as site:
        jar = Jar()
        with site.connect("/ws") as client:
            jar.take(client.response.headers.get_all("Set-Cookie"))
            client.send("x")
            assert client.recv() == "True"
            assert site.get("/session", f"Cookie: {jar.header}").status == 200
        site.emptied()
        body = site.get("/session", f"Cookie: {jar.header}").body
        assert body == b'{"kept":1,"seen":2}'


# -- the hooks of the app


@pytest.mark.parametrize("threads", [4, 0])
def test_hooks_of_requests_run_once_for_the_handshake(threads):
    app = new_app()
    calls = []

    @app.before_request
    def before(was):
        calls.append("before")
        was.request.g.mark = "marked"

    @app.finish_request
    def finish(was, response):
        calls.append("finish")

    @app.failed_request
    def failed(was, info):
        calls.append("failed")

    @app.teardown_request
    def teardown(was):
        calls.append("teardown")

    @app.route("/ws")
    @app.websocket(REPORTY, onopen=lambda was: calls.append("onopen"))
    def handler(was, message):
        return was.request.g.mark

    with sockets_of(app, threads=threads) as site:
        with site.connect("/ws") as client:
            for _ in range(2):
                client.send("x")
                assert client.recv() == "marked"
        until(lambda: len(calls) == 4, "the hooks")
        assert calls == ["before", "onopen", "finish", "teardown"]
        calls.clear()
        assert site.get("/ws").status == 426
        until(lambda: len(calls) == 3, "the hooks")
        assert calls == ["before", "failed", "teardown"]


def test_a_hook_may_answer_instead():
    app = echo_app()
    turn = ["before"]

    @app.before_request
    def before(was):
        return was.response("503 Later", "closed") if turn == ["before"] else None

    @app.finish_request
    def finish(was, response):
        return was.response("503 Later", "closed") if turn == ["finish"] else None

    with sockets_of(app) as site:
        for turn[0] in ("before", "finish"):
            assert refusal(site, "/ws").status_code == 503
            site.emptied()
        turn.clear()
        with site.connect("/ws") as client:
            client.send("x")
            assert client.recv() == "x"


def test_events_and_skitai_was_know_the_socket():
    app = new_app()
    seen = []

    @app.on("heard")
    def heard(was, what):
        seen.append((what, was.websocket.client_id))

    @app.route("/ws")
    @app.websocket(REPORTY)
    def handler(was, message):
        app.emit("heard", message)
        return str(was.websocket.client_id)

    with sockets_of(app) as site, site.connect("/ws") as client:
        client.send("a")
        assert [("a", int(client.recv()))] == seen


# -- options


def test_subprotocols_are_agreed_on():
    app = new_app()

    @app.route("/ws")
    @app.websocket(REPORTY, subprotocols=["chat.v2", "chat.v1"])
    def handler(was, message):
        return was.websocket.subprotocol

    with sockets_of(app) as site:
        with site.connect("/ws", subprotocols=["chat.v1", "other"]) as client:
            assert client.subprotocol == "chat.v1"
            client.send("x")
            assert client.recv() == "chat.v1"
        with site.connect("/ws") as client:
            client.send("x")
            client.send(b"x")
            with pytest.raises(TimeoutError):
                client.recv(0.05)


def test_limits_hold():
    app = new_app()

    @app.route("/ws")
    @app.websocket(REPORTY, max_message=100, compress=False)
    def handler(was, message):
        return message

    @app.route("/idle")
    @app.websocket(REPORTY, 0.1)
    def idle(was, message):
        return message

    with sockets_of(app) as site:
        with site.connect("/ws") as client:
            assert not client.response.headers.get("Sec-WebSocket-Extensions")
            client.send("x" * 100)
            assert client.recv() == "x" * 100
            client.send("x" * 101)
            assert closing_of(client)[0] == 1009
        with site.connect("/idle") as client:
            assert closing_of(client)[0] == 1001


# -- declarations that can't work


def declare(function, *args, rule="/ws", **options):
    app = new_app()
    methods = {"methods": options.pop("methods")} if "methods" in options else {}
    app.route(rule, **methods)(app.websocket(*args, **options)(function))
    freeze(app)


def freeze(app):
    app.setup(None, {"point": "/"})
    app.freeze("/", None)


def plain(was, message): ...


def chat(was):
    yield


async def coroutine(was): ...


async def stream(was, message):
    yield


@pytest.mark.parametrize(
    ("function", "spec", "options", "text"),
    [
        (plain, 0, {}, "give one of WS_REPORTY"),
        (plain, skitai.WS_NOPOOL, {}, "give one of WS_REPORTY"),
        (plain, skitai.WS_REPORTY | skitai.WS_CHATTY, {}, "give one of WS_REPORTY"),
        (plain, 4096, {}, "give one of WS_REPORTY"),
        (plain, "reporty", {}, "give one of WS_REPORTY"),
        (plain, True, {}, "give one of WS_REPORTY"),
        (plain, skitai.WS_CHATTY, {}, "no generator"),
        (coroutine, skitai.WS_CHATTY, {}, "WS_COROUTINE if it is 'async def'"),
        (plain, skitai.WS_COROUTINE, {}, "neither a generator nor 'async def'"),
        (chat, skitai.WS_REPORTY, {}, r"def chat\(was, message\)"),
        (stream, skitai.WS_REPORTY, {}, "declare it as WS_COROUTINE"),
        (plain, skitai.WS_GROUPCHAT, {}, r"def plain\(was, message, room\)"),
        (plain, REPORTY, {"timeout": -1}, "timeout=-1"),
        (plain, REPORTY, {"timeout": "60"}, "timeout='60'"),
        (plain, REPORTY, {"max_message": 0}, "max_message=0"),
        (plain, REPORTY, {"ping": None}, "ping=None"),
        (plain, REPORTY, {"encoding": "yaml"}, "encoding='yaml'"),
        (plain, REPORTY, {"onopen": "f"}, "onopen='f'"),
        (plain, REPORTY, {"subprotocols": ["a b"]}, "subprotocols"),
        (plain, REPORTY, {"origins": [7]}, "origins"),
        (plain, REPORTY, {"methods": ["POST"]}, "has no GET"),
        (plain, REPORTY, {"rule": "/ws/<message>"}, "gets the messages"),
    ],
)
def test_declarations_that_can_not_work_are_refused(function, spec, options, text):
    with pytest.raises(ConfigError, match=text):
        declare(function, spec, **options)


def test_a_socket_without_a_path_is_refused():
    app = new_app()
    app.websocket(REPORTY)(lambda was, message: message)
    with pytest.raises(ConfigError, match=r"write @app.route\('/path'\) above it"):
        freeze(app)


def test_the_order_of_the_decorators_does_not_matter():
    app = new_app()

    @app.websocket(REPORTY)
    @app.route("/ws")
    def handler(was, message):
        return message

    with sockets_of(app) as site, site.connect("/ws") as client:
        client.send("a")
        assert client.recv() == "a"


def test_remote_calls_do_not_reach_sockets():
    app = echo_app()
    body = b'{"jsonrpc": "2.0", "method": "ws", "params": ["a"], "id": 1}'
    with sockets_of(app) as site, site.serving.connect() as client:
        client.send(
            "POST / HTTP/1.1",
            "Host: a",
            "Content-Type: application/json-rpc",
            f"Content-Length: {len(body)}",
            body=body,
        )
        assert b"-32601" in client.read().body


def test_urls_of_sockets_have_no_message():
    app = new_app()

    @app.route("/rooms/<room>")
    @app.websocket(skitai.WS_GROUPCHAT)
    def chat(was, message, room, size=3):
        return message

    freeze(app)
    assert app.build_url("chat", "cats") == "/rooms/cats"
    assert app.build_url(chat, room="cats", size=4) == "/rooms/cats?size=4"
    (route,) = app.routes
    assert (route.describe()["args"], route.describe()["methods"]) == (["room", "size"], ["GET"])
