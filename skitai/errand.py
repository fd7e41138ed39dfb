"""``Errand``: the apps of a service for one function of a job, in a process without a port."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

from skitai.supervisor.seats import NO_SEAT
from skitai.worker import Credentials, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.config import Settings
    from skitai.service import Service


class Errand(Worker):
    """A worker that serves nobody: its apps have aliases, tasks, mail and all that is shared.

    They are made and know each other, but run none of their hooks: those are for serving.

    Parameters:
        service, settings: see ``Worker``.
    """

    def __init__(self, service: Service, settings: Settings) -> None:
        super().__init__(service, settings, NO_SEAT, Credentials())
        self._mounts = service.mounts

    async def call(self, function: Callable[[Any], Any], appname: str) -> None:
        """Call a function with the ``was`` of an app, plain ones in a thread.

        Parameters:
            appname: of the app; empty for the first one that has a ``was``.

        Raises what the function raises, and ``RuntimeError`` when there is no such ``was``.
        """
        async with self._without_port() as peers:
            for mount in self._mounts:
                peers.add(mount.name, mount.load())
            for mount in self._mounts:
                mount.connect(peers)
            apps = [peers[appname]] if appname else [peers[name] for name in peers]
            found = next((app.was for app in apps if hasattr(app, "was")), None)
            if found is None:
                raise RuntimeError(
                    f"app {appname!r} has no was: it is of another framework"
                    if appname
                    else "no app that is mounted has a was"
                )
            if inspect.iscoroutinefunction(function):
                await function(found)
            else:
                result = await asyncio.to_thread(function, found)
                if inspect.isawaitable(result):  # a lambda or an object that calls a coroutine
                    await result
