"""What was mounted where, and the life of a mounted app in its worker.

``Service.mount`` makes a `Mount` or a `StaticMount`; the worker takes each app through its life:
``load``, ``connect``, ``set_up``, ``begin``, ``unload``.
"""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, cast

from skitai.errors import ConfigError
from skitai.foreign import Interface, interface_of
from skitai.importer import guarded, import_file
from skitai.options import DEVEL, ENVIRONMENT, PRODUCTION
from skitai.preference import (
    DEFAULT_STATIC_URL,
    TEMPLATE_DIRS,
    AttributeDict,
    Configurable,
    Place,
    Preference,
    module_directory,
)
from skitai.targets import Kind, Target, is_app

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Iterable

    from skitai.handlers.interface import Application
    from skitai.handlers.peers import Peers
DEFAULT_HOST = "default"
VARIABLES = ("app", "application")  # what apps are called in files; the second is Django's way
DJANGO_SETTINGS = "DJANGO_SETTINGS_MODULE"
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
        appname: variable of the app in a file; None: ``__app__ ()``, else ``app``, ``application``.
        hosts: host names; a leading dot covers a domain and what is below, ``default`` the rest.
        subscribe: names of the apps whose events this one receives too.
        copy: how often the same file was mounted before.
        app: what ``load`` returned.
        foreign: the app is of another framework.
        module: where the app's hooks are; None for an app that is mounted as an object.
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
    module: ModuleType | None = field(default=None, repr=False)
    foreign: bool = field(default=False, repr=False)

    def load(self) -> Application:
        """Make the app; called once in each worker.

        Creates it (``__app__``), lets the preference overwrite attributes and applies SKITAIENV. An
        app of another framework is wrapped in one that hosts it.
        Raises `StartupError` when code of the app fails, `ConfigError` when it makes no app.
        """
        what = f"app {self.name!r} can't be started"
        self.module = self._import()
        app = guarded(what, self._create)
        self.foreign = not is_app(app)
        if self.foreign:
            app = self._host(app)
        else:
            guarded(what, lambda: self._prepare(app))
            self.foreign = self.target.kind is Kind.ALIAS  # it answers everything, too
        self.app = cast("Application", app)
        return self.app

    def connect(self, peers: Peers) -> None:
        """Introduce the app to the others, which are all made, and to those it subscribes to.

        Raises `ConfigError` for a subscription that can't be.
        """
        join, follow = getattr(self.app, "join", None), getattr(self.app, "follow", None)
        if join is not None:
            join(peers)
        for provider in self.subscribe:
            what = f"app {self.name!r} can't subscribe to {provider!r}"
            if follow is None:
                raise ConfigError(f"{what}: it has no events, {self.app!r} is no Atila app")
            if provider not in peers or peers[provider] is self.app:
                raise ConfigError(f"{what}: no other app has this name")
            follow(provider, peers[provider])

    def set_up(self) -> None:
        """Call ``app.setup (module, mntopt)``, which runs ``__setup__`` and ``__mount__``.

        Raises `StartupError` when they fail.
        """
        app: Any = self.app
        setup = getattr(app, "setup", None)
        if setup is not None:
            mntopt = {
                "point": self.point,
                "base_dir": app.home,
                "use_reloader": app.use_reloader,
                "debug": app.debug,
            }
            guarded(f"app {self.name!r} can't be started", lambda: setup(self.module, mntopt))

    def begin(self, loop: AbstractEventLoop) -> None:
        """Let the app know that all apps are complete and that it will serve now.

        Raises `StartupError` when that fails.
        """
        started = getattr(self.app, "started", None)
        if started is not None:
            guarded(f"app {self.name!r} can't be started", lambda: started(loop))

    def unload(self) -> None:
        """Let the app run its last hooks (``__umount__``), once; without an app do nothing."""
        app, self.app = self.app, None
        if app is not None:
            app.cleanup()

    # What preference and app ask for

    def configurables(self) -> list[Configurable]:
        """Who may say what the app needs: the app itself, as far as it is known, and ``pref``."""
        app = self._known_app()
        return [app, self.pref] if isinstance(app, Configurable) else [self.pref]

    def extension_homes(self) -> list[Path]:
        """The directories of the modules that extend or override the app."""
        modules = [
            module
            for source in self.configurables()
            for module in (*source.extended, *source.overriding)
        ]
        return [module_directory(module) for module in modules if isinstance(module, ModuleType)]

    def static_url(self) -> str:
        """Where the app's static files are: once it is made it has the last word."""
        configs = [source.config for source in self.configurables()]
        for config in configs if self.app is not None else reversed(configs):
            if "STATIC_URL" in config:
                return str(config["STATIC_URL"])
        return DEFAULT_STATIC_URL

    def _known_app(self) -> object:
        if self.app is None and self.target.kind is Kind.OBJECT:
            return self.target.value
        return self.app

    # Making

    def _import(self) -> ModuleType | None:
        value = self.target.value
        if self.target.kind is Kind.FILE and isinstance(value, Path):
            if self.target.settings is not None:
                os.environ.setdefault(DJANGO_SETTINGS, self.target.settings)
            return import_file(value, self.target.import_root(self.script_home), self.copy)
        return value if isinstance(value, ModuleType) else None

    def _create(self) -> Any:
        module = self.module
        if self.target.kind is Kind.ALIAS:
            from skitai.handlers.proxy import ProxyApplication  # most services have none

            return ProxyApplication(str(self.target.value))
        if module is None:
            return _made(self.target.value)
        factory = getattr(module, "__app__", None)
        if factory is not None and self.appname is None:
            return factory()
        for variable in VARIABLES if self.appname is None else [self.appname]:
            if hasattr(module, variable):
                return _made(getattr(module, variable))
        raise ConfigError(
            f"file of app {self.name!r} has no variable {self.appname or VARIABLES[0]!r}: "
            "define __app__() or name the variable as in 'dir/file:application'"
        )

    def _host(self, app: Any) -> Application:
        """Wrap an app of another framework."""
        # Only services that host such apps pay for these.
        from skitai.handlers.asgi import ASGIApplication
        from skitai.handlers.wsgi import WSGIApplication

        if not callable(app) or isinstance(app, type):
            raise ConfigError(f"app {self.name!r} is {app!r}, no app: make it with Atila(__name__)")
        try:
            interface = interface_of(app)
        except ConfigError as exc:
            raise ConfigError(f"app {self.name!r}: {exc}") from None
        if interface is Interface.FACTORY:
            raise ConfigError(f"app {self.name!r}: a factory must make an app, it made {app!r}")
        if self.pref.extended or self.pref.overriding or self.pref.mountables:
            raise ConfigError(
                f"app {self.name!r} can't be extended, overridden or have apps mounted: it is "
                f"{app!r}, no Atila app"
            )
        guarded(f"app {self.name!r} can't be started", lambda: _configure(app, self.pref))
        max_body = self.pref.config.get("MAX_UPLOAD_SIZE")
        hosting = ASGIApplication if interface is Interface.ASGI else WSGIApplication
        devel = os.environ.get(ENVIRONMENT) == DEVEL
        hosted = hosting(app, self.name, max_body, str(self.target.home), devel)
        if isinstance(hosted, WSGIApplication):
            hosted.streams_input = bool(self.pref.config.get("STREAM_INPUT"))
        return hosted

    def _prepare(self, app: Any) -> None:
        pref = self.pref
        for name, value in pref.items():
            setattr(app, name, value)
        if isinstance(app, Configurable):
            _extend(app, pref)
        elif pref.extended or pref.overriding:
            raise ConfigError(f"app {self.name!r} can't be extended or overridden: it is {app!r}")
        if not hasattr(app, "config"):
            app.config = AttributeDict()
        for name, value in pref.config.items():
            if name != TEMPLATE_DIRS or not isinstance(app, Configurable):
                app.config[name] = value
        app.mountables = [*getattr(app, "mountables", ()), *pref.mountables]
        app.home = str(self.target.home)
        environment = os.environ.get(ENVIRONMENT, PRODUCTION)
        for name in POLICY_ATTRIBUTES:
            if environment in (DEVEL, PRODUCTION):
                setattr(app, name, environment == DEVEL)
            elif not hasattr(app, name):
                setattr(app, name, False)


def _made(value: Any) -> Any:
    """The app, if ``value`` is one, or a function that makes it."""
    if callable(value) and not is_app(value) and not isinstance(value, type):
        return value() if interface_of(value) is Interface.FACTORY else value
    return value


def _configure(app: Any, pref: Preference) -> None:
    """Give an app of another framework what the preference has for it, if it has a place for it."""
    if not isinstance(app, (FunctionType, MethodType)):
        for name, value in pref.items():
            setattr(app, name, value)
    config = getattr(app, "config", None)
    if isinstance(config, MutableMapping):
        config.update(pref.config)


def in_order(mounts: Iterable[Mount]) -> list[Mount]:
    """The mounts in the order in which they are asked; one of another framework is the last.

    It answers everything itself, so nothing could stand behind it (seed, Working With Multiple
    Apps). Raises `ConfigError` when two of them share a point and a host.
    """
    ordered = sorted(mounts, key=lambda mount: mount.foreign)
    taken: dict[tuple[str, str], Mount] = {}
    for mount in ordered:
        for host in mount.hosts if mount.foreign else ():
            other = taken.setdefault((host, mount.point), mount)
            if other is not mount:
                raise ConfigError(
                    f"apps {other.name!r} and {mount.name!r} are both mounted at {mount.point!r} "
                    "and are no Atila apps, so the second would never be asked: choose another "
                    "point or host"
                )
    return ordered


def _extend(app: Configurable, pref: Preference) -> None:
    """Add what the preference takes over, and its templates, to what the app has itself."""
    app.extended = list(dict.fromkeys([*app.extended, *pref.extended]))
    app.overriding = list(dict.fromkeys([*app.overriding, *pref.overriding]))
    app.template_places = {**app.template_places, **pref.template_places}
    given = pref.config.get(TEMPLATE_DIRS, [])
    front = [path for path in given if pref.template_places.get(path, Place.BACK) <= Place.FRONT]
    merged = dict.fromkeys([*front, *app.config.get(TEMPLATE_DIRS, []), *given])
    app.config[TEMPLATE_DIRS] = list(merged)


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
    """Merge mounted directories with those of apps and preferences, in the order they are asked.

    Later ones come first among those that are to be in front or override (seed, Overriding).
    """
    found = list(directories)
    for mount in mounts:
        for source in mount.configurables():
            for entry in source.statics:
                point = normalise_point(mount.static_url() if entry.url is None else entry.url)
                found.append(StaticMount(point, entry.path, mount.hosts, entry.place))
    unique = list(dict.fromkeys(found))
    front = [entry for entry in reversed(unique) if entry.place <= Place.FRONT]
    back = [entry for entry in unique if entry.place > Place.FRONT]
    return sorted([*front, *back], key=lambda entry: entry.place)


def describe_site(mounts: Iterable[Mount], statics: Iterable[StaticMount]) -> dict[str, Any]:
    """What is mounted, as plain data that can be written as JSON.

    Keys: ``mounts``, in the order in which they are asked, each with ``kind`` (``app``, ``wsgi``,
    ``asgi``, ``proxy``), ``name``, ``point``, ``hosts``, ``home``, ``target`` and what the app
    itself adds by a method ``describe``, such as ``routes``; ``statics``, each with ``kind``,
    ``point``, ``hosts`` and ``path``.
    """
    return {
        "mounts": [_describe(mount) for mount in in_order(mounts)],
        "statics": [
            {
                "kind": "static",
                "point": static.point,
                "hosts": list(static.hosts),
                "path": str(static.path),
            }
            for static in statics
        ],
    }


def _describe(mount: Mount) -> dict[str, Any]:
    describe = getattr(mount.app, "describe", None)
    value = mount.target.value
    made = type(mount.app).__name__  # of hosted apps, whose modules are not loaded for others
    kinds = {"WSGIApplication": "wsgi", "ASGIApplication": "asgi", "ProxyApplication": "proxy"}
    return {
        "kind": kinds.get(made, "app"),
        "name": mount.name,
        "point": mount.point,
        "hosts": list(mount.hosts),
        "home": str(mount.target.home),
        "target": str(value) if isinstance(value, (str, Path)) else "",
        **(describe() if callable(describe) else {}),
    }


def sort_third_argument(
    value: object, pref: object, appname: object
) -> tuple[Preference | None, str | None]:
    """Sort the third argument of ``mount`` into preference and variable; check both."""
    if value is not None and (appname if isinstance(value, str) else pref) is not None:
        raise ConfigError(f"mount got {value!r} and a keyword of the same meaning: keep one")
    if isinstance(value, str):
        appname = value
    elif value is not None:
        pref = value
    if pref is not None and not isinstance(pref, Preference):
        raise ConfigError(
            f"mount needs a preference, not {pref!r}: "
            "make it with 'with skitai.preference() as pref:'"
        )
    if appname is not None and not (isinstance(appname, str) and appname.isidentifier()):
        raise ConfigError(f"appname must be the name of a variable, not {appname!r}: give 'app'")
    return pref, appname
