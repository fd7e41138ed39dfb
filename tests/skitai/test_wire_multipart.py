"""multipart/form-data: whole, byte by byte, with trailing data, truncated, hostile and large."""

from __future__ import annotations

import gc
import os
import random
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.wire.forms import MalformedForm
from skitai.wire.multipart import MultipartReader, UploadedFile

if TYPE_CHECKING:
    from pathlib import Path

BOUNDARY = "----8dS2f0"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"


def part(head: str, content: bytes = b"x") -> bytes:
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"


def text_part(name: str, value: str = "x") -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"', value.encode())


def file_part(name: str, filename: str, content: bytes, mimetype: str = "image/png") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
    return part(f"{head}\r\nContent-Type: {mimetype}", content)


END = f"--{BOUNDARY}--\r\n".encode()
FORM = (
    text_part("title", "한글")
    + text_part("tag", "a")
    + file_part("photo", "m.png", b"\x89PNG\r\n--\r\n----8dS2")
    + text_part("tag", "")
    + END
)


def pieces_of(body: bytes, size: int) -> Iterator[bytes]:
    return (body[start : start + size] for start in range(0, len(body), size))


def feed_whole(reader: MultipartReader, body: bytes) -> None:
    reader.feed(body)


def feed_bytewise(reader: MultipartReader, body: bytes) -> None:
    for piece in pieces_of(body, 1):
        reader.feed(piece)
        reader.feed(b"")


def feed_with_trailing_data(reader: MultipartReader, body: bytes) -> None:
    reader.feed(body + b"an epilogue\r\n--" + BOUNDARY.encode())
    reader.feed(b"\r\nand more")


Feeder = Callable[[MultipartReader, bytes], None]
feeders = pytest.mark.parametrize("feed", [feed_whole, feed_bytewise, feed_with_trailing_data])


def read_form(
    body: bytes, content_type: str = CONTENT_TYPE, feed: Feeder = feed_whole, **limits: int
) -> dict[str, object]:
    reader = MultipartReader(content_type, **limits)
    feed(reader, body)
    return dict(reader.close())


def uploaded(value: object) -> UploadedFile:
    assert isinstance(value, UploadedFile)
    return value


@feeders
@pytest.mark.parametrize("spool_size", [1, 1024])
def test_fields_and_files_are_read(feed: Feeder, spool_size: int) -> None:
    reader = MultipartReader(CONTENT_TYPE, spool_size=spool_size)
    feed(reader, FORM)
    fields = reader.close()
    assert list(fields) == ["title", "tag", "photo"]
    assert fields["title"] == "한글"
    assert fields["tag"] == ["a", ""]
    photo = uploaded(fields["photo"])
    assert (photo.name, photo.mimetype, photo.size) == ("m.png", "image/png", 18)
    assert photo.read() == b"\x89PNG\r\n--\r\n----8dS2"
    assert photo.read() == b""
    photo.close()


@feeders
def test_a_form_without_fields_is_empty(feed: Feeder) -> None:
    reader = MultipartReader(CONTENT_TYPE)
    feed(reader, END)
    assert reader.close() == {}


def test_every_truncated_body_is_malformed() -> None:
    for length in range(len(FORM) - 2):
        reader = MultipartReader(CONTENT_TYPE, spool_size=4)
        reader.feed(FORM[:length])
        with pytest.raises(MalformedForm):
            reader.close()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello=world",
        b"x" + END,
        b"--" + BOUNDARY.encode() + b"\n\n",
        b"--" + BOUNDARY.encode() + b"xx\r\n",
        part("Content-Type: text/plain") + END,
        part('Content-Disposition: attachment; name="a"') + END,
        part("Content-Disposition: form-data") + END,
        part('Content-Disposition: form-data; name=""') + END,
        part('Content-Disposition: form-data; name="a"\nX: y') + END,
        part('Content-Disposition form-data; name="a"') + END,
        part('Content-Disposition: form-data; name="a"\r\nX Y: z') + END,
        part('Content-Disposition: form-data; name="a"\r\nContent-Length: 9') + END,
        part('Content-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64') + END,
        part('Content-Disposition: form-data; name="a"\r\nContent-Type: a/b; charset=idna') + END,
        part('Content-Disposition: form-data; name="a"', b"\xff") + END,
        b"--"
        + BOUNDARY.encode()
        + b'\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx'
        + END,
    ],
)
@pytest.mark.parametrize("feed", [feed_whole, feed_bytewise])
def test_malformed_bodies_are_refused(body: bytes, feed: Feeder) -> None:
    with pytest.raises(MalformedForm):
        read_form(body, feed=feed)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; boundary=" + "x" * 71,
        'multipart/form-data; boundary="é"',
        'multipart/form-data; boundary="a\nb"',
        "multipart/mixed; boundary=x",
        "multipart/form-data" + '; a="' * 10000,
    ],
)
def test_content_types_without_a_boundary_are_refused(content_type: str) -> None:
    with pytest.raises(MalformedForm):
        MultipartReader(content_type)


def test_quoted_boundaries_are_read() -> None:
    content_type = f'Multipart/Form-Data; charset=utf-8; Boundary="{BOUNDARY}"'
    assert read_form(text_part("a", "1") + END, content_type) == {"a": "1"}


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("plain.txt", "plain.txt"),
        ("한글 이름.txt", "한글 이름.txt"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("%22quoted%22.txt", '"quoted".txt'),
        ("semi;colon=x.txt", "semi;colon=x.txt"),
        ("C:\\old\\browser.txt", "browser.txt"),
    ],
)
def test_file_names_are_kept_as_sent(sent: str, name: str) -> None:
    assert uploaded(read_form(file_part("f", sent, b"1") + END)["f"]).name == name


def test_files_without_a_type_are_octet_streams() -> None:
    body = part('Content-Disposition: form-data; name="f"; filename="a"') + END
    assert uploaded(read_form(body)["f"]).mimetype == "application/octet-stream"
    body = file_part("f", "a", b"1", "Text/Plain; charset=utf-8") + END
    assert uploaded(read_form(body)["f"]).mimetype == "text/plain"


def test_an_empty_file_input_is_no_field_but_an_empty_file_is() -> None:
    assert read_form(file_part("f", "", b"") + END) == {}
    assert uploaded(read_form(file_part("f", "empty.txt", b"") + END)["f"]).size == 0
    assert uploaded(read_form(file_part("f", "", b"x") + END)["f"]).read() == b"x"


def test_text_in_another_charset_is_read() -> None:
    head = 'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset='
    assert read_form(part(head + "iso-8859-1", b"\xe9") + END) == {"a": "é"}
    assert read_form(part(head + "EUC-KR", "한글".encode("euc-kr")) + END) == {"a": "한글"}


def test_limits_are_kept() -> None:
    many = b"".join(text_part(f"f{n}") for n in range(1001)) + END
    with pytest.raises(MalformedForm, match="count"):
        read_form(many)
    assert len(read_form(many, max_fields=1001)) == 1001
    with pytest.raises(MalformedForm, match="header"):
        read_form(part('Content-Disposition: form-data; name="a"\r\nX: ' + "y" * 5000) + END)
    reader = MultipartReader(CONTENT_TYPE)
    with pytest.raises(MalformedForm, match="header"):
        reader.feed(f"--{BOUNDARY}\r\n".encode() + b"X" * 5000)
    with pytest.raises(MalformedForm, match="header"):
        read_form(part('Content-Disposition: form-data; name="a"' + "\r\nX: y" * 9) + END)
    with pytest.raises(MalformedForm, match="text"):
        read_form(text_part("a", "x" * 60) + text_part("b", "x" * 60) + END, max_memory=100)


def open_descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def spool_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_many_large_files_share_one_descriptor_and_leave_nothing(spool_directory: Path) -> None:
    before = open_descriptors()
    contents = [bytes([n]) * (3000 + n) for n in range(100)]
    body = b"".join(file_part("f", f"{n}.bin", content) for n, content in enumerate(contents)) + END
    reader = MultipartReader(CONTENT_TYPE, spool_size=1000)
    for piece in pieces_of(body, 777):
        reader.feed(piece)
    value = reader.close()["f"]
    assert isinstance(value, list)
    files = [uploaded(item) for item in value]
    assert [file.read() for file in files] == contents
    assert open_descriptors() == before + 1
    assert list(spool_directory.iterdir()) == []
    del reader, value
    for file in files[:-1]:
        file.close()
    assert files[-1].file.seek(0) == 0
    assert files[-1].read() == contents[-1]
    files[-1].close()
    assert open_descriptors() == before


def test_small_files_go_to_disk_when_memory_is_used_up() -> None:
    before = open_descriptors()
    body = b"".join(file_part("f", f"{n}.bin", bytes([n]) * 500) for n in range(10)) + END
    value = read_form(body, max_memory=2000)["f"]
    assert open_descriptors() == before + 1
    assert isinstance(value, list)
    assert [uploaded(item).read() for item in value] == [bytes([n]) * 500 for n in range(10)]
    for item in value:
        uploaded(item).close()
    assert open_descriptors() == before


def test_forgotten_and_discarded_bodies_free_their_descriptors() -> None:
    before = open_descriptors()
    body = file_part("f", "a", b"x" * 5000) + file_part("f", "b", b"x" * 5000)
    for _ in range(3):
        MultipartReader(CONTENT_TYPE, spool_size=10).feed(body)
        reader = MultipartReader(CONTENT_TYPE, spool_size=10)
        reader.feed(body)
        assert open_descriptors() == before + 1
        reader.discard()
        assert open_descriptors() == before
        with pytest.raises(MalformedForm):
            reader.feed(END)
        with pytest.raises(MalformedForm):
            read_form(body, spool_size=10)
    assert open_descriptors() == before


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    block = random.Random(1).randbytes(64 * 1024)
    tracemalloc.start()
    try:
        reader = MultipartReader(CONTENT_TYPE)
        reader.feed(file_part("f", "big.bin", b"")[:-2])
        for _ in range(400):
            reader.feed(block)
        reader.feed(b"\r\n" + END)
        file = uploaded(reader.close()["f"])
        file.save(tmp_path / "big.bin")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024
    assert file.size == (tmp_path / "big.bin").stat().st_size == 400 * len(block)
    assert file.read(len(block)) == block
    file.close()


@pytest.mark.parametrize("spool_size", [1, 1024])
def test_uploaded_files_are_seekable_files(spool_size: int, tmp_path: Path) -> None:
    body = file_part("f", "a.txt", b"one\ntwo\nthree") + END
    upload = uploaded(read_form(body, spool_size=spool_size)["f"])
    assert repr(upload) == "<UploadedFile 'a.txt' image/png 13 bytes>"
    assert upload.file.readline() == b"one\n"
    assert upload.file.seek(-5, os.SEEK_END) == 8
    assert upload.read(3) == b"thr"
    assert upload.file.seek(-3, os.SEEK_CUR) == 8
    upload.save(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"one\ntwo\nthree"
    assert list(upload.file) == [b"one\n", b"two\n", b"three"]
    assert upload.file.seek(100) == 100
    assert upload.read() == b""
    with pytest.raises(ValueError, match="negative|before"):
        upload.file.seek(-1)
    upload.close()
    upload.close()
    with pytest.raises(ValueError, match="closed"):
        upload.read()


@given(st.lists(st.binary(max_size=60), max_size=5), st.integers(1, 50), st.integers(1, 40))
@settings(deadline=None)
def test_any_content_survives_any_cut(contents: list[bytes], size: int, spool_size: int) -> None:
    contents = [content.replace(BOUNDARY.encode(), b"") for content in contents]
    body = b"".join(file_part(f"f{n}", "x", content) for n, content in enumerate(contents)) + END
    reader = MultipartReader(CONTENT_TYPE, spool_size=spool_size)
    for piece in pieces_of(body, size):
        reader.feed(piece)
    found = [uploaded(value) for value in reader.close().values()]
    assert [file.read() for file in found] == contents
    for file in found:
        file.close()


@given(st.lists(st.sampled_from([*pieces_of(FORM, 7), b"\r\n", b"--", b"\0", END]), max_size=20))
@settings(deadline=None)
def test_garbage_is_malformed_or_read(pieces: list[bytes]) -> None:
    reader = MultipartReader(CONTENT_TYPE, spool_size=3)
    try:
        for piece in pieces:
            reader.feed(piece)
        reader.close()
    except MalformedForm:
        pass
    reader.discard()
