"""Uploads to a real service: a body of 512 MiB, limits, hostile forms, and what is left behind."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path

import pytest
from live_service import PATIENCE, eventually, receive

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    import myapp

    if __name__ == "__main__":
        with skitai.preference () as pref:
            pref.config.MAX_UPLOAD_SIZE = {limit}
            skitai.mount ("/", myapp, pref)
        skitai.run (address="127.0.0.1", workers=1, network_timeout=120)
"""

APP = """
    import os
    from atila import Atila

    def __app__ ():
        return Atila (__name__)

    def __mount__ (app, mntopt):
        @app.route ("/upload", methods = ['POST'])
        def upload (was, file, into = ""):
            start = file.read (5)
            file.file.seek (-5, os.SEEK_END)
            return was.API (
                size = file.size,
                name = file.name,
                text = (start + file.read ()).decode (),
                saved = file.save (into, dup = "o") if into else "",
            )

        @app.route ("/async", methods = ['POST'])
        async def upload_async (was, **files):
            return was.API (sizes = [file.size for file in files.values ()])

        @app.route ("/path", methods = ['POST'])
        def path (was, file):
            return was.API (path = file.path, there = os.path.getsize (file.path))
"""

HEAD = b'--cut\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\n\r\n'
TEXT = b'--cut\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
KIND = "multipart/form-data; boundary=cut"
BLOCK = b"x" * (1 << 20)
LARGE = 1 << 29  # bytes; 2 GiB take 13 s and no more memory


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where the service has its temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def start(launch, limit=1 << 20):
    files = {"serve.py": SERVE.replace("{limit}", str(limit)), "myapp.py": APP}
    return launch(files)


def post(connection, path, *pieces, length=None):
    """Send a form in pieces; return its answer."""
    length = sum(map(len, pieces)) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {KIND}\r\nContent-Length: {length}"
    connection.sendall(head.encode() + b"\r\n\r\n")
    for piece in pieces:
        connection.sendall(piece)
    return receive(connection, "POST")


def memory(worker, key):
    """``VmRSS`` or the highest it was, ``VmHWM``, in bytes."""
    status = Path(f"/proc/{worker}/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+) kB", status)[1]) * 1024


def test_a_large_file_does_not_go_through_memory(launch, tmp_path, temporary):
    service = start(launch, 1 << 30)
    [worker] = service.workers()
    head, tail = HEAD % (b"file", b"../big.bin") + b"start", b"the end\r\n--cut--\r\n"
    into = tmp_path / "saved"
    into.mkdir()
    text = TEXT % (b"into", os.fsencode(into))
    length = len(text + head + tail) + LARGE
    connection = service.connect()
    post(connection, "/upload", text, HEAD % (b"file", b"small"), b"start...ended", tail)
    before = memory(worker, "VmRSS")
    connection.settimeout(4 * PATIENCE)
    blocks = (BLOCK for _ in range(LARGE // len(BLOCK)))
    answer = post(connection, "/upload", text, head, *blocks, tail, length=length)
    assert json.loads(answer.content) == {
        "size": LARGE + 12,
        "name": "big.bin",
        "text": "starte end",
        "saved": str(into / "big.bin"),
    }
    assert (into / "big.bin").stat().st_size == LARGE + 12
    assert memory(worker, "VmHWM") - before < 16_000_000
    assert list(temporary.iterdir()) == []


def test_a_body_over_the_limit_is_413(launch):
    service = start(launch, 1000)
    small = HEAD % (b"file", b"a") + b"12345" * 10 + b"\r\n--cut--\r\n"
    assert post(service.connect(), "/upload", small).status == 200
    connection = service.connect()
    connection.settimeout(PATIENCE)
    assert post(connection, "/upload", b"", length=1001).status == 413
    chunked = service.connect()
    chunked.sendall(
        b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"
    )
    assert receive(chunked, "POST").status == 413
    assert post(service.connect(), "/upload", small).status == 200


HOSTILE = [
    b"",
    b"--cut--",
    b"--cut\r\n",
    b"--cut\n\n",
    b"no form at all",
    HEAD % (b"file", b"a"),
    HEAD % (b"file", b"a") + b"12345",
    HEAD % (b"file", b"a") + b"12345\r\n--cut",
    HEAD % (b"", b"a") + b"12345\r\n--cut--",
    HEAD % (b"\xff", b"a") + b"12345\r\n--cut--",
    HEAD % (b"file", b"\xff") + b"12345\r\n--cut--",
    HEAD % (b"n" * 10000, b"a") + b"12345\r\n--cut--",
    TEXT % (b"file", b"\xff") + b"--cut--",
    (TEXT % (b"file", b"1")) * 1001 + b"--cut--",
    b'--cut\r\nContent-Disposition: form-data; name="file"\r\nContent-Type: multipart/mixed; '
    b"boundary=in\r\n\r\n--in\r\n\r\nx\r\n--in--\r\n--cut--",
    b"\0" * 1000,
]


def test_broken_forms_are_bad_requests_on_connections_that_go_on(launch):
    service = start(launch)
    connection = service.connect()
    for path in ("/upload", "/async"):
        for body in HOSTILE:
            answer = post(connection, path, body)
            # /async takes a form without fields.
            expected = 200 if path == "/async" and body in (b"", b"--cut--") else 400
            assert answer.status == expected, (path, body[:80], answer.content)
    good = HEAD % (b"file", b"a") + b"12345" * 2 + b"\r\n--cut--"
    assert post(connection, "/upload", good).status == 200
    assert "Traceback" not in service.log()


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (b"/../home/.very|:;&good", "very_good"),
        (b"../../etc/passwd", "passwd"),
        (b"..", "noname"),
        (b"\xed\x95\x9c.txt", "한.txt"),
        (b"a\\b", "a_b"),
        (b"%0D%0Aa%22b", "_a_b"),
    ],
)
def test_hostile_names_are_made_safe(launch, tmp_path, sent, name):
    service = start(launch)
    body = TEXT % (b"into", os.fsencode(tmp_path)) + HEAD % (b"file", sent) + b"start end!"
    answer = post(service.connect(), "/upload", body + b"\r\n--cut--")
    assert json.loads(answer.content)["saved"] == str(tmp_path / name)


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_files_of_a_request_are_gone_with_it(launch, temporary, size):
    service = start(launch, 10_000_000)
    connection = service.connect()
    body = HEAD % (b"file", b"a.png") + b"x" * size + b"\r\n--cut--"
    answer = json.loads(post(connection, "/path", body).content)
    assert answer["there"] == size
    assert re.fullmatch(rf"{re.escape(str(temporary))}/atila-\w+\.png", answer["path"])
    eventually(lambda: not os.listdir(temporary), "the end of the temporary file")


def test_a_client_that_leaves_while_it_sends_leaves_nothing(launch, temporary):
    service = start(launch, 100_000_000)
    [worker] = service.workers()
    before = len(os.listdir(f"/proc/{worker}/fd"))
    for _ in range(5):
        connection = service.connect()
        connection.sendall(
            b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 90000000\r\n"
            b"Content-Type: %b\r\n\r\n" % KIND.encode() + HEAD % (b"file", b"a") + BLOCK * 3
        )
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
    eventually(
        lambda: len(os.listdir(f"/proc/{worker}/fd")) == before, "the end of their connections"
    )
    assert os.listdir(temporary) == []
    assert service.workers() == [worker]
