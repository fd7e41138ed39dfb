"""``Relief``: replaces workers that have reached a limit, one at a time; the master calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from skitai.supervisor.children import Child, Generation, Slot


class Relief:
    """A worker that wants to leave serves until another one is ready, and then drains.

    There is one such replacement at a time, from its start to the end of the old worker: so a
    service never has more than one process too many, and most of its workers serve.

    Parameters:
        start: starts a worker in a slot for a cause; raises ``OSError``.
        dismiss: lets a worker drain and end.
        log: of the master.
    """

    def __init__(
        self,
        start: Callable[[Slot, str], Child],
        dismiss: Callable[[Child], None],
        log: logging.Logger,
    ) -> None:
        self._start = start
        self._dismiss = dismiss
        self._log = log
        self._busy: Slot | None = None  # with a successor that is not ready
        self._drained: Child | None = None  # that is being awaited

    def asked(self, child: Child, now: float) -> None:
        """A worker has said that it wants to leave.

        When its replacement would want the same at once, it is left alone for longer each time.
        """
        slot, leaving = child.slot, child.leaving
        assert leaving is not None
        if leaving.vain:
            pause = slot.next_pause()
            slot.relieve_at = now + pause
            self._log.error("%s %s: replaced in %g s", child, leaving.reason, pause)
        else:
            slot.vain = 0
            slot.relieve_at = now

    def due(self, generation: Generation) -> float | None:
        """When there is something to do next (monotonic seconds)."""
        if self._busy is not None or self._drained is not None:
            return None
        return min(
            (at for slot in generation.slots if (at := _due(slot)) is not None), default=None
        )

    def act(self, generation: Generation, now: float) -> None:
        """Start the next replacement, if one is due and none is under way."""
        due = self.due(generation)
        if due is None or due > now:
            return
        slot = next(slot for slot in generation.slots if _due(slot) == due)
        assert slot.child is not None
        assert slot.child.leaving is not None
        leaving = slot.child.leaving
        self._log.info("%s %s: its replacement starts", slot.child, leaving.reason)
        try:
            slot.successor = self._start(slot, leaving.cause)
        except OSError as exc:
            self.failed(slot, f"it can't be started: {exc}", now)
        else:
            self._busy = slot

    def takes_over(self, successor: Child) -> None:
        """The successor is ready: the old worker may go."""
        slot = successor.slot
        old, slot.child, slot.successor = slot.child, successor, None
        self._busy = None
        if old is not None:
            self._log.info("%s takes over from pid %d", successor, old.pid)
            self._drained = old
            self._dismiss(old)

    def failed(self, slot: Slot, reason: str, now: float) -> None:
        """There is no successor: the old worker goes on until the next try."""
        slot.successor = self._busy = None
        pause = slot.next_pause()
        slot.relieve_at = now + pause
        self._log.error(
            "%s goes on, its replacement has failed: %s; tried again in %g s",
            slot.child, reason, pause,
        )  # fmt: skip

    def bereft(self, slot: Slot) -> None:
        """The old worker has ended before its successor was ready."""
        slot.child, slot.successor = slot.successor, None
        self._busy = None

    def ended(self, child: Child) -> None:
        """A worker that was told to go has ended."""
        if child is self._drained:
            self._drained = None

    def forget(self) -> None:
        """All workers go: nothing is under way any more."""
        self._busy = self._drained = None


def _due(slot: Slot) -> float | None:
    child = slot.child
    return None if child is None or child.leaving is None else slot.relieve_at
