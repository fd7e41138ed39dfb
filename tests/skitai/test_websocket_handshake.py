"""Which requests become WebSockets, and what the others are told, over real sockets."""

from __future__ import annotations

import pytest
from serving import Serving, Toy
from websocket_driving import KEY, SocketClient, handshake

from skitai.server.websocket.session import HandshakeRefused, SocketOptions, WebSocket

ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # the example of RFC 6455, 1.3


@pytest.fixture(scope="module")
def serving():
    options = {
        "/": SocketOptions(),
        "/plain": SocketOptions(compress=False),
        "/chat": SocketOptions(subprotocols=("chat.v2", "chat.v1")),
        "/listed": SocketOptions(origins=("https://A.com", "http://b.com:8000", "null")),
        "/self": SocketOptions(origins=("self",)),
        "/all": SocketOptions(origins=("*",)),
    }

    def serve(exchange):
        try:
            socket = WebSocket(exchange, options[exchange.request.path])
        except HandshakeRefused as exc:
            exchange.fail(exc, exc.fields)
            return
        if exchange.request.query:
            socket.subprotocol = exchange.request.query
        socket.accept(socket.send, lambda code, reason: None, [("Set-Cookie", "a=b")])

    app = Toy()
    for path in options:
        app.loop(path, serve)
    with Serving(app) as serving:
        yield serving


def answer_to(serving, *lines):
    with serving.connect() as client:
        client.send(*lines)
        return client.read()


def test_the_answer_has_the_key_of_the_rfc_and_the_fields_of_the_app(serving):
    head = answer_to(serving, *handshake())
    assert head.status == 101
    assert (head["Upgrade"], head["Connection"]) == ("websocket", "Upgrade")
    assert head["Sec-WebSocket-Accept"] == ACCEPT
    assert head["Set-Cookie"] == "a=b"
    for absent in ("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Content-Length"):
        assert head.get(absent) is None


def test_names_are_compared_without_case(serving):
    lines = handshake(Upgrade="WebSocket", Connection="keep-alive, upgrade")
    assert (
        answer_to(
            serving,
            *[
                line.swapcase() if ":" in line and KEY not in line and "/" not in line else line
                for line in lines
            ],
        ).status
        == 101
    )


@pytest.mark.parametrize("version", ["12", "14", "", "13, 13", "x", None])
def test_another_version_is_told_which_one_is_spoken(serving, version):
    head = answer_to(serving, *handshake(Sec_WebSocket_Version=version))
    assert (head.status, head["Sec-WebSocket-Version"]) == (426, "13")


@pytest.mark.parametrize(
    "key",
    [None, "", "abc", KEY[:-1], KEY + "=", KEY.replace("=", "A"), KEY + ", " + KEY, "*" * 24,
     "dGhlIHNhbXBsZSBub25jZQ", "ZGVhZA=="],
)  # fmt: skip
def test_a_bad_key_is_refused(serving, key):
    head = answer_to(serving, *handshake(Sec_WebSocket_Key=key))
    assert head.status == 400
    assert b"Sec-WebSocket-Key" in head.body


def test_an_ordinary_request_is_told_to_upgrade(serving):
    for lines in (
        handshake(Upgrade=None, Connection=None),
        handshake(Connection="keep-alive"),
        handshake(Upgrade="h2c"),
    ):
        head = answer_to(serving, *lines)
        assert (head.status, head.get("Upgrade")) == (426, "websocket")


@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS"])
def test_only_get_can_be_upgraded(serving, method):
    lines = handshake()
    with serving.connect() as client:
        client.send(lines[0].replace("GET", method), *lines[1:], "Content-Length: 0")
        assert client.read(method).status == 426


def test_http_1_0_can_not_be_upgraded(serving):
    lines = handshake()
    assert answer_to(serving, lines[0].replace("1.1", "1.0"), *lines[1:]).status in (400, 426)


# -- subprotocols


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("chat.v1", "chat.v1"),
        ("chat.v1, chat.v2", "chat.v1"),
        ("other,\tchat.v2 ,chat.v1", "chat.v2"),
        ("other", None),
        ("Chat.v1", None),
    ],
)
def test_the_first_subprotocol_that_both_speak_is_chosen(serving, offered, chosen):
    head = answer_to(serving, *handshake("/chat", Sec_WebSocket_Protocol=offered))
    assert (head.status, head.get("Sec-WebSocket-Protocol")) == (101, chosen)


def test_subprotocols_over_several_lines_are_one_list(serving):
    extra = ("Sec-WebSocket-Protocol: other", "Sec-WebSocket-Protocol: chat.v2")
    head = answer_to(serving, *handshake("/chat", *extra))
    assert head["Sec-WebSocket-Protocol"] == "chat.v2"


def test_the_app_may_choose_the_subprotocol_later(serving):
    head = answer_to(serving, *handshake("/?own", Sec_WebSocket_Protocol="a, own"))
    assert head["Sec-WebSocket-Protocol"] == "own"


@pytest.mark.parametrize("offered", ["", ",", "a,,b", "a b", "a,a", "a/b", "a, "])
def test_malformed_subprotocols_are_refused(serving, offered):
    assert answer_to(serving, *handshake("/chat", Sec_WebSocket_Protocol=offered)).status == 400


# -- extensions


def test_compression_is_agreed_on_unless_it_is_switched_off(serving):
    offer = {"Sec_WebSocket_Extensions": "permessage-deflate; client_max_window_bits"}
    head = answer_to(serving, *handshake(**offer))
    assert head["Sec-WebSocket-Extensions"] == (
        "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"
    )
    assert answer_to(serving, *handshake("/plain", **offer)).get("Sec-WebSocket-Extensions") is None


def test_offers_that_can_not_be_met_are_declined_and_malformed_ones_refused(serving):
    declined = handshake(Sec_WebSocket_Extensions="permessage-deflate; fast=yes, x-zip")
    head = answer_to(serving, *declined)
    assert (head.status, head.get("Sec-WebSocket-Extensions")) == (101, None)
    for path in ("/", "/plain"):
        malformed = handshake(path, Sec_WebSocket_Extensions="permessage-deflate;;")
        assert answer_to(serving, *malformed).status == 400


# -- origins


@pytest.mark.parametrize(
    ("path", "origin", "status"),
    [
        ("/", "https://anybody.com", 101),
        ("/all", "https://anybody.com", 101),
        ("/listed", "https://a.com", 101),
        ("/listed", "https://a.com:443", 101),
        ("/listed", "HTTPS://A.COM", 101),
        ("/listed", "http://b.com:8000", 101),
        ("/listed", "null", 101),
        ("/listed", None, 101),
        ("/listed", "http://a.com", 403),
        ("/listed", "https://a.com:8443", 403),
        ("/listed", "https://x.a.com", 403),
        ("/listed", "https://a.com.evil.com", 403),
        ("/listed", "", 403),
        ("/self", "http://a", 101),
        ("/self", "https://a", 101),
        ("/self", "http://a:80", 101),
        ("/self", "http://a:81", 403),
        ("/self", "http://b", 403),
        ("/self", "null", 403),
        ("/self", "a", 403),
        ("/self", None, 101),
    ],
)
def test_pages_of_other_origins_are_kept_out(serving, path, origin, status):
    fields = {} if origin is None else {"Origin": origin}
    assert answer_to(serving, *handshake(path, **fields)).status == status


def test_a_refused_handshake_does_not_reach_the_frames(serving):
    with serving.connect() as client:
        client.send(*handshake(Sec_WebSocket_Version="8"), body=b"\x81\x80mask")
        assert client.read().status == 426
        assert client.is_closed()


def test_what_comes_with_the_handshake_is_read_behind_it(serving):
    with serving.connect() as client:
        client.send(*handshake("/plain"), body=b"\x81\x82\0\0\0\0hi")
        assert client.read_head().status == 101
        assert client.take(4) == b"\x81\x02hi"


def test_a_client_can_be_driven_by_hand(serving):
    with SocketClient(serving, "/plain") as client:
        client.say("hello")
        assert client.read() == "hello"
