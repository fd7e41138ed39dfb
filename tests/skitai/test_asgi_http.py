"""Requests of hosted ASGI apps: what they are told, what they may answer, and wrong answers."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from asgi_calls import START, Paths, body, start
from serving import Serving, happens, until

from skitai.handlers.asgi import ASGIApplication

PIECE = b"x" * 64 * 1024
MANY = 400  # pieces, 25 MiB: more than the kernel and the server keep for a slow client


async def show(scope, receive, send):
    """Answers with the scope."""
    shown = {**scope, "headers": [[n.decode(), v.decode()] for n, v in scope["headers"]]}
    for name in ("raw_path", "query_string"):
        shown[name] = shown[name].decode()
    await send(START)
    await send(body(json.dumps(shown).encode()))


async def count(scope, receive, send):
    """Reads the whole body; answers with its size and the number of messages."""
    size = messages = 0
    more = True
    while more:
        message = await receive()
        assert message["type"] == "http.request", message
        size += len(message["body"])
        messages += 1
        more = message["more_body"]
    await send(START)
    await send(body(json.dumps([size, messages]).encode()))


def asked(app, target="/", method="GET", *headers, data=b"", **options):
    """Ask an app once, and once more to see that it lives."""
    with Serving(ASGIApplication(Paths(x=app), "app", **options)) as serving:
        with serving.connect() as client:
            client.send(f"{method} /x{target[1:]} HTTP/1.1", "Host: a", *headers, body=data)
            response = client.read(method)
        assert serving.get("/again").body == b"again"
    return response


# -- the request


def test_a_body_that_becomes_too_large_behind_the_beginning_of_the_answer_breaks_it_off():
    heard = []

    async def answer_early(scope, receive, send):
        await send(START)
        await send(body(b"begun", True))
        while (message := await receive())["type"] == "http.request":
            pass
        heard.append(message["type"])
        with pytest.raises(OSError, match="left"):
            await send(body(b"done"))

    with Serving(ASGIApplication(answer_early, "app", max_body=1000)) as serving:
        with serving.connect() as client:
            head = ("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")
            client.send(*head, body=b"800\r\n" + b"x" * 2048 + b"\r\n")
            with pytest.raises(ConnectionError):
                client.read()
        until(lambda: heard, "the app to hear of it")
    assert heard == ["http.disconnect"]


@pytest.mark.parametrize("options", [{}, {"max_body": 1000}])
def test_a_request_without_a_body_says_so(options):
    response = asked(count, **options)
    assert json.loads(response.body) == [0, 1]


def test_a_request_is_described():
    with Serving(ASGIApplication(show, "show")) as serving, serving.connect() as client:
        client.send("GET /b%C3%A9%2F?x=%20&y HTTP/1.1", "Host: shop.example:81", "X-Own: z")
        scope = json.loads(client.read().body)
        peer = client.socket.getsockname()
    assert scope == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/bé/",
        "raw_path": "/b%C3%A9%2F",
        "query_string": "x=%20&y",
        "root_path": "",
        "headers": [["host", "shop.example:81"], ["x-own", "z"]],
        "client": list(peer),
        "server": ["shop.example", 81],
        "extensions": {"http.response.pathsend": {}, "http.response.trailers": {}},
    }


@pytest.mark.parametrize(
    ("target", "path", "query"), [("/p?q", "/p", "q"), ("", "/", ""), ("?a/b", "/", "a/b")]
)
def test_a_target_with_a_host_is_reduced_to_its_path(target, path, query):
    with Serving(ASGIApplication(show, "show")) as serving, serving.connect() as client:
        client.send(f"GET http://other.example{target} HTTP/1.1", "Host: a")
        scope = json.loads(client.read().body)
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, path, query)
    assert scope["server"] == ["other.example", 80]


def test_a_trusted_proxy_tells_address_and_scheme():
    with Serving(ASGIApplication(show, "show")) as serving:
        told = ("X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: https")
        scope = json.loads(serving.get("/", *told).body)
    assert (scope["client"][0], scope["scheme"]) == ("203.0.113.9", "https")


def test_without_a_body_there_is_one_empty_message():
    assert asked(count).body == b"[0, 1]"


def test_a_short_body_is_one_message():
    assert asked(count, "/", "POST", "Content-Length: 3", data=b"abc").body == b"[3, 1]"


def test_a_body_arrives_while_it_is_sent():
    got = []
    news = threading.Semaphore(0)

    async def app(scope, receive, send):
        more = True
        while more:
            message = await receive()
            got.append(message["body"])
            more = message["more_body"]
            news.release()
        await send(START)
        await send(body(b"".join(got)))

    with Serving(ASGIApplication(app, "app")) as serving, serving.connect() as client:
        client.send("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked")
        for piece in (b"one", b"two"):
            client.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            assert news.acquire(timeout=10)
            assert got[-1] == piece
        client.write(b"0\r\n\r\n")
        assert client.read().body == b"onetwo"


def test_a_client_waits_for_an_app_that_does_not_read():
    gate = threading.Event()
    sent = 0

    async def app(scope, receive, send):
        await asyncio.to_thread(gate.wait, 10)
        await count(scope, receive, send)

    size = 32 * 1024 * 1024
    with Serving(ASGIApplication(app, "app")) as serving, serving.connect() as client:
        client.send("POST / HTTP/1.1", "Host: a", f"Content-Length: {size}")
        client.socket.settimeout(0.2)
        try:
            while sent < size:
                sent += client.socket.send(PIECE)
        except TimeoutError:
            pass
        assert sent < size
        gate.set()
        client.socket.settimeout(10)
        client.write(b"x" * (size - sent))
        assert json.loads(client.read().body)[0] == size


def test_a_client_that_waits_for_100_gets_it():
    with Serving(ASGIApplication(count, "app")) as serving, serving.connect() as client:
        client.send("POST / HTTP/1.1", "Host: a", "Content-Length: 3", "Expect: 100-continue")
        assert client.read().status == 100
        client.write(b"abc")
        assert json.loads(client.read().body)[0] == 3


@pytest.mark.parametrize("framing", ["Content-Length: 11", "Transfer-Encoding: chunked"])
def test_a_body_above_the_limit_is_refused(framing, caplog):
    data = b"x" * 11 if "Length" in framing else b"b\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n"

    async def app(scope, receive, send):
        while (message := await receive())["type"] == "http.request":
            if not message["more_body"]:
                break
        await send(START)

    assert asked(app, "/", "POST", framing, data=data, max_body=10).status == 413
    assert "Traceback" not in caplog.text


def test_a_body_that_nobody_reads_does_not_disturb():
    async def app(scope, receive, send):
        await send(START)
        await send(body(b"no thanks"))

    assert asked(app, "/", "POST", "Content-Length: 3", data=b"abc").body == b"no thanks"


def test_a_malformed_body_is_400_and_a_disconnect_for_the_app():
    kinds = []

    async def app(scope, receive, send):
        kinds.append((await receive())["type"])
        kinds.append((await receive())["type"])

    with Serving(ASGIApplication(app, "app")) as serving, serving.connect() as client:
        client.send("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", body=b"1\r\na\r\n")
        until(lambda: kinds, "the first piece")
        client.write(b"zz\r\n")
        assert client.read().status == 400
        until(lambda: len(kinds) == 2, "the end")
    assert kinds == ["http.request", "http.disconnect"]


# -- the response


def responding(*messages):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    return app


def test_a_response_in_one_piece_has_a_length():
    response = asked(responding(start(201, ("content-type", "a/b"), ("x-y", "é")), body(b"abc")))
    assert (response.status, response["Content-Length"], response.body) == (201, "3", b"abc")
    assert (response["Content-Type"], response["x-y"]) == ("a/b", "é".encode().decode("latin-1"))


def test_headers_and_body_may_be_left_out():
    response = asked(
        responding({"type": "http.response.start", "status": 200}, {"type": "http.response.body"})
    )
    assert (response.status, response.body, response["Content-Length"]) == (200, b"", "0")


def test_cookies_are_repeated_and_headers_of_habit_dropped():
    headers = (("set-cookie", "a=1"), ("set-cookie", "b=2"), ("connection", "close"))
    response = asked(responding(start(200, *headers), body(b"x")))
    assert [value for name, value in response.fields if name == "set-cookie"] == ["a=1", "b=2"]
    assert response.get("connection") is None


def test_a_response_in_pieces():
    pieces = (body(b"one", True), body(b"", True), body(b"two"))
    response = asked(responding(START, *pieces))
    assert (response.framing, response.body) == ("chunked", b"onetwo")
    sized = asked(responding(start(200, ("Content-Length", "6")), *pieces))
    assert (sized.framing, sized.body) == ("length", b"onetwo")


@pytest.mark.parametrize("pieces", [(body(b"abc"),), (body(b"ab", True), body(b"c"))])
def test_head_has_no_body(pieces):
    response = asked(responding(start(200, ("content-length", "3")), *pieces), "/", "HEAD")
    assert (response["Content-Length"], response.body) == ("3", b"")


def test_head_of_an_app_that_leaves_the_body_out_keeps_the_length():
    response = asked(responding(start(200, ("content-length", "30")), body()), "/", "HEAD")
    assert response["Content-Length"] == "30"


@pytest.mark.parametrize("pieces", [(body(b"abc"),), (body(b"ab", True), body(b"c"))])
def test_statuses_without_a_body_have_none(pieces):
    response = asked(responding(start(204), *pieces))
    assert (response.status, response.body, response.get("Content-Length")) == (204, b"", None)


def test_trailers():
    fields = {"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]}
    app = responding(start(200, trailers=True), body(b"abc"), fields)
    with Serving(ASGIApplication(app, "app")) as serving, serving.connect() as client:
        client.send("GET / HTTP/1.1", "Host: a")
        client.read_head()
        assert client.read_chunk() == b"abc"
        assert client.take_until(b"\r\n\r\n") == b"0\r\nx-sum: 1"


def test_a_file_by_its_path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 1000)
    send = {"type": "http.response.pathsend", "path": str(path)}
    app = responding(start(200, ("content-type", "a/b"), ("content-length", "10000")), send)
    response = asked(app)
    assert (response["Content-Length"], response.body) == ("10000", path.read_bytes())
    part = asked(app, "/", "GET", "Range: bytes=2-3")
    assert (part.status, part.body) == (206, b"23")
    path.write_bytes(b"")
    assert asked(responding(start(), send)).body == b""


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ((), "returned before its response was complete"),
        ((START,), "returned before its response was complete"),
        ((body(b"x"),), "a body was sent before 'http.response.start'"),
        ((START, START), "sent twice"),
        ((start(99),), "the status must be a number"),
        ((start("200"),), "the status must be a number"),
        ((start(200, ("x", "a\r\nb: c")), body()), "line break"),
        ((start(200, ("a b", "c")), body()), "is not a token"),
        ((start(200, ("content-length", "x")), body()), "Content-Length must be a number"),
        ((start(200, ("transfer-encoding", "chunked")), body()), "is for the server"),
        ((start(200, ("content-length", "2")), body(b"abc")), "Content-Length is 2, but the body"),
        ((start(200, ("content-length", "4")), body(b"abc")), "Content-Length is 4, but the body"),
        (({"type": "websocket.send"},), "'websocket.send' can't be sent in answer to a request"),
        (({"type": "http.response.pathsend", "path": "/nowhere/x"},), "before 'http.response.star"),
        ((START, {"type": "http.response.pathsend", "path": "/nowhere/x"}), "FileNotFoundError"),
        ((START, {"type": "http.response.trailers"}), "were not announced"),
        (({},), "KeyError: 'type'"),
    ],
)
def test_answers_that_are_none_are_500_and_logged(messages, message, caplog):
    assert asked(responding(*messages)).status == 500
    assert message in caplog.text


def test_an_exception_is_500_and_logged(caplog):
    async def app(scope, receive, send):
        raise LookupError("lost")

    assert asked(app).status == 500
    assert "LookupError: lost" in caplog.text


def test_a_system_exit_is_500_and_does_not_end_the_loop():
    async def app(scope, receive, send):
        raise SystemExit(3)

    assert asked(app).status == 500


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ((body(b"x", True),), "returned before"),
        ((body(b"x", True), body(b"xxxx", True)), "longer than its Content-Length"),
        ((body(b"x", True), body(b"")), "2 bytes before its Content-Length"),
    ],
)
def test_a_response_that_breaks_off_is_seen_as_broken(messages, message, caplog):
    app = responding(start(200, ("content-length", "3")), *messages)
    with Serving(ASGIApplication(app, "app")) as serving:
        with pytest.raises(ConnectionError):
            serving.get("/")
    assert message in caplog.text


def test_what_fails_behind_the_response_is_logged_and_hurts_nobody(caplog):
    async def app(scope, receive, send):
        await send(START)
        await send(body(b"done"))
        raise LookupError("afterwards")

    assert asked(app).body == b"done"
    assert "afterwards" in caplog.text


def test_a_second_response_is_refused(caplog):
    assert asked(responding(START, body(b"one"), body(b"two"))).body == b"one"
    assert "the response is complete already" in caplog.text


def test_work_goes_on_behind_the_response():
    done = threading.Event()

    async def app(scope, receive, send):
        await send(START)
        await send(body(b"done"))
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        done.set()

    assert asked(app).body == b"done"
    assert happens(done)


def test_a_stream_goes_at_the_pace_of_its_client():
    made = []

    async def app(scope, receive, send):
        await send(START)
        for number in range(MANY):
            await send(body(PIECE, True))
            made.append(number)
        await send(body())

    with Serving(ASGIApplication(Paths(x=app), "app")) as serving:
        client = serving.connect(receive_buffer=64 * 1024)
        client.send("GET /x HTTP/1.1", "Host: a")
        client.read_head()
        until(lambda: made, "the first piece")
        assert serving.get("/again").body == b"again"
        assert len(made) < MANY
        received = 0
        while chunk := client.read_chunk():
            received += len(chunk)
    assert received == MANY * len(PIECE)


def test_an_app_is_not_cancelled_but_told_when_its_client_leaves(caplog):
    seen = []
    over = threading.Event()

    async def app(scope, receive, send):
        assert (await receive())["type"] == "http.request"
        seen.append("waits")
        seen.append((await receive())["type"])
        try:
            await send(START)
        except OSError as exc:
            seen.append(type(exc).__name__)
        over.set()

    with Serving(ASGIApplication(app, "app")) as serving:
        client = serving.connect()
        client.send("GET / HTTP/1.1", "Host: a")
        until(lambda: seen, "the app")
        client.reset()
        assert happens(over)
    assert seen == ["waits", "http.disconnect", "ClientDisconnected"]
    assert "Traceback" not in caplog.text


def test_a_client_that_leaves_a_stream_ends_it(caplog):
    over = threading.Event()

    async def app(scope, receive, send):
        try:
            await send(START)
            while True:
                await send(body(PIECE, True))
        finally:
            over.set()

    with Serving(ASGIApplication(app, "app")) as serving:
        client = serving.connect(receive_buffer=64 * 1024)
        client.send("GET / HTTP/1.1", "Host: a")
        client.read_head()
        client.reset()
        assert happens(over)
    assert "Traceback" not in caplog.text


def test_waiting_for_the_end_can_be_given_up():
    async def app(scope, receive, send):
        await receive()
        for _ in range(3):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(receive(), 0.001)
        await send(START)
        await send(body(b"connected"))

    assert asked(app).body == b"connected"


def test_a_stream_that_never_has_to_wait_leaves_others_their_turn():
    stopped = []

    async def endless(scope, receive, send):
        await send(START)
        while not stopped:
            await send(body(PIECE, True))  # nobody reads it: the request is a HEAD
        await send(body())

    async def stop(scope, receive, send):
        stopped.append(True)
        await send(START)
        await send(body())

    with Serving(ASGIApplication(Paths(endless=endless, stop=stop), "app")) as serving:
        with serving.connect() as client:
            client.send("HEAD /endless HTTP/1.1", "Host: a")
            assert client.read("HEAD").status == 200
            assert serving.get("/stop").status == 200
            assert client.get("/again").body == b"again"
