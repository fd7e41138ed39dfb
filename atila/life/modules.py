"""What an app can say of its parts: ``app.mount``, ``extends``, ``overrides``, files, templates.

``Atila`` inherits the methods; a preference has the same, see ``skitai.preference``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import skitai
from atila.errors import ConfigError
from skitai.preference import Configurable, template_directories

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from atila.life.lifecycle import Lifecycle
    from skitai.preference import Place


class ModuleMethods(Configurable):
    """Mounting, extending and overriding, as methods of the app (seed, First App)."""

    home: str
    lifecycle: Lifecycle

    @property
    def basepath(self) -> str:
        """The mount point of the app, with a slash at its end; ``/`` before it is mounted."""
        return self.lifecycle.point

    @property
    def _home(self) -> Path:  # type: ignore[override]  # the script may be known only later
        return Path(skitai.getswd())

    def mount(self, point: str, *modules: Any, **options: Any) -> None:
        """Mount modules with ``__setup__`` and ``__mount__`` hooks (seed, Cascaded Service Mount).

        Before the app starts the mount is queued; in ``__setup__`` it is done at once, below the
        point of the module whose hook runs.

        Parameters:
            point: ``""`` or beginning with ``/``.
            modules: modules, functions ``f(app[, mntopt])``, or paths: those are mounted for the
                whole service, as ``skitai.mount`` does it.
            options: ``ns`` (prefix of resource ids), ``debug_only``, ``authenticate``, and whatever
                the hooks should find in ``mntopt``.

        Raises ``ConfigError`` for what can't be mounted, ``RuntimeError`` from ``__mount__`` on.
        """
        if self.lifecycle.started:
            self.lifecycle.mount(point, *modules, **options)
            return
        if not modules:
            raise ConfigError(f"app.mount({point!r}): give a module to mount there")
        for module in modules:
            if isinstance(module, str):
                skitai.mount(point, module, **options)
            else:
                self.mount_later(point, module, **options)

    mount_with = decorate_with = mount

    def mount_later(self, *args: Any, **options: Any) -> None:
        """Queue a mount for the start; in ``__setup__`` it is done at once."""
        if self.lifecycle.started:
            self.lifecycle.mount(*args, **options)
        else:
            super().mount_later(*args, **options)

    def extends(self, module: ModuleType) -> None:
        """``pref.extends``; in ``__setup__`` the module is mounted at once."""
        self.lifecycle.check_stage("app.extends()")
        known = module in self.extended
        super().extends(module)
        if self.lifecycle.started and not known:
            self.lifecycle.extend(module)

    def overrides(self, module: ModuleType | Callable[..., Any]) -> None:
        """``pref.overrides``; in ``__setup__`` the module is mounted when all others are."""
        self.lifecycle.check_stage("app.overrides()")
        super().overrides(module)

    def _add_static(self, url: str | None, directory: Path, place: Place) -> None:
        self.lifecycle.check_incomplete("directories of files")
        super()._add_static(url, directory, place)

    def template_directories(self) -> list[str]:
        """Where templates are looked for, in this order.

        What overrides the app, its own ``templates``, ``config.TEMPLATE_DIRS``, what it extends.
        """
        given = self.config.get("TEMPLATE_DIRS") or []
        further = [skitai.abspath(path) for path in ([given] if isinstance(given, str) else given)]
        return template_directories(
            os.path.join(self.home, "templates"), further, self.template_places
        )

    def joinpath(self, *parts: str) -> str:
        """A path relative to the app's directory."""
        return os.path.normpath(os.path.join(self.home, *parts))

    def abspath(self, *parts: str) -> str:
        """A path relative to the launch script's directory."""
        return skitai.abspath(*parts)

    def get_resource(self, *parts: str) -> str:
        """A path below the directory ``resources`` of the app."""
        return self.joinpath("resources", *parts)
