"""The module hooks of an app: ``__setup__``, ``__mount__`` and ``__umount__`` (seed, First App).

``Atila`` owns one ``Lifecycle``; it calls the hooks in order and knows, while they run, under which
point and name new routes belong.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from atila.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType

    from atila.app import Atila

SERVICE_PACKAGES = ("services", "exports")


class Place:
    """Where routes being declared belong.

    Attributes:
        point: prefix of their rules, without a trailing slash.
        namespace: prefix of their resource ids, may be empty.
        mntopt: options of the module's mount, for its hooks and for ``was.request.routable``.
    """

    __slots__ = ("mntopt", "namespace", "point")

    def __init__(self, point: str, namespace: str, mntopt: dict[str, Any]) -> None:
        self.point = point
        self.namespace = namespace
        self.mntopt = mntopt


class Lifecycle:
    """Runs the hooks of an app and of the modules it mounts.

    ``__setup__`` of a module runs when it is mounted; ``__mount__`` of all modules when the whole
    tree is set up, the app's own first.
    """

    def __init__(self, app: Atila) -> None:
        self._app = app
        self._package = ""
        self._places = [Place("", "", {})]
        self._mounting = False
        self._set_up: list[tuple[Any, Place]] = []

    @property
    def place(self) -> Place:
        """Where a route declared now belongs."""
        return self._places[-1]

    def start(self, module: ModuleType | None, mntopt: dict[str, Any]) -> None:
        """Run the hooks of the app's own module, then those of what it mounts."""
        root = Place("", "", mntopt)
        if module is not None:
            self._package = module.__name__
            module.__mntopt__ = mntopt  # type: ignore[attr-defined]  # apps read it there
            self._set_up.append((module, root))
        self._places = [root]
        if module is not None:
            self._call(module, "__setup__", mntopt)
        for args, options in self._app.mountables:
            self.mount(*args, **options)
        self._mounting = True
        for mounted, place in list(self._set_up):
            self._places.append(place)
            self._run_mount_hook(mounted, place)
            self._places.pop()
        self._mounting = False

    def mount(self, point: str, module: Any, **options: Any) -> None:
        """Mount a module (or a function ``f(app[, mntopt])``) below the current place.

        Raises ``RuntimeError`` inside ``__mount__``, ``ConfigError`` for a wrong point or a module
        without hooks.
        """
        if self._mounting:
            raise RuntimeError("app.mount() can't be called in __mount__: call it in __setup__")
        if not isinstance(point, str) or (point and not point.startswith("/")):
            raise ConfigError(f"app.mount: point {point!r} must be '' or start with '/'")
        if options.get("debug_only") and not self._app.debug:
            return
        name = getattr(module, "__name__", repr(module))
        is_function = inspect.isfunction(module)
        if not is_function and not any(
            hasattr(module, hook) for hook in ("__setup__", "__mount__")
        ):
            raise ConfigError(f"app.mount: module {name} has neither __setup__ nor __mount__")
        absolute = self._absolute(point)
        namespace = options.get("ns") or ("" if is_function else self._namespace(name))
        mntopt = {**options, "point": absolute or "/", "module_name": name, "ns": namespace}
        place = Place(absolute, namespace, mntopt)
        if not is_function:
            module.__mntopt__ = mntopt
        self._set_up.append((module, place))
        self._places.append(place)
        try:
            self._call(module, "__setup__", mntopt)
        finally:
            self._places.pop()

    def stop(self) -> None:
        """Run every ``__umount__`` once, in the reverse order of mounting."""
        modules, self._set_up = self._set_up, []
        for module, _ in reversed(modules):
            hook = getattr(module, "__umount__", None)
            if hook is None:
                continue
            try:
                hook(self._app)
            except (Exception, SystemExit):  # the other hooks have to run all the same
                self._app.logger.exception("%s.__umount__ failed", module.__name__)

    def _absolute(self, point: str) -> str:
        """A point is relative to its parent's, unless it is written out with it."""
        parent = self.place.point
        point = point.rstrip("/")
        if parent and (point == parent or point.startswith(parent + "/")):
            return point
        return parent + point

    def _namespace(self, module_name: str) -> str:
        """``books`` for ``myapp.services.books``, nothing for ``myapp.services``."""
        parts = module_name.split(".")
        if self._package and module_name.startswith(self._package + "."):
            parts = parts[self._package.count(".") + 1 :]
        elif len(parts) > 1:
            parts = parts[1:]
        if parts and parts[0] in SERVICE_PACKAGES:
            parts = parts[1:]
        return ".".join(parts)

    def _run_mount_hook(self, module: Any, place: Place) -> None:
        if inspect.isfunction(module):
            self._apply(module, place.mntopt)
        else:
            self._call(module, "__mount__", place.mntopt)

    def _call(self, module: Any, name: str, mntopt: dict[str, Any]) -> None:
        hook = getattr(module, name, None)
        if hook is not None:
            self._apply(hook, mntopt)

    def _apply(self, hook: Any, mntopt: dict[str, Any]) -> None:
        """Hooks take ``(app, mntopt)`` or ``(app)``."""
        if len(inspect.signature(hook).parameters) > 1:
            hook(self._app, mntopt)
        else:
            hook(self._app)
