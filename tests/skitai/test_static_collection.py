"""Static files of several directories, collected in one."""

from __future__ import annotations

import os

import pytest

from skitai.commands.static_collection import collect
from skitai.errors import ConfigError, StartupError


@pytest.fixture
def target(tmp_path):
    return tmp_path / "collected"


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def found_in(target):
    return {
        str(path.relative_to(target)): path.read_text()
        for path in sorted(target.rglob("*"))
        if path.is_file() and path.name != ".collected.json"
    }


def test_files_are_where_their_urls_lead(tmp_path, target):
    static = write(tmp_path / "static", {"css/a.css": "a", "b.js": "b", "mime.MJS": "m"})
    public = write(tmp_path / "public", {"robots.txt": "r", ".well-known/x": "w"})
    done = collect([("/static/", static), ("/", public)], target)
    assert found_in(target) == {
        "static/css/a.css": "a",
        "static/b.js": "b",
        "static/mime.MJS": "m",
        "robots.txt": "r",
        ".well-known/x": "w",
    }
    assert (done.new, done.kept, done.removed, done.left_out) == (5, 0, 0, [])
    assert done.types["css"] == "text/css"
    assert done.types["mjs"] == "text/javascript"


def test_files_may_be_read_by_others_whatever_the_mode_of_the_source(tmp_path, target):
    static = write(tmp_path / "static", {"a.css": "a"})
    (static / "a.css").chmod(0o600)
    collect([("/", static)], target)
    assert (target / "a.css").stat().st_mode & 0o777 == 0o644


def test_the_first_directory_and_the_longest_point_win(tmp_path, target):
    first = write(tmp_path / "first", {"a.css": "first"})
    second = write(tmp_path / "second", {"a.css": "second", "b.css": "second"})
    root = write(tmp_path / "root", {"static/a.css": "root", "static/c.css": "root"})
    collect([("/", root), ("/static/", first), ("/static/", second)], target)
    assert found_in(target) == {
        "static/a.css": "first",
        "static/b.css": "second",
        "static/c.css": "root",
    }


def test_only_what_changed_is_copied_again(tmp_path, target):
    static = write(tmp_path / "static", {"a.css": "a", "b.css": "b"})
    collect([("/", static)], target)
    before = (target / "a.css").stat()
    (static / "b.css").write_text("changed")
    done = collect([("/", static)], target)
    assert (done.new, done.kept) == (1, 1)
    assert (target / "a.css").stat().st_ino == before.st_ino
    assert (target / "b.css").read_text() == "changed"


def test_what_is_gone_is_removed_with_its_directories(tmp_path, target):
    static = write(tmp_path / "static", {"a.css": "a", "deep/er/b.css": "b"})
    collect([("/", static)], target)
    (static / "deep/er/b.css").unlink()
    done = collect([("/", static)], target)
    assert (done.removed, found_in(target)) == (1, {"a.css": "a"})
    assert not (target / "deep").exists()


def test_what_somebody_else_put_there_stays(tmp_path, target):
    static = write(tmp_path / "static", {"a.css": "a", "deep/b.css": "b"})
    collect([("/", static)], target)
    write(target, {"deep/mine.css": "mine", "own.css": "own"})
    for path in (static / "a.css", static / "deep/b.css"):
        path.unlink()
    (target / "a.css").write_text("edited")
    collect([("/", static)], target)
    assert found_in(target) == {"a.css": "edited", "deep/mine.css": "mine", "own.css": "own"}


@pytest.mark.parametrize("how", ["edited", "foreign"])
def test_nothing_is_replaced_that_was_not_collected(tmp_path, target, how):
    static = write(tmp_path / "static", {"a.css": "a"})
    if how == "edited":
        collect([("/", static)], target)
    write(target, {"a.css": "precious work"})
    (static / "a.css").write_text("newer")
    with pytest.raises(StartupError, match=r"a.css' was edited or comes from elsewhere.*--force"):
        collect([("/", static)], target)
    assert (target / "a.css").read_text() == "precious work"
    collect([("/", static)], target, force=True)
    assert (target / "a.css").read_text() == "newer"


def test_links_are_followed_inside_and_never_out(tmp_path, target):
    outside = write(tmp_path / "outside", {"key": "secret", "directory/key": "secret"})
    static = write(tmp_path / "static", {"a.css": "a", "real/b.css": "b"})
    (static / "out.css").symlink_to(outside / "key")
    (static / "out").symlink_to(outside / "directory")
    (static / "inside.css").symlink_to(static / "a.css")
    (static / "again").symlink_to(static / "real")
    (static / "real" / "loop").symlink_to(static)
    (static / "dangling").symlink_to(static / "nothing")
    collect([("/", static)], target)
    assert found_in(target) == {
        "a.css": "a",
        "inside.css": "a",
        "real/b.css": "b",
        "again/b.css": "b",
    }
    assert not any(path.is_symlink() for path in target.rglob("*"))


def test_hidden_files_and_what_is_no_file_are_not_collected(tmp_path, target):
    static = write(tmp_path / "static", {"a.css": "a", ".env": "secret", ".git/config": "secret"})
    os.mkfifo(static / "pipe")
    collect([("/", static)], target)
    assert found_in(target) == {"a.css": "a"}


def test_compressed_copies_belong_to_their_file(tmp_path, target):
    first = write(tmp_path / "first", {"a.css": "a", "b.css": "b", "b.css.gz": "of b"})
    second = write(tmp_path / "second", {"a.css": "x", "a.css.gz": "of x", "c.tar.gz": "archive"})
    old = write(tmp_path / "old", {"d.css": "d", "d.css.br": "of an older d"})
    os.utime(old / "d.css.br", (1, 1))
    collect([("/", first), ("/", second), ("/", old)], target)
    assert sorted(found_in(target)) == ["a.css", "b.css", "b.css.gz", "c.tar.gz", "d.css"]


def test_a_file_and_a_directory_of_one_name(tmp_path, target):
    first = write(tmp_path / "first", {"a": "file", "b/c": "below"})
    second = write(tmp_path / "second", {"a/c": "below", "b": "file"})
    done = collect([("/", first), ("/", second)], target)
    assert found_in(target) == {"a": "file", "b/c": "below"}
    assert sorted(done.left_out) == ["/a/c", "/b"]


def test_a_directory_becomes_a_file_and_back(tmp_path, target):
    static = write(tmp_path / "static", {"a/b": "below"})
    collect([("/", static)], target)
    (static / "a/b").unlink()
    (static / "a").rmdir()
    write(static, {"a": "file"})
    collect([("/", static)], target)
    assert found_in(target) == {"a": "file"}


def test_the_target_may_be_below_a_source_but_not_be_one(tmp_path):
    static = write(tmp_path / "static", {"a.css": "a"})
    collect([("/", static)], static / "collected")
    collect([("/", static)], static / "collected")
    assert found_in(static / "collected") == {"a.css": "a"}
    with pytest.raises(ConfigError, match="set STATIC_ROOT to another one"):
        collect([("/", static)], static)


def test_a_target_that_can_not_be_written(tmp_path, target):
    static = write(tmp_path / "static", {"a.css": "a"})
    target.write_text("a file")
    with pytest.raises(StartupError, match="static files can't be collected"):
        collect([("/", static)], target)


@pytest.mark.parametrize("text", ["", "[]", '{"../../x": [1, 2], "a": 1}', "not json"])
def test_a_broken_list_is_no_obstacle_and_no_danger(tmp_path, target, text):
    static = write(tmp_path / "static", {"a.css": "a"})
    target.mkdir()
    (tmp_path / "x").write_text("not ours")
    (target / ".collected.json").write_text(text)
    collect([("/", static)], target)
    assert found_in(target) == {"a.css": "a"}
    assert (tmp_path / "x").exists()
