"""The module hooks of an app and the events around them (seed, First App, App Life Cycle Events).

``Atila`` owns one ``Lifecycle``; it calls the hooks in order and knows, while they run, under which
point and name new routes belong.
"""

from __future__ import annotations

import inspect
from enum import Enum
from typing import TYPE_CHECKING, Any

import skitai
from atila.errors import ConfigError
from atila.failures import FAILURES
from atila.life.events import (
    EVT_BEFORE_MOUNT,
    EVT_BEFORE_RELOAD,
    EVT_BEFORE_UMOUNT,
    EVT_MOUNTED,
    EVT_MOUNTED_RELOADED,
    EVT_RELOADED,
    EVT_UMOUNTED,
)
from atila.steps import is_async

if TYPE_CHECKING:
    from types import ModuleType

    from atila.app import Atila

SERVICE_PACKAGES = ("services", "exports")
HOOKS = ("__setup__", "__mount__", "__mounted__", "__umount__", "__umounted__")
# How hooks were named before.
OLD_HOOKS = {"mount": "__mount__", "umount": "__umount__", "dettach": "__umount__"}


class Place:
    """Where routes being declared belong.

    Attributes:
        point: prefix of their rules, without a trailing slash.
        namespace: prefix of their resource ids, may be empty.
        mntopt: options of the module's mount, for its hooks and for ``was.request.routable``.
        rank: 0 for the app's own modules, positive for overriding ones, negative for those that it
            extends. Of two routes for the same, the one with the higher rank is served.
        package: to which resource ids are relative.
    """

    __slots__ = ("mntopt", "namespace", "package", "point", "rank")

    def __init__(
        self, point: str, namespace: str, mntopt: dict[str, Any], rank: int = 0, package: str = ""
    ) -> None:
        self.point = point
        self.namespace = namespace
        self.mntopt = mntopt
        self.rank = rank
        self.package = package


class Stage(Enum):
    """How far an app has come."""

    NEW = "before the start"
    SETUP = "in __setup__"
    MOUNT = "in __mount__"
    COMPLETE = "after the start"
    ENDED = "after the end"


class Lifecycle:
    """Runs the hooks of an app and of the modules it mounts.

    ``__setup__`` of a module runs when it is mounted; ``__mount__`` of all modules when the whole
    tree is set up: extended modules first, then the app's own, then overriding ones, so that of
    handlers that replace each other the right one comes last.
    """

    def __init__(self, app: Atila) -> None:
        self._app = app
        self._places = [Place("", "", {})]
        self._stage = Stage.NEW
        self._mounted: list[tuple[Any, Place]] = []

    @property
    def place(self) -> Place:
        """Where a route declared now belongs. Raises ``RuntimeError`` when it is too late."""
        self.check_incomplete("routes")
        return self._places[-1]

    @property
    def point(self) -> str:
        """The mount point of the whole app."""
        return str(self._places[0].mntopt.get("point", "/"))

    @property
    def started(self) -> bool:
        """Whether hooks have begun to run: what is mounted from now on can't wait."""
        return self._stage is not Stage.NEW

    # The life of the app, in this order

    def start(self, module: ModuleType | None, mntopt: dict[str, Any]) -> None:
        """Run ``__setup__`` and ``__mount__`` of the app's own module and of what it mounts."""
        app = self._app
        self._stage = Stage.SETUP
        self._places = [Place("", "", mntopt, package=getattr(module, "__name__", ""))]
        for base in reversed(list(app.extended)):
            self.extend(base)
        if module is not None:
            self._enter(module, self.place)
        for args, options in app.mountables:
            self.mount(*args, **options)
        for other in app.overriding:  # their hooks may add more
            rank = 1 + app.overriding.index(other)
            self._take_over(other, {"overrides": True}, rank)
        if app.peers.reloading:
            app.emit(EVT_BEFORE_RELOAD)
        app.emit(EVT_BEFORE_MOUNT)
        self._stage = Stage.MOUNT
        self._mounted.sort(key=lambda entry: entry[1].rank)
        self._call_all("__mount__")

    def finish(self) -> None:
        """All apps are compiled: run ``__mounted__`` of all modules, then the events."""
        self._stage = Stage.COMPLETE
        self._call_all("__mounted__")
        self._app.emit(EVT_MOUNTED)
        if self._app.peers.reloading:
            self._app.emit(EVT_RELOADED)
        self._app.emit(EVT_MOUNTED_RELOADED)

    def stop(self) -> None:
        """Run every ``__umount__`` and ``__umounted__`` once, in the reverse order of mounting."""
        if self._stage in (Stage.NEW, Stage.ENDED):
            return
        self._stage = Stage.ENDED
        modules = [module for module, _ in reversed(self._mounted)]
        self._app.emit(EVT_BEFORE_UMOUNT)
        for name in ("__umount__", "__umounted__"):
            for module in modules:
                self._part(module, name)
        self._app.emit(EVT_UMOUNTED)

    # Mounting

    def mount(self, point: str, *modules: Any, **options: Any) -> None:
        """Mount modules, or functions ``f(app[, mntopt])``, below the current place.

        Raises ``RuntimeError`` from ``__mount__`` on, ``ConfigError`` for a wrong point or a module
        without hooks.
        """
        self.check_stage("app.mount()")
        if not isinstance(point, str) or (point and not point.startswith("/")):
            raise ConfigError(f"app.mount: point {point!r} must be '' or start with '/'")
        if not modules:
            raise ConfigError(f"app.mount({point!r}): give a module to mount there")
        for module in modules:
            if isinstance(module, str):
                skitai.mount(point, module, **options)
            elif self._app.debug or not options.get("debug_only"):
                self._mount(point, module, options)

    def extend(self, module: ModuleType) -> None:
        """Mount a module of ``app.extended`` at ``/``, below the app's own in rank."""
        rank = -1 - self._app.extended.index(module)
        self._take_over(module, {"extends": True}, rank)

    def check_stage(self, what: str) -> None:
        """Raise ``RuntimeError`` when it is too late for more modules."""
        if self._stage not in (Stage.NEW, Stage.SETUP):
            raise RuntimeError(
                f"{what} can't be called {self._stage.value} of app {self._app.name!r}: "
                "call it in __setup__"
            )

    def check_incomplete(self, what: str) -> None:
        """Raise ``RuntimeError`` when it is too late for what is compiled when the app starts."""
        if self._stage in (Stage.COMPLETE, Stage.ENDED):
            raise RuntimeError(
                f"{what} can't be added {self._stage.value} of app {self._app.name!r}: declare "
                "them in __mount__"
            )

    def _mount(self, point: str, module: Any, options: dict[str, Any]) -> None:
        name = _name_of(module)
        if not callable(module):
            _rename_old_hooks(module)
            if not hasattr(module, "__setup__") and not hasattr(module, "__mount__"):
                raise ConfigError(f"app.mount: module {name} has neither __setup__ nor __mount__")
        parent = self.place
        absolute = self._absolute(point)
        namespace = options.get("ns") or ("" if callable(module) else self._namespace(name))
        mntopt = {**options, "point": absolute or "/", "module_name": name, "ns": namespace}
        if "authenticate" in parent.mntopt:  # what is below a protected module is protected too
            mntopt.setdefault("authenticate", parent.mntopt["authenticate"])
        self._enter(module, Place(absolute, namespace, mntopt, parent.rank, parent.package))

    def _take_over(self, module: Any, options: dict[str, Any], rank: int) -> None:
        name = _name_of(module)
        mntopt = {**options, "point": "/", "module_name": name, "ns": ""}
        self._enter(module, Place("", "", mntopt, rank, name))

    def _enter(self, module: Any, place: Place) -> None:
        """Keep a module for the later hooks and run its ``__setup__``."""
        for name in HOOKS:
            if is_async(_hook(module, name)):
                raise ConfigError(
                    f"{_name_of(module)}.{name} must be a plain function, not 'async def': "
                    "handle an event for what has to wait, as with @app.on('mounted')"
                )
        self._mounted.append((module, place))
        self._call(module, "__setup__", place)

    def _absolute(self, point: str) -> str:
        """A point is relative to its parent's, unless it is written out with it."""
        parent = self.place.point
        point = point.rstrip("/")
        if parent and (point == parent or point.startswith(parent + "/")):
            return point
        return parent + point

    def _namespace(self, module_name: str) -> str:
        """``books`` for ``myapp.services.books``, nothing for ``myapp.services``."""
        package = self.place.package
        parts = module_name.split(".")
        if package and module_name.startswith(package + "."):
            parts = parts[package.count(".") + 1 :]
        elif len(parts) > 1:
            parts = parts[1:]
        if parts and parts[0] in SERVICE_PACKAGES:
            parts = parts[1:]
        return ".".join(parts)

    # Calling hooks

    def _call_all(self, name: str) -> None:
        for module, place in self._mounted:
            self._call(module, name, place)

    def _call(self, module: Any, name: str, place: Place) -> None:
        """Call ``hook(app, mntopt)`` or ``hook(app)``; routes it declares belong to ``place``."""
        hook = _hook(module, name)
        if hook is None:
            return
        if not callable(module):
            module.__mntopt__ = place.mntopt
        self._places.append(place)
        try:
            if len(inspect.signature(hook).parameters) > 1:
                hook(self._app, place.mntopt)
            else:
                hook(self._app)
        finally:
            self._places.pop()

    def _part(self, module: Any, name: str) -> None:
        """Call a last hook, ``hook(app)``; the others have to run whatever it raises."""
        hook = _hook(module, name)
        if hook is None:
            return
        try:
            hook(self._app)
        except FAILURES:
            self._app.logger.exception("%s.%s failed", _name_of(module), name)


def _hook(module: Any, name: str) -> Any:
    """A hook of a module; a function that is mounted is its own ``__mount__``."""
    if callable(module):
        return module if name == "__mount__" else None
    return getattr(module, name, None)


def _name_of(module: Any) -> str:
    return str(getattr(module, "__name__", None) or repr(module))


def _rename_old_hooks(module: Any) -> None:
    """Let a module without hooks of today have those that it defines under their old names."""
    if any(hasattr(module, name) for name in HOOKS):
        return
    for old, name in OLD_HOOKS.items():
        hook = getattr(module, old, None)
        if inspect.isfunction(hook) and hook.__module__ == getattr(module, "__name__", None):
            setattr(module, name, hook)
