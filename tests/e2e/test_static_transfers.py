"""Static files on the wire: large ones, slow clients, clients that leave."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import threading

import psutil
import pytest
from live_service import eventually
from static_project import LARGE, SMALL, fetch, huge_blocks

pytestmark = pytest.mark.e2e


def read_on(connection):
    while connection.recv(1 << 20):
        pass


def test_a_huge_file_goes_to_a_slow_client_without_filling_the_memory(site):
    [worker] = site.workers()
    process = psutil.Process(worker)
    assert fetch(site, "/static/huge.bin", "HEAD").status == 200
    before = process.memory_info().rss
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.settimeout(30)
    with connection:
        connection.connect(("127.0.0.1", site.port))
        connection.sendall(b"GET /static/huge.bin HTTP/1.1\r\nHost: a\r\n\r\n")
        stream = connection.makefile("rb")
        with stream:
            while stream.readline() != b"\r\n":
                pass
            highest = 0
            for number, block in enumerate(huge_blocks()):
                assert stream.read(len(block)) == block
                highest = max(highest, process.memory_info().rss)
                if number < 16:  # others get their turn: a worker that reads ahead has time to
                    assert fetch(site, "/static/small.bin").content == SMALL
    assert highest - before < 8_000_000


def test_downloads_side_by_side_do_not_mix(site):
    expected = hashlib.sha256(LARGE).digest()
    wrong = []

    def download(number):
        for at in range(5):
            start = (number * 5 + at) * 1000
            whole, part = (
                fetch(site, "/static/large.bin"),
                fetch(site, "/static/large.bin", Range=f"bytes={start}-"),
            )
            if hashlib.sha256(whole.content).digest() != expected:
                wrong.append((number, at))
            if part.content != LARGE[start:]:
                wrong.append((number, at, start))

    clients = [threading.Thread(target=download, args=(number,)) for number in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert wrong == []


def test_pipelined_requests_for_files_are_answered_in_order(site):
    connection = site.connect()
    targets = ["/static/large.bin", "/static/small.bin", "/x", "/static/large.bin", "/robots.txt"]
    connection.sendall(
        b"".join(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for target in targets)
    )
    bodies = [LARGE, SMALL, b"the app has x", LARGE, b"User-agent: *"]
    with connection, connection.makefile("rb") as stream:
        for body in bodies:
            length = 0
            while (line := stream.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            assert stream.read(length) == body


def test_broken_off_downloads_leave_nothing_open(site):
    worker = psutil.Process(site.workers()[0])

    def open_files():
        return [file.path for file in worker.open_files() if "public" in file.path]

    eventually(
        lambda: {found.status for found in worker.net_connections("tcp")} == {"LISTEN"},
        "the end of all other connections",
    )
    descriptors = worker.num_fds()
    connections = []
    for wanted in ("", "Range: bytes=0-9,100-60000000\r\n"):
        for _ in range(4):
            connection = site.connect()
            request = f"GET /static/huge.bin HTTP/1.1\r\nHost: a\r\n{wanted}\r\n"
            connection.sendall(request.encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 20")
            connections.append(connection)
    assert len(open_files()) == 8
    for number, connection in enumerate(connections):
        if number % 2:  # a reset instead of an orderly end
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
    eventually(lambda: worker.num_fds() == descriptors, "closed files and sockets")
    assert open_files() == []
    assert "Traceback" not in site.log()


def test_a_file_that_shrinks_while_it_is_sent_breaks_the_answer_off(site):
    path = site.folder / "public" / "shrinking.bin"
    connection = site.connect()
    connection.sendall(b"GET /static/shrinking.bin HTTP/1.1\r\nHost: a\r\n\r\n")
    assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    os.truncate(path, 1_000_000)
    with pytest.raises(ConnectionResetError):
        read_on(connection)
    assert fetch(site, "/static/small.bin").content == SMALL


def test_an_old_client_gets_the_file_and_the_end_of_the_connection(site):
    connection = site.connect()
    connection.sendall(b"GET /static/large.bin HTTP/1.0\r\n\r\n")
    with connection.makefile("rb") as stream:
        head, _, body = stream.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == LARGE
