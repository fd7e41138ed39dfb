"""Smaller HTML pages: what ``MINIFY_HTML`` does to text results; ``results`` calls it."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from atila.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)
# White space at the start of a line has a meaning in these.
_VERBATIM = re.compile(r"<(pre|textarea|script|style)\b", re.IGNORECASE)


def make_minifier(choice: Any) -> Callable[[str], str] | None:
    """What to do with a page by ``config.MINIFY_HTML``; None when it is off.

    Parameters:
        choice: ``"strip"`` removes the blanks at the start of lines, ``"minify"`` all that a
            browser doesn't need; False, None or ``""``: off.

    Raises ``ConfigError`` for something else, and when what ``"minify"`` needs is not installed.
    """
    if not choice:
        return None
    if choice == "strip":
        return strip_lines
    if choice != "minify":
        raise ConfigError(f"config.MINIFY_HTML is {choice!r}: give 'strip', 'minify' or False")
    try:
        import minify_html
    except ImportError as exc:
        raise ConfigError(
            "config.MINIFY_HTML is 'minify', which needs the package minify-html: "
            "pip install skitai[minify]"
        ) from exc
    # Scripts stay as they are: a page must never break because it was made smaller.
    return partial(
        minify_html.minify,
        minify_css=True,
        keep_closing_tags=True,
        keep_html_and_head_opening_tags=True,
    )


def strip_lines(page: str) -> str:
    """Remove the blanks at the start of lines, except where they mean something."""
    pieces: list[str] = []
    at = 0
    while found := _VERBATIM.search(page, at):
        end = re.compile(rf"</{found[1]}\b", re.IGNORECASE).search(page, found.end())
        stop = end.end() if end else len(page)
        pieces += (_strip(page[at : found.start()], at), page[found.start() : stop])
        at = stop
    pieces.append(_strip(page[at:], at))
    return "".join(pieces)


def _strip(piece: str, at: int) -> str:
    """A piece without indents; what follows a verbatim element doesn't begin a line."""
    if at == 0:
        return _INDENT.sub("", piece)
    first, line_break, rest = piece.partition("\n")
    return first + line_break + _INDENT.sub("", rest)
