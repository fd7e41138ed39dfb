"""WebSockets whose app or client is slow: who waits, what is bounded, what is cut off."""

from __future__ import annotations

import threading

import pytest
from serving import happens, until
from websocket_driving import BINARY, PING, PONG, TEXT, close_frame, deflated, frame
from websocket_serving import Sockets
from websockets.sync.client import connect

from skitai.server.websocket import sender as websocket_sender
from skitai.server.websocket import session as websocket
from skitai.server.websocket.session import SocketOptions

ABNORMAL = 1006
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
KILO = b"k" * 1000


def hold_at_once(peer, message):
    """An app that takes one message and is busy then."""
    peer.socket.hold()


# -- a slow app


def test_held_messages_wait_and_come_in_order_one_by_one():
    with Sockets(hold_at_once) as sockets:
        client, peer = sockets.open()
        client.send(*(frame(TEXT, str(number)) for number in range(300)), frame(PING))
        for number in range(300):
            until(lambda count=number + 1: len(peer.messages) == count, "the next message")
            sockets.on_loop(peer.socket.resume)
        assert peer.messages == [str(number) for number in range(300)]
        assert client.read_frame() == (0x80 | PONG, b"")


def test_pings_are_answered_while_the_app_is_busy():
    with Sockets(hold_at_once) as sockets:
        client, peer = sockets.open()
        client.send(frame(TEXT, "work"), frame(TEXT, "more"), frame(PING, b"still there?"))
        assert client.read_frame() == (0x80 | PONG, b"still there?")
        assert peer.messages == ["work"]


def send_until_stuck(sock, data):
    """Send the data again and again; how often it went out as a whole."""
    patience, count = sock.gettimeout(), 0
    sock.settimeout(0.5)
    try:
        while True:
            sock.sendall(data)
            count += 1
    except TimeoutError:
        sock.settimeout(patience)
        return count


@pytest.mark.parametrize("size", [0, 50_000])
def test_a_client_has_to_wait_for_an_app_that_is_busy(size):
    with Sockets(hold_at_once) as sockets:
        client, peer = sockets.open()
        sent = send_until_stuck(client.wire.socket, frame(BINARY, b"x" * size))
        reader = peer.socket._reader
        assert reader.paused
        held = len(peer.socket._held)
        assert held <= websocket.HELD_MESSAGES + 1
        assert peer.socket._held_bytes <= websocket.HELD_BYTES + size
        assert len(reader._rest) < 1 << 20
        peer._receive = lambda *_: None
        sockets.on_loop(peer.socket.resume)
        until(lambda: len(peer.messages) >= sent, "the rest")


def test_a_bomb_of_many_messages_in_one_piece_does_not_unfold_while_the_app_is_busy():
    with Sockets(hold_at_once) as sockets:
        client, peer = sockets.open(DEFLATE + "; client_no_context_takeover")
        bomb = frame(BINARY, deflated(b"\x00" * 10_000_000), rsv=4)
        client.send(frame(TEXT, "work"), *[bomb] * 20)
        until(lambda: peer.socket._reader.paused, "the reader to pause")
        assert len(peer.socket._held) == 1


def test_what_was_said_before_the_end_is_received_before_the_end():
    for leave in (lambda wire: wire.close(), lambda wire: wire.write(close_frame(1000))):
        with Sockets(hold_at_once) as sockets:
            client, peer = sockets.open()
            client.send(*(frame(TEXT, str(number)) for number in range(100)))
            until(lambda peer=peer: peer.messages, "the first message")
            leave(client.wire)
            until(lambda peer=peer: peer.socket._reader.paused, "the reader to pause")
            assert not peer.ends
            peer._receive = lambda *_: None
            sockets.on_loop(peer.socket.resume)
            assert happens(peer.gone)
            assert len(peer.messages) == 100


def test_an_app_may_hold_and_resume_within_a_message():
    def hop(peer, message):
        peer.socket.hold()
        peer.socket.resume()
        peer.socket.send(message)

    with Sockets(hop) as sockets:
        client, _ = sockets.open()
        client.send(*(frame(TEXT, str(number)) for number in range(200)))
        assert [client.read() for _ in range(200)] == [str(number) for number in range(200)]


def test_thousands_of_held_messages_are_resumed_without_recursion():
    def hop(peer, message):
        peer.socket.hold()
        sockets.loop.call_soon(peer.socket.resume)
        peer.socket.resume()

    with Sockets(hold_at_once) as sockets:
        client, peer = sockets.open()
        client.send(*(frame(TEXT) for _ in range(5000)))
        until(lambda: peer.socket._reader.paused, "the reader to pause")
        peer._receive = hop
        sockets.on_loop(peer.socket.resume)
        until(lambda: len(peer.messages) == 5000, "all messages")


def test_closing_a_busy_socket_finds_the_answer_behind_what_was_not_read():
    with Sockets(hold_at_once) as sockets:
        client, peer = sockets.open()
        client.send(*(frame(TEXT, "x" * 100) for _ in range(3000)))
        until(lambda: peer.socket._reader.paused, "the reader to pause")
        peer.socket.close(4001)
        assert client.read_close() == (4001, "")
        client.send(close_frame(4001))
        assert peer.end() == (4001, "")
        assert len(peer.messages) == 1


def test_a_busy_app_is_not_taken_for_a_dead_client():
    with Sockets(hold_at_once, SocketOptions(timeout=0, ping=0.05)) as sockets:
        client, peer = sockets.open()
        client.send(*(frame(TEXT) for _ in range(100)))
        until(lambda: peer.socket._reader.paused, "the reader to pause")
        begun = sockets.server.clock.now
        until(lambda: sockets.server.clock.now - begun > 0.3, "some time")
        assert peer.socket.open


# -- a slow client


def fill(peer, message=KILO):
    """Send until the client is behind; the number of messages."""
    count = 1
    while peer.socket.send(message):
        count += 1
    return count


def test_a_sender_is_told_when_the_client_is_behind_and_when_it_has_caught_up():
    with Sockets() as sockets:
        client, peer = sockets.open()
        caught_up, at_once = threading.Event(), threading.Event()
        peer.socket.when_writable(at_once.set)
        assert happens(at_once)
        count = fill(peer)
        peer.socket.when_writable(caught_up.set)
        assert not caught_up.is_set()
        assert [client.read() for _ in range(count)] == [KILO] * count
        assert happens(caught_up)
        assert peer.socket.send("again") is True
        assert client.read() == "again"


@pytest.mark.parametrize("extension", [(), (DEFLATE,)])
def test_a_slow_client_gets_everything_in_order(extension):
    with Sockets(lambda *_: None, SocketOptions(max_backlog=1 << 30)) as sockets:
        compression = "deflate" if extension else None
        with connect(sockets.url, compression=compression, max_size=None, max_queue=1) as client:
            peer = until(lambda: sockets.peers, "the peer")[0]
            sizes = [10, 3_000_000, 70_000, 1, 500_000] * 4
            for size in sizes:
                peer.socket.send(bytes([size % 251]) * size)
            peer.socket.close(4000, "all sent")
            for size in sizes:
                message = client.recv(20)
                assert (len(message), message[:1]) == (size, bytes([size % 251]))
        assert peer.end() == (4000, "all sent")


def test_a_client_that_never_reads_is_cut_off_when_too_much_waits():
    with Sockets(options=SocketOptions(max_backlog=1_000_000, timeout=0)) as sockets:
        _, peer = sockets.open(receive_buffer=4096)
        waited = threading.Event()
        sent = fill(peer)
        peer.socket.when_writable(waited.set)
        more = 0
        while peer.socket.open:
            peer.socket.send(KILO)
            more += 1
        assert more <= 1 + 1_000_000 // len(KILO)
        assert peer.end() == (ABNORMAL, "the client does not read")
        assert happens(waited)
        assert peer.socket.send("no") is False
        assert sent
        until(lambda: not sockets.connections, "the end")


def test_a_client_that_reads_nothing_for_long_is_cut_off():
    with Sockets(options=SocketOptions(timeout=0), network_timeout=0.1) as sockets:
        _, peer = sockets.open(receive_buffer=4096)
        fill(peer)
        assert peer.end() == (ABNORMAL, "the client does not read")


def test_a_client_that_reads_slowly_is_not_cut_off(monkeypatch):
    monkeypatch.setattr(websocket_sender, "PIECE", 4096)
    with Sockets(options=SocketOptions(timeout=0), network_timeout=0.4) as sockets:
        client, peer = sockets.open(receive_buffer=4096)
        count = fill(peer)
        message = b"z" * 400_000
        peer.socket.send(message)
        for _ in range(count):
            client.read()
        total = 0
        begun = sockets.server.clock.now
        while sockets.server.clock.now - begun < 0.8:
            total += len(client.wire.take(1000))
            threading.Event().wait(0.02)
        assert peer.socket.open
        assert client.wire.take(len(message) + 10 - total)[-1:] == b"z"


def test_messages_that_wait_for_a_dead_client_are_bounded_however_small_they_are():
    with Sockets(options=SocketOptions(max_backlog=1_000_000, timeout=0)) as sockets:
        _, peer = sockets.open(receive_buffer=4096)
        fill(peer)
        count = 0
        while not peer.socket._sender.ended:
            peer.socket.send("")
            count += 1
        assert count <= 1 + 1_000_000 // websocket_sender.QUEUED_COST
        until(lambda: not peer.socket.open, "the end")


def test_a_flood_of_pings_without_reading_the_pongs_leaves_one_pong():
    with Sockets(options=SocketOptions(timeout=0)) as sockets:
        client, peer = sockets.open(receive_buffer=4096)
        fill(peer)
        for number in range(2000):
            client.send(frame(PING, str(number).encode()))
        until(lambda: peer.socket._sender._pong == b"1999", "the last ping")
        assert peer.socket._sender._queue is None


def test_the_end_waits_for_what_a_slow_client_has_not_read():
    with Sockets() as sockets:
        client, peer = sockets.open()
        count = fill(peer)
        client.send(frame(3))
        assert peer.end()[0] == 1002
        assert [client.read() for _ in range(count)] == [KILO] * count
        assert client.read_close()[0] == 1002
        assert client.is_closed()


def test_a_thread_that_sends_for_others_hands_over(monkeypatch):
    monkeypatch.setattr(websocket_sender, "TURNS", 2)
    with Sockets() as sockets:
        client, peer = sockets.open()
        sender = peer.socket._sender
        write = sender._tunnel.write
        entered, go_on = threading.Event(), threading.Event()

        class SlowTunnel:
            def write(self, data):
                entered.set()
                assert happens(go_on)
                return write(data)

        tunnel, sender._tunnel = sender._tunnel, SlowTunnel()
        first = threading.Thread(target=peer.socket.send, args=("0",))
        first.start()
        assert happens(entered)
        sender._tunnel = tunnel
        for number in range(1, 10):
            assert peer.socket.send(str(number)) is True
        assert [peer.socket.send(b"x" * 70_000), len(sender._queue)] == [False, 10]
        relieved = threading.Event()
        peer.socket.when_writable(relieved.set)
        assert not relieved.is_set()
        go_on.set()
        first.join()
        assert [client.read() for _ in range(10)] == [str(number) for number in range(10)]
        assert client.read() == b"x" * 70_000
        assert happens(relieved)


# -- many


class Ending:
    """A lock; in the moment after a thread has released it the tunnel ends."""

    def __init__(self, sender):
        self.sender, self.lock = sender, sender._lock

    def __enter__(self):
        self.lock.acquire()

    def __exit__(self, *_):
        self.lock.release()
        self.sender._lock = self.lock
        self.sender.lost()


@pytest.mark.parametrize("size", [10, 2 * websocket_sender.PIECE])
def test_a_socket_that_ends_while_a_thread_begins_to_send_is_no_failure_of_the_app(size):
    with Sockets() as sockets:
        client, peer = sockets.open()
        sender = peer.socket._sender
        sender._lock = Ending(sender)
        assert peer.socket.send(bytes(size)) is False
        assert not peer.socket.open
        client.wire.reset()


def test_sockets_that_open_and_never_speak_end_by_themselves():
    with Sockets(options=SocketOptions(timeout=0.3)) as sockets:
        clients = [sockets.open()[0] for _ in range(50)]
        assert all(client.read_close()[0] == 1001 for client in clients)


def test_a_connection_that_is_opened_for_nothing_never_becomes_a_socket():
    with Sockets(keep_alive=0.1, header_timeout=0.1) as sockets:
        silent, half = sockets.connect(), sockets.connect()
        half.send("GET / HTTP/1.1", "Host: a")
        half.write(b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n")
        assert silent.is_closed()
        assert half.read_rest()
        assert not sockets.peers
