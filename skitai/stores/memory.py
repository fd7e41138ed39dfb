"""``SharedMemory``: a piece of memory, with locks, that all workers of a service have in common.

``SharedSlots`` and ``SharedLocks`` live in it. Forked workers inherit it; those that a reload
starts as new programs join it through a descriptor.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import stat
import struct
import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

from skitai.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Its last byte counts the layouts of `skitai.stores.shared`.
MAGIC = int.from_bytes(b"skitai\0\2", "big")
HEADER = 64  # bytes: the magic number, when it was made, the number of names
STARTED = 1  # which word of the header
NOT_EXECUTABLE = 0x8  # MFD_NOEXEC_SEAL, for which Python has no name yet
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

FLOCK = "hhqqi0q"  # struct flock: type, whence, start, length, process

# All in seconds.
CYCLE_PAUSE = 0.001
FIRST_LOOK = 0.0005
LONGEST_LOOK = 0.01


class SharedMemory:
    """Memory that processes share, and locks on places of it; made when it is first used.

    A lock belongs to the process: the system takes it away when the process ends, whatever ended
    it. Threads of one process have to exclude each other by other means.

    Parameters:
        size: bytes, with the header. What is never written takes no memory.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._making = threading.Lock()
        self._descriptor = -1
        self._words: memoryview | None = None
        self._close: weakref.finalize[..., SharedMemory] | None = None

    @property
    def descriptor(self) -> int:
        """For other programs to join; never close another descriptor of this memory.

        Closing any of them would take all locks of this process away (man 2 fcntl).
        """
        self.make()
        return self._descriptor

    @property
    def words(self) -> memoryview:
        """The memory as signed integers of 64 bits, 0 in the beginning behind the header."""
        return self.make()

    @property
    def started(self) -> float:
        """When the memory was made, and so the service started: seconds since the epoch."""
        value: float = self.make().cast("B").cast("d")[STARTED]
        return value

    def make(self) -> memoryview:
        """Make the memory, unless it is there: before processes are forked that shall share it."""
        if self._words is None:
            with self._making:
                if self._words is None:
                    self._adopt(_new(self._size))
        assert self._words is not None
        return self._words

    def join(self, descriptor: int) -> None:
        """Use the memory of another process instead of an own one; the descriptor is taken over.

        Raises `ConfigError` when it is no such memory, or one of another version of this engine.
        """
        try:
            _check(descriptor, self._size)
        except (OSError, ValueError) as exc:
            raise ConfigError(
                f"descriptor {descriptor} is not the memory of a service that this version knows "
                f"({exc}): stop the service and start it again"
            ) from exc
        os.set_inheritable(descriptor, False)
        with self._making:
            self._adopt(descriptor)

    def _adopt(self, descriptor: int) -> None:
        words = memoryview(mmap.mmap(descriptor, self._size)).cast("q")
        if self._close is not None:
            self._close()
        self._close = weakref.finalize(self, os.close, descriptor)
        self._descriptor = descriptor
        self._words = words

    # Locks

    def lock(self, place: int) -> None:
        """Lock a place, a number from 0 to 2 ** 62, whether there is memory or not; wait for it.

        Whoever has it already, another thread perhaps, gets it at once.
        """
        while not self._take(place, fcntl.LOCK_EX):
            time.sleep(CYCLE_PAUSE)

    def try_lock(self, place: int, timeout: float = 0.0) -> bool:
        """Lock a place if that is possible within ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        pause = FIRST_LOOK
        while not self._take(place, fcntl.LOCK_EX | fcntl.LOCK_NB):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_LOOK)
        return True

    def _take(self, place: int, how: int) -> bool:
        try:
            fcntl.lockf(self._descriptor, how, 1, place)
        except OSError as exc:
            # The system looks at processes, and so takes two pairs of threads, of which one is free
            # to go on, for a deadlock.
            if exc.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise
            return False
        return True

    def is_locked(self, place: int) -> bool:
        """Whether another process has locked a place."""
        asked = struct.pack(FLOCK, fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0)
        kind: int = struct.unpack(FLOCK, fcntl.fcntl(self._descriptor, fcntl.F_GETLK, asked))[0]
        return kind != fcntl.F_UNLCK

    def unlock(self, place: int) -> None:
        """Let others have a place."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, place)

    @contextmanager
    def locked(self, place: int) -> Iterator[None]:
        """A place, locked for the time of a ``with`` statement."""
        self.lock(place)
        try:
            yield
        finally:
            self.unlock(place)


def _new(size: int) -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        descriptor = os.memfd_create("skitai", flags | NOT_EXECUTABLE)
    except OSError:  # before Linux 6.3, which may be told to refuse any other
        descriptor = os.memfd_create("skitai", flags)
    os.ftruncate(descriptor, size)
    # Nobody can make it smaller: who then used it would be killed by SIGBUS.
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    with mmap.mmap(descriptor, HEADER) as header:
        struct.pack_into("qd", header, 0, MAGIC, time.time())
    return descriptor


def _check(descriptor: int, size: int) -> None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no memory")
    if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS != SEALS:
        raise ValueError("it is not sealed")
    if status.st_size != size or os.pread(descriptor, 8, 0) != struct.pack("q", MAGIC):
        raise ValueError("it has another layout")
