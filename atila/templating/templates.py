"""Templates of an app (seed, Template Engine): where they are, what they can call.

``was.render`` renders with them; an app customises them through ``app.jinja_env`` and the
decorators below.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

import jinja2

from atila.errors import ConfigError
from atila.templating.jinja import Environment, plain_text, plain_type
from atila.templating.page_templates import PAGES, PageTemplates

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2.ext import Extension

    from atila.app import Atila

F = TypeVar("F", bound="Callable[..., Any]")

RESERVED = frozenset(("was", "app", "request", "response", "context"))
KEPT = 400  # templates whose look-up is remembered
# Names for ``was`` as the first parameter of a template's function.
_WAS = ("was", "context")

# Delimiters for app.skito_jinja: variables, blocks, comments.
PRESETS = {
    0: ("${", "}", "<%", "%>", "<!---", "--->"),
    1: ("${", "}", "{%", "%}", "{#", "#}"),
    5: ("{:", ":}", "{%", "%}", "{#", "#}"),
}


class Templates:
    """The templates of one app.

    Attributes:
        env: the Jinja2 environment.
    """

    def __init__(self, app: Atila) -> None:
        self._app = app
        self._loader = jinja2.FileSystemLoader([])
        self._pages = PageTemplates()
        self._loaded: dict[str, jinja2.Template] = {}
        self.env = Environment(loader=self._loader)

    def prepare(self) -> None:
        """Take over home, configuration and debug flag of the app; may be called again."""
        self._loader.searchpath = directories = self._app.template_directories()
        self._pages.prepare(directories, self._app.debug)
        self.env.auto_reload = self._app.debug
        self._forget()

    def _forget(self) -> None:
        self._loaded.clear()
        self.env.forget()

    def render(self, was: Any, name: str, names: dict[str, Any]) -> str:
        """Render a template with names, also under ``context.``.

        Parameters:
            was: of the request.
            name: path below one of the directories; a slash in front doesn't matter.
            names: what the template can use beside ``was``, ``app``, ``request``, ``response`` and
                ``context``.

        Returns ``PlainText`` for a template in which nothing is escaped.

        Raises ``ConfigError`` when a name is one of these five, ``jinja2.TemplateNotFound``, which
        names the searched directories, and what goes wrong in the template.
        """
        if not RESERVED.isdisjoint(names):
            taken = min(RESERVED.intersection(names))
            raise ConfigError(
                f"was.render({name!r}): {taken!r} always means the same in a template, "
                "choose another name"
            )
        template = self._loaded.get(name)
        if template is None:
            if name.endswith(PAGES):
                return self._pages.render(was, name.lstrip("/"), names)
            template = self._load(name)
        text = self.env.render_names(template, names, was)
        kind = plain_type(name)
        return text if kind is None else plain_text(text, kind)

    def _load(self, name: str) -> jinja2.Template:
        template = self.env.get_template(name.lstrip("/"))
        if not self._app.debug and len(self._loaded) < KEPT:
            self._loaded[name] = template
        return template

    def add_global(self, name: str, function: Callable[..., Any]) -> None:
        """Let templates call a function; see ``app.template_global``."""
        _check(name, function, "template_global")
        if name in RESERVED:
            raise ConfigError(
                f"template_global({name!r}): {name} always means the same in a template, "
                "choose another name"
            )
        self.env.globals[name] = _with_was(name, function) if takes_was(function) else function

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """Let templates filter with a function; see ``app.template_filter``."""
        _check(name, function, "template_filter")
        self.env.filters[name] = function

    def add_extension(self, extension: str | type[Extension]) -> None:
        """Add an extension of Jinja2; see ``app.add_jinja_ext``."""
        try:
            self.env.add_extension(extension)
        except (ImportError, AttributeError) as exc:
            raise ConfigError(f"add_jinja_ext({extension!r}): there is no such extension") from exc
        self._forget()

    def overlay(self, options: dict[str, Any]) -> None:
        """Change settings of the environment; see ``app.jinja_overlay``."""
        if options.get("enable_async"):
            raise ConfigError(
                "jinja_overlay: was.render is no coroutine, enable_async can't be set"
            )
        try:
            self.env = self.env.overlay(**options)
        except (TypeError, AssertionError) as exc:
            raise ConfigError(f"jinja_overlay: {exc}") from exc
        self._forget()


def takes_was(function: Callable[..., Any]) -> bool:
    """Whether the first parameter of a template's function is named ``was`` or ``context``.

    A function that Jinja2's own decorators have marked gets what they say.
    """
    if hasattr(function, "jinja_pass_arg"):
        return False
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # some of the functions written in C have no signature
        return False
    return bool(parameters) and parameters[0].name in _WAS


def _with_was(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @jinja2.pass_context
    def call(context: jinja2.runtime.Context, /, *args: Any, **kwargs: Any) -> Any:
        was = context.get("was")
        if was is None:
            raise jinja2.TemplateRuntimeError(
                f"{name}() needs was, which is not here: import this template 'with context'"
            )
        return function(was, *args, **kwargs)

    return call


def _check(name: object, function: object, what: str) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigError(f"{what}({name!r}): give a name that a template can write")
    if not callable(function):
        raise ConfigError(f"{what}({name!r}) must decorate a function, not {function!r}")


class TemplateDecorators:
    """How an app customises its templates (seed, Customizing Jinja2)."""

    templates: Templates

    @property
    def jinja_env(self) -> Environment:
        """The Jinja2 environment; set it up before the first template is rendered."""
        return self.templates.env

    def template_global(self, name: str) -> Callable[[F], F]:
        """Let templates call a function by ``name``.

        The function gets ``was`` if its first parameter is named ``was`` or ``context``.
        """

        def declare(function: F) -> F:
            self.templates.add_global(name, function)
            return function

        return declare

    def template_filter(self, name: str) -> Callable[[F], F]:
        """Let templates use a function as the filter ``name``; it gets the value first."""

        def declare(function: F) -> F:
            self.templates.add_filter(name, function)
            return function

        return declare

    def add_jinja_ext(self, extension: str | type[Extension]) -> None:
        """Add an extension of Jinja2, e.g. ``"jinja2.ext.i18n"``.

        Raises ``ConfigError`` when there is no such extension.
        """
        self.templates.add_extension(extension)

    def jinja_overlay(
        self,
        variable_start_string: str = "{{",
        variable_end_string: str = "}}",
        block_start_string: str = "{%",
        block_end_string: str = "%}",
        comment_start_string: str = "{#",
        comment_end_string: str = "#}",
        line_statement_prefix: str | None = "%",
        line_comment_prefix: str | None = "##",
        **options: Any,
    ) -> None:
        """Change what templates look like.

        Parameters:
            line_statement_prefix, line_comment_prefix: None: there are none.
            options: others of ``jinja2.Environment``, e.g. ``trim_blocks`` or ``undefined``.

        Raises ``ConfigError`` for options that Jinja2 doesn't know or that contradict each other.
        """
        delimiters = {
            "variable_start_string": variable_start_string,
            "variable_end_string": variable_end_string,
            "block_start_string": block_start_string,
            "block_end_string": block_end_string,
            "comment_start_string": comment_start_string,
            "comment_end_string": comment_end_string,
            "line_statement_prefix": line_statement_prefix,
            "line_comment_prefix": line_comment_prefix,
        }
        self.templates.overlay({**delimiters, **options})

    def skito_jinja(self, option: int = 0) -> None:
        """Use a set of delimiters that leaves ``{{ }}`` to JavaScript; see ``PRESETS``.

        Raises ``ConfigError`` for a set that doesn't exist.
        """
        if option not in PRESETS:
            raise ConfigError(f"skito_jinja({option!r}): give one of {list(PRESETS)}")
        variable, variable_end, block, block_end, comment, comment_end = PRESETS[option]
        self.jinja_overlay(variable, variable_end, block, block_end, comment, comment_end)
