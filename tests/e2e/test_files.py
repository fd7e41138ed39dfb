"""Files as results: `was.File` with paths, file objects, download names, conditions and ranges."""

from __future__ import annotations

import os
import random
import urllib.parse

import psutil
import pytest
from live_service import LiveService, eventually, write_files

pytestmark = pytest.mark.e2e

CONTENT = random.Random(2).randbytes(200_000)
HUGE_SIZE = 1 << 28

SERVE = """
    import io
    import os
    from atila import Atila

    app = Atila (__name__)
    HOME = os.path.dirname (os.path.abspath (__file__))

    @app.route ("/relative")
    def relative (was):
        return was.File ("data/report.bin")

    @app.route ("/absolute")
    def absolute (was):
        return was.File (os.path.join (HOME, "data", "report.bin"), "application/x-report")

    @app.route ("/download")
    def download (was, name):
        return was.File ("data/report.bin", "application/octet-stream", name)

    @app.route ("/async")
    async def async_ (was):
        return was.File ("data/report.bin", filename = "async.bin")

    @app.route ("/named")
    def named (was, path):
        return was.File (path)

    @app.route ("/object")
    def object_ (was):
        source = open (os.path.join (HOME, "data/report.bin"), "rb")
        source.seek (1000)
        return was.File (source, "application/x-report", "object.bin")

    @app.route ("/memory")
    def memory (was):
        return was.File (io.BytesIO (b"from memory"), "text/plain")

    @app.route ("/created")
    def created (was):
        was.response.set_status ("201 Created")
        was.response.set_header ("X-Kind", "made")
        return was.File ("data/report.bin")

    @app.route ("/tagged")
    def tagged (was):
        was.response.set_header ("ETag", '"mine"')
        return was.File ("data/report.bin")

    @app.route ("/text")
    def text (was):
        return was.File ("data/text.txt", "text/plain; charset=utf-8")

    if __name__ == "__main__":
        import skitai
        skitai.mount ("/", app)
        skitai.run (address="127.0.0.1", access_log=False)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files") / "project"
    text = "All work and no play. " * 1000
    files = {"serve.py": SERVE, "data/report.bin": CONTENT, "data/text.txt": text}
    write_files(folder, files)
    os.mkfifo(folder / "data/pipe")
    with open(folder / "data/huge.bin", "wb") as huge:
        os.truncate(huge.fileno(), HUGE_SIZE)
    service = LiveService(folder)
    yield service
    service.close()


@pytest.mark.parametrize(
    "path", ["/relative", "/absolute", "/async", "/object", "/download?name=a"]
)
def test_the_whole_file_comes_with_its_length(site, path):
    response = site.get(path)
    assert response.status_code == 200
    assert response.content == CONTENT
    assert response.headers["Content-Length"] == str(len(CONTENT))


def test_the_type_is_the_given_one_or_that_of_bytes(site):
    kinds = {path: site.get(path).headers["Content-Type"] for path in ("/relative", "/absolute")}
    assert kinds == {"/relative": "application/octet-stream", "/absolute": "application/x-report"}
    assert "Content-Disposition" not in site.get("/relative").headers


def test_a_relative_path_begins_at_the_launch_script(site):
    assert os.getcwd() != str(site.folder)
    assert site.get("/named?path=data/text.txt").status_code == 200
    assert site.get(f"/named?path={site.folder}/data/text.txt").status_code == 200


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("data.xlsx", 'attachment; filename="data.xlsx"'),
        ("two words.txt", 'attachment; filename="two words.txt"'),
        ("späße.pdf", "attachment; filename=\"sp__e.pdf\"; filename*=UTF-8''sp%C3%A4%C3%9Fe.pdf"),
        ("보고서", "attachment; filename=\"___\"; filename*=UTF-8''%EB%B3%B4%EA%B3%A0%EC%84%9C"),
        ('a"b\\c', "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc"),
        ("a\r\nX: y", "attachment; filename=\"a__X: y\"; filename*=UTF-8''a%0D%0AX%3A%20y"),
        ("50%;x=1", None),
    ],
)
def test_a_file_is_offered_for_download_under_any_name(site, name, disposition):
    response = site.get("/download", params={"name": name})
    assert response.status_code == 200
    found = response.headers["Content-Disposition"]
    assert disposition in (None, found)
    assert "X" not in response.headers
    if "filename*=" in found:
        encoded = found.rpartition("''")[2]
        assert urllib.parse.unquote(encoded) == name


@pytest.mark.parametrize(
    "path", ["nothing.txt", "data", "data/", "data/report.bin/more", "data/pipe", "/nowhere/x", ""]
)
def test_what_is_no_file_is_404(site, path):
    response = site.get("/named", params={"path": path})
    assert response.status_code == 404
    assert response.json()["more_info"] == "there is no such file"


def test_a_path_that_no_file_can_have_is_404(site):
    for path in ("a" * 300, "data/\0", "\udcff"):
        quoted = urllib.parse.quote(path, errors="surrogateescape")
        assert site.get(f"/named?path={quoted}").status_code in (400, 404), path
    assert "Traceback" not in site.log()


def test_a_file_object_is_sent_from_its_beginning_and_closed(site):
    worker = psutil.Process(site.workers()[0])
    for _ in range(20):
        response = site.get("/object")
        assert response.content == CONTENT
        assert response.headers["Content-Type"] == "application/x-report"
        assert response.headers["Content-Disposition"] == 'attachment; filename="object.bin"'
    opened = [file.path for file in worker.open_files()]
    assert not [path for path in opened if path.endswith("report.bin")]
    response = site.get("/memory")
    assert (response.text, response.headers["Content-Type"]) == ("from memory", "text/plain")


def test_status_and_headers_of_the_handler_are_kept(site):
    response = site.get("/created", headers={"Range": "bytes=0-1"})
    assert (response.status_code, response.headers["X-Kind"]) == (201, "made")
    assert response.content == CONTENT
    response = site.get("/tagged")
    assert response.headers["ETag"] == '"mine"'
    assert site.get("/tagged", headers={"If-None-Match": '"mine"'}).status_code == 304


@pytest.mark.parametrize("path", ["/relative", "/async", "/object"])
def test_ranges(site, path):
    size = len(CONTENT)
    for wanted, part in (
        ("bytes=0-9", CONTENT[:10]),
        ("bytes=1000-", CONTENT[1000:]),
        ("bytes=-5", CONTENT[-5:]),
    ):
        response = site.get(path, headers={"Range": wanted})
        assert (response.status_code, response.content) == (206, part), wanted
        start = size - len(part) if wanted != "bytes=0-9" else 0
        end = start + len(part) - 1
        assert response.headers["Content-Range"] == f"bytes {start}-{end}/{size}"
    response = site.get(path, headers={"Range": f"bytes={size}-"})
    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{size}"
    response = site.get(path, headers={"Range": "bytes=0-0,-1"})
    assert response.status_code == 206
    assert response.headers["Content-Type"].startswith("multipart/byteranges")
    assert f"Content-Range: bytes 0-0/{size}".encode() in response.content
    assert f"Content-Range: bytes {size - 1}-{size - 1}/{size}".encode() in response.content


def test_conditions(site):
    first = site.get("/relative")
    etag, date = first.headers["ETag"], first.headers["Last-Modified"]
    for condition in ({"If-None-Match": etag}, {"If-Modified-Since": date}):
        response = site.get("/relative", headers=condition)
        assert (response.status_code, response.content) == (304, b"")
    assert site.get("/relative", headers={"If-Match": '"other"'}).status_code == 412
    for condition, code in ((etag, 206), (date, 206), ('"other"', 200)):
        headers = {"Range": "bytes=0-1", "If-Range": condition}
        # A date is good for a comparison only when it is some seconds old (RFC 9110, 8.8.2.2).
        eventually(
            lambda headers=headers, code=code: (
                site.get("/relative", headers=headers).status_code == code
            ),
            f"{code} for {condition}",
        )


def test_head_is_get_without_the_body(site):
    for path in ("/relative", "/object", "/text"):
        got, asked = site.get(path), site.client.head(path, headers={"Connection": "close"})
        assert (asked.status_code, asked.content) == (200, b"")
        assert {**asked.headers, "Date": ""} == {**got.headers, "Date": ""}, path


def test_a_huge_file_is_never_in_memory(site):
    worker = psutil.Process(site.workers()[0])
    before = worker.memory_info().rss
    connection = site.connect()
    connection.sendall(
        b"GET /named?path=data/huge.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    received = highest = 0
    while data := connection.recv(1 << 20):
        received += len(data)
        highest = max(highest, worker.memory_info().rss)
    assert HUGE_SIZE < received < HUGE_SIZE + 1000
    assert highest - before < 8_000_000
