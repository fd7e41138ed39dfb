"""The process of jobs as the master sees it: started when the service is ready, one at a time."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from skitai.supervisor.children import Slot
from skitai.supervisor.seats import START

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from skitai.supervisor.children import Child, Generation


class JobsProcess:
    """Keeps one process for the jobs of a service, if there are any.

    Not a slot of the workers' generations: at a reload the old one has to let go of the background
    tasks before the new one begins, and what runs by a schedule may go on in the old one.

    Parameters:
        start: starts a process in a slot, for a cause.
        log: receives what happens.
    """

    def __init__(self, start: Callable[[Slot, str], bool], log: logging.Logger) -> None:
        self._start = start
        self._log = log
        self._slot: Slot | None = None
        self._leaving: Child | None = None  # its successor waits until it lets go

    def begin(self, generation: Generation) -> None:
        """The workers of a generation serve: run the jobs of their code, and none before it."""
        current = None if self._slot is None else self._slot.child
        wanted = any(child.has_jobs for child in generation.children())
        self._slot = Slot(0, generation, jobs=True) if wanted else None
        if current is not None:
            self._leaving = current
            # Before it is ready it has started nothing.
            os.kill(current.pid, signal.SIGTERM if current.ready_at is None else signal.SIGUSR2)
        elif self._leaving is None:
            self._start_next()

    def let_go(self, child: Child) -> None:
        """A process has closed its report pipe, or has ended."""
        if child is self._leaving:
            self._leaving = None
            self._start_next()

    def ended(self, child: Child, end: str) -> None:
        """A process has ended, or could not be started: it is replaced if nobody told it to.

        Parameters:
            end: how.
        """
        child.slot.vacate(child)
        self.let_go(child)
        if child.slot is self._slot:
            child.slot.absolve(child, time.monotonic())
            self.lost(child.slot, child.failure or end)

    def lost(self, slot: Slot, reason: str) -> None:
        """Start another one after a pause."""
        if slot is self._slot:
            when = slot.replace_later(time.monotonic())
            self._log.error("%s: another one is started %s", reason, when)

    def waiting(self) -> list[Slot]:
        """The slot, if a process is to be started in it after a pause."""
        return [] if self._slot is None or self._slot.respawn_at is None else [self._slot]

    def stop(self) -> None:
        """Start none any more."""
        self._slot = self._leaving = None

    def _start_next(self) -> None:
        if self._slot is not None and self._slot.child is None:
            self._start(self._slot, START)
