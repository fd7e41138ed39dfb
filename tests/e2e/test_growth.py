"""Thousands of requests of all kinds leave a worker as it was: descriptors, threads, memory."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading

import psutil
import pytest
from live_service import eventually, receive

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    import myapp

    if __name__ == "__main__":
        with skitai.preference () as pref:
            pref.set_static ("/static", "static")
            skitai.mount ("/", myapp, pref)
        skitai.run (address="127.0.0.1", access_log=False)
"""

APP = """
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __mount__ (app, mntopt):
        @app.route ("/echo", methods = ["GET", "POST"])
        def echo (was, **data):
            return was.API (size = len (was.request.body), got = sorted (was.request.args))

        @app.route ("/async")
        async def async_ (was):
            return "async"

        @app.route ("/stream")
        def stream (was):
            def pieces ():
                for _ in range (20):
                    yield "x" * 5000
            return pieces ()

        @app.route ("/endless")
        def endless (was):
            def pieces ():
                while True:
                    yield "x" * 50000
            return pieces ()

        @app.route ("/aendless")
        async def aendless (was):
            while True:
                yield "x" * 50000

        @app.route ("/file")
        def file (was):
            return was.File ("static/big.bin", "application/octet-stream", "big.bin")

        @app.route ("/object")
        def object_ (was):
            return was.File (open ("static/small.txt", "rb"))

        @app.route ("/page")
        def page (was):
            return was.render ("page.j2", names = ["a", "b"])

        @app.route ("/error")
        def error (was):
            raise was.Error ("409 Conflict", "as always")
"""

FILES = {
    "serve.py": SERVE,
    "myapp/__init__.py": APP,
    "myapp/templates/page.j2": "{% for name in context.names %}<p>{{ name }}</p>{% endfor %}",
    "static/small.txt": "small " * 100,
    "static/medium.txt": "medium " * 10000,
    "static/big.bin": b"",
}

# What goes through to its end: request and expected status.
WHOLE = [
    (b"GET /echo?a=1 HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    (b"GET /async HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    (b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    (b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    (b"GET /object HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    (b"GET /error HTTP/1.1\r\nHost: a\r\n\r\n", 409),
    (b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    (b"PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}", 405),
    (b"GET /static/small.txt HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    (b"GET /static/medium.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n", 200),
    (b"GET /static/big.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=5-9,-9\r\n\r\n", 206),
    (b"GET /file HTTP/1.1\r\nHost: a\r\nRange: bytes=100-299999\r\n\r\n", 206),
    (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" + bytes(3000), 200),
    (
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b'Transfer-Encoding: chunked\r\n\r\n7\r\n{"a":1}\r\n0\r\n\r\n',
        200,
    ),
]
# What the client breaks off: the request, and how many bytes of the answer it waits for.
BROKEN_OFF = [
    (b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n", 100_000),
    (b"GET /aendless HTTP/1.1\r\nHost: a\r\n\r\n", 100_000),
    (b"GET /file HTTP/1.1\r\nHost: a\r\n\r\n", 100_000),
    (b"GET /static/big.bin HTTP/1.1\r\nHost: a\r\n\r\n", 1),
    (b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    (b"GET /echo HTTP/1.1\r\nHos", 0),
    (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\nxx", 0),
    (b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n", 9),
    (b"not http\r\n\r\n", 1),
    (b"", 0),
]


def do_whole(service, rounds):
    """All kinds over one kept connection and, in every eighth round, over new ones."""
    kept = service.connect()
    for number in range(rounds):
        for request, status in WHOLE:
            connection = service.connect() if number % 8 == 0 else kept
            connection.sendall(request)
            response = receive(connection)
            assert response.status == status, (request, response.content)
            if connection is not kept:
                connection.close()
    kept.close()


def do_broken_off(service, rounds):
    reset = struct.pack("ii", 1, 0)
    for number in range(rounds):
        for request, wanted in BROKEN_OFF:
            connection = service.connect()
            with connection:
                connection.sendall(request)
                while wanted > 0 and (data := connection.recv(wanted)):
                    wanted -= len(data)
                if number % 2:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)


def do_requests(service, rounds):
    """Whole requests and broken off ones at the same time, about 3 to 1."""
    failures = []

    def run(task, share):
        try:
            task(service, share)
        except Exception as exc:
            failures.append(exc)

    threads = [
        threading.Thread(target=run, args=arguments)
        for arguments in ((do_whole, rounds), (do_whole, rounds), (do_broken_off, rounds))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    return rounds * (2 * len(WHOLE) + len(BROKEN_OFF))


def held_by(worker):
    """Names of the open descriptors and number of threads."""
    names = []
    for number in os.listdir(f"/proc/{worker}/fd"):
        with contextlib.suppress(FileNotFoundError):
            names.append(os.readlink(f"/proc/{worker}/fd/{number}"))
    kinds = sorted(name.partition(":[")[0] for name in names)
    return kinds, len(os.listdir(f"/proc/{worker}/task"))


def test_five_thousand_requests_leave_nothing_in_the_worker(launch):
    service = launch(FILES)
    # More than the buffers on the way can hold, so that the server is still at it when they leave.
    os.truncate(service.folder / "static/big.bin", 1 << 28)
    [worker] = service.workers()
    memory = psutil.Process(worker).memory_info
    idle = held_by(worker)
    do_requests(service, 30)
    eventually(lambda: held_by(worker) == idle, "the descriptors of an idle worker")
    warm = memory().rss
    assert do_requests(service, 132) > 5000
    eventually(lambda: held_by(worker) == idle, "the descriptors of an idle worker")
    assert memory().rss - warm < 8_000_000
    assert service.workers() == [worker]
    assert "Traceback" not in service.log()
    assert "ERROR" not in service.log().upper()
