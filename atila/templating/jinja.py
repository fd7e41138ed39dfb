"""The Jinja2 environment of an app: what Jinja2 does by itself, and where apps need it otherwise.

``Templates`` makes one for each app (seed, Template Engine).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jinja2
from jinja2.runtime import Context
from jinja2.utils import internalcode, missing

from skitai.sql import Row

if TYPE_CHECKING:
    from collections.abc import MutableMapping

# What nothing is escaped in, by the end of its name, and what it is sent as: never as a page.
PLAIN = {
    ".txt": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
}
EXTENSIONS = ("jinja2.ext.do", "jinja2.ext.loopcontrols")

# Made from ``was`` when a template first asks for one: most templates never do.
_OF_WAS = {
    "request": lambda was: was.request,
    "response": lambda was: was.response,
}
# Names that mean a method of every dictionary, whatever its keys.
_DICT_METHODS = frozenset(dir(dict))
_ROWS: frozenset[type] = frozenset((dict, Row))


class PlainText(str):
    """What a template of plain text made: text in which nothing is escaped.

    Attributes:
        content_type: what it is sent as, unless the function sets another type.
    """

    content_type: str


def plain_text(text: str, content_type: str) -> PlainText:
    """A text that knows what it is sent as."""
    made = PlainText(text)
    made.content_type = content_type
    return made


@lru_cache(maxsize=1024)
def plain_type(name: str) -> str | None:
    """What a template of plain text is sent as; None for all others, which are pages.

    Its name tells: ``mail.txt`` and ``mail.txt.j2`` are plain.
    """
    stem = name.removesuffix(".j2")
    return next((kind for end, kind in PLAIN.items() if stem.endswith(end)), None)


def is_plain(name: str | None) -> bool:
    """Whether a template is plain text by its name."""
    return name is not None and plain_type(name) is not None


def escapes(name: str | None) -> bool:
    """Whether values are escaped for HTML: everywhere but in files of plain text."""
    return not is_plain(name)


class Given:
    """What was given to ``was.render``, as ``context`` in a template."""

    def __repr__(self) -> str:
        return f"context({', '.join(map(str, self.__dict__))})"


def given(names: dict[str, Any]) -> Given:
    """The names as attributes; nothing is copied."""
    made = Given()
    made.__dict__ = names
    return made


class RequestContext(Context):
    """The names of one rendering, with those that come from ``was``."""

    def resolve_or_missing(self, key: str) -> Any:
        if key in self.vars:
            return self.vars[key]
        if key in self.parent:
            return self.parent[key]
        if key in _OF_WAS and "was" in self.parent:
            return _OF_WAS[key](self.parent["was"])
        return missing


class Environment(jinja2.Environment):
    """Jinja2 with our defaults.

    A line that begins with ``%`` is a statement, one that begins with ``##`` a comment, except in
    files of plain text: there ``##`` is a heading. Jinja2's own line comments also begin in the
    middle of a line and would cut ``"###-##"`` in a script to pieces.

    Attributes:
        comment_prefix: what line comments begin with; None: there are none.
    """

    context_class = RequestContext

    def __init__(self, **options: Any) -> None:
        super().__init__(
            autoescape=escapes,
            trim_blocks=True,
            lstrip_blocks=True,
            line_statement_prefix="%",
            auto_reload=False,
            extensions=EXTENSIONS,
            **options,
        )
        self.comment_prefix: str | None = "##"
        self._line_comments = self._find_line_comments()
        self._html: Environment = self
        self._text: Environment | None = None

    def overlay(self, *args: Any, **options: Any) -> Environment:
        """An environment that shares all but ``options`` with this one."""
        prefix = options.pop("line_comment_prefix", self.comment_prefix)
        made = super().overlay(*args, **options)
        made.comment_prefix = prefix
        made._line_comments = made._find_line_comments()
        made._html, made._text = made, None
        return made

    def _find_line_comments(self) -> re.Pattern[str] | None:
        """Matches line comments as the group ``line``, and what may only look as if it had some."""
        if not self.comment_prefix:
            return None
        block, comment = re.escape(self.block_start_string), re.escape(self.comment_start_string)
        return re.compile(
            rf"{comment}.*?{re.escape(self.comment_end_string)}"
            rf"|{block}[-+]?\s*raw\b.*?{block}[-+]?\s*endraw\b"
            rf"|(?P<line>^[ \t]*{re.escape(self.comment_prefix)}[^\n]*)",
            re.MULTILINE | re.DOTALL,
        )

    def preprocess(self, source: str, name: str | None = None, filename: str | None = None) -> str:
        """The source without line comments; its lines keep their numbers."""
        source = super().preprocess(source, name, filename)
        if self._line_comments is None:
            return source
        return self._line_comments.sub(
            lambda found: found[0] if found["line"] is None else "", source
        )

    def forget(self) -> None:
        """Drop the templates that were loaded: a setting has changed."""
        if self.cache is not None:
            self.cache.clear()
        self._text = None

    @internalcode
    def _load_template(
        self, name: str, globals: MutableMapping[str, Any] | None
    ) -> jinja2.Template:
        # Every way to a template leads through here: include, import, extends, a list of names.
        wanted = self._html._for_text() if is_plain(name) else self._html
        if wanted is self:
            return super()._load_template(name, globals)
        return wanted._load_template(name, globals)

    def _for_text(self) -> Environment:
        if self._text is None:
            text = self.overlay(line_statement_prefix=None, line_comment_prefix=None)
            text._html, text._text = self, text
            self._text = text
        return self._text

    @internalcode
    def getattr(self, obj: Any, attribute: str) -> Any:
        """``obj.attribute`` in a template: an attribute, else an item."""
        # PERF: rows of tables are dictionaries. Jinja2 asks for the attribute first; its exception
        # costs 75 of 175 us for a page with 50 rows of 3 values.
        if type(obj) in _ROWS and attribute not in _DICT_METHODS:
            value = obj.get(attribute, missing)
            return self.undefined(obj=obj, name=attribute) if value is missing else value
        try:
            return getattr(obj, attribute)
        except AttributeError:
            pass
        try:
            return obj[attribute]
        except (TypeError, LookupError, AttributeError):
            return self.undefined(obj=obj, name=attribute)

    def render_names(self, template: jinja2.Template, names: dict[str, Any], was: Any) -> str:
        """Render with what was given to ``was.render``, and the names that every template has."""
        # PERF: Template.render copies and searches the globals through a ChainMap: 4 of 6.5 us of a
        # small page.
        every = {**self.globals, **names, "was": was, "app": was.app, "context": given(names)}
        context = self.context_class(
            template.environment, every, template.name, template.blocks, globals=self.globals
        )
        try:
            return "".join(template.root_render_func(context))
        except Exception:
            self.handle_exception()
