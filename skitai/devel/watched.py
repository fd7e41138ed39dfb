"""What a worker has mounted, as the master has to watch it under ``--devel``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from skitai.importer import is_library

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST = 500  # paths of one sort


def find_watched(
    sources: Iterable[str], statics: Iterable[str], media: Iterable[str], apps: Iterable[Any]
) -> dict[str, list[str]]:
    """The arguments of ``FileWatcher.watch``.

    Parameters:
        sources: directories of code.
        statics: directories of static files.
        media: those of uploaded files among them.
        apps: when they have run their hooks.
    """
    templates = [
        directory
        for app in apps
        if hasattr(app, "template_directories")
        for directory in app.template_directories()
    ]
    directories, files = _loaded()
    found = {
        "sources": [*sources, *directories],
        "assets": [*statics, *templates],
        "apart": list(media),
        "named": files,
    }
    return {sort: list(dict.fromkeys(paths))[:MOST] for sort, paths in found.items()}


def _loaded() -> tuple[list[str], list[str]]:
    """Packages and single files of code that belong to nobody else: the user's, wherever it is."""
    directories, files = set(), set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py") or is_library(file):
            continue
        path = os.path.abspath(file)
        if "." in name or os.path.basename(path) == "__init__.py":
            directories.add(os.path.dirname(path))
        else:
            files.add(path)
    return sorted(directories), sorted(files)
