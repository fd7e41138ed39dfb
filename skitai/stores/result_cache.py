"""``ResultCache``: what upstreams answered, until it is too old or its cache keys are updated.

Each worker has one. Whether something was updated is seen in the slots that all workers share
(seed, Cache Control).
"""

from __future__ import annotations

import threading
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError
from skitai.stores.copies import Kept, NotKept

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from skitai.stores.shared import SharedSlots

MAX_ENTRIES = 100
MAX_BYTES = 32 * 1024 * 1024
EVICTED = 5  # a fifth of the entries goes when there is no room
LARGEST = 8  # an entry takes an eighth of the bytes at most


class Stamp:
    """A moment as cache keys see it; made before a query is sent.

    What the query brings is what was there at that moment, or later. When one of the keys is
    updated after it, the query may have missed what was changed.

    Attributes:
        names: the cache keys.
        versions: of each the version at that moment.
        moment: seconds of the monotonic clock.
    """

    __slots__ = ("moment", "names", "versions")

    def __init__(self, names: tuple[str, ...], versions: tuple[int, ...]) -> None:
        self.names = names
        self.versions = versions
        self.moment = monotonic()


class _Entry:
    __slots__ = ("expires", "kept", "stamp")

    def __init__(self, kept: Kept, stamp: Stamp, expires: float) -> None:
        self.kept = kept
        self.stamp = stamp
        self.expires = expires


class ResultCache:
    """Results by key, for the threads of a worker.

    Everybody gets copies, see ``skitai.stores.copies.Kept``. When there is no room, the fifth of
    the results goes that would have expired first.

    Parameters:
        shared: has the cache keys.
        max_entries: results at most; 0: nothing is stored.
        max_bytes: memory that they take at most, about. A result that alone takes more than an
            eighth of it is not stored.

    Attributes:
        size: bytes that the results take now, about.
    """

    def __init__(
        self,
        shared: SharedSlots,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._shared = shared
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: dict[Hashable, _Entry] = {}
        self._changing = threading.Lock()
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def limit(self, entries: int) -> None:
        """Set how many results there may be, 100 by default; 0 for none.

        Public as ``skitai.set_max_rcache``, for each worker. Raises `ConfigError`.
        """
        if type(entries) is not int or entries < 0:
            raise ConfigError(
                f"set_max_rcache: the number of results must be 0 or more, not {entries!r}: "
                f"give {MAX_ENTRIES}"
            )
        with self._changing:
            self._max_entries = entries
            self._make_room(0, 0)

    def stamp(self, names: Iterable[str] = ()) -> Stamp:
        """The present moment, to be taken before a query is sent.

        Parameters:
            names: of the cache keys on which the result depends.

        Raises ``KeyError`` for a name that was not given to ``skitai.register_g``.
        """
        names = tuple(names)
        return Stamp(names, tuple([self._shared.version(name) for name in names]))

    def get(self, key: Hashable, names: Iterable[str] = ()) -> Any:
        """A copy of the result of a key, None when there is none that counts.

        It is not too old, was stored with these names at least, and none of the names that it was
        stored with has been updated since its query was sent.

        Parameters:
            names: of cache keys.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        if not self._counts(entry):
            with self._changing:
                if self._entries.get(key) is entry:
                    self._remove(key)
            return None
        if not set(names) <= set(entry.stamp.names):
            return None
        return entry.kept.copy()

    def put(self, key: Hashable, value: Any, stamp: Stamp, age: float | None = None) -> None:
        """Store the result of a query, unless one of its names was updated since it was sent.

        Nothing happens with a result that can't be copied or is too big, or when that of a query
        is there that was sent later.

        Parameters:
            value: not None.
            stamp: taken before the query was sent.
            age: seconds from then on for which it counts, None for as long as no name is updated;
                0 or less removes what is stored.
        """
        if age is not None and age <= 0:
            with self._changing:
                if key in self._entries:
                    self._remove(key)
            return
        if not self._max_entries:
            return
        entry = _Entry(_NOTHING, stamp, inf if age is None else stamp.moment + age)
        if not self._counts(entry):
            return
        try:
            entry.kept = Kept(value, self._max_bytes // LARGEST)
        except NotKept:
            return
        with self._changing:
            old = self._entries.get(key)
            if old is not None:
                if old.stamp.moment > stamp.moment and self._counts(old):
                    return
                self._remove(key)
            self._make_room(1, entry.kept.size)
            self._entries[key] = entry
            self.size += entry.kept.size

    def clear(self) -> None:
        """Forget everything."""
        with self._changing:
            self._entries.clear()
            self.size = 0

    def _counts(self, entry: _Entry) -> bool:
        if entry.expires <= monotonic():
            return False
        stamp, version = entry.stamp, self._shared.version
        return all(map(int.__eq__, map(version, stamp.names), stamp.versions))

    # -- while changing

    def _remove(self, key: Hashable) -> None:
        self.size -= self._entries.pop(key).kept.size

    def _make_room(self, entries: int, size: int) -> None:
        if self._has_room(entries, size):
            return
        for key in [key for key, entry in self._entries.items() if not self._counts(entry)]:
            self._remove(key)
        while self._entries and not self._has_room(entries, size):
            # Of those that never expire, the oldest goes first.
            order = sorted(
                self._entries,
                key=lambda key: (self._entries[key].expires, self._entries[key].stamp.moment),
            )
            for key in order[: -(-len(order) // EVICTED)]:
                self._remove(key)

    def _has_room(self, entries: int, size: int) -> bool:
        return (
            len(self._entries) + entries <= self._max_entries
            and self.size + size <= self._max_bytes
        )


_NOTHING = Kept(None, 64)
