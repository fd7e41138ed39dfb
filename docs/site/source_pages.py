"""Pages with the source of files that documents link to, readable without a forge; for `hooks`."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 200_000  # bytes of a file that is shown
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="{up}site.svg">
<link rel="stylesheet" href="{up}source/source.css">
<p><a href="{up}index.html">Documents</a> / {title}</p>
{body}
</html>
"""
_STYLE = """body { font: 15px/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 64rem;
  padding: 0 1rem; }
pre { font-size: 13px; line-height: 1.45; overflow-x: auto; padding: 1rem; border-radius: 4px; }
.linenos { opacity: .5; padding-right: 1rem; user-select: none; }
"""


class SourceTree:
    """Files and directories of the project that are shown."""

    def __init__(self) -> None:
        self._places: set[str] = set()

    def add(self, place: str) -> None:
        """Show a file, or a directory with all text files in it, if it exists."""
        path = ROOT / place
        if not path.exists():
            return
        self._places.add(place)
        if path.is_dir():
            for entry in sorted(path.iterdir()):
                if self._is_shown(entry):
                    self.add(entry.relative_to(ROOT).as_posix())

    @staticmethod
    def page_of(place: str) -> str:
        """The path of a file's page in the site."""
        return f"source/{place}.html"

    def pages(self) -> Iterator[tuple[str, str]]:
        """Path and content of each page, and of their style."""
        if self._places:
            yield "source/source.css", _style()
        for place in sorted(self._places):
            path = ROOT / place
            page = self.page_of(place)
            body = self._directory(place) if path.is_dir() else _source(path)
            up = "../" * page.count("/")
            yield page, _PAGE.format(title=html.escape(place), body=body, up=up)

    def _directory(self, place: str) -> str:
        name = os.path.basename(place)
        inside = [inner for inner in sorted(self._places) if os.path.dirname(inner) == place]
        files = map(os.path.basename, inside)
        items = [f'<li><a href="{name}/{file}.html">{file}</a></li>' for file in files]
        return f"<ul>{''.join(items)}</ul>"

    @staticmethod
    def _is_shown(path: Path) -> bool:
        if path.name[0] in "_." and path.name != "__init__.py":
            return False
        if path.is_dir():
            return True
        return path.stat().st_size <= LARGEST and b"\0" not in path.read_bytes()


def _source(path: Path) -> str:
    try:
        lexer = get_lexer_for_filename(path.name)
    except ClassNotFound:
        lexer = TextLexer()
    text = path.read_text(encoding="utf-8", errors="replace")
    formatter = HtmlFormatter(linenos="inline", lineanchors="line", wrapcode=True)
    return str(highlight(text, lexer, formatter))


def _style() -> str:
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return f"{_STYLE}{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"
