"""What a launch script prefers for one app: attributes, configuration, static files, extensions.

Scripts and ``__config__`` hooks write it, `Mount` reads it. Nothing takes effect before mounting.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError
from skitai.importer import existing_directory, guarded, put_first

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_STATIC_URL = "/static/"
PRESET = {"MAX_UPLOAD_SIZE": 256 * 1024 * 1024}


class Place(IntEnum):
    """Where a static directory stands among those of one url; the lowest is asked first."""

    OVERRIDING = 0
    FRONT = 1
    BACK = 2
    EXTENDED = 3


@dataclass(frozen=True)
class StaticDirectory:
    """A directory to be served; ``url`` None means ``config.STATIC_URL`` at start."""

    url: str | None
    path: Path
    place: Place


class AttributeDict(dict[str, Any]):
    """A dictionary whose keys are attributes too: ``config.X`` is ``config["X"]``."""

    __slots__: tuple[str, ...] = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r} was not set") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            raise ConfigError(
                f"{name} is a method here and can't be set to {value!r}: choose another name"
            )
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(f"{name!r} was not set") from None


class Preference(AttributeDict):
    """Runtime preference of one app (seed, First App, "More About Preference").

    Each item becomes an attribute of the app, each item of ``config`` goes into ``app.config``.
    A context manager only for looks: nothing is undone at the end of the block.

    Parameters:
        home: the launch script's directory; relative paths start there.
        preset: begin with ``config.MAX_UPLOAD_SIZE`` = 268435456 bytes. Default: empty.
        path: a directory that is put in front of ``sys.path``.
        configs: first entries of ``config``.

    Raises `ConfigError` for directories that don't exist and urls that don't begin with ``/``.
    """

    __slots__ = ("_home", "config", "extended", "mountables", "overriding", "statics")

    _home: Path
    config: AttributeDict
    mountables: list[tuple[tuple[Any, ...], dict[str, Any]]]
    statics: list[StaticDirectory]
    extended: list[ModuleType]
    overriding: list[ModuleType]

    def __init__(
        self,
        home: Path,
        preset: bool = False,
        path: str | None = None,
        configs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._home = home
        self.config = AttributeDict({**(PRESET if preset else {}), **(configs or {})})
        self.mountables = []
        self.statics = []
        self.extended = []
        self.overriding = []
        if path is not None:
            put_first(self._directory("path", path))

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "config":
            value = AttributeDict(value)
        if name in Preference.__slots__:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def __enter__(self) -> Preference:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def copy(self) -> Preference:
        """Return an independent preference with copies of all that was set."""
        other = Preference(self._home)
        other.update(copy.deepcopy(dict(self)))
        other.config = copy.deepcopy(self.config)
        for name in ("mountables", "statics", "extended", "overriding"):
            setattr(other, name, list(getattr(self, name)))
        return other

    def mount_later(self, *args: Any, **options: Any) -> None:
        """Queue an ``app.mount (*args, **options)`` for when the app starts."""
        self.mountables.append((args, options))

    def set_static(self, url: str, path: str | None = None) -> None:
        """Serve a directory at ``url``, before other directories there and before routes.

        Parameters:
            url: becomes ``config.STATIC_URL``.
            path: becomes ``config.STATIC_ROOT``; None: only the url changes.
        """
        self.config["STATIC_URL"] = _check_url("set_static", url)
        if path is not None:
            directory = self._directory("set_static", path)
            self.config["STATIC_ROOT"] = str(directory)
            self._add_static(StaticDirectory(url, directory, Place.FRONT))

    def set_media(self, url: str, path: str) -> None:
        """Serve a directory of uploaded files; sets ``config.MEDIA_URL`` and ``MEDIA_ROOT``."""
        self.config["MEDIA_URL"] = _check_url("set_media", url)
        directory = self._directory("set_media", path)
        self.config["MEDIA_ROOT"] = str(directory)
        self._add_static(StaticDirectory(url, directory, Place.FRONT))

    def add_static(self, path: str, front: bool = False) -> None:
        """Serve one more directory at ``config.STATIC_URL``, after the others or in front."""
        place = Place.FRONT if front else Place.BACK
        self._add_static(StaticDirectory(None, self._directory("add_static", path), place))

    def add_template_dir(self, d: str, front: bool = False) -> None:
        """Look for templates in ``d`` too; a directory that is known keeps its position."""
        directories = self.config.setdefault("TEMPLATE_DIRS", [])
        text = str(self._directory("add_template_dir", d))
        if text not in directories:
            directories.insert(0 if front else len(directories), text)

    def add_resources(self, module: ModuleType, front: bool = False) -> None:
        """Add the ``templates`` and ``static`` directories beside a module, those that exist."""
        self._add_resources(module, Place.FRONT if front else Place.BACK)

    def extends(self, module: ModuleType) -> None:
        """Take over another app's services, templates and static files; the app's own ones win.

        Runs ``module.__config__ (pref)`` if there is one (seed, Extending).
        """
        _check_module("extends", module)
        if module not in self.extended:
            self.extended.append(module)
            run_config_hook(module, self)
            self._add_resources(module, Place.EXTENDED)

    def overrides(self, module: ModuleType) -> None:
        """Let a module's services, templates and static files win over the app's.

        Runs ``module.__config__ (pref)`` if there is one (seed, Overriding).
        """
        _check_module("overrides", module)
        if module not in self.overriding:
            self.overriding.append(module)
            run_config_hook(module, self)
            self._add_resources(module, Place.OVERRIDING)

    def _add_resources(self, module: ModuleType, place: Place) -> None:
        directory = module_directory(module)
        if (directory / "templates").is_dir():
            self.add_template_dir(str(directory / "templates"), front=place <= Place.FRONT)
        if (directory / "static").is_dir():
            self._add_static(StaticDirectory(None, directory / "static", place))

    def _add_static(self, entry: StaticDirectory) -> None:
        if entry not in self.statics:
            self.statics.append(entry)

    def _directory(self, call: str, path: str) -> Path:
        return existing_directory(call, path, self._home)


def run_config_hook(module: ModuleType, pref: Preference) -> None:
    """Call ``module.__config__ (pref)`` if the module has one.

    Raises `StartupError` when the hook fails.
    """
    hook = getattr(module, "__config__", None)
    if hook is not None:
        guarded(f"__config__ of {module.__name__!r} failed", lambda: hook(pref))


def module_directory(module: ModuleType) -> Path:
    """Return the directory of a module's file; raises `ConfigError` for modules without one."""
    file = getattr(module, "__file__", None)
    if not file:
        raise ConfigError(
            f"module {module.__name__!r} has no file: give its directory an __init__.py"
        )
    return Path(os.path.abspath(file)).parent


def _check_module(call: str, module: object) -> None:
    if not isinstance(module, ModuleType):
        raise ConfigError(f"{call}: needs an imported module, not {module!r}: import it first")


def _check_url(call: str, url: object) -> str:
    if not isinstance(url, str) or not url.startswith("/"):
        raise ConfigError(f"{call}: url must begin with '/', not {url!r}: give '/static'")
    return url
