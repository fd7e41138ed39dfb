"""XML for answers of programs that prefer it: the ``<params>`` of an XML-RPC answer.

Written from the JSON of the same answer, so that both forms say the same (seed, API Response).
"""

from __future__ import annotations

import json

from atila.results.xml_values import write_value
from skitai.wire.negotiation import prefers

JSON = "application/json"
TEXT_XML = "text/xml"
APPLICATION_XML = "application/xml"

_FORMATS = (JSON, TEXT_XML, APPLICATION_XML)


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
    write_value(json.loads(document), pieces, bytes)
    pieces.append("</param>\n</params>\n")
    return "".join(pieces).encode()
