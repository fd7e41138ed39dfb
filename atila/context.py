"""``AppContext``: the ``was`` of code that runs without a request.

Handlers of life-cycle events and maintenance jobs get one; ``Was`` adds the request to it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

from atila.errors import HTTPError
from atila.journal import LogMethods
from atila.tokens import TokenMethods
from atila.urls import UrlMethods

if TYPE_CHECKING:
    from atila.app import Atila
    from skitai.handlers.peers import Peers
    from skitai.stores.local import LocalStore

# What app.emit() hands to handlers: set while a request of an app with event handlers runs.
current: ContextVar[AppContext | None] = ContextVar("atila.current", default=None)


class AppContext(UrlMethods, LogMethods, TokenMethods):
    """What ``was`` offers without a request.

    Attributes:
        app: the app it belongs to.
    """

    __slots__ = ("app",)

    Error = HTTPError

    def __init__(self, app: Atila) -> None:
        self.app = app

    @property
    def g(self) -> LocalStore:
        """Values shared by all apps of this worker (seed, Data Exchanging)."""
        return self.app.peers.g

    @property
    def apps(self) -> Peers:
        """The apps of this worker by name (seed, Accessing Other App Directly)."""
        return self.app.peers

    def emit(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Emit an event on the bus of the app."""
        self.app.emit(name, *args, **kwargs)

    def broadcast(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Emit an event on the buses of all apps of this worker."""
        self.app.peers.broadcast(name, *args, **kwargs)

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("request", "response", "cookie", "session", "mbox", "env"):
            raise RuntimeError(f"was.{name}: there is no request here, this runs outside of one")
        raise AttributeError(f"'was' has no attribute {name!r}")
