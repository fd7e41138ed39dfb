"""Jinja2 templates of an app (seed, Template Engine); ``was.render`` uses them."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jinja2

from atila.errors import ConfigError

if TYPE_CHECKING:
    from atila.app import Atila
    from atila.was import Was

RESERVED = frozenset(("was", "app", "request", "response", "context"))
PLAIN = (".txt", ".csv", ".json", ".md")


class Templates:
    """The template environment of one app.

    Attributes:
        env: the Jinja2 environment, there once the app starts to mount.
    """

    def __init__(self, app: Atila) -> None:
        self._app = app
        self.env = jinja2.Environment(autoescape=True)

    def prepare(self) -> None:
        """Make the environment; the app's home, configuration and debug flag are known now."""
        directories = [os.path.join(self._app.home, "templates")]
        directories += [self._app.abspath(path) for path in self._app.config.TEMPLATE_DIRS]
        self.env = jinja2.Environment(
            loader=jinja2.FileSystemLoader(directories),
            autoescape=escapes,
            auto_reload=self._app.debug,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"],
        )

    def render(self, was: Was, name: str, context: dict[str, Any]) -> str:
        """Render a template with the names of ``context``, also under ``context.``.

        Raises ``ConfigError`` when a name is one of the five that templates always have.
        """
        taken = RESERVED.intersection(context)
        if taken:
            raise ConfigError(
                f"was.render({name!r}): {sorted(taken)[0]!r} always means the same in a template, "
                "choose another name"
            )
        return self.env.get_template(name.lstrip("/")).render(
            context,
            was=was,
            app=self._app,
            request=was.request,
            response=was.response,
            context=SimpleNamespace(**context),
        )


def escapes(name: str | None) -> bool:
    """Whether values are escaped for HTML: everywhere but in files of plain text."""
    return name is None or not name.removesuffix(".j2").endswith(PLAIN)
