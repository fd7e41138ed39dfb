"""What WSGI and ASGI apps have in common: their place, and the hooks of their module."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError
from skitai.handlers.interface import Mode
from skitai.server.dispatch import describe_server

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from types import ModuleType

    from skitai.executors.threads import ThreadPool
    from skitai.handlers.interface import Endpoint
    from skitai.server.exchange import Exchange


log = logging.getLogger("skitai")


class NoPath:
    """What is no path within an app: the point without its slash, the ``*`` of ``OPTIONS *``."""

    mode = Mode.LOOP
    max_body: int | None = None
    takes_body = False
    streams_body = False
    missing = True
    run = staticmethod(describe_server)


NO_PATH = NoPath()


class HostedApplication:
    """An app of another framework at a mount point.

    The hooks of its module, ``__setup__`` and ``__mount__`` before it serves, ``__mounted__``,
    ``__umount__`` and ``__umounted__``, are called with the app, and with ``mntopt`` if they take
    it.

    Parameters:
        app: the framework's own object or function.
        name: how the service calls it.
        max_body: bytes of a request's body; None: ``Settings.max_upload_size``.
        home: its directory.
        devel: the service runs with ``--devel``; only hooks are told.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        name: str,
        max_body: int | None = None,
        home: str = "",
        devel: bool = False,
    ) -> None:
        self.app = app
        self.name = name
        self.home = home
        self.debug = self.use_reloader = devel
        self._max_body = max_body
        self._module: ModuleType | None = None
        self._mntopt: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def setup(self, module: ModuleType | None, mntopt: dict[str, Any]) -> None:
        """Run the module's first hooks."""
        self._module, self._mntopt = module, mntopt
        self._call("__setup__")
        self._call("__mount__")

    def freeze(self, point: str, pool: ThreadPool | None) -> Callable[[Exchange], Endpoint]:
        """Make the endpoint, which is the same for all paths."""
        endpoint = self._make_endpoint(point, pool)
        if point == "/":
            return lambda exchange: NO_PATH if exchange.request.path == "*" else endpoint
        size = len(point)
        # A path that is shorter is the point without its slash.
        return lambda exchange: endpoint if len(exchange.request.path) >= size else NO_PATH

    def started(self, loop: asyncio.AbstractEventLoop) -> None:
        """All apps are ready."""
        self._call("__mounted__")

    def cleanup(self) -> None:
        """Run the module's last hooks; what one raises is logged, the others have to run."""
        self._attempt(self._call, "__umount__")
        self._attempt(self._stop)
        self._attempt(self._call, "__umounted__")
        self._module = None

    def _make_endpoint(self, point: str, pool: ThreadPool | None) -> Endpoint:
        raise NotImplementedError

    def _stop(self) -> None:
        """Let the app stop, if its interface knows of that."""

    def _attempt(self, end: Callable[..., None], *args: str) -> None:
        try:
            end(*args)
        except Exception:
            log.exception("app %s failed at its end", self.name)

    def _call(self, name: str) -> None:
        hook = getattr(self._module, name, None)
        if hook is None:
            return
        given = (self.app, self._mntopt)
        signature = inspect.signature(hook)
        for count in (2, 1):
            try:
                signature.bind(*given[:count])
            except TypeError:
                continue
            hook(*given[:count])
            return
        raise ConfigError(f"{name} of app {self.name!r} must take (app) or (app, mntopt)")
