"""``AppContext``: the ``was`` of code that runs without a request.

Handlers of life-cycle events and maintenance jobs get one; ``Was`` adds the request to it.
"""

from __future__ import annotations

import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn

import skitai
import skitai.current
from atila.errors import HTTPError
from atila.journal import LogMethods
from atila.routing.urls import UrlMethods
from atila.tasks.methods import TaskMethods
from atila.temporary import TemporaryFiles
from atila.tokens.methods import TokenMethods

if TYPE_CHECKING:
    from collections.abc import Iterable

    from atila.app import Atila
    from skitai.handlers.peers import Peers
    from skitai.mail.account import SmtpAccount
    from skitai.mail.message import Email, Envelope
    from skitai.stores.local import LocalStore
    from skitai.tasks.task import Task as AnyTask

# What app.emit() hands to handlers, and what skitai.was stands for: set while a request runs, if
# anybody asks for either.
current: ContextVar[AppContext | None] = ContextVar("atila.current", default=None)
skitai.current.provide(current.get)


def is_watched(app: Atila) -> bool:
    """Whether ``current`` has to be set for the requests of an app."""
    return app.events.watches_requests() or skitai.current.was.wanted


class AppContext(UrlMethods, LogMethods, TokenMethods, TemporaryFiles, TaskMethods):
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

    @property
    def ID(self) -> str:
        """Where this runs: process id and name of the thread."""
        return f"{os.getpid()}/{threading.current_thread().name}"

    @property
    def version(self) -> str:
        """Version of the engine."""
        return skitai.__version__

    def email(self, subject: str, sender: str, recipient: str | Iterable[str]) -> Email:
        """Begin a message; its ``send()`` hands it over for delivery.

        Parameters, and what it raises: see ``skitai.mail.message.Email``.
        """
        from skitai.mail.message import Email  # most apps send none

        return Email(subject, sender, recipient, self._post_email)

    def _post_email(self, envelope: Envelope, account: SmtpAccount | None) -> AnyTask:
        mailer = self.app.peers.mailer
        if mailer is None:
            raise RuntimeError("there is no worker here that could deliver mail")
        # Not of the request: a message is delivered also when the client has left.
        task = self.upstreams.in_thread(mailer.post, (envelope, account), {})
        if not task.on_loop:
            task.fetch()
        return task

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
