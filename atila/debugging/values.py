"""Short texts for the values of variables, without secrets and without side effects.

``repr`` runs code of the value: it may raise, take for ever, ask a database or show a password. So
containers and records are taken apart here, what is lazy stays so, and code of others has little
time, in a thread of its own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, defaultdict, deque
from contextlib import suppress
from contextvars import copy_context
from datetime import date, datetime, timedelta, timezone
from datetime import time as clock
from decimal import Decimal
from enum import Enum
from itertools import islice
from re import Pattern
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CodeType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MethodType,
    ModuleType,
)
from typing import TYPE_CHECKING, Any

from atila.debugging.masking import MASK, is_secret, is_shown, is_telling, texts_in
from atila.debugging.records import (
    OURS,
    describe_lazy,
    fields_of,
    find,
    is_lazy,
    name_of,
    own_dict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from atila.debugging.masking import Masker

MAX_TEXT = 1000  # characters of one value
MAX_STRING = 300  # characters of a string in it
MAX_ITEMS = 20
MAX_DEPTH = 4
MAX_BITS = 4096
OWN_SECONDS = 0.25  # for the repr of one value
ALL_SECONDS = 1.0  # for those of a page
CUT = "…"

_BRACKETS: dict[Any, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
    deque: ("deque([", "])"),
}
_MAPS: tuple[Any, ...] = (dict, OrderedDict, defaultdict)
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
# The interpreter's own, whose reprs are short and know no objects of others.
_QUICK = frozenset(
    (int, float, complex, bool, type(None), type(...), type(NotImplemented), range, memoryview)
    + (datetime, date, timedelta, clock, timezone, Decimal, Pattern, ModuleType, CodeType)
    + (FunctionType, BuiltinFunctionType, GeneratorType, CoroutineType, AsyncGeneratorType)
)
# Types whose repr took too long: they are not tried again, so that few threads are ever left.
_slow: set[type] = set()


class Describer:
    """Describes values, for one page.

    Parameters:
        masker: knows the secrets.
        seconds: for all reprs that are code of others.

    Attributes:
        hidden: texts that were not shown because of their names; they may turn up elsewhere.
    """

    def __init__(self, masker: Masker, seconds: float = ALL_SECONDS) -> None:
        self._masker = masker
        self._deadline = time.monotonic() + seconds
        self.hidden: set[str] = set()
        self._open: set[int] = set()  # containers that are being described

    def named(self, name: object, value: Any) -> str:
        """The text of a value with a name, which may say that it is a secret."""
        if is_secret(name) and not is_shown(value):
            return self._hide(value)
        return self.text(value)

    def text(self, value: Any) -> str:
        """The text of a value; never raises."""
        try:
            text = self._describe(value, 0)
        except Exception as exc:
            text = f"<{name_of(type(value))}: {type(exc).__name__} while it was looked at>"
        return cut(text, MAX_TEXT)

    # -- by type; ``type()`` and not ``isinstance``, which asks proxies what they stand for

    def _describe(self, value: Any, depth: int) -> str:
        kind = type(value)
        if kind is str or kind is bytes:
            return self._string(value)
        if kind is int:
            bits = value.bit_length()
            return repr(value) if bits <= MAX_BITS else f"<int of {bits} bits>"
        if is_lazy(kind):
            return describe_lazy(value)
        represent = find(kind, "__repr__")
        return (
            self._of_interpreter(value, kind, represent)
            or self._container(value, kind, represent, depth)
            or self._object(value, kind, represent, depth)
        )

    def _of_interpreter(self, value: Any, kind: type, represent: Any) -> str:
        if kind in _QUICK:
            return self._of_repr(represent(value), kind)
        for base in (str, bytes):
            if represent is base.__repr__:
                return f"{kind.__name__}({self._string(base.__getitem__(value, slice(None)))})"
        if kind is MethodType:
            return f"<method {value.__func__.__qualname__}>"
        if kind is bytearray:
            return f"bytearray({self._string(bytes(value))})"
        if issubclass(kind, Enum):
            return f"<{kind.__name__}.{own_dict(value).get('_name_', '?')}>"
        return ""

    def _container(self, value: Any, kind: type, represent: Any, depth: int) -> str:
        if issubclass(kind, tuple) and find(kind, "_asdict") is not None:
            names = getattr(kind, "_fields", ())
            pairs = zip(names, tuple.__iter__(value), strict=False)
            return self._record(kind, pairs, value, depth)
        if kind in _VIEWS:
            items = list(islice(iter(value), MAX_ITEMS + 1))
            return f"{kind.__name__}({self._sequence(items, list, list, depth)})"
        if represent is BaseException.__repr__:
            args = value.args

            def each() -> Iterator[str]:
                return (self._describe(arg, depth + 1) for arg in args)

            return kind.__name__ + self._contents(value, each, ("(", ")"), len(args), depth)
        if any(represent is base.__repr__ for base in _MAPS):
            return self._mapping(value, kind, depth)
        for base in _BRACKETS:
            if represent is base.__repr__:
                return self._sequence(value, kind, base, depth)
        return ""

    def _object(self, value: Any, kind: type, represent: Any, depth: int) -> str:
        fields = fields_of(value, kind, represent)
        if fields is not None:
            return self._record(kind, fields, value, depth)
        if represent is object.__repr__:
            return f"<{name_of(kind)} object>"
        return self._own(value, kind, represent)

    def _string(self, value: Any) -> str:
        # Secrets are hidden before anything is cut off, which would leave a part of one.
        size = len(value)
        head = value[: MAX_STRING + self._masker.longest]
        if isinstance(head, bytes):
            text = self._masker.beginning(head.decode("latin-1"), MAX_STRING)
            head = text.encode("latin-1")
        else:
            head = self._masker.beginning(head, MAX_STRING)
        shown = repr(head[:MAX_STRING])
        if size <= MAX_STRING:
            return shown
        return f"{shown}{CUT} ({size:,} {'bytes' if isinstance(head, bytes) else 'characters'})"

    def _mapping(self, value: Any, kind: type, depth: int) -> str:
        def pairs() -> Iterator[str]:
            for key, item in dict.items(value):
                yield f"{self._describe(key, depth + 1)}: {self._member(key, item, depth)}"

        text = self._contents(value, pairs, ("{", "}"), len(value), depth)
        return text if kind is dict else f"{kind.__name__}({text})"

    def _sequence(self, value: Any, kind: type, base: Any, depth: int) -> str:
        size = base.__len__(value)
        opening, closing = _BRACKETS[base]
        if not size and base in (set, frozenset, deque):
            return f"{kind.__name__}()"

        def items() -> Iterator[str]:
            if base is tuple and size == 2:  # maybe the name and value of a header
                first, second = tuple.__iter__(value)
                yield self._describe(first, depth + 1)
                yield self._member(first, second, depth)
                return
            for item in base.__iter__(value):
                yield self._describe(item, depth + 1)

        if base is tuple and size == 1:
            closing = ",)"
        text = self._contents(value, items, (opening, closing), size, depth)
        return text if kind is base else f"{kind.__name__}({text})"

    def _record(self, kind: type, fields: Iterable[tuple[str, Any]], value: Any, depth: int) -> str:
        def members() -> Iterator[str]:
            return (f"{name}={self._member(name, item, depth)}" for name, item in fields)

        return kind.__name__ + self._contents(value, members, ("(", ")"), None, depth)

    def _member(self, name: object, item: Any, depth: int) -> str:
        if is_secret(name) and not is_shown(item):
            return self._hide(item)
        return self._describe(item, depth + 1)

    def _hide(self, value: Any) -> str:
        if type(value) in (list, tuple):  # "keys" and the like, which are words of other texts
            return MASK
        with suppress(RuntimeError):  # another thread has changed it meanwhile
            self.hidden.update(filter(is_telling, texts_in(value)))
        return MASK

    def _contents(
        self,
        value: Any,
        parts: Callable[[], Iterator[str]],
        brackets: tuple[str, str],
        size: int | None,
        depth: int,
    ) -> str:
        opening, closing = brackets
        if id(value) in self._open or (depth >= MAX_DEPTH and size != 0):
            return f"{opening}{CUT}{closing}"
        self._open.add(id(value))
        try:
            shown: list[str] = []
            length = 0
            more = False
            for text in islice(parts(), MAX_ITEMS + 1):
                if len(shown) == MAX_ITEMS or length > MAX_TEXT:
                    more = True
                    break
                shown.append(text)
                length += len(text)
        except RuntimeError:  # another thread has changed it meanwhile
            more = True
        finally:
            self._open.discard(id(value))
        if more:
            shown.append(CUT if size is None else f"{CUT} ({size:,} in all)")
        return f"{opening}{', '.join(shown)}{closing}"

    # -- reprs that are code of others

    def _own(self, value: Any, kind: type, represent: Any) -> str:
        if kind.__module__.partition(".")[0] in OURS:
            return f"<{name_of(kind)}>"
        if kind in _QUICK:
            return self._of_repr(represent(value), kind)
        left = self._deadline - time.monotonic()
        if kind in _slow:
            return f"<{name_of(kind)}: its repr takes too long>"
        if left <= 0:
            return f"<{name_of(kind)}: no time is left for its repr>"
        outcome: list[Any] = []

        def ask() -> None:
            try:
                outcome.append(represent(value))
            except BaseException as exc:  # whatever code of others raises
                outcome.append(f"<{name_of(kind)}: its repr raises {type(exc).__name__}>")

        thread = threading.Thread(
            target=copy_context().run, args=(ask,), name="atila-debugging-repr", daemon=True
        )
        thread.start()
        thread.join(min(left, OWN_SECONDS))
        if not outcome:
            _slow.add(kind)
            return f"<{name_of(kind)}: its repr takes too long>"
        return self._of_repr(outcome[0], kind)

    def _of_repr(self, text: Any, kind: type) -> str:
        if not issubclass(type(text), str):
            return f"<{name_of(kind)}: its repr is no text>"
        plain = str.__getitem__(text, slice(MAX_TEXT + 1 + self._masker.longest))
        return cut(self._masker.beginning(plain, MAX_TEXT + 1), MAX_TEXT)


def cut(text: str, size: int) -> str:
    """The text with an ellipsis in place of what is too much."""
    return text if len(text) <= size else f"{text[:size]}{CUT}"
