"""Files as results: from disk or already open."""

from __future__ import annotations

import gzip
import io
import os
import tempfile

import pytest
from driving import answer, returning

from atila import File

PAGE = "text/html; charset=utf-8"


# Files


@pytest.fixture
def page(tmp_path):
    file = tmp_path / "page.txt"
    file.write_bytes(b"0123456789")
    return file


def test_a_file_is_sent_with_its_validators(page):
    got = answer(lambda was: was.File(str(page)))
    assert (got.status, got["Content-Type"]) == (200, "application/octet-stream")
    assert (got.body, got["Content-Length"]) == (b"0123456789", "10")
    assert got["ETag"]
    assert got["Last-Modified"]
    assert got["Content-Disposition"] is None
    assert answer(lambda was: was.File(page, "text/x"))["Content-Type"] == "text/x"


def test_a_file_is_sent_in_ranges_and_not_twice(page):
    driver = returning(lambda was: File(page))
    got = driver.get("/", range="bytes=2-4")
    assert (got.status, got.body, got["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert driver.get("/", range="bytes=20-").status == 416
    got = driver.get("/", if_none_match=driver.get("/")["ETag"])
    assert (got.status, got.body) == (304, b"")
    got = driver.request("HEAD", "/")
    assert (got.status, got["Content-Length"], got.body) == (200, "10", b"")


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("data.xlsx", 'attachment; filename="data.xlsx"'),
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ("über.txt", "attachment; filename=\"_ber.txt\"; filename*=UTF-8''%C3%BCber.txt"),
        ('a"b\\c', "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%22b%5Cc"),
        ("a\r\nX: b", "attachment; filename=\"a__X: b\"; filename*=UTF-8''a%0D%0AX%3A%20b"),
    ],
)
def test_a_file_is_offered_under_a_name(page, name, header):
    got = answer(lambda was: File(page, "text/plain", name))
    assert got["Content-Disposition"] == header


def test_headers_of_the_response_go_with_the_file(page):
    def make(was):
        was.response.set_header("Cache-Control", "no-store")
        return was.File(page, filename="a")

    got = answer(make)
    assert got["Cache-Control"] == "no-store"
    assert got["Content-Disposition"]


@pytest.mark.parametrize("name", ["missing", "page.txt/x", "", "a\0b", "x" * 300])
def test_a_missing_file_is_not_found(page, name):
    got = answer(lambda was: File(os.path.join(page.parent, name)))
    assert (got.status, got.json["more_info"]) == (404, "there is no such file")


def test_what_is_no_regular_file_is_not_found(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert answer(lambda was: File(tmp_path / "pipe")).status == 404


def test_an_open_file_is_sent_from_its_start_and_closed():
    opened = []

    def make(was, kind):
        file = io.BytesIO(b"content") if kind == "bytes" else io.StringIO("Grüße")
        file.seek(3)
        opened.append(file)
        return file

    got = answer(lambda was: make(was, "bytes"))
    assert (got.body, got["Content-Type"]) == (b"content", PAGE)
    assert answer(lambda was: make(was, "text")).text == "Grüße"
    got = answer(lambda was: File(make(was, "bytes"), "text/x", "a.txt"))
    assert (got.body, got["Content-Type"]) == (b"content", "text/x")
    assert got["Content-Disposition"] == 'attachment; filename="a.txt"'
    assert all(file.closed for file in opened)


def test_a_stream_that_cannot_be_rewound_is_sent_from_where_it_is():
    class Readable:
        pieces = [b"re", b"st", b""]

        def read(self, size):
            return self.pieces.pop(0)

    def pipe(was):
        reader, writer = os.pipe()
        with open(writer, "wb") as file:
            file.write(b"piped")
        return open(reader, "rb")

    assert answer(lambda was: Readable()).body == b"rest"
    assert answer(pipe).body == b"piped"


def test_an_open_file_of_the_system_is_sent_as_if_by_its_path(page):
    opened = []

    def make(was):
        opened.append(open(page, "rb"))  # the response closes it
        opened[-1].seek(5)
        return was.File(opened[-1], "text/x")

    driver = returning(make)
    got = driver.get("/")
    assert (got.body, got["Content-Length"], got["Content-Type"]) == (b"0123456789", "10", "text/x")
    assert driver.get("/", range="bytes=2-4").body == b"234"
    assert driver.get("/", if_none_match=got["ETag"]).status == 304
    assert all(file.closed for file in opened)


def test_what_was_written_to_a_temporary_file_is_sent():
    def make(was, kind):
        file = kind()
        file.write(b"report")
        return was.File(file, "application/pdf", "report.pdf")

    for kind in (
        tempfile.TemporaryFile,
        tempfile.NamedTemporaryFile,
        tempfile.SpooledTemporaryFile,
    ):
        got = answer(lambda was, kind=kind: make(was, kind))
        assert (got.status, got.body) == (200, b"report")
        assert got["Content-Disposition"] == 'attachment; filename="report.pdf"'


def test_a_file_that_unpacks_or_decodes_is_sent_as_it_reads(tmp_path):
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        file.write(b"unpacked" * 20_000)
    (tmp_path / "a.txt").write_bytes("Grüße".encode("utf-16"))
    got = answer(lambda was: was.File(gzip.open(tmp_path / "a.gz"), "text/x"))
    assert (got.body, got["Content-Type"]) == (b"unpacked" * 20_000, "text/x")
    assert len(got.writes) > 1
    got = answer(lambda was: was.File(open(tmp_path / "a.txt", encoding="utf-16"), "text/x"))
    assert got.text == "Grüße"


def test_a_stream_is_closed_when_it_fails(log):
    class Broken(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            raise OSError("the disk is gone")

    source = Broken()
    assert answer(lambda was: was.File(source)).status == 500
    assert source.closed
    assert "the disk is gone" in log.text


def test_a_file_that_can_only_be_written_is_a_crash(tmp_path, log):
    assert answer(lambda was: was.File(open(tmp_path / "a", "wb"))).status == 500


def test_a_content_type_of_the_handler_wins(page):
    def make(was, source):
        was.response.content_type = "text/mine"
        return was.File(source, "text/x")

    for source in (page, io.BytesIO(b"x"), gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"x")))):
        assert answer(lambda was, source=source: make(was, source))["Content-Type"] == "text/mine"


@pytest.mark.parametrize("name", ["a/b", "100% a;b.txt", "\ud800", "'", "x" * 3000, "", "a\tb"])
def test_any_name_makes_one_header(page, name):
    got = answer(lambda was: File(page, "text/plain", name))
    assert got.status == 200
    assert len(got.all("Content-Disposition")) == 1
    assert got["Content-Disposition"].startswith("attachment; filename=")


def test_links_that_lead_in_circles_are_not_found(tmp_path):
    os.symlink(tmp_path / "a", tmp_path / "b")
    os.symlink(tmp_path / "b", tmp_path / "a")
    assert answer(lambda was: File(tmp_path / "a")).status == 404
