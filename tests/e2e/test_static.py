"""Static files through a running server, byte for byte."""

from __future__ import annotations

import email
import gzip
import hashlib
import os
import random
import socket
import struct
import threading

import psutil
import pytest
from live_service import LiveService, eventually, receive, write_files

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    from atila import Atila

    app = Atila (__name__)

    @app.route ("/<path:rest>")
    def everything (was, rest):
        return f"the app has {rest}"

    if __name__ == "__main__":
        skitai.mount ("/", app)
        skitai.mount ("/", "site")
        skitai.mount ("/static", "public")
        skitai.mount ("/static", "more")
        skitai.run (address="127.0.0.1", access_log=False)
"""

SMALL = bytes(range(100))  # kept in memory by the server
LARGE = random.Random(1).randbytes(300_000)  # sent from the disk
TEXT = b"All work and no play makes Jack a dull boy. " * 2000
SECRET = b"SECRET"
HUGE_SIZE = 64 * 1024 * 1024

FILES = {
    "serve.py": SERVE,
    "secret.txt": SECRET,
    "public/small.bin": SMALL,
    "public/large.bin": LARGE,
    "public/empty.txt": b"",
    "public/text.txt": TEXT,
    "public/style.css": "a {}",
    "public/name with ü.txt": "named",
    "public/lib.js": "plain();" * 1000,
    "public/lib.js.br": b"brotli bytes",
    "public/lib.js.gz": b"gzip bytes",
    "public/folder/index.html": "<p>folder</p>",
    "public/both/index.html": "second choice",
    "public/both/index.htm": "first choice",
    "public/bare/file.txt": "in bare",
    "public/.hidden": SECRET,
    "public/.git/config": SECRET,
    "public/.well-known/security.txt": "Contact: us",
    "more/small.bin": "of lower priority",
    "more/only-here.txt": "only here",
    "site/robots.txt": "User-agent: *",
    "public-secrets/key.txt": SECRET,
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("static") / "project"
    write_files(folder, FILES)
    public = folder / "public"
    (public / "link-inside").symlink_to("small.bin")
    (public / "link-out").symlink_to("../secret.txt")
    (public / "link-absolute").symlink_to(folder / "secret.txt")
    (public / "link-to-hidden").symlink_to(".hidden")
    (public / "link-to-folder").symlink_to("folder")
    (public / "link-to-outer-folder").symlink_to("../public-secrets")
    (public / "link-to-nothing").symlink_to("nothing")
    os.mkfifo(public / "pipe")
    with open(public / "huge.bin", "wb") as huge:
        for block in huge_blocks():
            huge.write(block)
    with open(public / "shrinking.bin", "wb") as shrinking:
        os.truncate(shrinking.fileno(), 1 << 30)  # more than the buffers on the way can hold
    service = LiveService(folder)
    yield service
    service.close()


def huge_blocks():
    """A megabyte at a time; no two are equal."""
    return (struct.pack(">I", number) * 262144 for number in range(HUGE_SIZE >> 20))


def fetch(site, target, method="GET", **headers):
    """Ask for a target exactly as it is written; keywords are headers with ``_`` for ``-``."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    connection = site.connect()
    connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    response = receive(connection, method)
    connection.close()
    return response


@pytest.fixture(params=[("small.bin", SMALL), ("large.bin", LARGE)], ids=["small", "large"])
def stored(request):
    """Target and content of a file that is answered from memory, and of one from the disk."""
    name, content = request.param
    return f"/static/{name}", content


# Headers and conditions


def test_a_file_comes_with_all_that_caches_need(site, stored):
    target, content = stored
    response = fetch(site, target)
    assert (response.status, response.content) == (200, content)
    assert response.getheader("Content-Length") == str(len(content))
    assert response.getheader("Content-Type") == "application/octet-stream"
    assert response.getheader("Accept-Ranges") == "bytes"
    assert response.getheader("ETag").startswith('"')
    assert response.getheader("Last-Modified").endswith(" GMT")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/static/style.css", "text/css; charset=utf-8"),
        ("/static/lib.js", "text/javascript; charset=utf-8"),
        ("/static/folder/", "text/html; charset=utf-8"),
        ("/static/huge.bin", "application/octet-stream"),
        ("/static/empty.txt", "text/plain; charset=utf-8"),
        ("/robots.txt", "text/plain; charset=utf-8"),
    ],
)
def test_the_suffix_decides_the_type(site, target, kind):
    response = fetch(site, target, "HEAD")
    assert (response.status, response.getheader("Content-Type")) == (200, kind)


def test_head_is_get_without_the_body(site, stored):
    got, asked = fetch(site, stored[0]), fetch(site, stored[0], "HEAD")
    assert (asked.status, asked.content) == (200, b"")
    assert dict(asked.getheaders()) == {**dict(got.getheaders()), "Date": asked.getheader("Date")}


def test_a_client_that_has_the_file_gets_304(site, stored):
    target, content = stored
    first = fetch(site, target)
    etag, date = first.getheader("ETag"), first.getheader("Last-Modified")
    for headers in (
        {"If_None_Match": etag},
        {"If_None_Match": f'"other", W/{etag}'},
        {"If_None_Match": "*"},
        {"If_Modified_Since": date},
        {"If_None_Match": etag, "If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If_None_Match": etag, "Range": "bytes=0-1"},
    ):
        for method in ("GET", "HEAD"):
            response = fetch(site, target, method, **headers)
            assert (response.status, response.content) == (304, b""), headers
            assert response.getheader("ETag") == etag
            assert response.getheader("Content-Type") is None
    for headers in (
        {"If_None_Match": '"other"'},
        {"If_Modified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If_None_Match": '"other"', "If_Modified_Since": date},
        {"If_Modified_Since": "some day"},
    ):
        assert fetch(site, target, **headers).content == content, headers


def test_a_client_that_insists_on_another_version_gets_412(site, stored):
    target, content = stored
    first = fetch(site, target)
    etag, date = first.getheader("ETag"), first.getheader("Last-Modified")
    for headers in (
        {"If_Match": '"other"'},
        {"If_Match": f"W/{etag}"},
        {"If_Unmodified_Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
    ):
        assert fetch(site, target, **headers).status == 412, headers
    for headers in ({"If_Match": etag}, {"If_Match": "*"}, {"If_Unmodified_Since": date}):
        assert fetch(site, target, **headers).content == content, headers


# Ranges


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=10-10", 10, 11),
        ("bytes=90-", 90, None),
        ("bytes=-7", -7, None),
        ("bytes=50-99999999", 50, None),
        ("bytes=-99999999", 0, None),
        ("Bytes=0-0", 0, 1),
    ],
)
def test_one_range(site, stored, wanted, start, stop):
    target, content = stored
    response = fetch(site, target, Range=wanted)
    places = range(len(content))[start:stop]
    assert (response.status, response.content) == (206, content[start:stop])
    assert response.getheader("Content-Range") == f"bytes {places[0]}-{places[-1]}/{len(content)}"
    assert response.getheader("Content-Length") == str(len(places))
    assert response.getheader("ETag") == fetch(site, target).getheader("ETag")


def test_several_ranges_come_as_multipart(site, stored):
    target, content = stored
    response = fetch(site, target, Range="bytes=0-1, 10-14,-3")
    kind = response.getheader("Content-Type")
    assert response.status == 206
    assert kind.startswith("multipart/byteranges; boundary=")
    assert response.getheader("Content-Length") == str(len(response.content))
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + response.content).get_payload()
    size = len(content)
    assert [(part["Content-Range"], part.get_payload(decode=True)) for part in parts] == [
        (f"bytes 0-1/{size}", content[:2]),
        (f"bytes 10-14/{size}", content[10:15]),
        (f"bytes {size - 3}-{size - 1}/{size}", content[-3:]),
    ]
    assert {part["Content-Type"] for part in parts} == {"application/octet-stream"}


def test_a_range_behind_the_end_is_416(site, stored):
    target, content = stored
    for wanted in ("bytes=999999999-", "bytes=-0", "bytes=5-4", "bytes=a-b"):
        response = fetch(site, target, Range=wanted)
        assert response.status == 416, wanted
        assert response.getheader("Content-Range") == f"bytes */{len(content)}"


def test_ranges_that_are_not_understood_are_ignored(site, stored):
    target, content = stored
    many = ",".join(f"{at}-{at}" for at in range(0, 80, 2))
    for wanted in ("lines=1-2", "bytes", f"bytes={many}"):
        response = fetch(site, target, Range=wanted)
        assert (response.status, response.content) == (200, content), wanted
    response = fetch(site, target, "HEAD", Range="bytes=0-1")
    assert response.status == 200


def test_if_range_gives_the_part_only_of_the_same_version(site, stored):
    target, content = stored
    first = fetch(site, target)
    etag, date = first.getheader("ETag"), first.getheader("Last-Modified")
    for condition in ('"other"', f"W/{etag}", "Thu, 01 Jan 1970 00:00:00 GMT"):
        response = fetch(site, target, Range="bytes=0-4", If_Range=condition)
        assert (response.status, response.content) == (200, content), condition
    response = fetch(site, target, Range="bytes=0-4", If_Range=etag)
    assert (response.status, response.content) == (206, content[:5])
    long_ago = 1_000_000_000
    os.utime(site.folder / "public" / target.rpartition("/")[2], (long_ago, long_ago))
    date = eventually(
        lambda: (found := fetch(site, target, "HEAD").getheader("Last-Modified")) != date and found,
        "the new date",
    )
    response = fetch(site, target, Range="bytes=0-4", If_Range=date)
    assert (response.status, response.content) == (206, content[:5])


def test_an_empty_file(site):
    response = fetch(site, "/static/empty.txt")
    assert (response.status, response.content) == (200, b"")
    assert response.getheader("Content-Length") == "0"
    assert fetch(site, "/static/empty.txt", Range="bytes=0-").status == 416


# Compression


def test_precompressed_files_are_preferred(site):
    plain = FILES["public/lib.js"].encode()
    answers = {}
    for accepted, coding, content in [
        ("", None, plain),
        ("identity", None, plain),
        ("deflate", None, plain),
        ("gzip", "gzip", b"gzip bytes"),
        ("br", "br", b"brotli bytes"),
        ("gzip, deflate, br", "br", b"brotli bytes"),
        ("br;q=0, gzip", "gzip", b"gzip bytes"),
        ("gzip;q=0, br;q=0", None, plain),
        ("*", "br", b"brotli bytes"),
    ]:
        response = fetch(site, "/static/lib.js", Accept_Encoding=accepted)
        assert (response.status, response.content) == (200, content), accepted
        assert response.getheader("Content-Encoding") == coding, accepted
        assert response.getheader("Vary") == "Accept-Encoding"
        assert response.getheader("Content-Type") == "text/javascript; charset=utf-8"
        assert response.getheader("Content-Length") == str(len(content))
        answers.setdefault(coding, set()).add(response.getheader("ETag"))
    assert [len(etags) for etags in answers.values()] == [1, 1, 1]
    assert len(set.union(*answers.values())) == 3


def test_conditions_and_ranges_hold_for_the_precompressed_form(site):
    first = fetch(site, "/static/lib.js", Accept_Encoding="gzip")
    etag = first.getheader("ETag")
    again = fetch(site, "/static/lib.js", Accept_Encoding="gzip", If_None_Match=etag)
    assert (again.status, again.getheader("Vary")) == (304, "Accept-Encoding")
    assert fetch(site, "/static/lib.js", If_None_Match=etag).status == 200
    part = fetch(site, "/static/lib.js", Accept_Encoding="gzip", Range="bytes=0-3")
    assert (part.status, part.content) == (206, b"gzip")
    assert part.getheader("Content-Encoding") == "gzip"


def test_a_compressed_file_can_be_asked_for_itself(site):
    response = fetch(site, "/static/lib.js.gz", Accept_Encoding="gzip")
    assert response.content == b"gzip bytes"
    assert response.getheader("Content-Type") == "application/gzip"
    assert response.getheader("Content-Encoding") is None


def test_text_is_compressed_for_those_who_accept_it(site):
    packed = fetch(site, "/static/text.txt", Accept_Encoding="gzip")
    assert packed.getheader("Content-Encoding") == "gzip"
    assert gzip.decompress(packed.content) == TEXT
    assert len(packed.content) < len(TEXT) / 10
    plain = fetch(site, "/static/text.txt")
    assert plain.content == TEXT
    assert plain.getheader("Content-Encoding") is None
    for response in (packed, plain):
        assert response.getheader("Vary") == "Accept-Encoding"
    # Other bytes, so another or a weak tag; both are good for a 304.
    assert packed.getheader("ETag") == f"W/{plain.getheader('ETag')}"
    for etag in (packed.getheader("ETag"), plain.getheader("ETag")):
        again = fetch(site, "/static/text.txt", Accept_Encoding="gzip", If_None_Match=etag)
        assert (again.status, again.getheader("Vary")) == (304, "Accept-Encoding")
    part = fetch(site, "/static/text.txt", Accept_Encoding="gzip", Range="bytes=0-2")
    assert (part.status, part.content) == (206, b"All")


def test_bytes_are_not_compressed(site):
    response = fetch(site, "/static/large.bin", Accept_Encoding="gzip")
    assert (response.content, response.getheader("Content-Encoding")) == (LARGE, None)


# Which file


def test_directories_on_one_url_are_asked_in_order(site):
    assert fetch(site, "/static/small.bin").content == SMALL
    assert fetch(site, "/static/only-here.txt").content == b"only here"
    assert fetch(site, "/static/in-none").content == b"the app has static/in-none"
    assert fetch(site, "/robots.txt").content == b"User-agent: *"


def test_names_are_percent_decoded_once(site):
    assert fetch(site, "/static/name%20with%20%C3%BC.txt").content == b"named"
    assert fetch(site, "/static/%73mall.bin").content == SMALL
    assert fetch(site, "/static/%2573mall.bin").content == b"the app has static/%73mall.bin"
    assert fetch(site, "/static/small.bin?v=%00../../").content == SMALL


def test_index_files(site):
    assert fetch(site, "/static/folder/").content == b"<p>folder</p>"
    assert fetch(site, "/static/both/").content == b"first choice"
    assert fetch(site, "/static/bare/").content == b"the app has static/bare/"
    assert fetch(site, "/static/bare/file.txt").content == b"in bare"


@pytest.mark.parametrize("query", ["", "?", "?a=1&b=%2F/c?d"])
def test_a_folder_with_an_index_wants_its_slash(site, query):
    for method in ("GET", "HEAD"):
        response = fetch(site, f"/static/folder{query}", method)
        assert response.status == 301
        assert response.getheader("Location") == f"/static/folder/{query}"


def test_a_redirect_never_leads_to_another_host(site):
    for target in ("//static/folder", "http://evil.example/static/folder", "/static//folder"):
        location = fetch(site, target).getheader("Location") or "/"
        assert location.startswith("/"), target
        assert not location.startswith("//"), target


def test_only_get_and_head_see_files(site):
    def ask(method, path):
        return site.client.request(method, path, headers={"Connection": "close"})

    assert ask("POST", "/static/small.bin").text == "the app has static/small.bin"
    for method in ("PUT", "PATCH", "DELETE"):
        assert ask(method, "/static/small.bin").status_code == 405
    assert "GET" in ask("OPTIONS", "/static/small.bin").headers["Allow"]


# What must stay inside

ESCAPES = [
    "/static/../secret.txt",
    "/static/../../project/secret.txt",
    "/static/folder/../../secret.txt",
    "/static/./../secret.txt",
    "/../secret.txt",
    "/static/..",
    "/static/../",
    "/static/%2e%2e/secret.txt",
    "/static/%2E%2E%2Fsecret.txt",
    "/static/..%2fsecret.txt",
    "/static/..%2Fsecret.txt",
    "/static/%2e%2e%2fsecret.txt",
    "/static/.%2e/secret.txt",
    "/static/%252e%252e%252fsecret.txt",
    "/static/..%252fsecret.txt",
    "/static/..\\secret.txt",
    "/static/..%5csecret.txt",
    "/static/%5c..%5csecret.txt",
    "/static/..%c0%afsecret.txt",
    "/static/%c0%ae%c0%ae/secret.txt",
    "/static/..%ef%bc%8fsecret.txt",
    "/static/small.bin%00.txt",
    "/static/%00../secret.txt",
    "/static/..%00/secret.txt",
    "/static/../public-secrets/key.txt",
    "/static-secrets/key.txt",
    "/public-secrets/key.txt",
    "/static/..;/secret.txt",
    "/static/.../secret.txt",
    "/static//../secret.txt",
    "/static/{folder}/secret.txt",
    "/static/{quoted}%2Fsecret.txt",
    "/static//{folder}/secret.txt",
    "//{folder}/secret.txt",
    "/{quoted}/secret.txt",
    "http://localhost/static/../secret.txt",
    "http://localhost/static/%2e%2e/secret.txt",
    "/static/file:///{folder}/secret.txt",
    "/static/link-out",
    "/static/link-absolute",
    "/static/link-to-hidden",
    "/static/link-to-outer-folder/key.txt",
    "/static/.hidden",
    "/static/%2ehidden",
    "/static/.git/config",
    "/static/folder/../.hidden",
    "/serve.py",
    "/static/../serve.py",
    "..%2fsecret.txt",
    "/static/small.bin/../../secret.txt",
    "/static/small.bin/",
    "/static/~root",
    "/static/pipe",
    "/static/link-to-nothing",
    "/static/" + "a" * 300,
    "/static/" + "../" * 40 + "etc/passwd",
    "/" + "..%2f" * 40 + "etc%2fpasswd",
]


@pytest.mark.parametrize("target", ESCAPES)
def test_nothing_outside_of_the_directories_is_ever_sent(site, target):
    folder = str(site.folder)
    target = target.format(folder=folder.lstrip("/"), quoted=folder.replace("/", "%2F"))
    for method in ("GET", "HEAD"):
        response = fetch(site, target, method)
        assert response.status in (200, 301, 400, 404), response.status
        if response.status == 200 and method == "GET":
            assert response.content.startswith(b"the app has ")
        assert SECRET not in response.content
        assert b"root:" not in response.content
        assert response.getheader("ETag") is None


def test_links_that_stay_inside_are_followed(site):
    assert fetch(site, "/static/link-inside").content == SMALL
    assert fetch(site, "/static/link-to-folder/").content == b"<p>folder</p>"


def test_well_known_is_the_one_visible_dot(site):
    assert fetch(site, "/static/.well-known/security.txt").content == b"Contact: us"


# Change


def test_a_changed_file_is_new_at_once_and_a_removed_one_gone(site):
    path = site.folder / "public" / "changing.txt"
    path.write_text("one")
    assert eventually(
        lambda: (found := fetch(site, "/static/changing.txt")).content == b"one" and found,
        "the new file",
    )
    first = fetch(site, "/static/changing.txt").getheader("ETag")
    for text in ("two", "three", "four"):
        path.write_text(text)
        response = fetch(site, "/static/changing.txt", If_None_Match=first)
        assert (response.status, response.content) == (200, text.encode())
        assert response.getheader("ETag") != first
    path.unlink()
    assert fetch(site, "/static/changing.txt").content == b"the app has static/changing.txt"


# Large files and slow clients


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
        while connection.recv(1 << 20):
            pass
    assert fetch(site, "/static/small.bin").content == SMALL


def test_an_old_client_gets_the_file_and_the_end_of_the_connection(site):
    connection = site.connect()
    connection.sendall(b"GET /static/large.bin HTTP/1.0\r\n\r\n")
    with connection.makefile("rb") as stream:
        head, _, body = stream.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == LARGE
