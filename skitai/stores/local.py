"""``LocalStore``: named values that the threads of one worker share (seed, App & Request Global).

``app.g`` is one, and so is ``was.g``, which all apps of a worker have in common.
"""

from __future__ import annotations

import math
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from skitai.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

# What has expired is looked for after so many writes, or as many as there are values if that is
# more: so what nobody reads again costs little memory, and a write little time.
SWEEP_AFTER = 64

_EXPIRED = (None, -math.inf)


class MissingValue(KeyError, AttributeError):
    """A value that was asked for as an attribute is not there."""


class LocalStore:
    """A dictionary for threads, whose keys are attributes too: ``g.count`` is ``g["count"]``.

    Each call is atomic; reading never waits. ``g["count"] += 1`` is two calls, and another thread
    may come in between: use ``g.increment("count")``, or for more than that ``with g.lock:``.

    Names such as ``__version`` or ``__b__`` are keys like any other, as far as Python has no use of
    its own for them. A missing key raises ``KeyError``; as an attribute, an error that is an
    ``AttributeError`` too.

    Attributes:
        lock: the lock that all writing takes; a thread that has it can write on.
    """

    __slots__ = ("_entries", "_until_sweep", "lock")

    # Of each key the value and the time at which it expires, if it does.
    _entries: dict[Hashable, tuple[Any, float | None]]
    lock: threading.RLock

    def __init__(self) -> None:
        object.__setattr__(self, "_entries", {})
        object.__setattr__(self, "_until_sweep", 0)
        object.__setattr__(self, "lock", threading.RLock())

    # Reading

    def __getitem__(self, key: Hashable) -> Any:
        value, deadline = self._entries[key]
        if deadline is not None and deadline <= monotonic():
            raise KeyError(key)
        return value

    def __getattr__(self, name: str) -> Any:
        value, deadline = self._entries.get(name, _EXPIRED)
        if deadline is not None and deadline <= monotonic():
            raise MissingValue(name)
        return value

    def get(self, key: Hashable, default: Any = None) -> Any:
        """The value of a key, or ``default``."""
        value, deadline = self._entries.get(key, _EXPIRED)
        if deadline is not None and deadline <= monotonic():
            return default
        return value

    def __contains__(self, key: Hashable) -> bool:
        _, deadline = self._entries.get(key, _EXPIRED)
        return deadline is None or deadline > monotonic()

    def __len__(self) -> int:
        return len(self._alive())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._alive())

    def keys(self) -> list[Any]:
        """The keys at this moment."""
        return list(self._alive())

    def values(self) -> list[Any]:
        """The values at this moment."""
        return list(self._alive().values())

    def items(self) -> list[tuple[Any, Any]]:
        """Keys and values at this moment."""
        return list(self._alive().items())

    def __reduce__(self) -> NoReturn:
        raise TypeError("a store is shared and can't be copied or pickled: take dict(g)")

    def __repr__(self) -> str:
        return f"LocalStore({self._alive()!r})"

    # Writing

    def set(self, key: Hashable, value: Any, timeout: float | None = 0) -> None:
        """Set a value.

        Parameters:
            timeout: seconds after which it is gone; 0 or None: never.

        Raises ``ValueError`` for a timeout that is no number of seconds.
        """
        deadline = None
        if timeout:
            if not isinstance(timeout, (int, float)) or timeout < 0 or math.isnan(timeout):
                raise ValueError(f"timeout must be seconds, 0 for none, not {timeout!r}")
            deadline = monotonic() + timeout
        with self.lock:
            self._entries[key] = (value, deadline)
            if deadline is not None:
                self._count_write()

    def __setitem__(self, key: Hashable, value: Any) -> None:
        with self.lock:
            self._entries[key] = (value, None)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(type(self), name):
            raise ConfigError(
                f"{name} is a method of the store and can't be set to {value!r}: "
                f"write g[{name!r}] or choose another name"
            )
        self[name] = value

    def setdefault(self, key: Hashable, default: Any = None) -> Any:
        """The value of a key; ``default``, which it then has, if there was none."""
        with self.lock:
            if key not in self:
                self[key] = default
            return self[key]

    def increment(self, key: Hashable, by: float = 1) -> Any:
        """Add to a number in one step and return the sum.

        A key that is missing counts as 0. A timeout goes on as it was.
        """
        with self.lock:
            value, deadline = self._entries.get(key, (0, None))
            if deadline is not None and deadline <= monotonic():
                value, deadline = 0, None
            value += by
            self._entries[key] = (value, deadline)
            return value

    def __delitem__(self, key: Hashable) -> None:
        with self.lock:
            self[key]
            del self._entries[key]

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise MissingValue(name) from None

    def pop(self, key: Hashable, default: Any = None) -> Any:
        """Remove a key and return its value, or ``default``."""
        with self.lock:
            value = self.get(key, default)
            self._entries.pop(key, None)
            return value

    def remove(self, key: Hashable) -> None:
        """Remove a key, if it is there."""
        with self.lock:
            self._entries.pop(key, None)

    def clear(self) -> None:
        """Remove everything."""
        with self.lock:
            self._entries.clear()

    # Expiry

    def _alive(self) -> dict[Any, Any]:
        now = monotonic()
        # A copy is made in one step, so that no lock is needed.
        return {
            key: value
            for key, (value, deadline) in self._entries.copy().items()
            if deadline is None or deadline > now
        }

    def _count_write(self) -> None:
        left = self._until_sweep - 1
        if left < 0:
            now = monotonic()
            for key, (_, deadline) in self._entries.copy().items():
                if deadline is not None and deadline <= now:
                    del self._entries[key]
            left = max(SWEEP_AFTER, len(self._entries))
        object.__setattr__(self, "_until_sweep", left)
