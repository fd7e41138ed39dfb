"""``Peers``: the apps of one worker, as they see each other; the worker makes one for all of them.

An app that wants to know its peers has a method ``join``, see ``skitai.handlers.interface``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.config import Settings
from skitai.stores.local import LocalStore

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

    from skitai.bus.bus import Bus
    from skitai.mail.mailer import Mailer
    from skitai.upstream.upstreams import Upstreams


class Peers:
    """The apps of a worker by name, and what they share (seed, Working With Multiple Apps).

    Parameters:
        loop: the worker's event loop; None where no worker is, e.g. in a test.
        reloading: the worker was started by a reload, to replace one with older code.
        max_upload_size: bytes that a body may have where an app says nothing else.
        upstreams: databases, services and executors; None where no worker is.
        bus: messages to the other workers; None where no worker is.

    Attributes:
        g: values of all apps.
        mailer: takes mail for delivery; None where no worker is.
        describe_site: what is mounted, see ``skitai.mounts``; None where no worker is.
    """

    __slots__ = (
        *("_apps", "bus", "describe_site", "g", "loop", "mailer", "max_upload_size", "reloading"),
        "upstreams",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None = None,
        reloading: bool = False,
        max_upload_size: int = Settings.max_upload_size,
        upstreams: Upstreams | None = None,
        bus: Bus | None = None,
    ) -> None:
        self._apps: dict[str, Any] = {}
        self.g = LocalStore()
        self.loop = loop
        self.reloading = reloading
        self.max_upload_size = max_upload_size
        self.upstreams = upstreams
        self.bus = bus
        self.mailer: Mailer | None = None
        self.describe_site: Callable[[], dict[str, Any]] | None = None

    def add(self, name: str, app: Any) -> None:
        """Make an app known; called while the worker starts."""
        self._apps[name] = app

    def __getitem__(self, name: str) -> Any:
        """The app that is mounted with this name; raises ``NameError`` when there is none."""
        try:
            return self._apps[name]
        except KeyError:
            known = ", ".join(map(repr, self._apps))
            raise NameError(f"no app is named {name!r} here, there are: {known}") from None

    def get(self, name: str, default: Any = None) -> Any:
        """The app with this name, or ``default``."""
        return self._apps.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._apps

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._apps))

    def __len__(self) -> int:
        return len(self._apps)

    def broadcast(self, event: str, /, *args: Any, **kwargs: Any) -> None:
        """Let every app that has a method ``hear`` know of an event, in the order of mounting."""
        for app in list(self._apps.values()):
            hear = getattr(app, "hear", None)
            if hear is not None:
                hear(event, *args, **kwargs)
