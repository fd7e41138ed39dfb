"""What the engine asks of an app framework; atila implements it, the worker and handlers use it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.executors.threads import ThreadPool
    from skitai.server.exchange import Exchange


class Mode(IntEnum):
    """Where an endpoint runs; the values index the app handler's table of starters."""

    THREAD = 0  # may block
    LOOP = 1  # answers at once
    COROUTINE = 2  # ``run`` returns a coroutine


class Endpoint(Protocol):
    """What an app resolved a request to.

    Attributes:
        mode: where ``run`` is called.
        max_body: bytes of request body it accepts; None: ``Settings.max_upload_size``.
        takes_body: False for an answer that is the same whatever the body is, e.g. 404.
        streams_body: without ``takes_body``: the body is read while ``run`` goes on.
        missing: the app has nothing here; another app on the same point may.
        run: answers the exchange, after its body has arrived unless that is streamed. A coroutine
            must not raise.
    """

    @property
    def mode(self) -> Mode: ...

    @property
    def max_body(self) -> int | None: ...

    @property
    def takes_body(self) -> bool: ...

    @property
    def streams_body(self) -> bool: ...

    @property
    def missing(self) -> bool: ...

    @property
    def run(self) -> Callable[[Exchange], Any]: ...


class Application(Protocol):
    """An app that can be mounted.

    The worker makes all apps, and then calls of each, in this order:

    1. ``join(peers)``, to make it known to the other apps, see ``skitai.handlers.peers``;
    2. ``follow(name, provider)`` for each app it subscribes to;
    3. ``setup(module, mntopt)``, to run its hooks; ``module`` has them, if it is not None;
    4. ``freeze``, when all apps have been set up;
    5. ``started(loop)``, when all have been frozen, before the first request;
    6. ``cleanup`` at the end, after the last request.

    Steps 3, 5 and 6 run app code, so they are called in a thread, while the loop runs.

    The attribute ``mounted_files``, if the app has one, is set before ``started``: a function of an
    exchange, a path and a head that answers with a static file, or returns False. With None for the
    head it answers nothing.

    ``describe()`` tells its routes as a dictionary of plain data, for the command ``routes``; those
    of atila have the keys that ``atila.routing.listing`` documents.

    ``hear(event, *args, **kwargs)`` is called for what another app broadcasts. An app may do
    without any of these but ``freeze`` and ``cleanup``.
    """

    name: str

    def freeze(self, point: str, pool: ThreadPool | None) -> Callable[[Exchange], Endpoint]:
        """Compile the app for its mount point (starts and ends with ``/``).

        Returns the function that finds the endpoint for an exchange, called on the loop; it may set
        ``exchange.params``. It is asked for the point without its slash too, and clients are
        redirected when the endpoint for that is ``missing``.
        """

    def cleanup(self) -> None:
        """Run the hooks for the end of the app's life."""
