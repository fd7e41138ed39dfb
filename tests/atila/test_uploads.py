"""Uploaded files: their names, where they are saved, and what becomes of what is not."""

from __future__ import annotations

import errno
import gc
import io
import os
import stat
import tempfile
import threading
from pathlib import Path

import pytest
from driving import Driver, multipart
from hypothesis import given
from hypothesis import strategies as st

from atila import Atila, uploads
from atila.uploads import FlashFile, Upload, safe_name
from skitai.wire.multipart import UploadedFile
from skitai.wire.spool import Spool

CONTENT = b"one\ntwo\nthree"


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """The directory for temporary files; empty when the test has ended."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    gc.collect()
    assert os.listdir(folder) == []


@pytest.fixture
def into(tmp_path):
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


def in_memory(name="a.tar.gz", content=CONTENT):
    return Upload(UploadedFile(name, "image/png", len(content), io.BytesIO(content)))


def on_disk(name="a.tar.gz", content=CONTENT):
    spool = Spool()
    spool.append(b"before" + content + b"after")
    return Upload(UploadedFile(name, "image/png", len(content), spool.open(6, len(content))))


both = pytest.mark.parametrize("make", [in_memory, on_disk])


# -- names


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("/../home/.very|:;&good", "very_good"),
        ("plain.txt", "plain.txt"),
        ("한글 이름.tar.gz", "한글_이름.tar.gz"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "_.._boot.ini"),
        ("a/..", "noname"),
        ("", "noname"),
        ("...", "noname"),
        ("folder/", "noname"),
        (".htaccess", "htaccess"),
        ("a  \t b", "a_b"),
        ('it\'s "quoted" <b>?', "it_s_quoted_b_"),
        ("a\0b\r\nc\x7f\x9b.png", "a_b_c_.png"),
        ("\u202egpj.exe", "_gpj.exe"),
        ("a\ud800b", "a_b"),
        ("x" * 300 + ".png", "x" * 196 + ".png"),
        ("한" * 100 + ".tar.gz", "한" * 65 + ".gz"),
        ("a." + "b" * 300, "a." + "b" * 198),
    ],
)
def test_names_are_made_safe(sent, name):
    assert safe_name(sent) == name
    assert in_memory(sent).name == name


@given(st.text())
def test_any_name_can_be_the_name_of_a_file(sent):
    name = safe_name(sent)
    assert name
    assert not name.startswith(".")
    assert not set(name) & set("/\0\\\"':;|><&?\r\n ")
    assert len(name.encode()) <= 200


@pytest.mark.parametrize(
    ("name", "ext"), [("a.png", ".png"), ("a.tar.gz", ".gz"), ("a", None), (".png", None)]
)
def test_the_extension_has_its_dot(name, ext):
    assert in_memory(name).ext == ext


# -- content


@both
def test_it_reads_like_a_file(make):
    upload = make()
    assert repr(upload) == "<Upload 'a.tar.gz' image/png 13 bytes>"
    assert (upload.size, upload.mimetype) == (13, "image/png")
    assert upload.read(3) == b"one"
    assert upload.read() == b"\ntwo\nthree"
    assert upload.read() == b""
    upload.file.seek(4)
    assert upload.file.readline() == b"two\n"


@both
def test_the_path_is_a_temporary_file_as_long_as_the_upload(make, temporary):
    upload = make()
    assert os.listdir(temporary) == []
    upload.read(5)
    path = upload.path
    assert type(path) is str
    assert os.path.dirname(path) == str(temporary)
    assert os.path.basename(path).startswith("atila-")
    assert path.endswith(".gz")
    assert Path(path).read_bytes() == CONTENT
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert upload.path == upload.flush() == path
    del upload
    assert not os.path.exists(path)


@both
def test_removing_drops_the_temporary_file_and_the_content(make, temporary, into):
    upload = make()
    saved = upload.save(into)
    path = upload.path
    upload.remove()
    upload.remove()
    assert not os.path.exists(path)
    assert os.path.exists(saved)
    for use in (upload.read, upload.flush, lambda: upload.save(into)):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert os.listdir(temporary) == []
    assert os.listdir(into) == ["a.tar.gz"]


# -- flash files


@both
@pytest.mark.parametrize("method", ["as_flashfile", "tempfile", "flashfile"])
def test_a_flash_file_is_deleted_at_the_end_of_its_block(make, method):
    upload = make()
    with getattr(upload, method)() as path:
        assert isinstance(path, str)
        assert Path(path).read_bytes() == CONTENT
    assert not os.path.exists(path)
    assert upload.path != path
    assert Path(upload.path).read_bytes() == CONTENT


@both
def test_a_flash_file_outlives_the_upload_but_not_its_last_reference(make):
    upload = make()
    path = upload.path
    flash = upload.as_flashfile()
    assert flash == path
    del upload
    assert os.path.exists(path)
    del flash
    assert not os.path.exists(path)


def test_a_flash_file_may_be_gone_already(temporary):
    with in_memory().as_flashfile() as path:
        os.unlink(path)


def test_a_forked_process_deletes_nothing(temporary):
    upload = in_memory()
    path = upload.path
    child = os.fork()
    if child == 0:
        del upload
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.path.exists(path)


# -- saving


@both
def test_saved_files_have_the_name_of_the_upload_and_usual_rights(make, into):
    upload = make()
    upload.read(5)
    path = upload.save(into)
    assert path == str(into / "a.tar.gz")
    assert (into / "a.tar.gz").read_bytes() == CONTENT
    old = os.umask(0o022)
    os.umask(old)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666 & ~old
    assert upload.read() == CONTENT[5:]


def test_saving_twice_makes_unique_names(into):
    upload = on_disk()
    assert [os.path.basename(upload.save(str(into))) for _ in range(3)] == [
        "a.tar.gz",
        "a.tar.1.gz",
        "a.tar.2.gz",
    ]
    bare = in_memory("bare")
    assert [os.path.basename(bare.save(into, dup="u")) for _ in range(2)] == ["bare", "bare.1"]
    dotted = into / "a.b"
    dotted.mkdir()
    assert [os.path.basename(bare.save(dotted)) for _ in range(2)] == ["bare", "bare.1"]
    assert {path.read_bytes() for path in into.glob("*") if path.is_file()} == {CONTENT}


def test_unique_names_become_random_when_there_are_many(into, monkeypatch):
    monkeypatch.setattr(uploads, "IN_A_ROW", 2)
    names = {os.path.basename(in_memory("a.txt").save(into)) for _ in range(6)}
    assert len(names) == 6
    assert {"a.txt", "a.1.txt", "a.2.txt"} < names


def test_concurrent_saves_never_share_a_file(into):
    contents = [str(number).encode() * 1000 for number in range(40)]
    start = threading.Barrier(8)

    def save(mine):
        start.wait()
        for content in mine:
            in_memory("a.txt", content).save(into)

    threads = [threading.Thread(target=save, args=(contents[at::8],)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.read_bytes() for path in into.iterdir()) == sorted(contents)


@both
def test_overwriting_replaces_the_file_at_once(make, into):
    target = into / "a.tar.gz"
    target.write_bytes(b"a longer old content")
    reader = target.open("rb")
    assert make().save(into, dup="o") == str(target)
    assert target.read_bytes() == CONTENT
    assert reader.read() == b"a longer old content"
    reader.close()
    assert os.listdir(into) == ["a.tar.gz"]


def test_links_are_not_followed(into, tmp_path):
    (into / "a.tar.gz").symlink_to(tmp_path / "elsewhere")
    assert os.path.basename(in_memory().save(into)) == "a.tar.1.gz"
    in_memory().save(into, dup="o")
    assert not (into / "a.tar.gz").is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_the_directory_must_exist_unless_it_shall_be_made(into):
    with pytest.raises(FileNotFoundError):
        in_memory().save(into / "x" / "y")
    assert in_memory().save(into / "x" / "y", mkdir=True) == str(into / "x" / "y" / "a.tar.gz")
    assert in_memory().save(into / "x" / "y", mkdir=True, dup="o")


@pytest.mark.parametrize("dup", ["", "x", None, "U"])
def test_another_dup_is_a_value_error(dup, into):
    with pytest.raises(ValueError, match="dup must be 'u' .* or 'o'"):
        in_memory().save(into, dup=dup)
    assert os.listdir(into) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/x", "a/b", "a\0"])
def test_a_name_is_never_a_path(name, into):
    for dup in ("u", "o"):
        with pytest.raises(ValueError, match="name must be the name of a file"):
            in_memory().save(into, name, dup=dup)
    assert os.listdir(into) == []


def test_a_given_name_is_taken_as_it_is(into):
    assert in_memory().save(into, "My report.pdf") == str(into / "My report.pdf")
    assert in_memory().save(into, name=".hidden") == str(into / ".hidden")
    assert in_memory().save(into, name=".hidden") == str(into / ".hidden.1")


@both
def test_a_failed_save_leaves_nothing_behind(make, into, monkeypatch):
    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("write", "copy_file_range", "sendfile"):
        monkeypatch.setattr(os, name, fail)
    for dup in ("u", "o"):
        with pytest.raises(OSError, match="No space"):
            make().save(into, dup=dup)
    with pytest.raises(OSError, match="No space"):
        make().flush()
    assert os.listdir(into) == []


def test_a_directory_is_not_overwritten(into):
    (into / "a.tar.gz").mkdir()
    with pytest.raises(IsADirectoryError):
        in_memory().save(into, dup="o")
    assert os.listdir(into) == ["a.tar.gz"]
    assert os.path.basename(in_memory().save(into)) == "a.tar.1.gz"


# -- moving


@both
def test_moving_takes_the_path_along(make, into, temporary):
    upload = make()
    first = upload.path
    (into / "new.bin").write_bytes(b"old")
    assert upload.move(into / "new.bin") == str(into / "new.bin")
    assert not os.path.exists(first)
    assert upload.path == upload.flush() == str(into / "new.bin")
    assert upload.read() == CONTENT
    upload.remove()
    del upload
    assert (into / "new.bin").read_bytes() == CONTENT


def test_moving_into_a_directory_keeps_the_name(into):
    assert in_memory().move(str(into)) == str(into / "a.tar.gz")
    with pytest.raises(FileNotFoundError):
        in_memory().move(into / "missing" / "a")


# -- in requests


def uploading(handler):
    app = Atila("uploading")
    app.route("/upload", methods=["POST"])(handler)
    return Driver(app)


def test_the_example_of_the_seed(into):
    def upload(was, file):
        file.save(str(into), dup="o")
        return "ok"

    body = multipart(('name="file"; filename="../my photo.png"', b"\x89PNG"))
    for _ in range(2):
        assert uploading(upload).send("/upload", *body).status == 200
    assert os.listdir(into) == ["my_photo.png"]


def test_repeated_files_are_a_list(into):
    def upload(was, file):
        return [[item.name, item.ext, item.size, item.read().decode()] for item in file]

    body = multipart(*((f'name="file"; filename="{n}.txt"', b"x" * n) for n in (1, 2)))
    assert uploading(upload).send("/upload", *body).json == [
        ["1.txt", ".txt", 1, "x"],
        ["2.txt", ".txt", 2, "xx"],
    ]


@pytest.mark.parametrize("size", [10, 2_000_000])
def test_temporary_files_are_gone_with_the_request(size, temporary):
    seen = []

    def upload(was, **files):
        for file in files.values():
            assert os.path.getsize(file.path) == file.size == size
            seen.append(file.path)
        if "crash" in files:
            raise was.Error("409 Conflict")
        return "ok"

    driver = uploading(upload)
    for name, status in (("a", 200), ("crash", 409)):
        answer = driver.send("/upload", *multipart((f'name="{name}"; filename="f"', b"x" * size)))
        assert answer.status == status
    gc.collect()
    assert len(seen) == 2
    assert not any(map(os.path.exists, seen))


def test_a_flash_file_class_can_be_used_alone(temporary):
    descriptor, path = tempfile.mkstemp()
    os.close(descriptor)
    with FlashFile(path):
        assert os.path.exists(path)
    assert not os.path.exists(path)
