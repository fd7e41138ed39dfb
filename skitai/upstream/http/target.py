"""Targets of requests: paths with values in them, and queries (RFC 3986). Pure; for stubs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOLE = "{}"
# All that may stand in a target as it is; "%" too, as what is encoded already stays so.
_KEPT = "/?%:@!$&'()*+,;=~-._[]"


def format_path(path: str, values: Sequence[Any]) -> str:
    """Fill the holes of a path.

    Parameters:
        path: has ``{}`` for each value; ``@alias/`` at its start is dropped (seed,
            Load-Balancing), and so is a fragment.
        values: become text that stays where it is: ``/``, ``?``, ``&`` and all others that mean
            something are percent-encoded.

    Returns a target that begins with ``/`` or ``?``, or nothing. Raises ``ValueError`` when there
    are more or fewer values than holes, when a value is a container, and when one makes a segment
    ``.`` or ``..``, which would lead elsewhere.
    """
    path = strip_alias(path)
    pieces = path.split(HOLE)
    if len(pieces) - 1 != len(values):
        raise ValueError(
            f"the path {path!r} has {len(pieces) - 1} places for values, there are {len(values)}"
        )
    filled = [quote_target(pieces[0])]
    for value, piece in zip(values, pieces[1:], strict=True):
        filled += (_quote_value(value), quote_target(piece))
    target = "".join(filled).partition("#")[0]
    if values and _dots(target) > _dots(path.replace(HOLE, "x")):
        raise ValueError(f"values of the path {path!r} would lead to another one: {values!r}")
    return target if not target or target[0] in "/?" else "/" + target


def strip_alias(path: str) -> str:
    """The path without ``@alias`` before it."""
    if not path.startswith("@"):
        return path
    _, slash, rest = path.partition("/")
    return slash + rest


def join_path(base: str, target: str) -> str:
    """A target behind the base path of a stub, beginning with ``/``."""
    base = quote_target(base.rstrip("/"))
    if base and not base.startswith("/"):
        base = "/" + base
    joined = base + target
    return joined if joined.startswith("/") else "/" + joined


def add_query(target: str, payload: Mapping[str, Any] | str) -> str:
    """Add fields to the query of a target.

    Parameters:
        payload: fields; a list or tuple repeats its name, None leaves it out. Text is a query that
            is encoded already.
    """
    query = quote_target(payload) if isinstance(payload, str) else urlencode(_pairs(payload))
    if not query:
        return target
    mark = "?" if "?" not in target else "" if target[-1] in "?&" else "&"
    return f"{target}{mark}{query}"


def encode_form(payload: Mapping[str, Any]) -> bytes:
    """``application/x-www-form-urlencoded``, in UTF-8; lists and None as in ``add_query``."""
    return urlencode(_pairs(payload)).encode("ascii")


def quote_target(text: str) -> str:
    """Encode what can't stand in a target, e.g. blanks and letters beyond ASCII."""
    return quote(text, safe=_KEPT + "#")


def _pairs(payload: Mapping[str, Any]) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in payload.items():
        values = value if isinstance(value, (list, tuple, set, frozenset)) else [value]
        pairs += [(str(name), _text(item)) for item in values if item is not None]
    return pairs


def _text(value: Any) -> str | bytes:
    return bytes(value) if isinstance(value, (bytes, bytearray)) else str(value)


def _quote_value(value: Any) -> str:
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        raise ValueError(f"a path takes text and numbers, not {type(value).__name__}")
    return quote(_text(value), safe="")


def has_dots(target: str) -> bool:
    """Whether the path of a target has segments that lead to the same or the higher directory."""
    return "." in target.replace("%2e", ".").replace("%2E", ".") and _dots(target) > 0


def _dots(path: str) -> int:
    """Segments that lead to the same or the higher directory (RFC 3986, 5.2.4)."""
    return len(re.findall(r"(?i)(?:^|/)(?:\.|%2e){1,2}(?=/|$)", path.partition("?")[0]))
