"""Templates in files: ``<sql name="…">`` blocks of the ``.sql`` files of a directory, read once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skitai.sql.errors import SqlError
from skitai.sql.templates import Template, parse_template

if TYPE_CHECKING:
    from skitai.sql.builder import Runner
    from skitai.sql.dialects import Dialect

DEFAULT = "default"
# What db.name already is.
TAKEN = frozenset(
    """
    close commit cursor delete dialect execute from_string insert rollback run select sql statement
    stream template transaction update with_
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

    def find(self, name: str, dialect: Dialect, runner: Runner | None) -> Any:
        """A template of ``default.sql``, or the templates of a file; None for an unknown name."""
        text = self._files.get(DEFAULT, {}).get(name)
        if text is not None:
            return Template(dialect, runner, text)
        file = self._files.get(name)
        return None if file is None else TemplateFile(name, file, dialect, runner)

    @property
    def names(self) -> list[str]:
        """What ``find`` knows."""
        return sorted({*self._files, *self._files.get(DEFAULT, {})} - {DEFAULT})


class TemplateFile:
    """The templates of one file: ``db.users.newest``. Each use makes a new builder."""

    def __init__(
        self, name: str, texts: dict[str, str], dialect: Dialect, runner: Runner | None
    ) -> None:
        self._name = name
        self._texts = texts
        self._dialect = dialect
        self._runner = runner

    def __getattr__(self, name: str) -> Template:
        texts = self.__dict__.get("_texts", {})
        if name not in texts:
            known = ", ".join(texts)
            raise AttributeError(f"there is no SQL template {name!r}; known are {known}")
        return Template(self._dialect, self._runner, texts[name])


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
