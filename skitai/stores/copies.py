"""``Kept``: a result that the result cache keeps; everybody who asks gets a copy of his own."""

from __future__ import annotations

import datetime
import decimal
import pickle
import uuid
from functools import lru_cache, partial
from sys import getsizeof
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Make = Callable[[], Any]
    Put = Callable[[Any, Any], None]

ENTRY_BYTES = 1024  # what an entry takes beside its data, about
_HEAP_TYPE = 1 << 9  # flag of the classes that Python code defines

# Nobody can change these.
_ATOMS = frozenset(
    (
        type(None), bool, int, float, complex, str, bytes, decimal.Decimal, uuid.UUID,
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta,
    )
)  # fmt: skip
_CONTAINERS = (dict, list, tuple, set, bytearray)


class NotKept(Exception):
    """A result takes more memory than it may, is nested too deeply, or can't be copied."""


class Kept:
    """A result that is kept.

    Parameters:
        value: the result, copied at once: a dictionary, list, tuple, set or bytearray, whatever is
            in it; or an object that has such as attributes, of which other attributes are shared.
        limit: bytes that it may take.

    Attributes:
        size: about so many bytes.
        copy: gives the result, as an object of its own.

    Raises ``NotKept``.
    """

    __slots__ = ("copy", "size")

    copy: Make

    def __init__(self, value: Any, limit: int) -> None:
        if isinstance(value, _CONTAINERS) or type(value) in _ATOMS:
            self.size, self.copy = _keep(value, limit)
        else:
            self.size, self.copy = _keep_object(value, limit)
        self.size += ENTRY_BYTES


def _keep_object(value: Any, limit: int) -> tuple[int, Make]:
    kind: Any = type(value)
    size = 0
    shared: list[tuple[Put, Any]] = []
    copied: list[tuple[Put, Make]] = []
    for put, part in _parts(value):
        if isinstance(part, _CONTAINERS):
            taken, make = _keep(part, limit - size)
            copied.append((put, make))
        else:
            taken = getsizeof(part)
            shared.append((put, part))
        size += taken
    if size > limit:
        raise NotKept

    def copy() -> Any:
        new = kind.__new__(kind)
        for put, part in shared:
            put(new, part)
        for put, make in copied:
            put(new, make())
        return new

    return size, copy


def _parts(value: Any) -> Iterator[tuple[Put, Any]]:
    """The attributes of an object, and what sets them in another one."""
    kind: Any = type(value)
    for slot in _slots(kind):
        try:
            part = slot.__get__(value)
        except AttributeError:  # never set
            continue
        yield slot.__set__, part
    for name, part in getattr(value, "__dict__", {}).items():
        yield partial(_put, name), part


def _put(name: str, new: Any, part: Any) -> None:
    new.__dict__[name] = part


def _keep(value: Any, limit: int) -> tuple[int, Make]:
    """About how many bytes a value takes, and what makes a copy of it."""
    kind = type(value)
    if kind in _ATOMS:
        if getsizeof(value) > limit:
            raise NotKept
        return getsizeof(value), lambda: value
    row = _row_type(value) if kind is list else None
    if row is not None:
        size = _size_of_rows(value, limit)
        rows = [row(each) for each in value]
        # PERF: 50 rows of 5 columns take 7 us this way, 22 us by pickle, which is the best way for
        # all else: the same as JSON takes 13 us, 66 us when it is copied piece by piece.
        return size, lambda: [row(each) for each in rows]
    data = _pickled(value, limit)
    return getsizeof(data), lambda: pickle.loads(data)  # made here, nobody else has had it


def _row_type(values: list[Any]) -> Any:
    """The class of the dictionaries that a list is of, if nothing in them can be changed."""
    kind: Any = type(values[0]) if values else None
    if kind is None or not _takes_mapping(kind):
        return None
    for each in values:
        if type(each) is not kind or not _ATOMS.issuperset(map(type, each.values())):
            return None
    return kind


@lru_cache(maxsize=256)
def _takes_mapping(kind: Any) -> bool:
    """Whether a class is one of dictionaries that are made as ``dict`` is."""
    return (
        issubclass(kind, dict) and kind.__init__ is dict.__init__ and kind.__new__ is dict.__new__
    )


def _size_of_rows(rows: list[dict[Any, Any]], limit: int) -> int:
    size = getsizeof(rows) + sum(map(getsizeof, rows[0]))  # the names are the same in all of them
    for row in rows:
        size += getsizeof(row) + sum(map(getsizeof, row.values()))
        if size > limit:
            raise NotKept
    return size


class _Output:
    """Takes what pickle writes, up to a limit."""

    __slots__ = ("_left", "parts")

    def __init__(self, limit: int) -> None:
        self._left = limit
        self.parts: list[bytes] = []

    def write(self, data: Any) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise NotKept
        self.parts.append(bytes(data))


def _pickled(value: Any, limit: int) -> bytes:
    output = _Output(limit)
    try:
        pickle.Pickler(output, protocol=5).dump(value)
    except NotKept:
        raise
    except Exception as exc:  # an object in it is of a kind that pickle does not know
        raise NotKept from exc
    return b"".join(output.parts)


@lru_cache(maxsize=256)
def _slots(kind: Any) -> list[MemberDescriptorType]:
    """The slots of a class; raises ``NotKept`` for one that is not made by Python code."""
    if not kind.__flags__ & _HEAP_TYPE:
        raise NotKept
    return [
        found
        for base in kind.__mro__
        for found in vars(base).values()
        if isinstance(found, MemberDescriptorType)
    ]
