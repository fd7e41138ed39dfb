"""Links that open a line of source in the developer's editor: ``SKITAI_EDITOR``."""

from __future__ import annotations

import logging
import os
import re
from functools import lru_cache
from urllib.parse import quote

VARIABLE = "SKITAI_EDITOR"
EDITORS = {
    "vscode": "vscode://file/{file}:{line}",
    "vscodium": "vscodium://file/{file}:{line}",
    "cursor": "cursor://file/{file}:{line}",
    "zed": "zed://file/{file}:{line}",
    "pycharm": "pycharm://open?file={file}&line={line}",
    "idea": "idea://open?file={file}&line={line}",
    "sublime": "subl://open?url=file://{file}&line={line}",
    "textmate": "txmt://open?url=file://{file}&line={line}",
    "emacs": "emacs://open?url=file://{file}&line={line}",
    "macvim": "mvim://open?url=file://{file}&line={line}",
}
# What a browser would run, or show itself.
_REFUSED = ("javascript", "data", "vbscript", "blob")
_LINK = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*):[^\s\"'<>]*\{file\}[^\s\"'<>]*", re.I)

log = logging.getLogger("skitai")


@lru_cache(maxsize=8)
def _pattern(given: str) -> str:
    pattern = EDITORS.get(given.lower(), given)
    found = _LINK.fullmatch(pattern)
    if found is None or found["scheme"].lower() in _REFUSED:
        log.warning(
            "%s=%r is no link with {file}: give one such as vscode://file/{file}:{line}, or one of "
            "%s", VARIABLE, given, ", ".join(EDITORS),
        )  # fmt: skip
        return ""
    return pattern


def editor_link(file: str, line: int) -> str:
    """A link to a line of a file; empty without an editor, and for what is no file.

    ``SKITAI_EDITOR`` is the name of an editor in `EDITORS`, or a link with ``{file}`` and
    ``{line}``, such as ``vscode://file/{file}:{line}``.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given or not os.path.isabs(file):
        return ""
    pattern = _pattern(given)
    return pattern.replace("{file}", quote(file, "/")).replace("{line}", str(line))
