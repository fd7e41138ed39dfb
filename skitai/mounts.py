"""What was mounted where, and the life of a mounted app in its worker.

``Service.mount`` makes a `Mount` or a `StaticMount`; the worker calls ``Mount.load``.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from skitai.errors import ConfigError
from skitai.importer import guarded, import_file
from skitai.options import DEVEL, ENVIRONMENT, PRODUCTION
from skitai.preference import DEFAULT_STATIC_URL, AttributeDict, Place
from skitai.targets import Kind, Target, is_app

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skitai.handlers.interface import Application
    from skitai.preference import Preference

DEFAULT_HOST = "default"
DEFAULT_VARIABLE = "app"
POLICY_ATTRIBUTES = ("debug", "use_reloader", "expose_spec")

_NAME = re.compile(r"[A-Za-z0-9_][\w./-]*")
_HOST = re.compile(r"\.?[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\]")


@dataclass(frozen=True)
class StaticMount:
    """A directory of files at ``point`` (which starts and ends with ``/``)."""

    point: str
    path: Path
    hosts: tuple[str, ...]
    place: Place


@dataclass(eq=False)
class Mount:
    """An app at ``point`` (which starts and ends with ``/``).

    Attributes:
        name: how other apps call it; one app of a service has it.
        script_home: the launch script's directory.
        appname: variable of the app in a file; None: ``__app__ ()``, else ``app``.
        hosts: host names; a leading dot covers a domain and what is below, ``default`` the rest.
        subscribe: names of the apps whose events this one receives too.
        copy: how often the same file was mounted before.
        app: what ``load`` returned.
    """

    point: str
    target: Target
    name: str
    pref: Preference
    script_home: Path
    appname: str | None = None
    hosts: tuple[str, ...] = (DEFAULT_HOST,)
    subscribe: tuple[str, ...] = ()
    copy: int = 0
    app: Application | None = field(default=None, repr=False)

    def load(self) -> Application:
        """Make the app and run its life up to serving; called once in each worker.

        Creates it (``__app__``), lets the preference overwrite its attributes, applies SKITAIENV
        and calls ``app.setup (module, mntopt)``, which runs ``__setup__`` and ``__mount__``.

        Raises `StartupError` when code of the app fails, `ConfigError` when it makes no app.
        """
        what = f"app {self.name!r} can't be started"
        module = self._module()
        app = guarded(what, lambda: self._create(module))
        if not is_app(app):
            raise ConfigError(f"app {self.name!r} is {app!r}, no app: make it with Atila(__name__)")
        guarded(what, lambda: self._prepare(app))
        setup = getattr(app, "setup", None)
        if setup is not None:
            mntopt = {
                "point": self.point,
                "base_dir": app.home,
                "use_reloader": app.use_reloader,
                "debug": app.debug,
            }
            guarded(what, lambda: setup(module, mntopt))
        self.app = cast("Application", app)
        return self.app

    def unload(self) -> None:
        """Let the app run its last hooks (``__umount__``), once; without an app do nothing."""
        app, self.app = self.app, None
        if app is not None:
            app.cleanup()

    def _module(self) -> ModuleType | None:
        value = self.target.value
        if self.target.kind is Kind.FILE and isinstance(value, Path):
            return import_file(value, self.script_home, self.copy)
        return value if isinstance(value, ModuleType) else None

    def _create(self, module: ModuleType | None) -> Any:
        if module is None:
            return self.target.value
        factory = getattr(module, "__app__", None)
        if factory is not None and self.appname is None:
            return factory()
        variable = self.appname or DEFAULT_VARIABLE
        if not hasattr(module, variable):
            raise ConfigError(
                f"file of app {self.name!r} has no variable {variable!r}: "
                "define __app__() or name the variable as in 'dir/file:application'"
            )
        return getattr(module, variable)

    def _prepare(self, app: Any) -> None:
        for name, value in self.pref.items():
            setattr(app, name, value)
        if not hasattr(app, "config"):
            app.config = AttributeDict()
        for name, value in self.pref.config.items():
            app.config[name] = value
        app.mountables = [*getattr(app, "mountables", ()), *self.pref.mountables]
        app.home = str(self.target.home)
        environment = os.environ.get(ENVIRONMENT, PRODUCTION)
        for name in POLICY_ATTRIBUTES:
            if environment in (DEVEL, PRODUCTION):
                setattr(app, name, environment == DEVEL)
            elif not hasattr(app, name):
                setattr(app, name, False)


def normalise_point(point: object) -> str:
    """Return a mount point with single slashes, one at its start and one at its end.

    Raises `ConfigError` unless it is a decoded url path that starts with ``/``.
    """
    if not isinstance(point, str) or not point.startswith("/"):
        raise ConfigError(f"mount point must begin with '/', not {point!r}: give '/' or '/shop'")
    parts = [part for part in point.split("/") if part]
    if any(part in (".", "..") for part in parts) or re.search(r"[?#%\\\s\x00-\x1f]", point):
        raise ConfigError(
            f"mount point {point!r} must be a plain path without '.', '..', '?', '#', '%' and "
            "blanks: give one like '/shop'"
        )
    return "/" + "".join(f"{part}/" for part in parts)


def parse_hosts(host: object) -> tuple[str, ...]:
    """Split ``"www.a.com .b.com"`` into names; ``"*"`` is ``"default"``. Raises `ConfigError`."""
    names = host.lower().split() if isinstance(host, str) else []
    if not names or not all(name == "*" or _HOST.fullmatch(name) for name in names):
        raise ConfigError(
            f"host must be names without port, separated by blanks, not {host!r}: "
            "give host='www.example.com .example.org'"
        )
    return tuple(dict.fromkeys(DEFAULT_HOST if name == "*" else name for name in names))


def parse_name(name: object) -> str | None:
    """Check the name of an app; None stays None. Raises `ConfigError`."""
    if name is None:
        return None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"mount name must be one word without ':', not {name!r}: give name='shop'"
        )
    return name


def parse_subscribe(subscribe: object) -> tuple[str, ...]:
    """Return the names of providers as a tuple; one may be given as text. Raises `ConfigError`."""
    names = [subscribe] if isinstance(subscribe, str) else subscribe
    if names is None:
        return ()
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ConfigError(
            f"subscribe must be an app name or a list of them, not {subscribe!r}: "
            "give subscribe=['shop']"
        )
    return tuple(dict.fromkeys(names))


def collect_statics(
    directories: Iterable[StaticMount], mounts: Iterable[Mount]
) -> list[StaticMount]:
    """Merge mounted directories with those of all preferences, in the order they are asked.

    Later ones come first among those that are to be in front or override (seed, Overriding).
    """
    found = list(directories)
    for mount in mounts:
        url = mount.pref.config.get("STATIC_URL", DEFAULT_STATIC_URL)
        for entry in mount.pref.statics:
            point = normalise_point(url if entry.url is None else entry.url)
            found.append(StaticMount(point, entry.path, mount.hosts, entry.place))
    unique = list(dict.fromkeys(found))
    front = [entry for entry in reversed(unique) if entry.place <= Place.FRONT]
    back = [entry for entry in unique if entry.place > Place.FRONT]
    return sorted([*front, *back], key=lambda entry: entry.place)
