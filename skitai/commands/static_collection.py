"""Collects the static files of all apps in one directory, for a server in front.

``commands/nginx.py`` calls it. A file is collected if the service itself would serve it, and the
copy that it would serve: ``StaticRoot`` is asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from skitai.commands.written_files import unwritable
from skitai.errors import ConfigError, StartupError
from skitai.handlers.static_files import PRECOMPRESSED, StaticFile, StaticRoot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LIST_NAME = ".collected.json"
"""What was collected, in the directory itself: only this is ever changed or removed."""

CLOCK_TICKS = 2  # milliseconds that the clocks of two file systems may differ by

Facts: TypeAlias = "list[int]"
"""Size in bytes and time of modification in milliseconds."""

_SUFFIXES = tuple(suffix for _, suffix in PRECOMPRESSED)


@dataclass
class Collected:
    """What a collection did.

    Attributes:
        types: content type by extension, without charset and dot, of all files.
        new, kept, removed: how many files were copied, were as they should be, or went.
        left_out: files that could not be beside others, e.g. below what is a file itself.
    """

    types: dict[str, str] = field(default_factory=dict)
    new: int = 0
    kept: int = 0
    removed: int = 0
    left_out: list[str] = field(default_factory=list)


def collect(sources: Sequence[tuple[str, Path]], target: Path, *, force: bool = False) -> Collected:
    """Copy all files to where their URL path leads below a directory.

    Files are compared by size and time of modification, so that a second collection copies only
    what has changed. Files that were collected before and are gone are removed.

    Parameters:
        sources: point (with slashes at both ends) and directory of each mount, in the order in
            which they are asked; of two files with the same path the first one wins.
        target: is made if it does not exist.
        force: replace files there that were edited or come from elsewhere.

    Raises ``ConfigError`` when a source is the target, ``StartupError`` when a file there is not
    what was collected, or can't be written.
    """
    try:
        wanted, done = _choose(sources, target)
    except OSError as exc:
        raise _unreadable(exc) from exc
    try:
        target.mkdir(parents=True, exist_ok=True)
        former = _read_list(target)
        for path, found in wanted.items():
            there = _facts(target / path)
            ours = there is None or _alike(there, former.get(path)) or _same(there, found)
            # A directory goes when nothing else is in it; copying fails otherwise.
            if not ours and not force and not (target / path).is_dir():
                raise StartupError(
                    f"{str(target / path)!r} was edited or comes from elsewhere: it is left "
                    "alone; move it away, or give --force to replace it"
                )
        for path in sorted(former.keys() - wanted.keys()):
            done.removed += _remove(target, path, former[path])
        for path, found in wanted.items():
            if _same(_facts(target / path), found):
                done.kept += 1
            else:
                _copy(found, target / path)
                done.new += 1
        _write_list(target, wanted)
    except OSError as exc:
        raise StartupError(f"static files can't be collected: {unwritable(exc, target)}") from exc
    return done


def _choose(
    sources: Sequence[tuple[str, Path]], target: Path
) -> tuple[dict[str, StaticFile], Collected]:
    """The file for each path below the target."""
    wanted: dict[str, StaticFile] = {}
    homes: dict[str, Path] = {}
    directories: set[str] = set()
    done = Collected()
    # As dispatch does: the longest prefix first, then the order of the mounts.
    for point, directory in sorted(sources, key=lambda source: -len(source[0])):
        if os.path.realpath(directory) == os.path.realpath(target):
            raise ConfigError(
                f"static directory {str(directory)!r} is mounted and can't be where files are "
                "collected, too: set STATIC_ROOT to another one"
            )
        for path, found in _files(directory, target):
            where = point.lstrip("/") + path
            if where in wanted or _hides_wrong_content(where, found, directory, wanted, homes):
                continue
            above = [str(parent) for parent in PurePosixPath(where).parents]
            if where in directories or not wanted.keys().isdisjoint(above):
                done.left_out.append(f"/{where}")
                continue
            directories.update(above)
            wanted[where], homes[where] = found, directory
            extension = os.path.splitext(where)[1].lower().lstrip(".")
            if extension:
                done.types.setdefault(extension, found.content_type.partition(";")[0])
    return wanted, done


def _hides_wrong_content(
    where: str,
    found: StaticFile,
    directory: Path,
    wanted: dict[str, StaticFile],
    homes: dict[str, Path],
) -> bool:
    """Whether a precompressed file would be taken for one that it was not made of."""
    plain = next((where[: -len(suffix)] for suffix in _SUFFIXES if where.endswith(suffix)), None)
    if plain is None or plain not in wanted:
        return False
    return homes[plain] != directory or found.mtime < wanted[plain].mtime


def _files(directory: Path, target: Path) -> Iterator[tuple[str, StaticFile]]:
    """Path below the directory and file, plain files before those made of them."""
    root = StaticRoot(str(directory))
    base, avoided = os.path.realpath(directory), os.path.realpath(target)

    def walk(below: str, above: tuple[str, ...]) -> Iterator[tuple[str, StaticFile]]:
        here = os.path.realpath(os.path.join(base, below))
        outside = here != base and not here.startswith(base.rstrip("/") + "/")
        if outside or here == avoided or here in above:  # a link may lead back to where it is
            return
        for name in sorted(os.listdir(here)):
            path = below + name
            if os.path.isdir(os.path.join(base, path)):
                if not name.startswith(".") or name == ".well-known":
                    yield from walk(f"{path}/", (*above, here))
                continue
            found = root.find(path)
            if isinstance(found, StaticFile):
                yield path, found

    yield from sorted(walk("", ()), key=lambda entry: (entry[0].endswith(_SUFFIXES), entry[0]))


def _same(there: Facts | None, found: StaticFile) -> bool:
    return _alike(there, [found.size, round(found.mtime * 1000)])


def _alike(there: Facts | None, other: Facts | None) -> bool:
    if there is None or other is None:
        return False
    return there[0] == other[0] and abs(there[1] - other[1]) <= CLOCK_TICKS


def _facts(path: Path) -> Facts | None:
    """Size and time of modification of what is there; None for nothing."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return [status.st_size, round(status.st_mtime * 1000)]


def _copy(found: StaticFile, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name[:200]}.new")
    try:
        source = open(found.open(), "rb")
    except OSError as exc:
        raise _unreadable(exc) from exc
    with source, _replacing(fresh, path):
        with open(fresh, "wb") as copy:
            shutil.copyfileobj(source, copy)
        os.utime(fresh, (found.mtime, found.mtime))
        fresh.chmod(0o644)  # another user, nginx, reads it


def _unreadable(exc: OSError) -> StartupError:
    return StartupError(
        f"static files can't be collected: {str(exc.filename)!r} can't be read: {exc.strerror}"
    )


@contextlib.contextmanager
def _replacing(fresh: Path, path: Path) -> Iterator[None]:
    """What is written to one file gets the place of another; nothing of it is left otherwise."""
    try:
        yield
        fresh.replace(path)
    except OSError as exc:
        exc.filename = exc.filename or str(path)  # a write that fails knows no name
        raise
    finally:
        fresh.unlink(missing_ok=True)


def _remove(target: Path, path: str, recorded: Facts) -> bool:
    """Remove what was collected, and directories that are empty then; whether it was there."""
    place = target / path
    if not _alike(_facts(place), recorded):
        return False
    place.unlink()
    for parent in place.relative_to(target).parents:
        if parent == Path():
            break
        try:
            (target / parent).rmdir()
        except OSError:
            break
    return True


def _read_list(target: Path) -> dict[str, Facts]:
    try:
        known = json.loads((target / LIST_NAME).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {path: facts for path, facts in known.items() if _is_entry(path, facts)}


def _is_entry(path: str, facts: object) -> bool:
    inside = not path.startswith("/") and ".." not in path.split("/")
    return (
        inside
        and isinstance(facts, list)
        and len(facts) == 2
        and all(type(fact) is int for fact in facts)
    )


def _write_list(target: Path, wanted: dict[str, StaticFile]) -> None:
    facts = {path: _facts(target / path) for path in sorted(wanted)}
    fresh = target / f"{LIST_NAME}.new"
    with _replacing(fresh, target / LIST_NAME):
        fresh.write_text(json.dumps(facts, indent=0) + "\n", encoding="utf-8")
