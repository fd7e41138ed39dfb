"""``Limits``: how long a worker serves, by its requests and its memory; the worker makes one."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING, Protocol

from skitai.monitoring.memory import memory_used

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from skitai.config import Settings
    from skitai.server.exchange import Exchange

LOOK_SECONDS = 1.0
JITTER = 0.1  # of the requests, if nothing else is said
MEGABYTE = 2**20


class Leave(Protocol):
    """Asks for a replacement: `skitai.supervisor.seats.WorkerSeat.report_leaving`."""

    def __call__(self, cause: str, reason: str, *, vain: bool = False) -> None: ...


class Limits:
    """Asks once for a replacement when a limit is reached; the worker goes on until it comes.

    Under ``--devel`` there are no limits: what somebody looks at shall not go away.

    Parameters:
        settings: ``max_requests``, ``max_requests_jitter`` and ``max_memory``.
        leave: called on the loop.
    """

    def __init__(self, settings: Settings, leave: Leave) -> None:
        self._max_memory = 0 if settings.devel else settings.max_memory
        self._leave = leave
        self._asked = False
        self._timer: asyncio.TimerHandle | None = None
        self._requests = 0 if settings.devel else settings.max_requests
        jitter = settings.max_requests_jitter
        if self._requests:
            most = int(self._requests * JITTER) if jitter is None else jitter
            # Not for secrets: workers that began together shall not leave together.
            self._requests += random.randint(0, most)

    def guard(self, dispatch: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
        """Count what comes, of all protocols; a websocket is one request."""
        limit = self._requests
        if not limit:
            return dispatch
        number = count(1).__next__

        # PERF: 0.1 us for a request; without the setting there is nothing in the way.
        def counted(exchange: Exchange) -> None:
            if number() == limit:
                self._ask("max_requests", f"has had {limit} requests")
            dispatch(exchange)

        return counted

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the memory from now on; call it when the worker serves."""
        if not self._max_memory:
            return
        if self._over("as it starts, before any request", vain=True):
            return
        self._timer = loop.call_later(LOOK_SECONDS, self._look, loop)

    def stop(self) -> None:
        """Look no more."""
        self._asked = True
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._asked and not self._over("of memory"):
            self._timer = loop.call_later(LOOK_SECONDS, self._look, loop)

    def _over(self, when: str, *, vain: bool = False) -> bool:
        used = memory_used()
        if used <= self._max_memory:
            return False
        limit = f"more than max_memory, {self._max_memory // MEGABYTE} MB"
        self._ask("max_memory", f"has {used // MEGABYTE} MB {when}, {limit}", vain=vain)
        return True

    def _ask(self, cause: str, reason: str, *, vain: bool = False) -> None:
        if not self._asked:
            self._asked = True
            self._leave(cause, reason, vain=vain)
