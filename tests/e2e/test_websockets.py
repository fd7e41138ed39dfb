"""WebSockets of a service with two workers: messages reach all, reload and stop are orderly."""

from __future__ import annotations

import contextlib
import signal
import threading

import pytest
from live_service import PATIENCE, eventually
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai

    if __name__ == "__main__":
        import myapp, other

        skitai.alias ("@files", skitai.DB_SQLITE3, skitai.joinpath ("db.sqlite3"))
        skitai.mount ("/", myapp)
        skitai.mount ("/other", other)
        skitai.run (address="127.0.0.1", workers=2, threads=4)
"""

OTHER = """
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __mount__ (app, mntopt):
        @app.route ("/send")
        def send (was, to: int, text):
            was.apps ["myapp"].websocket_send (to, text)
            return "sent"

        @app.route ("/send/own")
        def send_own (was, to: int, text):
            app.websocket_send (to, text)
            return "sent"
"""

APP = """
    import os
    import threading
    import time

    import skitai
    from atila import Atila

    def __app__ ():
        app = Atila (__name__)
        app.securekey = "a key for sessions"
        return app

    def note (text):
        with open (skitai.joinpath ("notes"), "a") as file:
            file.write (f"{text}\\n")

    def onopen (was):
        was.request.session.set ("WS_ID", was.websocket.client_id)
        return f"{was.websocket.client_id}"

    def onclose (was):
        note (f"closed {was.websocket.client_id}")

    def __mount__ (app, mntopt):
        @app.route ("/websocket")
        @app.websocket (skitai.WS_REPORTY, 60, onopen = onopen, onclose = onclose)
        def websocket (was, message):
            return f"you said: {message} to {os.getpid ()}"

        @app.route ("/item_in_stock")
        def item_in_stock (was):
            app.websocket_send (was.request.session.get ("WS_ID"), "Item In Stock!")
            return f"{os.getpid ()}"

        @app.route ("/send")
        def send (was, to: int, text, count: int = 1):
            for number in range (count):
                app.websocket_send (to, f"{text} {number}")
            return f"{os.getpid ()}"

        @app.route ("/chat")
        @app.websocket (skitai.WS_GROUPCHAT, 60, lambda was: "hello", lambda was: "bye")
        def chat (was, message, room):
            if message == "who":
                was.websocket.send (f"{os.getpid ()}")
            else:
                return message

        @app.route ("/echo_coroutine")
        @app.websocket (skitai.WS_COROUTINE, 60)
        def coroutine (was):
            while 1:
                msg = yield was.Input ()
                if not msg:
                    break

                with was.stub (f"http://{was.request.env ['HTTP_HOST']}") as stub:
                    task = yield stub.get (f"/page/{msg}")
                    yield task.fetch ()
            note ("coroutine over")

        @app.route ("/page/<name>")
        def page (was, name):
            return f"page {name}"

        @app.route ("/count")
        @app.websocket (skitai.WS_REPORTY, encoding = "json")
        def count (was, message):
            with was.db ("@files") as db:
                return db.execute ("select ? + 1 as n", (message,)).one ()

        @app.route ("/count/async")
        @app.websocket (skitai.WS_COROUTINE)
        async def count_async (was):
            async for message in was.websocket:
                task = await was.db ("@files").execute ("select ? || '!' as n", (message,))
                await was.websocket.send (task.one () ["n"])

        @app.route ("/busy")
        @app.websocket (skitai.WS_REPORTY, onclose = lambda was: note ("busy closed"))
        def busy (was, message):
            was.websocket.send ("begun")
            time.sleep (0.5)
            note (f"busy {message}")

    def __umount__ (app):
        note ("umounted")
"""


class Sockets:
    """Clients of a service; they leave with the test."""

    def __init__(self, service, cleanup):
        self.service = service
        self.cleanup = cleanup

    def open(self, path, **options):
        socket = connect(
            f"ws://127.0.0.1:{self.service.port}{path}",
            proxy=None,
            open_timeout=PATIENCE,
            close_timeout=PATIENCE,
            max_queue=None,
            **options,
        )
        self.cleanup.enter_context(socket)
        return socket

    def of_two_workers(self, path, worker):
        """Sockets of both workers, by process id; ``worker`` tells that of a socket."""
        found = {}
        for _ in range(200):
            socket = self.open(path)
            found.setdefault(worker(socket), socket)
            if len(found) == 2:
                return found
        raise AssertionError("all sockets came to the same worker")

    def get_from(self, path, worker, **options):
        """Ask until this worker has answered."""
        eventually(lambda: self.service.get(path, **options).text == str(worker), "that worker")


@pytest.fixture
def sockets(launch):
    service = launch({"serve.py": SERVE, "myapp.py": APP, "other.py": OTHER})
    with contextlib.ExitStack() as cleanup:
        yield Sockets(service, cleanup)


def notes(service):
    path = service.folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


def test_sockets_of_two_workers(sockets):
    service = sockets.service
    numbers = {}

    def worker(socket):
        number = int(socket.recv(PATIENCE))
        numbers[socket] = number
        return number // 2**30

    both = sockets.of_two_workers("/websocket", worker)
    assert set(both) == set(service.workers())

    # A message by number, from each worker to each socket, and in order.
    for pid in both:
        for socket in both.values():
            url = f"/send?to={numbers[socket]}&text=from+{pid}&count=50"
            while int(service.get(url).text) != pid:
                for number in range(50):
                    assert socket.recv(PATIENCE).endswith(f" {number}")
            got = [socket.recv(PATIENCE) for _ in range(50)]
            assert got == [f"from {pid} {number}" for number in range(50)]

    # The session that onopen has written knows the socket in any worker.
    for pid, socket in both.items():
        cookie = socket.response.headers["Set-Cookie"].partition(";")[0]
        other = next(iter(set(both) - {pid}))
        sockets.get_from("/item_in_stock", other, headers={"Cookie": cookie})
        assert socket.recv(PATIENCE) == "Item In Stock!"

    # Another app of the service, and its own way.
    for socket in both.values():
        for path in ("/other/send", "/other/send/own"):
            assert service.get(f"{path}?to={numbers[socket]}&text=other").text == "sent"
        got = {socket.recv(PATIENCE) for _ in range(2)}
        assert got <= {"other", "Item In Stock!"}

    # One that is gone, and one of a process that isn't there.
    assert service.get(f"/send?to={2**30 * 2**20}&text=x").status_code == 200

    for pid, socket in both.items():
        socket.send("hello")
        eventually(
            lambda socket=socket, pid=pid: socket.recv(PATIENCE) == f"you said: hello to {pid}",
            "the echo",
        )


def test_a_group_chat_reaches_over_both_workers(sockets):
    def worker(socket):
        socket.send("who")
        while not (got := socket.recv(PATIENCE)).isdigit():
            pass
        return int(got)

    both = sockets.of_two_workers("/chat?room=1", worker)
    other_room = sockets.open("/chat?room=2")
    assert other_room.recv(PATIENCE) == "hello"
    one, two = both.values()
    for number in range(20):
        (one, two)[number % 2].send(f"message {number}")
        for socket in (one, two):
            while (got := socket.recv(PATIENCE)) == "hello":
                pass
            assert got == f"message {number}"
    one.close()
    eventually(lambda: two.recv(PATIENCE) == "bye", "the last message of the one that left")
    with pytest.raises(TimeoutError):
        other_room.recv(0)


def test_tasks_are_waited_for_in_all_kinds_of_handlers(sockets):
    coroutine = sockets.open("/echo_coroutine")
    for name in ("a", "b"):
        coroutine.send(name)
        assert coroutine.recv(PATIENCE) == f"page {name}"
    counting = sockets.open("/count")
    counting.send("41")
    assert counting.recv(PATIENCE) == '{"n":42}'
    waiting = sockets.open("/count/async")
    waiting.send("hey")
    assert waiting.recv(PATIENCE) == "hey!"
    coroutine.close()
    eventually(lambda: "coroutine over" in notes(sockets.service), "the end of the coroutine")


def closing_of(socket):
    with contextlib.suppress(ConnectionClosed):
        while True:
            socket.recv(PATIENCE)
    return socket.protocol.close_rcvd.code


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_stop_and_reload_close_sockets_in_order(sockets, signum):
    service = sockets.service
    numbers = {int(socket.recv(PATIENCE)) for socket in [sockets.open("/websocket")]}
    plain = sockets.open("/websocket")
    numbers.add(int(plain.recv(PATIENCE)))
    coroutine = sockets.open("/echo_coroutine")
    coroutine.send("a")
    assert coroutine.recv(PATIENCE) == "page a"
    busy = sockets.open("/busy")
    busy.send("1")
    assert busy.recv(PATIENCE) == "begun"
    service.send(signum)
    for socket in (plain, coroutine, busy):
        assert closing_of(socket) == 1012
    eventually(lambda: notes(service).count("umounted") == 2, "the end of the workers")
    said = notes(service)
    assert {f"closed {number}" for number in numbers} <= set(said)
    assert "coroutine over" in said
    assert said.index("busy 1") < said.index("busy closed") < len(said) - 1
    if signum == signal.SIGHUP:
        again = sockets.open("/websocket")
        assert int(again.recv(PATIENCE)) // 2**30 in service.workers()
        again.close()
    else:
        assert service.wait() == 0
    assert "Traceback" not in service.log()


def test_many_sockets_send_from_many_threads(sockets):
    failures = []

    def converse(name):
        try:
            socket = sockets.open("/echo_coroutine")
            for number in range(20):
                socket.send(f"{name}-{number}")
                assert socket.recv(PATIENCE) == f"page {name}-{number}"
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=converse, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert not failures
