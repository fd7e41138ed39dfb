"""What a change of a file asks for, and that none is missed."""

from __future__ import annotations

import logging
import queue
from typing import TYPE_CHECKING

import pytest

from skitai.supervisor import watcher
from skitai.supervisor.watcher import FileWatcher, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 30.0  # seconds


class Watching:
    """A watcher of a folder, and what it has noticed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.noticed: queue.Queue[tuple[Kind, str]] = queue.Queue()
        self.watcher = FileWatcher(
            lambda kind, path: self.noticed.put((kind, path)), logging.getLogger("watching")
        )

    def next(self) -> tuple[Kind, str]:
        return self.noticed.get(timeout=PATIENCE)


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    folder = tmp_path / ".venv" / "project"  # a project may well live in such a place
    for name in ("app/templates", "app/static/media", ".git", "look", "outside"):
        (folder / name).mkdir(parents=True)
    made = Watching(folder)
    made.watcher.watch(
        [str(folder), str(folder / "nowhere")],
        assets=[str(folder / "look")],
        apart=[str(folder / "app/static/media")],
        named=[str(folder / "settings.toml"), str(folder / ".env")],
    )
    yield made
    made.watcher.stop()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("app/views.py", Kind.CODE),
        ("app/static/media/views.py", Kind.CODE),
        ("settings.toml", Kind.CODE),
        (".env", Kind.CODE),
        ("app/templates/page.j2", Kind.PAGE),
        ("app/templates/mail.css", Kind.PAGE),
        ("app/static/logo.svg", Kind.PAGE),
        ("app/static/app.js", Kind.PAGE),
        ("look/image.png", Kind.PAGE),
        ("app/static/look.css", Kind.STYLE),
        ("look/look.css", Kind.STYLE),
        ("app/static/media/photo.png", Kind.NOTHING),
        ("app/data.sqlite3", Kind.NOTHING),
        ("app/__pycache__/views.py", Kind.NOTHING),
        (".git/templates/description", Kind.NOTHING),
        ("app/.#views.py", Kind.NOTHING),
        ("app/#views.py#", Kind.NOTHING),
        ("app/views.py~", Kind.NOTHING),
        ("app/templates/.page.j2.swp", Kind.NOTHING),
    ],
)
def test_what_a_change_asks_for(watching: Watching, name: str, kind: Kind) -> None:
    assert watching.watcher.kind_of(str(watching.folder / name)) is kind


def test_a_burst_of_changes_is_one_and_its_highest_kind_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # So long that a busy machine does not make two of it.
    monkeypatch.setattr(watcher, "QUIET", 500)
    monkeypatch.setattr(watcher, "DEBOUNCE", 30_000)
    (tmp_path / "app/static").mkdir(parents=True)
    watching = Watching(tmp_path)
    watching.watcher.watch([str(tmp_path)])
    for number in range(50):
        (watching.folder / f"app/static/{number}.css").touch()
    (watching.folder / "app/views.py").touch()
    kind, path = watching.next()
    assert (kind, path) == (Kind.CODE, str(watching.folder / "app/views.py"))
    (watching.folder / "last.py").touch()
    assert watching.next()[1] == str(watching.folder / "last.py")
    watching.watcher.stop()


def test_a_file_that_an_editor_replaces_is_noticed_again_and_again(watching: Watching) -> None:
    target = watching.folder / "app/views.py"
    for number in range(3):
        fresh = watching.folder / "app/.views.py.new"
        fresh.write_text(f"number = {number}\n")
        fresh.replace(target)
        assert watching.next() == (Kind.CODE, str(target))


def test_what_is_in_a_new_directory_counts(watching: Watching, tmp_path: Path) -> None:
    made = tmp_path / "made" / "static" / "deep"
    made.mkdir(parents=True)
    (made / "look.css").touch()
    (tmp_path / "made").rename(watching.folder / "new")  # as a checkout may have it
    assert watching.next()[0] is Kind.STYLE
    (watching.folder / "new/static/deep/later.js").touch()
    assert watching.next()[0] is Kind.PAGE


def test_more_can_be_watched_later_and_a_file_alone(watching: Watching, tmp_path: Path) -> None:
    for name in ("more/templates", "apart"):
        (tmp_path / name).mkdir(parents=True)
    watching.watcher.watch([str(tmp_path / "more")], named=[str(tmp_path / "apart/tool.py")])
    threads = len(watching.watcher._threads)
    watching.watcher.watch([str(tmp_path / "more/templates")], assets=[str(watching.folder)])
    assert len(watching.watcher._threads) == threads  # all of that is watched already
    (tmp_path / "more/templates/page.j2").touch()
    assert watching.next() == (Kind.PAGE, str(tmp_path / "more/templates/page.j2"))
    (tmp_path / "apart/other.py").touch()
    (tmp_path / "apart/tool.py").touch()
    assert watching.next() == (Kind.CODE, str(tmp_path / "apart/tool.py"))


def test_a_file_that_is_gone_is_a_change(watching: Watching) -> None:
    target = watching.folder / "app/views.py"
    target.touch()
    watching.next()
    target.unlink()
    assert watching.next() == (Kind.CODE, str(target))


def test_without_a_directory_there_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    made = FileWatcher(lambda *_: None, logging.getLogger("watching"))
    made.watch(["/nowhere/at/all"])
    assert "there is no directory to watch" in caplog.text
    made.stop()


def test_a_directory_that_is_made_again_is_watched_again(tmp_path: Path) -> None:
    code, look = tmp_path / "code", tmp_path / "look"
    code.mkdir()
    look.mkdir()
    watching = Watching(tmp_path)
    watching.watcher.watch([str(code)], assets=[str(look)])
    try:
        look.rmdir()
        assert watching.next() == (Kind.PAGE, str(look))
        (code / "views.py").touch()  # the others are watched meanwhile
        assert watching.next() == (Kind.CODE, str(code / "views.py"))
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "logo.svg").touch()
        (tmp_path / "new").rename(look)
        assert watching.next() == (Kind.PAGE, str(look))
        (look / "second.svg").touch()
        assert watching.next() == (Kind.PAGE, str(look / "second.svg"))
    finally:
        watching.watcher.stop()
