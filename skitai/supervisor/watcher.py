"""Watches the files of a service that runs with ``--devel``, and says what a change asks for."""

from __future__ import annotations

import enum
import os
import threading
from itertools import islice
from typing import TYPE_CHECKING

# Documented by watchfiles for direct use: when it is made, the watches are in place, while
# `watchfiles.watch` sets them up in its loop and what is saved until then goes unnoticed.
from watchfiles._rust_notify import RustNotify

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterable

IGNORED_DIRECTORIES = frozenset(
    (".git", ".hg", ".venv", "__pycache__", "node_modules", ".mypy_cache", ".pytest_cache", ".tox")
)
# By convention of all frameworks that can be hosted; what an app says of its own is added.
TEMPLATES, STATIC = "templates", "static"
# All in milliseconds.
QUIET = 30  # without a further change, a set of changes is complete
DEBOUNCE = 400  # a set of changes is complete anyway
POLL_DELAY = 300  # where the file system can't notify
RETURN_DELAY = 200  # a directory that was deleted is looked for so often
DELETED = 3  # of watchfiles
STOP_PATIENCE = 2.0  # seconds
MAX_NEW = 2000  # files of a new directory that are looked at


class Kind(enum.IntEnum):
    """What a change asks for; the highest of a set of changes counts."""

    NOTHING = 0
    STYLE = 1  # new stylesheets in the browser
    PAGE = 2  # pages loaded anew
    CODE = 3  # a new worker


class FileWatcher:
    """Threads that call ``on_change(kind, path)``, once for each burst of changes.

    Parameters:
        on_change: receives the highest kind of the changes and one of the files it is due to.
        log: told when nothing can be watched; the service goes on without.
    """

    def __init__(self, on_change: Callable[[Kind, str], None], log: logging.Logger) -> None:
        self._on_change = on_change
        self._log = log
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._roots: set[str] = set()  # with all that is below
        self._flat: set[str] = set()  # only themselves
        self._assets: set[str] = set()
        self._apart: set[str] = set()
        self._named: set[str] = set()

    def watch(
        self,
        sources: Iterable[str],
        *,
        assets: Iterable[str] = (),
        apart: Iterable[str] = (),
        named: Iterable[str] = (),
    ) -> None:
        """Watch more; nothing that changes after this call is missed.

        Parameters:
            sources: directories of code; those that don't exist are left out.
            assets: directories of templates and static files.
            apart: directories of files that come and go, such as uploads.
            named: files and directories that the code depends on, whatever they are.
        """
        named = [os.path.abspath(path) for path in named]
        self._assets |= {os.path.abspath(path) for path in assets}
        self._apart |= {os.path.abspath(path) for path in apart}
        self._named |= set(named)
        wanted = {os.path.abspath(path) for path in sources} | self._assets | set(named)
        roots = [path for path in sorted(wanted) if os.path.isdir(path)]
        # A file that an editor replaces is another one for the system: its directory is watched.
        flat = {os.path.dirname(path) for path in named if not os.path.isdir(path)}
        self._add(self._uncovered(roots), recursive=True)
        self._add(sorted(path for path in flat if not self._covers(path)), recursive=False)
        if not self._roots and not self._flat:
            self._log.warning("reload on save is off: there is no directory to watch")

    def stop(self) -> None:
        """End the threads."""
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_PATIENCE)

    # Threads

    def _uncovered(self, roots: list[str]) -> list[str]:
        found: list[str] = []
        for path in roots:
            if not self._covers(path) and not any(_is_below(path, other) for other in found):
                found.append(path)
        return found

    def _covers(self, path: str) -> bool:
        return path in self._flat or any(_is_below(path, root) for root in self._roots)

    def _add(self, paths: list[str], *, recursive: bool) -> None:
        paths = [path for path in paths if os.path.isdir(path)]
        if not paths:
            return
        files = self._open(paths, recursive)
        if files is None:
            return
        (self._roots if recursive else self._flat).update(paths)
        thread = threading.Thread(
            target=self._run, args=(files, paths, recursive), name="file-watcher", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _open(self, paths: list[str], recursive: bool) -> RustNotify | None:
        polls = bool(os.environ.get("WATCHFILES_FORCE_POLLING"))  # as watchfiles itself does
        try:
            return RustNotify(paths, False, polls, POLL_DELAY, recursive, True)
        except OSError as exc:  # e.g. the system's limit of watches
            self._log.warning("reload on save is off for %s: %s", ", ".join(paths), exc)
            return None

    def _run(self, files: RustNotify | None, paths: list[str], recursive: bool) -> None:
        """Report changes; a directory that was deleted is watched again when it is back."""
        lost: set[str] = set()
        while files is not None:
            with files:
                now = self._report(files, paths, lost)
            if now is None:
                return
            files = self._open([path for path in paths if path not in now], recursive)
            self._tell(lost - now)
            lost = now

    def _report(self, files: RustNotify, paths: list[str], lost: set[str]) -> set[str] | None:
        """Tell of changes until others than the ``lost`` directories are lost: which; None: end."""
        while True:
            changes = files.watch(DEBOUNCE, QUIET, RETURN_DELAY if lost else 0, self._stop)
            if changes == "stop":
                return None
            found = set() if isinstance(changes, str) else changes
            self._tell(path for _, path in found)
            deleted = {path for kind, path in found if kind == DELETED}
            now = {path for path in paths if path in deleted or not os.path.isdir(path)}
            if now != lost:
                return now

    def _tell(self, paths: Iterable[str]) -> None:
        found = [(self.kind_of(path), path) for path in sorted(paths)]
        kind = max((kind for kind, _ in found), default=Kind.NOTHING)
        if kind:
            self._on_change(kind, next(path for one, path in found if one == kind))

    # Judging

    def kind_of(self, path: str) -> Kind:
        """What a change of this file, of whatever sort, asks for.

        What is in a new directory may have been there before it was watched, so all of it counts.
        """
        if os.path.isdir(path) and not os.path.islink(path):
            within = (os.path.join(at, name) for at, _, names in os.walk(path) for name in names)
            return max(map(self._judge, islice(within, MAX_NEW)), default=Kind.NOTHING)
        return self._judge(path)

    def _judge(self, path: str) -> Kind:
        if any(_is_below(path, named) for named in self._named):
            return Kind.CODE
        name = os.path.basename(path)
        if name.startswith((".", "#")) or name.endswith(("~", ".tmp", ".swp", ".pyc")):
            return Kind.NOTHING  # of editors
        # Only directories below a root are judged: a project may well live inside a ``.venv``.
        below = [self._parts(path, root) for root in self._roots if _is_below(path, root)]
        below = [parts for parts in below if IGNORED_DIRECTORIES.isdisjoint(parts)]
        if not below:
            return Kind.NOTHING
        if name.endswith(".py"):
            return Kind.CODE
        if any(_is_below(path, place) for place in self._apart):
            return Kind.NOTHING
        parts = {part for found in below for part in found}
        if TEMPLATES in parts:
            return Kind.PAGE
        if STATIC in parts or any(_is_below(path, place) for place in self._assets):
            return Kind.STYLE if name.endswith(".css") else Kind.PAGE
        return Kind.NOTHING

    def _parts(self, path: str, root: str) -> list[str]:
        return os.path.relpath(path, root).split(os.sep)[:-1]


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)
