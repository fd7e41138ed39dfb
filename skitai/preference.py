"""What a launch script prefers for one app: attributes, configuration, static files, extensions.

Scripts and ``__config__`` hooks write it, `Mount` reads it. Nothing takes effect before mounting.
"""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError
from skitai.importer import existing_directory, guarded, put_first

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

DEFAULT_STATIC_URL = "/static/"
TEMPLATE_DIRS = "TEMPLATE_DIRS"
PRESET = {"MAX_UPLOAD_SIZE": 256 * 1024 * 1024}


class Place(IntEnum):
    """Where a directory of static files or templates stands; the lowest is asked first."""

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


class Configurable:
    """What can be said of an app before it starts: by its preference, and by the app itself.

    Attributes:
        config: settings.
        mountables: (arguments, options) of each ``app.mount`` to be done at the start.
        statics: directories of static files.
        template_places: of directories in ``config.TEMPLATE_DIRS`` that are not just further ones.
        extended, overriding: modules, in the order in which they were given. Of the extended ones
            the first wins, of the overriding ones the last.
    """

    _home: Path
    config: AttributeDict
    mountables: list[tuple[tuple[Any, ...], dict[str, Any]]]
    statics: list[StaticDirectory]
    template_places: dict[str, Place]
    extended: list[ModuleType]
    overriding: list[ModuleType | Callable[..., Any]]
    _place: Place | None  # of everything that a hook adds while it runs

    def _configure(self, config: AttributeDict) -> None:
        self.config = config
        self.mountables = []
        self.statics = []
        self.template_places = {}
        self.extended = []
        self.overriding = []
        self._place = None

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
            self._add_static(url, directory, Place.FRONT)

    def set_media(self, url: str, path: str) -> None:
        """Serve a directory of uploaded files; sets ``config.MEDIA_URL`` and ``MEDIA_ROOT``.

        Parameters:
            url: begins with ``/``.
            path: the directory, which must exist; relative paths start at the launch script.
        """
        self.config["MEDIA_URL"] = _check_url("set_media", url)
        directory = self._directory("set_media", path)
        self.config["MEDIA_ROOT"] = str(directory)
        self._add_static(url, directory, Place.FRONT)

    def add_static(self, path: str, front: bool = False) -> None:
        """Serve one more directory at ``config.STATIC_URL``.

        Parameters:
            path: the directory, which must exist; relative paths start at the launch script.
            front: look there before the others. Default: after them.
        """
        place = Place.FRONT if front else Place.BACK
        self._add_static(None, self._directory("add_static", path), place)

    def add_template_dir(self, d: str, front: bool = False) -> None:
        """Look for templates in ``d`` too; a directory that is known keeps its position.

        Parameters:
            d: the directory; relative paths start at the launch script.
            front: look there first, before the app's own ``templates``. Default: after it.
        """
        place = Place.FRONT if front else Place.BACK
        self._add_templates(self._directory("add_template_dir", d), place)

    def add_resources(self, module: ModuleType, front: bool = False) -> None:
        """Add the ``templates`` and ``static`` directories beside a module, those that exist.

        Parameters:
            module: an imported module.
            front: look there before the others. Default: after them.
        """
        self._add_resources(module, Place.FRONT if front else Place.BACK)

    def extends(self, module: ModuleType) -> None:
        """Take over another app's services, templates and static files; the app's own ones win.

        Runs ``module.__config__ (pref)`` if there is one (seed, Extending). What that adds has the
        same low priority.
        """
        if not isinstance(module, ModuleType):
            raise ConfigError(f"extends: needs an imported module, not {module!r}: import it first")
        if module not in self.extended:
            self.extended.append(module)
            self._take_over(module, Place.EXTENDED)

    def overrides(self, module: ModuleType | Callable[..., Any]) -> None:
        """Let a module's services, templates and static files win over the app's.

        Runs ``module.__config__ (pref)`` if there is one (seed, Overriding). A function
        ``f (app[, mntopt])`` stands for a module that has only ``__mount__``.
        """
        if not isinstance(module, (ModuleType, FunctionType)):
            raise ConfigError(
                f"overrides: needs an imported module or a function, not {module!r}: "
                "import it first"
            )
        if module not in self.overriding:
            self.overriding.append(module)
            if isinstance(module, ModuleType):
                self._take_over(module, Place.OVERRIDING)

    def _take_over(self, module: ModuleType, place: Place) -> None:
        before, self._place = self._place, place
        try:
            run_config_hook(module, self)
        finally:
            self._place = before
        self._add_resources(module, place)

    def _add_resources(self, module: ModuleType, place: Place) -> None:
        directory = module_directory(module)
        if (directory / "templates").is_dir():
            self._add_templates(directory / "templates", place)
        if (directory / "static").is_dir():
            self._add_static(None, directory / "static", place)

    def _add_templates(self, directory: Path, place: Place) -> None:
        place = place if self._place is None else self._place
        directories, text = self.config.setdefault(TEMPLATE_DIRS, []), str(directory)
        if text not in directories:
            directories.insert(0 if place <= Place.FRONT else len(directories), text)
            self.template_places[text] = place

    def _add_static(self, url: str | None, directory: Path, place: Place) -> None:
        entry = StaticDirectory(url, directory, place if self._place is None else self._place)
        if entry not in self.statics:
            self.statics.append(entry)

    def _directory(self, call: str, path: str) -> Path:
        return existing_directory(call, path, self._home)


class Preference(Configurable, AttributeDict):
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

    __slots__ = (
        "_home", "_place", "config", "extended", "mountables", "overriding", "statics",
        "template_places",
    )  # fmt: skip

    def __init__(
        self,
        home: Path,
        preset: bool = False,
        path: str | None = None,
        configs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._home = home
        self._configure(AttributeDict({**(PRESET if preset else {}), **(configs or {})}))
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
        for name in ("mountables", "statics", "template_places", "extended", "overriding"):
            setattr(other, name, copy.copy(getattr(self, name)))
        return other


def template_directories(
    own: str, further: Iterable[str], places: Mapping[str, Place]
) -> list[str]:
    """Put directories of templates in the order in which they are looked through.

    Parameters:
        own: the ``templates`` directory of the app.
        further: absolute paths of others. Each is the directory itself, or has one named
            ``templates``.
        places: of those that are not just further ones.
    """
    placed = sorted(further, key=lambda path: places.get(path, Place.BACK))
    front = [path for path in placed if places.get(path, Place.BACK) <= Place.FRONT]
    found = [*front, own, *placed[len(front) :]]
    inner = (os.path.join(path, "templates") for path in found)
    return list(
        dict.fromkeys(
            below if os.path.isdir(below) and os.path.basename(path) != "templates" else path
            for path, below in zip(found, inner, strict=True)
        )
    )


def run_config_hook(module: ModuleType, pref: Configurable) -> None:
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


def _check_url(call: str, url: object) -> str:
    if not isinstance(url, str) or not url.startswith("/"):
        raise ConfigError(f"{call}: url must begin with '/', not {url!r}: give '/static'")
    return url
