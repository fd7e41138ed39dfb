"""``SharedLocks``: locks by name, over all threads of all workers; for ``was.get_lock (name)``."""

from __future__ import annotations

import os
import threading
from hashlib import blake2b
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from types import TracebackType

    from skitai.stores.memory import SharedMemory

FIRST_PLACE = 1 << 60  # far behind the places that stand for memory

_beginning = threading.Lock()


class SharedLock:
    """A lock that one thread of all workers can have; it may take it several times.

    Usable in a ``with`` statement. When its process ends, whatever ends it, the lock is free.
    Waiting for it blocks, so a coroutine takes it in a thread only.

    Parameters:
        memory: what the workers share.
        place: which place of it is locked.
        name: for messages.
    """

    __slots__ = (
        "__weakref__", "_depth", "_memory", "_mutex", "_owner", "_place", "_process", "name",
    )  # fmt: skip

    def __init__(self, memory: SharedMemory, place: int, name: str) -> None:
        self.name = name
        self._memory = memory
        self._place = place
        self._process = 0

    def _begin(self) -> None:
        """Start free: in a new process, too, that was forked while a thread of the other had it."""
        with _beginning:
            if self._process != os.getpid():
                self._mutex = threading.RLock()  # between the threads of this process
                self._owner = 0
                self._depth = 0
                self._process = os.getpid()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; whether that was possible.

        Parameters:
            blocking: whether to wait while another thread has it.
            timeout: seconds to wait at most; -1: as long as it takes.
        """
        if self._process != os.getpid():
            self._begin()
        deadline = monotonic() + timeout
        if not self._mutex.acquire(blocking, timeout):
            return False
        if self._depth == 0:
            taken = False
            try:
                taken = self._take(blocking, timeout, deadline)
            finally:
                if not taken:
                    self._mutex.release()
            if not taken:
                return False
            self._owner = threading.get_ident()
        self._depth += 1
        return True

    def _take(self, blocking: bool, timeout: float, deadline: float) -> bool:
        if blocking and timeout < 0:
            self._memory.lock(self._place)
            return True
        return self._memory.try_lock(self._place, deadline - monotonic() if blocking else 0.0)

    def release(self) -> None:
        """Give it back, as often as it was taken.

        Raises ``RuntimeError`` in a thread that doesn't have it.
        """
        if self._process != os.getpid() or self._owner != threading.get_ident():
            raise RuntimeError(f"this thread does not have the lock {self.name!r}")
        self._depth -= 1
        if self._depth == 0:
            self._owner = 0
            self._memory.unlock(self._place)
        self._mutex.release()

    def __enter__(self) -> SharedLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class SharedLocks:
    """The locks of a service by name. Each name has its own; unused ones take no memory.

    Parameters:
        memory: what the workers share.
    """

    def __init__(self, memory: SharedMemory) -> None:
        self.memory = memory
        self._used: WeakValueDictionary[str, SharedLock] = WeakValueDictionary()
        self._finding = threading.Lock()

    def get(self, name: str) -> SharedLock:
        """The lock of a name, the same for all threads of all workers."""
        with self._finding:
            lock = self._used.get(name)
            if lock is None:
                self.memory.make()  # now: processes that are forked later have it in common
                digest = blake2b(name.encode(), digest_size=7).digest()
                place = FIRST_PLACE + int.from_bytes(digest, "big")
                lock = self._used[name] = SharedLock(self.memory, place, name)
            return lock
