"""Values in XML, as XML-RPC writes them; ``xml`` and ``xmlrpc`` make documents of them."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from xmlrpc.client import Binary, DateTime

if TYPE_CHECKING:
    from collections.abc import Callable

_INT = 2**31
_LONG = 2**63
# Characters that XML 1.0 has no way to express (section 2.2).
_IMPOSSIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def write_value(value: Any, pieces: list[str], encode: Callable[[Any], bytes]) -> None:
    """Append a ``<value>`` to ``pieces``.

    Parameters:
        value: None is ``<nil/>``; integers of more than 32 bits are ``<i8>``, of more than 64 bits
            ``<biginteger>``; datetimes with a zone are in UTC.
        encode: to JSON; other types have the form that they have there. It raises ``TypeError``
            for what has none.

    Characters that XML can't express become U+FFFD.
    """
    pieces.append("<value>")
    if isinstance(value, dict):
        pieces.append("<struct>\n")
        for name, item in value.items():
            pieces.append(f"<member>\n<name>{escape(str(name))}</name>\n")
            write_value(item, pieces, encode)
            pieces.append("</member>\n")
        pieces.append("</struct>")
    elif isinstance(value, (list, tuple, set, frozenset)):
        pieces.append("<array><data>\n")
        for item in value:
            write_value(item, pieces, encode)
        pieces.append("</data></array>")
    else:
        text = _scalar(value)
        if text:
            pieces.append(text)
        else:
            del pieces[-1]
            write_value(json.loads(encode(value)), pieces, encode)
            return
    pieces.append("</value>\n")


def escape(text: str) -> str:
    """Text between tags."""
    return _IMPOSSIBLE.sub("\ufffd", text).translate(_ESCAPES)


def _scalar(value: Any) -> str:
    """A value that is no container; empty for one of another type."""
    if isinstance(value, str):
        return f"<string>{escape(value)}</string>"
    if value is None:
        return "<nil/>"
    if isinstance(value, bool):
        return f"<boolean>{value:d}</boolean>"
    if isinstance(value, int):
        kind = "int" if -_INT <= value < _INT else "i8" if -_LONG <= value < _LONG else "biginteger"
        return f"<{kind}>{value:d}</{kind}>"
    if isinstance(value, float):
        return f"<double>{float(value)!r}</double>"
    if isinstance(value, Binary):
        value = value.data
    if isinstance(value, (bytes, bytearray)):
        return f"<base64>{b64encode(value).decode()}</base64>"
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else value.astimezone(timezone.utc)
        return f"<dateTime.iso8601>{moment:%Y%m%dT%H:%M:%S}</dateTime.iso8601>"
    if isinstance(value, DateTime):
        return f"<dateTime.iso8601>{escape(value.value)}</dateTime.iso8601>"
    return ""
