"""Messages to sockets from elsewhere: by their numbers, in rooms, and from other workers."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

import pytest
from socket_driving import new_app, refusal, sockets_of, until

import skitai
from atila import Atila
from atila.websockets.registry import SERIALS
from skitai.handlers.peers import Peers

REPORTY = skitai.WS_REPORTY


def number_app(app=None, **options):
    app = app or new_app()

    @app.route("/ws")
    @app.websocket(REPORTY, **options)
    def handler(was, message):
        return str(was.websocket.client_id)

    return app


def number_of(client):
    client.send("who")
    return int(client.recv())


# -- by number


def test_a_message_reaches_the_socket_of_a_number():
    app = number_app()
    with sockets_of(app) as site:
        with site.connect("/ws") as one, site.connect("/ws") as two:
            first, second = number_of(one), number_of(two)
            assert first // SERIALS == second // SERIALS == os.getpid()
            app.websocket_send(first, "to one")
            app.websocket_send(second, b"to two")
            assert one.recv() == "to one"
            assert two.recv() == b"to two"
        site.emptied()
        app.websocket_send(first, "gone")


@pytest.mark.parametrize("unknown", [None, 0, 7, -1, 2**200, "7", True, 1.5, [], SERIALS * 5 + 3])
def test_unknown_numbers_are_ignored(unknown):
    app = number_app()
    app.websocket_send(unknown, "nobody")
    with sockets_of(app) as site, site.connect("/ws") as client:
        number_of(client)
        app.websocket_send(unknown, "nobody")
        client.send("who")
        assert client.recv().isdigit()


def test_messages_come_from_threads_coroutines_and_jobs():
    app = number_app()
    app.config.MAINTAIN_INTERVAL = 0.01
    numbers = []

    @app.maintain
    def job(was, now, count):
        for number in numbers:
            app.websocket_send(number, "from a job")

    @app.route("/async")
    async def push(was, number: int):
        app.websocket_send(number, "from the loop")
        return "ok"

    with sockets_of(app) as site, site.connect("/ws") as client:
        number = number_of(client)
        assert site.get(f"/async?number={number}").status == 200
        assert client.recv() == "from the loop"
        thread = threading.Thread(target=app.websocket_send, args=(number, "from a thread"))
        thread.start()
        assert client.recv() == "from a thread"
        thread.join()
        numbers.append(number)
        assert client.recv() == "from a job"
        numbers.clear()


def test_other_apps_of_the_worker_reach_a_socket():
    app, other = number_app(), Atila("other")
    peers = Peers()
    for each in (app, other):
        each.peers = peers
        peers.add(each.name, each)
    with sockets_of(app) as site, site.connect("/ws") as client:
        number = number_of(client)
        other.websocket_send(number, "from another app")
        assert client.recv() == "from another app"
        other.websocket_send(number + 1000, "nobody")


# -- rooms


def room_app():
    app = new_app()

    @app.route("/ws")
    @app.websocket(REPORTY)
    def handler(was, message):
        ws = was.websocket
        word, _, rest = message.partition(" ")
        if word == "join":
            ws.join(rest)
        elif word == "leave":
            ws.leave(rest)
        elif word == "say":
            room, _, text = rest.partition(" ")
            ws.broadcast(text, room)
        elif word == "wrong":
            ws.broadcast("where?")
        return f"{word}ed"

    return app


def tell(client, text):
    client.send(text)
    assert client.recv() == text.partition(" ")[0] + "ed"


def test_rooms_are_joined_and_left():
    app = room_app()
    with sockets_of(app) as site:
        with site.connect("/ws") as one, site.connect("/ws") as two, site.connect("/ws") as three:
            tell(one, "join cats")
            tell(two, "join cats")
            tell(two, "join dogs")
            tell(two, "join dogs")
            three.send("say cats meow")
            assert three.recv() == "sayed"
            assert (one.recv(), two.recv()) == ("meow", "meow")
            app.websocket_broadcast("dogs", b"woof")
            assert two.recv() == b"woof"
            tell(two, "leave cats")
            tell(two, "leave cats")
            app.websocket_broadcast("cats", "purr")
            assert one.recv() == "purr"
            tell(two, "leave dogs")
            app.websocket_broadcast("dogs", "nobody")
            tell(two, "join end")
            one.send("wrong")
            assert one.recv() == "[ERROR]"
        site.emptied()
        assert not app.websockets._rooms


def test_a_room_is_named_by_text():
    app = room_app()
    with pytest.raises(TypeError, match="named by text"):
        app.websocket_broadcast(7, "x")


def chat_app(app=None):
    app = app or new_app()

    def onopen(was):
        return f"{was.request.args['name']} came"

    def onclose(was):
        return f"{was.request.args['name']} left"

    @app.route("/chat")
    @app.websocket(skitai.WS_GROUPCHAT, 60, onopen, onclose)
    def chat(was, message, room, name="x"):
        assert was.websocket.room == room
        if message == "private":
            was.websocket.send("for you")
            return None
        return f"{name}: {message}"

    @app.route("/rooms/<room>")
    @app.websocket(skitai.WS_GROUPCHAT | skitai.WS_NOPOOL)
    def other(was, message, room):
        return message

    @app.route("/later")
    @app.websocket(skitai.WS_GROUPCHAT)
    async def later(was, message, room):
        return message

    return app


def test_a_group_chat():
    app = chat_app()
    with sockets_of(app) as site:
        with site.connect("/chat?room=1&name=Ann") as ann:
            assert ann.recv() == "Ann came"
            with site.connect("/chat?room=1&name=Bob") as bob:
                assert (ann.recv(), bob.recv()) == ("Bob came", "Bob came")
                with site.connect("/chat?room=2&name=Eve") as eve:
                    assert eve.recv() == "Eve came"
                    ann.send("hello")
                    assert (ann.recv(), bob.recv()) == ("Ann: hello", "Ann: hello")
                    bob.send("private")
                    assert bob.recv() == "for you"
                    eve.send("anybody?")
                    assert eve.recv() == "Eve: anybody?"
            assert ann.recv() == "Bob left"
            app.websocket_broadcast("1", "to all", "chat")
            assert ann.recv() == "to all"


@pytest.mark.parametrize("path", ["/rooms/a", "/later?room=a"])
def test_group_chats_of_all_kinds(path):
    with sockets_of(chat_app()) as site:
        with site.connect(path) as one, site.connect(path) as two:
            one.send("hello")
            assert (one.recv(), two.recv()) == ("hello", "hello")


def test_rooms_of_different_chats_are_different():
    app = chat_app()
    with sockets_of(app) as site:
        with site.connect("/rooms/a") as one, site.connect("/later?room=a") as two:
            for client, text in ((one, "1"), (two, "2")):
                client.send(text)
                assert client.recv() == text
            app.websocket_broadcast("a", "nobody")
            app.websocket_broadcast("a", "one", "other")
            app.websocket_broadcast("a", "two", "later")
            assert (one.recv(), two.recv()) == ("one", "two")


def test_a_group_chat_needs_a_room():
    app = chat_app()
    with sockets_of(app) as site:
        assert refusal(site, "/chat").status_code == 400
        assert refusal(site, "/chat?room=1&room=2").status_code == 400
        with pytest.raises(NameError):
            app.websocket_broadcast("a", "x", "unknown")


# -- other workers


class Wire:
    """Stands for the buses of two workers; what is sent is delivered at once."""

    def __init__(self, worker):
        self.worker = worker
        self.others = {}
        self.receivers = {}

    def send(self, worker, channel, data):
        if worker in self.others:
            self.others[worker].deliver(channel, data)

    def publish(self, channel, data):
        for other in self.others.values():
            other.deliver(channel, data)

    def subscribe(self, channel, receive):
        self.receivers[channel] = receive

    def deliver(self, channel, data):
        if channel in self.receivers:
            self.receivers[channel](data)


@contextlib.contextmanager
def two_workers(make, monkeypatch):
    """Two apps of the same name, as if each had a process of its own."""
    wires = [Wire(os.getpid()), Wire(os.getpid() + 1)]
    apps = [make(), make()]
    for app, wire, other in zip(apps, wires, reversed(wires), strict=True):
        wire.others[other.worker] = other
        app.peers = Peers(bus=wire)
        app.peers.add("app", app)
    monkeypatch.setattr(
        apps[1].websockets.__class__,
        "number",
        lambda self: (os.getpid() + (self is apps[1].websockets)) * SERIALS + next(_numbers),
    )
    with sockets_of(apps[0]) as here, sockets_of(apps[1]) as there:
        yield here, there


_numbers = iter(range(1, 1000))


@pytest.mark.parametrize("encoding", ["text", "json", "xmlrpc"])
@pytest.mark.parametrize("message", ["é", b"\xff", {"a": [1, None]}], ids=repr)
def test_messages_reach_sockets_of_other_workers(encoding, message, monkeypatch, log):
    def make():
        return number_app(encoding=encoding)

    with two_workers(make, monkeypatch) as (here, there):
        with there.connect("/ws") as client:
            socket = until(lambda: list(there.app.websockets._sockets.values()), "a socket")[0]
            here.app.websocket_send(socket.client_id, message)
            if encoding == "text" and isinstance(message, dict):
                until(lambda: "can't be sent" in log.text, "the log")
            else:
                assert client.recv() == socket.codec.encode(message)


def test_rooms_reach_over_all_workers(monkeypatch):
    with two_workers(chat_app, monkeypatch) as (here, there):
        with here.connect("/chat?room=1&name=Ann") as ann:
            assert ann.recv() == "Ann came"
            with there.connect("/chat?room=1&name=Bob") as bob:
                assert (ann.recv(), bob.recv()) == ("Bob came", "Bob came")
                bob.send("hello")
                assert (ann.recv(), bob.recv()) == ("Bob: hello", "Bob: hello")
                here.app.websocket_broadcast("1", "to all", "chat")
                assert (ann.recv(), bob.recv()) == ("to all", "to all")
            assert ann.recv() == "Bob left"


def test_what_can_not_be_read_from_another_worker_is_logged(log):
    app = number_app()
    wire = Wire(1)
    app.peers = Peers(bus=wire)
    app.peers.add("app", app)
    with sockets_of(app):
        for data in (b"", b"\xc1", b"\x93\x01\x02\x03"):
            wire.deliver("atila.websocket/app", data)
    assert log.text.count("can't be sent") == 3


def restless(was, message, room):
    was.websocket.join(f"topic {message}")
    was.websocket.leave(f"topic {message}")
    was.websocket.join("all")
    return message


def test_sockets_come_and_go_while_threads_send():
    app = new_app()
    app.route("/ws")(app.websocket(skitai.WS_GROUPCHAT)(restless))
    over, failures = threading.Event(), []

    def send():
        while not over.wait(0.0005):
            app.websocket_broadcast("all", "news")
            app.websocket_broadcast("1", "news", restless)
            for number in list(app.websockets._sockets):
                app.websocket_send(number, "to you")

    def come_and_go(site, name):
        try:
            for number in range(12):
                with site.connect(f"/ws?room={number % 2}") as client:
                    client.send(f"{name} {number}")
                    while client.recv() != f"{name} {number}":
                        pass
                    if number % 3 == 0:
                        client.socket.shutdown(socket.SHUT_RDWR)
        except BaseException as exc:
            failures.append(exc)

    with sockets_of(app) as site:
        senders = [threading.Thread(target=send) for _ in range(2)]
        clients = [threading.Thread(target=come_and_go, args=(site, n)) for n in range(8)]
        for thread in (*senders, *clients):
            thread.start()
        for thread in clients:
            thread.join(60)
        over.set()
        for thread in senders:
            thread.join(10)
    assert not failures
