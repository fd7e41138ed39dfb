"""``SharedSlots``: numbers that all workers of a service share, public as ``skitai.g``.

Cache keys are slots too: the number is the time of the last update.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from skitai.errors import ConfigError
from skitai.stores.memory import HEADER, SharedMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LIMIT = 256
"""Names that one state of the code may register."""

# More than the limit, as the names of code that was replaced while the service ran stay taken.
CAPACITY = 4096
SLOT_WORDS = 4
NAME_BYTES = 128
NAMES_AT = HEADER + CAPACITY * SLOT_WORDS * 8
# Behind them is a block for each worker, in which it counts: `skitai.monitoring.counters`.
BLOCKS = 256
BLOCK_BYTES = 16384
BLOCKS_AT = NAMES_AT + CAPACITY * NAME_BYTES
MEMORY_BYTES = BLOCKS_AT + BLOCKS * BLOCK_BYTES

TABLE = 0  # the place to lock for the table of names
COUNT = 2  # which word of the header
TICK = 1e-6  # seconds; more than the precision of a time as a float

_REQUIRED: Any = object()


class UnregisteredSlot(KeyError, AttributeError):
    """A name that was not registered."""

    def __init__(self, name: object) -> None:
        super().__init__(name)
        self.name = str(name)

    def __str__(self) -> str:
        return (
            f"skitai.g has no slot {self.name!r}: call skitai.register_g({self.name!r}) before "
            "skitai.run() or in __config__"
        )


class SharedSlots:
    """Named numbers in shared memory; a key is an attribute too: ``g.visits`` is ``g["visits"]``.

    A slot keeps an ``int`` of 64 bits or a ``float``, and is 0 in the beginning. Reading takes no
    lock and never gives half of a number. ``g["visits"] += 1`` reads and writes, and others may
    come in between: use ``g.delta("visits", 1)``.

    What is set before ``skitai.run`` is a first value: a reload, which runs the script again,
    leaves the slots that the service has as they are.

    Parameters:
        memory: where the slots are; of ``MEMORY_BYTES``.
    """

    # A slot is four words in one cache line, so that they can't become visible in another order:
    #   state, value A, value B, unused
    # The lowest bit of the state tells that the value is a float. The others count the writes, and
    # the lowest of those which value it is. A writer fills the other one and then sets the state in
    # one step. A reader whose value was meanwhile overwritten finds another state, and looks again.

    __slots__ = ("_floats", "_memory", "_places", "_table", "_words", "_writing")

    _memory: SharedMemory
    _places: dict[str, int]  # which word is the state, of the names that were registered here
    _table: dict[str, int]  # the same of all names
    _words: memoryview[int]
    _floats: memoryview[float]
    _writing: threading.Lock

    def __init__(self, memory: SharedMemory | None = None) -> None:
        put = super().__setattr__
        put("_memory", SharedMemory(MEMORY_BYTES) if memory is None else memory)
        put("_places", {})
        put("_table", {})
        put("_writing", threading.Lock())

    # Names

    def register(self, *names: str | Iterable[str]) -> Callable[[type], type]:
        """Make slots for names; those that are there keep their values.

        To be done in the script or in ``__config__``, so that all workers know the same names.
        Returns a decorator of classes that changes nothing, so that names can stand above the
        class that they are about.

        Parameters:
            names: of up to 127 bytes, or lists of them.

        Raises `ConfigError` for a wrong name, and when there are more than 256.
        """
        wanted: list[Any] = []
        for name in names:
            wanted += name if isinstance(name, (list, tuple, set, frozenset)) else [name]
        fresh = [name for name in dict.fromkeys(map(_checked, wanted)) if name not in self._places]
        if len(self._places) + len(fresh) > LIMIT:
            raise ConfigError(
                f"register_g: {fresh[-1]!r} is one name too many, there may be {LIMIT}: "
                "keep other values in app.g or in a database"
            )
        if fresh:
            self._map()
            with self._writing, self._memory.locked(TABLE):
                for name in fresh:
                    self._places[name] = self._place(name)[0]
        return lambda cls: cls

    def _map(self) -> None:
        put = super().__setattr__
        words = self._memory.words
        put("_words", words)
        put("_floats", words.cast("B").cast("d"))

    def _place(self, name: str) -> tuple[int, bool]:
        """The place of a name, and whether it is new; the table is locked."""
        words, raw = self._words, self._words.cast("B")
        while len(self._table) < words[COUNT]:
            number = len(self._table)
            at = NAMES_AT + number * NAME_BYTES
            text = raw[at + 1 : at + 1 + raw[at]].tobytes().decode()
            self._table[text] = HEADER // 8 + number * SLOT_WORDS
        if name in self._table:
            return self._table[name], False
        number = len(self._table)
        if number == CAPACITY:
            raise ConfigError(
                f"register_g: there is no room for {name!r}, as code that was replaced had other "
                "names: stop the service and start it again"
            )
        encoded, at = name.encode(), NAMES_AT + number * NAME_BYTES
        raw[at + 1 : at + 1 + len(encoded)] = encoded
        raw[at] = len(encoded)
        words[COUNT] = number + 1
        self._table[name] = HEADER // 8 + number * SLOT_WORDS
        return self._table[name], True

    def join(self, descriptor: int) -> None:
        """Go on in the memory of another process, with the names that were registered here.

        What was set here becomes the value of names that are new there.

        Parameters:
            descriptor: of that memory; taken over.

        Raises `ConfigError` when it is no such memory.
        """
        mine = self.items()
        self._memory.join(descriptor)
        self._map()
        self._table.clear()
        with self._writing, self._memory.locked(TABLE):
            for name, value in mine:
                self._places[name], new = self._place(name)
                if new and value:
                    self._change(self._places[name], partial(_replace, value))

    # Reading

    def __getitem__(self, name: str) -> int | float:
        try:
            at = self._places[name]
        except KeyError:
            raise UnregisteredSlot(name) from None
        words = self._words
        while True:
            state = words[at]
            value: int | float = (self._floats if state & 1 else words)[at + 1 + (state >> 1 & 1)]
            if words[at] == state:
                return value

    def __getattr__(self, name: str) -> int | float:
        return self[name]

    def get(self, name: str, default: Any = _REQUIRED) -> Any:
        """The number of a slot; ``default``, if one is given, when the name isn't registered."""
        if default is not _REQUIRED and name not in self._places:
            return default
        return self[name]

    def version(self, name: str) -> int:
        """A number that is another one after each write to a slot; to find out about changes."""
        try:
            state: int = self._words[self._places[name]]
        except KeyError:
            raise UnregisteredSlot(name) from None
        return state >> 1

    def updated(self, *names: str) -> float:
        """When one of some slots was last touched, in seconds since the epoch.

        What never was counts as the start of the service.
        """
        return max([self._memory.started, *(float(self[name]) for name in names)])

    def __contains__(self, name: object) -> bool:
        return name in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        """The registered names."""
        return list(self._places)

    def values(self) -> list[int | float]:
        """The numbers in the order of the names."""
        return [self[name] for name in self.keys()]

    def items(self) -> list[tuple[str, int | float]]:
        """Names and numbers."""
        return [(name, self[name]) for name in self.keys()]

    def handle(self) -> SharedHandle:
        """What a process that ``multiprocessing`` starts needs to share the slots."""
        self._map()
        return SharedHandle(self._memory.descriptor, self.keys())

    def __reduce__(self) -> NoReturn:
        raise TypeError("skitai.g is shared and can't be copied or pickled: take dict(skitai.g)")

    def __repr__(self) -> str:
        return f"SharedSlots({dict(self.items())!r})"

    # Writing

    def set(self, name: str, value: float) -> None:
        """Set a slot.

        Raises ``TypeError`` for what is no number, ``OverflowError`` for an int of more than 64
        bits, ``KeyError`` for a name that isn't registered.
        """
        self._write(name, partial(_replace, _number(value)))

    __setitem__ = set

    def __setattr__(self, name: str, value: float) -> None:
        if hasattr(type(self), name):
            raise ConfigError(
                f"{name} is a method of skitai.g and can't be set to {value!r}: "
                f"write skitai.g[{name!r}] or choose another name"
            )
        self.set(name, value)

    def delta(self, name: str, by: float = 1) -> int | float:
        """Add to a slot in one step, whoever else does; returns the sum. Raises as ``set``."""
        number = _number(by)
        return self._write(name, lambda old: _number(old + number))

    def touch(self, name: str) -> float:
        """Set a slot to the present time, or to a later one than it has; returns that.

        Seconds since the epoch. Raises as ``set``.
        """
        return self._write(name, lambda old: max(time.time(), old + TICK))

    def _write(self, name: str, change: Callable[[int | float], int | float]) -> int | float:
        try:
            at = self._places[name]
        except KeyError:
            raise UnregisteredSlot(name) from None
        with self._writing:
            return self._change(at, change)

    def _change(self, at: int, change: Callable[[Any], int | float]) -> int | float:
        words = self._words
        # The lock of a slot is where the slot is.
        self._memory.lock(at * 8)
        try:
            state = words[at]
            which = state >> 1 & 1
            value = change((self._floats if state & 1 else words)[at + 1 + which])
            if isinstance(value, float):
                self._floats[at + 2 - which] = value
            else:
                words[at + 2 - which] = value
            words[at] = ((state >> 1) + 1) << 1 | isinstance(value, float)
        finally:
            self._memory.unlock(at * 8)
        return value


class SharedHandle:
    """The way to slots for a process of ``multiprocessing``, which gets it as an argument.

    Only what starts a process can pickle it. Made by ``SharedSlots.handle``.
    """

    def __init__(self, descriptor: Any, names: list[str]) -> None:
        self._descriptor = descriptor
        self._names = names

    def join(self, slots: SharedSlots) -> None:
        """In the new process: let its slots be those of the other, with their names."""
        slots.join(self._descriptor.detach())
        slots.register(self._names)

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd  # it is there when a process is started

        return SharedHandle, (DupFd(self._descriptor), self._names)


def _checked(name: object) -> str:
    if not isinstance(name, str) or not name or "\0" in name:
        raise ConfigError(f"register_g: a name must be text, not {name!r}: give 'tables.users'")
    if len(name.encode(errors="replace")) >= NAME_BYTES or not name.isprintable():
        raise ConfigError(
            f"register_g: {name!r} can't be a name: give up to {NAME_BYTES - 1} bytes to print"
        )
    return name


def _replace(new: int | float, old: int | float) -> int | float:
    return new


def _number(value: Any) -> int | float:
    if isinstance(value, float):
        return value
    if not hasattr(value, "__index__"):
        raise TypeError(
            f"skitai.g keeps numbers, int or float, not {value!r}: "
            "keep it in app.g, which each worker has its own of, or in a database"
        )
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError(f"skitai.g keeps whole numbers of 64 bits, not {number}")
    return number
