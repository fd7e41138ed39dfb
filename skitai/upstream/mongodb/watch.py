"""``Watch``: whether servers answer, and how far a call of pymongo came. ``mongodb`` has one."""

from __future__ import annotations

import asyncio
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from pymongo import monitoring

if TYPE_CHECKING:
    from collections.abc import Callable

# Sent for a new connection, before the command of the call.
_HANDSHAKE = {"hello", "ismaster", "saslStart", "saslContinue", "authenticate"}


class Progress:
    """How far a call came.

    Attributes:
        sent: a server may have begun to act on it.
        under_way: a server works on it now.
        broken_off: it is being cancelled.
        lost: why, if it was not the caller who did that.
    """

    __slots__ = ("broken_off", "lost", "sent", "under_way")

    def __init__(self) -> None:
        self.broken_off = False
        self.sent = False
        self.under_way = False
        self.lost: BaseException | None = None


_current: ContextVar[Progress | None] = ContextVar("skitai_mongodb_call", default=None)


class Watch:
    """What the driver tells of its servers and commands.

    Attributes:
        known: whether a server answers; None until that was tried.
        error: why the last one did not.
        on_loss: called when the last server stops to answer, with the error.
        listeners: for the driver.
    """

    def __init__(self) -> None:
        self.known: bool | None = None
        self.error: BaseException | None = None
        self.on_loss: Callable[[BaseException], object] = lambda _: None
        self.listeners = [_Heartbeats(self), _Commands()]
        self._answering: set[Any] = set()
        self._doubtful: set[Any] = set()
        self._tried = asyncio.Event()

    def begin(self) -> tuple[Progress, Context]:
        """A new call, and the context in which it has to run."""
        progress = Progress()
        context = copy_context()
        context.run(_current.set, progress)
        return progress, context

    async def wait(self, seconds: float) -> None:
        """Wait until it is known whether a server answers."""
        if self.known is None:
            waiting = asyncio.ensure_future(self._tried.wait())
            try:
                await asyncio.wait({waiting}, timeout=seconds)
            finally:
                waiting.cancel()

    def answered(self, address: Any) -> None:
        self._answering.add(address)
        self._doubtful.discard(address)
        self.known = True
        self._tried.set()

    def silent(self, address: Any, error: BaseException) -> None:
        refused = isinstance(error.__cause__, ConnectionRefusedError)
        if not refused and address in self._answering and address not in self._doubtful:
            # Its connection broke; the driver tries another one at once.
            self._doubtful.add(address)
            return
        self._answering.discard(address)
        self._doubtful.discard(address)
        self.error = error
        if not self._answering:
            self.known = False
            self._tried.set()
            self.on_loss(error)


class _Heartbeats(monitoring.ServerHeartbeatListener):
    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def started(self, event: monitoring.ServerHeartbeatStartedEvent) -> None:
        pass

    def succeeded(self, event: monitoring.ServerHeartbeatSucceededEvent) -> None:
        self._watch.answered(event.connection_id)

    def failed(self, event: monitoring.ServerHeartbeatFailedEvent) -> None:
        self._watch.silent(event.connection_id, event.reply)


class _Commands(monitoring.CommandListener):
    """Marks the progress of the call in whose context it is called."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        progress = _current.get()
        if progress is not None and event.command_name not in _HANDSHAKE:
            progress.sent = progress.under_way = True

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._ended()

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        self._ended()

    def _ended(self) -> None:
        progress = _current.get()
        if progress is not None:
            progress.under_way = False
