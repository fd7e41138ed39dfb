"""XML for answers of programs that prefer it: the ``<params>`` of an XML-RPC answer.

Written from the JSON of the same answer, so that both forms say the same (seed, API Response).
"""

from __future__ import annotations

import json
import re
from typing import Any

from skitai.wire.negotiation import prefers

JSON = "application/json"
TEXT_XML = "text/xml"
APPLICATION_XML = "application/xml"

_FORMATS = (JSON, TEXT_XML, APPLICATION_XML)
_INT = 2**31
_LONG = 2**63
# Characters that XML 1.0 has no way to express (section 2.2). Surrogates can't come out of JSON.
_IMPOSSIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"})


def choose_format(accept: str) -> str:
    """The media type for an answer of ``was.API``: JSON unless XML is preferred.

    Parameters:
        accept: the Accept header (RFC 9110, 12.5.1).

    Browsers ask for ``application/xml`` because they can show such documents; they get JSON.
    """
    chosen = prefers(accept, _FORMATS)
    if chosen == APPLICATION_XML and "text/html" in accept:
        return JSON
    return chosen or JSON


def encode_xml(document: bytes) -> bytes:
    """Write a JSON document as the ``<params>`` of an XML-RPC answer.

    Null is ``<nil/>``; integers of more than 32 bits are ``<i8>``, of more than 64 bits
    ``<biginteger>``. Characters that XML can't express become U+FFFD.
    """
    pieces = ["<?xml version='1.0' encoding='utf-8'?>\n<params>\n<param>\n"]
    _write(json.loads(document), pieces)
    pieces.append("</param>\n</params>\n")
    return "".join(pieces).encode()


def _write(value: Any, pieces: list[str]) -> None:
    pieces.append("<value>")
    if isinstance(value, dict):
        pieces.append("<struct>\n")
        for name, item in value.items():
            pieces.append(f"<member>\n<name>{_escape(name)}</name>\n")
            _write(item, pieces)
            pieces.append("</member>\n")
        pieces.append("</struct>")
    elif isinstance(value, list):
        pieces.append("<array><data>\n")
        for item in value:
            _write(item, pieces)
        pieces.append("</data></array>")
    else:
        pieces.append(_scalar(value))
    pieces.append("</value>\n")


def _scalar(value: Any) -> str:
    if value is None:
        return "<nil/>"
    if isinstance(value, bool):
        return f"<boolean>{value:d}</boolean>"
    if isinstance(value, int):
        kind = "int" if -_INT <= value < _INT else "i8" if -_LONG <= value < _LONG else "biginteger"
        return f"<{kind}>{value}</{kind}>"
    if isinstance(value, float):
        return f"<double>{value!r}</double>"
    return f"<string>{_escape(value)}</string>"


def _escape(text: str) -> str:
    return _IMPOSSIBLE.sub("\ufffd", text).translate(_ESCAPES)
