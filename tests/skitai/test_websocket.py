"""One WebSocket from its first message to its end, over real sockets (RFC 6455, 5 to 7)."""

from __future__ import annotations

import gc
import socket
import threading
import time

import pytest
from serving import until
from websocket_driving import (
    BINARY,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
    handshake,
)
from websocket_serving import Sockets
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from skitai.server.websocket import session as websocket
from skitai.server.websocket.session import SocketOptions, WebSocket

GOING_AWAY, PROTOCOL_ERROR, NO_STATUS, ABNORMAL = 1001, 1002, 1005, 1006
INVALID, TOO_BIG, INTERNAL_ERROR, RESTART = 1007, 1009, 1011, 1012


# -- messages


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_real_client_gets_back_what_it_sends(compression):
    messages = ["", "a", "κόσμε" * 30, b"", bytes(range(256)) * 300, "x" * 70_000, b"y" * 2_000_000]
    with Sockets() as sockets:
        with connect(sockets.url, compression=compression, max_size=None) as client:
            for message in messages:
                client.send(message)
                assert client.recv(10) == message
            client.send(iter(["three ", "frag", "ments"]))
            assert client.recv(10) == "three fragments"
            assert client.ping().wait(10)
        assert sockets.peers[0].end() == (1000, "")


def test_many_messages_in_one_piece_are_received_in_order():
    with Sockets() as sockets:
        client, peer = sockets.open()
        client.send(*(frame(TEXT, str(number)) for number in range(1000)))
        assert [client.read() for _ in range(1000)] == [str(number) for number in range(1000)]
        assert peer.messages == [str(number) for number in range(1000)]


def test_what_is_sent_before_the_socket_is_accepted_comes_first():
    def greet(peer):
        assert peer.socket.open
        assert peer.socket.send("welcome") is True
        assert peer.socket.send(bytearray(b"\x00\x01")) is True

    with Sockets(prepare=greet) as sockets:
        client, _ = sockets.open()
        client.say("hello")
        assert [client.read() for _ in range(3)] == ["welcome", b"\x00\x01", "hello"]


def test_a_socket_may_be_closed_before_it_is_accepted():
    def refuse(peer):
        peer.socket.send("sorry")
        peer.socket.close(4000, "full")

    with Sockets(prepare=refuse) as sockets:
        client, peer = sockets.open()
        assert client.read() == "sorry"
        assert client.read_close() == (4000, "full")
        client.send(close_frame(4000))
        assert client.is_closed()
        assert peer.end() == (4000, "")


@pytest.mark.parametrize("compression", ["", "Sec-WebSocket-Extensions: permessage-deflate"])
def test_threads_send_at_once_and_nothing_is_lost_or_mixed(compression):
    threads, count = 8, 200
    with (
        Sockets() as sockets,
        connect(sockets.url, compression="deflate" if compression else None) as client,
    ):
        until(lambda: sockets.peers, "the peer")
        socket = sockets.peers[0].socket

        def work(name):
            for number in range(count):
                socket.send(f"{name} {number} " + "z" * (number * 7 % 3000))

        workers = [threading.Thread(target=work, args=(name,)) for name in range(threads)]
        for worker in workers:
            worker.start()
        seen = {name: [] for name in range(threads)}
        for _ in range(threads * count):
            name, number, rest = client.recv(10).split(" ")
            seen[int(name)].append(int(number))
            assert rest == "z" * (int(number) * 7 % 3000)
        for worker in workers:
            worker.join()
        assert all(numbers == list(range(count)) for numbers in seen.values())


def test_only_text_and_bytes_can_be_sent():
    with Sockets() as sockets:
        _, peer = sockets.open()
        with pytest.raises(TypeError, match="str or bytes, not dict"):
            peer.socket.send({})
        with pytest.raises(UnicodeEncodeError):
            peer.socket.send("\ud800")
        with pytest.raises(ValueError, match="1005"):
            peer.socket.close(1005)
        assert peer.socket.open


def test_pings_are_answered_between_fragments():
    with Sockets() as sockets:
        client, _ = sockets.open()
        client.send(frame(TEXT, "a", fin=False), frame(PING, b"there?"), frame(0, "b"))
        assert client.read_frame() == (0x80 | PONG, b"there?")
        assert client.read() == "ab"


def test_an_error_of_the_app_closes_the_socket_and_nothing_else(caplog):
    def fail(peer, message):
        raise LookupError(message)

    with Sockets(fail) as sockets:
        client, peer = sockets.open()
        client.send(frame(TEXT, "boo"), frame(TEXT, "not received any more"))
        assert client.read_close() == (INTERNAL_ERROR, "")
        client.send(close_frame(INTERNAL_ERROR))
        assert peer.end() == (INTERNAL_ERROR, "")
        assert peer.messages == ["boo"]
        assert sockets.open()[1].socket.open
    assert "LookupError: boo" in caplog.text
    caplog.clear()


# -- the end


@pytest.mark.parametrize(
    ("data", "answer", "reported"),
    [
        (close_frame(1000, "bye"), (1000, ""), (1000, "bye")),
        (close_frame(4567), (4567, ""), (4567, "")),
        (close_frame(None), (0, ""), (NO_STATUS, "")),
    ],
)
def test_a_close_frame_is_answered_and_the_connection_ends(data, answer, reported):
    with Sockets() as sockets:
        client, peer = sockets.open()
        client.send(data, frame(TEXT, "too late"))
        assert client.read_close() == answer
        assert client.is_closed()
        assert peer.end() == reported
        assert not peer.socket.open
        assert peer.messages == []
        assert peer.socket.send("nobody hears it") is False
        client.wire.close()
        until(lambda: not sockets.connections, "the connection to be forgotten")


def test_the_app_closes_and_waits_for_the_answer():
    with Sockets() as sockets:
        client, peer = sockets.open()
        peer.socket.send("last")
        peer.socket.close(3000, "enough")
        assert peer.socket.send("too late") is False
        peer.socket.close(3001, "twice")
        assert client.read() == "last"
        assert client.read_close() == (3000, "enough")
        client.send(frame(TEXT, "I was still talking"), close_frame(3000, "ok"))
        assert client.is_closed()
        assert peer.end() == (3000, "ok")
        assert peer.messages == []


def test_a_client_that_does_not_answer_the_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.05)
    with Sockets() as sockets:
        client, peer = sockets.open()
        peer.socket.close()
        assert client.read_close() == (1000, "")
        assert peer.end()[0] == ABNORMAL


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, "a", mask=None), PROTOCOL_ERROR),
        (frame(3), PROTOCOL_ERROR),
        (close_frame(1005), PROTOCOL_ERROR),
        (frame(TEXT, b"\xff"), INVALID),
        (frame(BINARY, b"a" * 1001), TOO_BIG),
    ],
)
def test_what_is_wrong_is_named_and_ends_the_connection(data, code):
    with Sockets(options=SocketOptions(max_message=1000)) as sockets:
        client, peer = sockets.open()
        client.send(frame(TEXT, "fine"), data, frame(TEXT, "not read any more"))
        assert client.read() == "fine"
        assert client.read_close()[0] == code
        assert client.is_closed()
        assert peer.end()[0] == code
        assert peer.messages == ["fine"]


def send_for_ever(client):
    while True:
        client.send(b"x" * 100_000)


def test_the_reason_reaches_a_client_that_is_still_sending():
    with Sockets(options=SocketOptions(max_message=1000)) as sockets:
        with connect(sockets.url, compression=None) as client:
            with pytest.raises(ConnectionClosedError):
                send_for_ever(client)
            assert client.protocol.close_rcvd.code == TOO_BIG
        assert sockets.peers[0].end()[0] == TOO_BIG


@pytest.mark.parametrize("leave", ["reset", "close", "half_close"])
def test_a_client_that_leaves_without_a_word_is_reported_once(leave):
    with Sockets() as sockets:
        client, peer = sockets.open()
        client.send(frame(TEXT, "unfinished", fin=False))
        getattr(client.wire, leave)()
        assert peer.end()[0] == ABNORMAL
        until(lambda: not sockets.connections, "the connection to be forgotten")
        assert len(peer.ends) == 1


def test_an_error_of_the_app_at_the_end_is_logged(caplog):
    def prepare(peer):
        peer.closed = lambda code, reason: 1 / 0

    with Sockets(prepare=prepare) as sockets:
        client, _ = sockets.open()
        client.send(close_frame())
        assert client.read_close() == (1000, "")
        until(lambda: "ZeroDivisionError" in caplog.text, "the log")
    caplog.clear()


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_connection_that_breaks_before_the_socket_is_accepted_is_reported(who, monkeypatch):
    accept, waiting = WebSocket.accept, []
    monkeypatch.setattr(WebSocket, "accept", lambda *args: waiting.append(args))
    with Sockets() as sockets:
        client = sockets.connect()
        client.send(*handshake())
        until(lambda: waiting, "the request")
        if who == "client":
            client.reset()
        else:
            (connection,) = sockets.server._connections
            sockets.on_loop(connection.close)
            until(lambda: not sockets.connections, "the end")
        sockets.on_loop(lambda: accept(*waiting[0]))
        assert sockets.peers[0].end()[0] == ABNORMAL


def test_drain_tells_the_clients_that_the_server_restarts():
    with Sockets() as sockets:
        client, peer = sockets.open()
        draining = threading.Thread(target=sockets.drain)
        draining.start()
        assert client.read_close() == (RESTART, "the server restarts")
        client.send(close_frame(RESTART))
        assert client.is_closed()
        client.wire.close()
        draining.join()
        assert peer.end() == (RESTART, "")


# -- time


def test_an_idle_socket_is_closed():
    with Sockets(options=SocketOptions(timeout=0.15)) as sockets:
        client, peer = sockets.open()
        assert client.read_close() == (GOING_AWAY, "idle for 0.15 seconds")
        client.send(close_frame(GOING_AWAY))
        assert peer.end()[0] == GOING_AWAY


@pytest.mark.parametrize("sign", [frame(TEXT, "x"), frame(PING), None])
def test_messages_of_either_side_and_pings_keep_a_socket_open(sign):
    with Sockets(lambda *_: None, SocketOptions(timeout=0.2)) as sockets:
        client, peer = sockets.open()
        begun = sockets.server.clock.now
        while sockets.server.clock.now - begun < 0.6:
            if sign:
                client.send(sign)
            else:
                peer.socket.send("x")
            threading.Event().wait(0.02)
        assert peer.socket.open


def test_a_silent_client_is_pinged_and_lives_when_it_answers():
    with Sockets(options=SocketOptions(timeout=0, ping=0.05)) as sockets:
        client, peer = sockets.open()
        for _ in range(4):
            assert client.read_frame() == (0x80 | PING, b"")
            client.send(frame(PONG))
        assert peer.socket.open


def test_a_client_that_does_not_answer_pings_is_gone():
    with Sockets(options=SocketOptions(timeout=0, ping=0.05)) as sockets:
        client, peer = sockets.open()
        assert client.read_frame() == (0x80 | PING, b"")
        assert peer.end() == (ABNORMAL, "the client does not answer a ping")


# -- the rest of the worker


def test_the_log_has_one_line_for_a_socket():
    class Log:
        clock = staticmethod(time.perf_counter)

        def __init__(self):
            self.lines = []

        def record(self, exchange):
            self.lines.append((exchange.status, exchange.bytes_sent))

    log = Log()
    with Sockets(log=log) as sockets:
        client, _ = sockets.open()
        client.say("four")
        assert client.read() == "four"
        client.send(close_frame())
        client.wire.read_rest()
    assert log.lines == [(101, 6 + 4)]


def test_nothing_is_left_of_sockets_that_are_gone():
    with Sockets() as sockets:
        for compression in (None, "deflate"):
            for number in range(20):
                with connect(sockets.url, compression=compression) as client:
                    client.send("x" * 1000)
                    client.recv(10)
                    if number % 2:
                        client.socket.shutdown(socket.SHUT_RDWR)
        until(lambda: not sockets.connections, "the connections to be forgotten")
        until(lambda: all(peer.ends for peer in sockets.peers), "the ends")
        assert len(sockets.peers) == 40
        sockets.peers.clear()
        gc.collect()
        assert not [item for item in gc.get_objects() if isinstance(item, WebSocket)]
