"""WebSockets of hosted ASGI apps, spoken with an independent client."""

from __future__ import annotations

import asyncio
import threading

import pytest
from asgi_calls import START, Paths, body, start
from serving import Serving, happens, until
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from skitai.handlers.asgi import ASGIApplication

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
ACCEPT = {"type": "websocket.accept"}


async def echo(scope, receive, send):
    """Sends back what comes, until the client closes."""
    assert (await receive())["type"] == "websocket.connect"
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def sending(*messages):
    async def app(scope, receive, send):
        for message in messages:
            await send(message)

    return app


@pytest.fixture
def serve():
    """Serve apps by their paths."""
    served = []

    def serve(**apps):
        served.append(Serving(ASGIApplication(Paths(**apps), "app")))
        return served[-1].__enter__()

    yield serve
    for one in served:
        one.__exit__()


def url(serving, path):
    return f"ws://127.0.0.1:{serving.address[1]}{path}"


def test_messages_of_both_kinds_go_both_ways(serve):
    serving = serve(echo=echo)
    with connect(url(serving, "/echo")) as client:
        for message in ("text é", b"bytes \xff", "", b"", "x" * 300_000):
            client.send(message)
            assert client.recv(10) == message
    assert serving.get("/again").body == b"again"


def test_many_messages_at_once_keep_their_order(serve):
    with connect(url(serve(echo=echo), "/echo"), compression=None) as client:
        for number in range(500):
            client.send(str(number))
        assert [client.recv(10) for _ in range(500)] == [str(number) for number in range(500)]


def test_a_socket_is_described(serve):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope)
        await receive()
        await send(ACCEPT)

    serving = serve(show=app)
    with connect(url(serving, "/show?x=%20"), subprotocols=["a", "b"]) as client:
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(10)
    assert caught.value.rcvd.code == 1000
    names = "type", "scheme", "path", "query_string", "subprotocols", "http_version", "extensions"
    assert [seen[0][name] for name in names] == [
        "websocket", "ws", "/show", b"x=%20", ["a", "b"], "1.1", {"websocket.http.response": {}},
    ]  # fmt: skip
    assert "method" not in seen[0]


def test_an_app_chooses_a_subprotocol_and_headers(serve):
    accept = {**ACCEPT, "subprotocol": "b", "headers": [(b"x-own", b"z"), (b"set-cookie", b"a=1")]}
    serving = serve(x=sending(accept))
    with connect(url(serving, "/x"), subprotocols=["a", "b"]) as client:
        assert client.subprotocol == "b"
        assert client.response.headers["x-own"] == "z"


@pytest.mark.parametrize(
    "accept",
    [{**ACCEPT, "subprotocol": "c"}, {**ACCEPT, "headers": [(b"Sec-WebSocket-Protocol", b"a")]}],
)
def test_a_subprotocol_that_was_not_offered_is_500(serve, accept, caplog):
    with pytest.raises(InvalidStatus) as caught:
        connect(url(serve(x=sending(accept)), "/x"), subprotocols=["a", "b"])
    assert caught.value.response.status_code == 500
    assert "subprotocol" in caplog.text


def test_an_app_closes(serve):
    closing = {"type": "websocket.close", "code": 4001, "reason": "enough"}
    serving = serve(x=sending(ACCEPT, {"type": "websocket.send", "text": "last"}, closing))
    with connect(url(serving, "/x")) as client:
        assert client.recv(10) == "last"
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(10)
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (4001, "enough")


DENIAL = [
    {**start(401), "type": "websocket.http.response.start"},
    {**body(b"no"), "type": "websocket.http.response.body"},
]


@pytest.mark.parametrize("messages", [[{"type": "websocket.close"}], DENIAL])
def test_an_app_that_waits_behind_its_refusal_hears_the_end(serve, messages):
    heard = []

    async def app(scope, receive, send):
        await receive()
        await sending(*messages)(scope, receive, send)
        heard.append(await receive())

    with pytest.raises(InvalidStatus):
        connect(url(serve(x=app), "/x"))
    until(lambda: heard, "the app to hear of it")
    assert heard[0]["type"] == "websocket.disconnect"


def test_who_waits_for_a_message_is_not_forgotten_when_another_gives_up(serve):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        impatient = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        patient = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait([impatient])
        await send({"type": "websocket.send", "text": "now"})
        await send({**await patient, "type": "websocket.send"})

    with connect(url(serve(x=app), "/x")) as client:
        assert client.recv(10) == "now"
        client.send("back")
        assert client.recv(10) == "back"


def test_a_client_closes(serve):
    seen = []
    over = threading.Event()

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        seen.append(await receive())
        seen.append(await receive())
        with pytest.raises(OSError, match="closed"):
            await send({"type": "websocket.send", "text": "too late"})
        over.set()

    with connect(url(serve(x=app), "/x")) as client:
        client.close(4002, "bye")
    assert happens(over)
    assert seen == [{"type": "websocket.disconnect", "code": 4002, "reason": "bye"}] * 2


def test_a_client_that_leaves_without_a_word(serve, caplog):
    seen = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        seen.append(await receive())

    client = serve(x=app).connect()
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    client.send("GET /x HTTP/1.1", "Host: a", *UPGRADE, "Sec-WebSocket-Version: 13", key)
    assert client.read().status == 101
    client.reset()
    until(lambda: seen, "the end")
    assert seen[0]["code"] == 1006
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("messages", "status"),
    [
        (({"type": "websocket.close"},), 403),
        ((), 500),
        (({"type": "websocket.send", "text": "early"},), 500),
        ((START,), 500),
    ],
)
def test_a_socket_that_is_not_accepted(serve, messages, status):
    serving = serve(x=sending(*messages))
    with pytest.raises(InvalidStatus) as caught:
        connect(url(serving, "/x"))
    assert caught.value.response.status_code == status
    assert serving.get("/again").body == b"again"


@pytest.mark.parametrize("pieces", [(body(b"denied"),), (body(b"den", True), body(b"ied"))])
def test_an_app_denies_with_an_answer_of_its_own(serve, pieces):
    messages = [start(401, ("x-why", "z")), *pieces]
    renamed = [{**one, "type": f"websocket.{one['type']}"} for one in messages]
    with pytest.raises(InvalidStatus) as caught:
        connect(url(serve(x=sending(*renamed)), "/x"))
    response = caught.value.response
    assert (response.status_code, response.headers["x-why"]) == (401, "z")
    assert bytes(response.body) == b"denied"


def test_a_denial_that_is_not_finished_is_500(serve, caplog):
    denial = {**start(401), "type": "websocket.http.response.start"}
    with pytest.raises(InvalidStatus) as caught:
        connect(url(serve(x=sending(denial)), "/x"))
    assert caught.value.response.status_code == 500
    assert "without an answer" in caplog.text


def test_an_exception_closes_with_1011_and_is_logged(serve, caplog):
    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await receive()
        raise LookupError("in the app")

    with connect(url(serve(x=app), "/x")) as client:
        client.send("go")
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(10)
    assert caught.value.rcvd.code == 1011
    assert "in the app" in caplog.text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"type": "websocket.send"}, "needs text or bytes"),
        ({"type": "websocket.close", "code": 5}, "close code 5 can't be sent"),
        (START, "can't be sent on an open socket"),
        (ACCEPT, "can't be sent on an open socket"),
    ],
)
def test_wrong_messages_end_the_socket(serve, wrong, message, caplog):
    with connect(url(serve(x=sending(ACCEPT, wrong)), "/x")) as client:
        with pytest.raises(ConnectionClosed) as caught:
            client.recv(10)
    assert caught.value.rcvd.code == 1011
    assert message in caplog.text


def test_a_malformed_handshake_never_reaches_the_app(serve):
    serving = serve(x=sending())
    assert serving.get("/x", *UPGRADE, "Sec-WebSocket-Version: 13").status == 400
    refused = serving.get("/x", *UPGRADE, "Sec-WebSocket-Version: 12")
    assert (refused.status, refused["Sec-WebSocket-Version"]) == (426, "13")


def test_a_client_that_does_not_read_stops_the_app(serve):
    sent = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        for number in range(400):
            await send({"type": "websocket.send", "bytes": b"x" * 65536})
            sent.append(number)

    with connect(url(serve(x=app), "/x"), compression=None, max_queue=1) as client:
        until(lambda: len(sent) > 3, "the first messages")
        settled = threading.Event()
        count = -1
        while count != len(sent):
            count = len(sent)
            settled.wait(0.1)
        assert count < 400
        for _ in range(400):
            assert len(client.recv(10)) == 65536


def test_an_app_that_does_not_read_stops_the_client(serve):
    gate = threading.Event()
    got = []

    async def app(scope, receive, send):
        await receive()
        await send(ACCEPT)
        await asyncio.to_thread(gate.wait, 10)
        while (message := await receive())["type"] == "websocket.receive":
            got.append(len(message["bytes"]))

    sent = []

    def send_all(client):
        for number in range(400):
            client.send(b"x" * 65536)
            sent.append(number)

    with connect(url(serve(x=app), "/x"), compression=None) as client:
        sender = threading.Thread(target=send_all, args=(client,))
        sender.start()
        sender.join(0.3)
        assert len(sent) < 400
        gate.set()
        sender.join(10)
        assert not sender.is_alive()
    until(lambda: len(got) == 400, "all messages")
