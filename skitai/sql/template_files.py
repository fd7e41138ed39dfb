"""Templates in files: ``<sql name="…">`` blocks of the ``.sql`` files of a directory, read once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skitai.sql.errors import SqlError
from skitai.sql.templates import parse_template

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.sql.templates import Template

DEFAULT = "default"
# What db.name already is.
TAKEN = frozenset(
    """
    begin cancel close commit cursor delete dialect done execute from_string insert rollback run
    select sql statement stream template transaction update with_
    """.split()
)
_TAG = re.compile(r"<sql\s+name\s*=\s*([\"'])(?P<name>.*?)\1\s*>|</sql\s*>|<sql\b")


class SqlTemplates:
    """The templates of a directory.

    Parameters:
        directory: with the files. ``users.sql`` has those of ``db.users``, ``default.sql`` has what
            ``db`` has itself.

    Raises ``SqlError`` for a malformed file, naming it and the line; ``OSError`` for one that can't
    be read.
    """

    def __init__(self, directory: str | Path) -> None:
        path = Path(directory)
        if not path.is_dir():
            raise SqlError(f"templates: {str(directory)!r} is no directory")
        self._files = {file.stem: read_file(file) for file in sorted(path.glob("*.sql"))}
        for name in [*self._files, *self._files.get(DEFAULT, {})]:
            if name in TAKEN:
                raise SqlError(f"templates in {directory}: {name!r} can't be reached as db.{name}")

    def find(self, name: str, begin: Callable[[str], Template]) -> Any:
        """A template of ``default.sql``, or the templates of a file; None for an unknown name.

        Parameters:
            name: of the template or the file.
            begin: makes a builder of a text.
        """
        text = self._files.get(DEFAULT, {}).get(name)
        if text is not None:
            return begin(text)
        texts = self._files.get(name)
        return None if texts is None else TemplateFile(texts, begin)

    @property
    def names(self) -> list[str]:
        """What ``find`` knows."""
        return sorted({*self._files, *self._files.get(DEFAULT, {})} - {DEFAULT})


class TemplateFile:
    """The templates of one file: ``db.users.newest``. Each use makes a new builder."""

    __slots__ = ("_begin", "_texts")

    def __init__(self, texts: dict[str, str], begin: Callable[[str], Template]) -> None:
        self._texts = texts
        self._begin = begin

    def __getattr__(self, name: str) -> Template:
        text = None if name.startswith("_") else self._texts.get(name)
        if text is None:
            known = "" if name.startswith("_") else f"; known are {', '.join(self._texts)}"
            raise AttributeError(f"there is no SQL template {name!r}{known}")
        return self._begin(text)


def read_file(path: Path) -> dict[str, str]:
    """The texts of a file by their names. What is outside the blocks is a comment."""
    if not path.stem.isidentifier():
        raise SqlError(
            f"{path}: a file of templates is named as an attribute is: letters, digits, _"
        )
    content = path.read_text(encoding="utf-8")
    texts: dict[str, str] = {}
    opened: re.Match[str] | None = None
    for tag in _TAG.finditer(content):
        place = f"{path}:{content.count(chr(10), 0, tag.start()) + 1}"
        name = tag["name"]
        if tag[0].startswith("</"):
            if opened is None:
                raise SqlError(f"{place}: </sql> ends nothing")
            texts[opened["name"]] = _checked(content[opened.end() : tag.start()], place)
            opened = None
        elif opened is not None:
            raise SqlError(f"{place}: the template {opened['name']!r} before it is not closed")
        elif name is None or not name.isidentifier() or name in texts:
            raise SqlError(f"{place}: {tag[0]} needs a name of its own: letters, digits and _")
        else:
            opened = tag
    if opened is not None:
        raise SqlError(f"{path}: the template {opened['name']!r} is not closed")
    if not texts:
        raise SqlError(f'{path}: there is no <sql name="…"> in this file')
    return texts


def _checked(text: str, place: str) -> str:
    try:
        parse_template(text)
    except SqlError as exc:
        raise SqlError(f"{place}: {exc}") from None
    if not text.strip():
        raise SqlError(f"{place}: the template is empty")
    return text
