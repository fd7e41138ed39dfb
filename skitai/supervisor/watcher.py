"""Watches the source files of a service that runs with ``--devel``; the supervisor reloads then."""

from __future__ import annotations

import os
import threading
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
# Only what Python imports: templates and static files are read again when they change.
SUFFIX = ".py"
# All in milliseconds.
QUIET = 50  # without a further change, a set of changes is complete
DEBOUNCE = 100  # a set of changes is complete anyway
POLL_DELAY = 300  # where the file system can't notify
STOP_PATIENCE = 2.0  # seconds


class SourceWatcher:
    """A thread that calls ``on_change(path)`` in itself, once for each burst of changes.

    Parameters:
        paths: directories to watch with all below them; those that don't exist are left out.
        on_change: receives one of the changed files.
        log: told when nothing can be watched; the service goes on without.
    """

    def __init__(
        self, paths: Iterable[str], on_change: Callable[[str], None], log: logging.Logger
    ) -> None:
        absolute = {os.path.abspath(path) for path in paths}
        self._roots = sorted(path for path in absolute if os.path.isdir(path))
        self._on_change = on_change
        self._log = log
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start watching: nothing that changes after this call is missed."""
        if not self._roots:
            self._log.warning("reload on save is off: there is no directory to watch")
            return
        polls = bool(os.environ.get("WATCHFILES_FORCE_POLLING"))  # as watchfiles itself does
        try:
            files = RustNotify(self._roots, False, polls, POLL_DELAY, True, True)
        except OSError as exc:  # e.g. the system's limit of watches
            self._log.warning("reload on save is off: %s", exc)
            return
        self._thread = threading.Thread(
            target=self._watch, args=(files,), name="source-watcher", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread, if it was started."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(STOP_PATIENCE)

    def _watch(self, files: RustNotify) -> None:
        with files:
            while True:
                changes = files.watch(DEBOUNCE, QUIET, 0, self._stop)
                if isinstance(changes, str):  # "stop"
                    return
                sources = sorted(path for _, path in changes if self.is_source(path))
                if sources:
                    self._on_change(sources[0])

    def is_source(self, path: str) -> bool:
        """Whether a change of this file, of whatever kind, needs a restart.

        Only directories below a root are judged: a project may well live inside a ``.venv``.
        """
        if not path.endswith(SUFFIX):
            return False
        below = [os.path.relpath(path, root) for root in self._roots if path.startswith(root)]
        return any(IGNORED_DIRECTORIES.isdisjoint(name.split(os.sep)) for name in below)
