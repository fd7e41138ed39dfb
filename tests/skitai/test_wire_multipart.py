"""multipart/form-data: in memory and on disk, byte by byte, truncated, hostile and large."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import tracemalloc
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.wire.forms import MalformedForm
from skitai.wire.multipart import PIECE, UploadedFile, parse_multipart
from skitai.wire.spool import Spool

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


Read = Callable[..., dict[str, object]]


def reader(on_disk: bool, piece: int) -> Read:
    def read_form(
        body: bytes, content_type: str = CONTENT_TYPE, **limits: int
    ) -> dict[str, object]:
        source: bytes | Spool = body
        if on_disk:
            source = Spool()
            source.append(body)
        limits.setdefault("piece", piece)
        return dict(parse_multipart(source, content_type, **limits))

    return read_form


MEMORY = reader(False, PIECE)
DISK = reader(True, PIECE)
READERS = {
    "memory": MEMORY,
    "memory, byte by byte": reader(False, 1),
    "disk": DISK,
    "disk, byte by byte": reader(True, 1),
    "disk, in sevens": reader(True, 7),
}
readers = pytest.mark.parametrize("read_form", READERS.values(), ids=READERS)


def uploaded(value: object) -> UploadedFile:
    assert isinstance(value, UploadedFile)
    return value


@readers
@pytest.mark.parametrize("more", [b"", b"an epilogue\r\n--" + BOUNDARY.encode() + b"\r\nand more"])
def test_fields_and_files_are_read(read_form: Read, more: bytes) -> None:
    fields = read_form(FORM + more)
    assert list(fields) == ["title", "tag", "photo"]
    assert fields["title"] == "한글"
    assert fields["tag"] == ["a", ""]
    photo = uploaded(fields["photo"])
    assert (photo.name, photo.mimetype, photo.size) == ("m.png", "image/png", 18)
    assert photo.file.read() == b"\x89PNG\r\n--\r\n----8dS2"
    assert photo.file.read() == b""


@readers
def test_a_preamble_is_passed_over(read_form: Read) -> None:
    body = b"This is a message in\r\nMIME format.\r\n\r\n" + file_part("f", "a", b"one") + END
    assert uploaded(read_form(body)["f"]).file.read() == b"one"


@readers
def test_a_form_without_fields_is_empty(read_form: Read) -> None:
    assert read_form(END) == {}
    assert read_form(END + FORM) == {}


@pytest.mark.parametrize("read_form", [MEMORY, DISK])
def test_every_truncated_body_is_malformed(read_form: Read) -> None:
    for length in range(len(FORM) - 2):
        with pytest.raises(MalformedForm):
            read_form(FORM[:length])


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
        part("Content-Disposition: form-data; name=\"a\"; filename*=utf-8''%ff") + END,
        part("Content-Disposition: form-data; name=\"a\"; filename*=rot13''a") + END,
        b"x--" + BOUNDARY.encode() + b"\r\n" + FORM,
    ],
)
@readers
def test_malformed_bodies_are_refused(body: bytes, read_form: Read) -> None:
    with pytest.raises(MalformedForm):
        read_form(body)


@readers
@pytest.mark.parametrize("kind", ["multipart/mixed", "Multipart/Related"])
def test_nested_parts_are_refused_with_the_reason(read_form: Read, kind: str) -> None:
    inner = b"--in\r\nContent-Disposition: attachment; filename=a\r\n\r\nx\r\n--in--"
    head = f'Content-Disposition: form-data; name="files"\r\nContent-Type: {kind}; boundary=in'
    with pytest.raises(MalformedForm, match="nested multipart/.*its own part"):
        read_form(part(head, inner) + END)
    assert uploaded(read_form(file_part("page", "a.mhtml", inner, kind) + END)["page"]).size


def test_what_only_looks_like_an_end_is_content() -> None:
    tricky = b"\r\n\r\n--" + BOUNDARY.encode()[:-1] + b"\r\n\r\n\r\n--"
    for read_form in READERS.values():
        body = file_part("a", "a", tricky) + text_part("b", "c") + file_part("d", "d", b"e") + END
        fields = read_form(body)
        assert uploaded(fields["a"]).file.read() == tricky
        assert fields["b"] == "c"
        assert uploaded(fields["d"]).file.read() == b"e"


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
        MEMORY(FORM, content_type)


def test_quoted_boundaries_are_read() -> None:
    content_type = f'Multipart/Form-Data; charset=utf-8; Boundary="{BOUNDARY}"'
    assert MEMORY(text_part("a", "1") + END, content_type) == {"a": "1"}


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
    assert uploaded(MEMORY(file_part("f", sent, b"1") + END)["f"]).name == name


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ("filename*=utf-8''%ED%95%9C.txt", "한.txt"),
        ("filename*=UTF-8'ko'%ED%95%9C.txt", "한.txt"),
        ("filename=\"x.txt\"; Filename* = iso-8859-1''%e9.txt", "é.txt"),
        ("filename*=broken", None),
        ("filename*=broken; filename=plain", "plain"),
        ("x=\"; filename*=utf-8''no\"", None),
    ],
)
def test_extended_file_names_are_read(parameters: str, name: str | None) -> None:
    found = MEMORY(part(f'Content-Disposition: form-data; name="f"; {parameters}') + END)["f"]
    assert (found.name if isinstance(found, UploadedFile) else None) == name


def test_files_without_a_type_are_octet_streams() -> None:
    body = part('Content-Disposition: form-data; name="f"; filename="a"') + END
    assert uploaded(MEMORY(body)["f"]).mimetype == "application/octet-stream"
    body = file_part("f", "a", b"1", "Text/Plain; charset=utf-8") + END
    assert uploaded(MEMORY(body)["f"]).mimetype == "text/plain"


@pytest.mark.parametrize(
    ("sent", "mimetype"),
    [
        ("image/svg+xml", "image/svg+xml"),
        ("Text/HTML; charset=utf-8", "text/html"),
        ("한/글", "application/octet-stream"),
        ("é/x", "application/octet-stream"),
        ("text", "application/octet-stream"),
        ("a b/c", "application/octet-stream"),
        ("a/b/c", "application/octet-stream"),
        ("a/\x85", "application/octet-stream"),
        ("", "application/octet-stream"),
    ],
)
def test_what_is_no_media_type_is_an_octet_stream(sent: str, mimetype: str) -> None:
    body = file_part("f", "x", b"", sent) + END
    assert uploaded(MEMORY(body)["f"]).mimetype == mimetype


def test_an_empty_file_input_is_no_field_but_an_empty_file_is() -> None:
    assert MEMORY(file_part("f", "", b"") + END) == {}
    assert uploaded(MEMORY(file_part("f", "empty.txt", b"") + END)["f"]).size == 0
    assert uploaded(MEMORY(file_part("f", "", b"x") + END)["f"]).file.read() == b"x"


def test_text_in_another_charset_is_read() -> None:
    head = 'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain; charset='
    assert MEMORY(part(head + "iso-8859-1", b"\xe9") + END) == {"a": "é"}
    assert MEMORY(part(head + "EUC-KR", "한글".encode("euc-kr")) + END) == {"a": "한글"}


@pytest.mark.parametrize("read_form", [MEMORY, DISK])
def test_limits_are_kept(read_form: Read) -> None:
    many = b"".join(text_part(f"f{n}") for n in range(1001)) + END
    with pytest.raises(MalformedForm, match="count"):
        read_form(many)
    assert len(read_form(many, max_fields=1001)) == 1001
    head = 'Content-Disposition: form-data; name="a"'
    for long in ("\r\nX: " + "y" * 5000, "\r\nX: y" * 9, "\r\n y" * 5000, "; x=" + "y" * 5000):
        with pytest.raises(MalformedForm, match="header"):
            read_form(part(head + long) + END)
    with pytest.raises(MalformedForm, match="header"):
        read_form(f"--{BOUNDARY}\r\n".encode() + b"X" * 5000)
    with pytest.raises(MalformedForm, match="too much text"):
        read_form(text_part("a", "x" * 60) + text_part("b", "x" * 60) + END, max_text=100)
    assert read_form(file_part("a", "a", b"x" * 120) + END, max_text=100)


def test_the_longest_heads_are_accepted() -> None:
    head = 'Content-Disposition: form-data; name="a"; filename="a"'
    head += "".join(f"\r\nX-{n}: " + "\r\n y" * 1300 for n in range(7))
    for read_form in (MEMORY, DISK, READERS["disk, in sevens"]):
        assert uploaded(read_form(part(head, b"content") + END)["a"]).file.read() == b"content"


def open_descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def test_files_are_windows_on_the_body_and_keep_it() -> None:
    before = open_descriptors()
    contents = [bytes([n]) * (3000 + n) for n in range(100)]
    body = b"".join(file_part("f", f"{n}.bin", content) for n, content in enumerate(contents)) + END
    value = DISK(body, piece=777)["f"]
    assert isinstance(value, list)
    files = [uploaded(item) for item in value]
    assert [file.file.read() for file in files] == contents
    assert open_descriptors() == before + 1
    del value
    for file in files[:-1]:
        file.file.close()
    assert files[-1].file.seek(0) == 0
    assert files[-1].file.read() == contents[-1]
    files[-1].file.close()
    assert open_descriptors() == before


def test_memory_does_not_grow_with_the_file() -> None:
    block = random.Random(1).randbytes(64 * 1024)
    spool = Spool()
    spool.append(file_part("f", "big.bin", b"")[:-2])
    for _ in range(400):
        spool.append(block)
    spool.append(b"\r\n" + END)
    tracemalloc.start()
    try:
        file = uploaded(parse_multipart(spool, CONTENT_TYPE)["f"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * 1024 * 1024
    assert file.size == 400 * len(block)
    assert file.file.read(len(block)) == block


@pytest.mark.parametrize("read_form", [MEMORY, DISK])
def test_uploaded_files_are_seekable_and_can_be_copied(read_form: Read, tmp_path: Path) -> None:
    upload = uploaded(read_form(file_part("f", "a.txt", b"one\ntwo\nthree") + END)["f"])
    assert repr(upload) == "<UploadedFile 'a.txt' image/png 13 bytes>"
    assert upload.file.readline() == b"one\n"
    with (tmp_path / "copy").open("wb") as copy:
        upload.copy(copy.fileno())
    assert (tmp_path / "copy").read_bytes() == b"one\ntwo\nthree"
    assert upload.file.tell() == 4
    assert upload.file.seek(-5, os.SEEK_END) == 8
    assert upload.file.read() == b"three"
    upload.file.close()
    with pytest.raises(ValueError, match="closed"):
        upload.copy(1)


FIELDS = st.lists(
    st.tuples(
        st.text(min_size=1, max_size=8),
        st.none() | st.text(max_size=8),
        st.binary(max_size=60)
        | st.sampled_from([b"\r\n\r\n--", b"\r\n--" + BOUNDARY.encode()[:5]]),
    ),
    max_size=6,
)


def quoted(text: str) -> str:
    """As browsers write it (WHATWG HTML, 4.10.21.8)."""
    for char, code in (("\r", "%0D"), ("\n", "%0A"), ('"', "%22")):
        text = text.replace(char, code)
    return text


@given(FIELDS, st.integers(1, 50), st.booleans())
@settings(deadline=None, max_examples=200)
def test_what_was_sent_is_read_back(
    fields: list[tuple[str, str | None, bytes]], piece: int, on_disk: bool
) -> None:
    body, expected = b"", []
    for number, (name, filename, content) in enumerate(fields):
        name = f"{number}{name}".replace("\0", "").replace("%", "").replace("\\", "")
        content = content.replace(BOUNDARY.encode(), b"")
        head = f'Content-Disposition: form-data; name="{quoted(name)}"'
        if filename is None:
            content = content.decode("latin-1").encode()
            expected.append((name, content.decode()))
        else:
            filename = "x" + filename.replace("\0", "").replace("%", "").replace("\\", "")
            head += f'; filename="{quoted(filename)}"'
            expected.append((name, (filename, content)))
        body += part(head, content)
    found = reader(on_disk, piece)(body + END)
    assert [
        (name, value if isinstance(value, str) else (value.name, value.file.read()))
        for name, value in found.items()
    ] == expected


@given(
    st.lists(
        st.sampled_from([FORM[at : at + 7] for at in range(0, len(FORM), 7)])
        | st.sampled_from([b"\r\n", b"\r\n\r\n", b"--", b"\0", END, f"--{BOUNDARY}\r\n".encode()])
        | st.binary(max_size=9),
        max_size=20,
    ),
    st.sampled_from(list(READERS.values())),
)
@settings(deadline=None, max_examples=300)
def test_garbage_is_malformed_or_read(pieces: list[bytes], read_form: Read) -> None:
    try:
        fields = read_form(b"".join(pieces))
    except MalformedForm:
        return
    for value in fields.values():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, UploadedFile):
                assert len(item.file.read()) == item.size


@given(st.text(max_size=60) | st.text("multipart/form-data; boundary=\"'a\\", max_size=60))
@settings(deadline=None)
def test_any_content_type_is_malformed_or_read(content_type: str) -> None:
    for kind in (content_type, "multipart/form-data; " + content_type):
        with contextlib.suppress(MalformedForm):
            MEMORY(FORM, kind)
