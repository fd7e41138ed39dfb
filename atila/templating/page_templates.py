"""Chameleon page templates (``*.pt``, ``*.ptal``), for apps that have some.

``Templates`` hands them over by their extension; the library is an extra.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateNotFound
from jinja2.loaders import split_template_path

from atila.errors import ConfigError
from atila.templating.jinja import given

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGES = (".pt", ".ptal")


class PageTemplates:
    """Finds and renders page templates."""

    def __init__(self) -> None:
        self._directories: list[str] = []
        self._debug = False
        self._loader: Any = None

    def prepare(self, directories: Sequence[str], debug: bool) -> None:
        """Set where templates are, and whether changed ones are read again."""
        self._directories = list(directories)
        self._debug = debug
        self._loader = None

    def render(self, was: Any, name: str, names: dict[str, Any]) -> str:
        """Render a template with the names that every template has.

        Raises ``ConfigError`` when the library is not installed, ``jinja2.TemplateNotFound`` when
        there is no such template.
        """
        if self._loader is None:
            self._loader = self._make_loader(name)
        every = {**names, "was": was, "app": was.app, "context": given(names)}
        every |= {"request": was.request, "response": was.response}
        return str(self._loader.load(self._find(name)).render(**every))

    def _find(self, name: str) -> str:
        """The path of a template; the library's own search would follow ``..`` and full paths."""
        parts = split_template_path(name)
        for directory in self._directories:
            path = os.path.join(directory, *parts)
            if os.path.isfile(path):
                return path
        searched = ", ".join(map(repr, self._directories))
        raise TemplateNotFound(name, f"{name!r} not found in search path: {searched}")

    def _make_loader(self, name: str) -> Any:
        try:
            from chameleon import PageTemplateLoader
        except ImportError as exc:
            raise ConfigError(
                f"template {name!r} needs the package Chameleon: pip install skitai[chameleon]"
            ) from exc
        return PageTemplateLoader(self._directories, auto_reload=self._debug)
