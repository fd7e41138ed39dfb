"""Rules of ``@app.inspect`` that are given as names: ``ints=["id"]``, ``emails=["mail"]``
(seed, Parameter and Validation). ``inspection_rules`` looks them up by the name of the option.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from atila.validation.conversions import (
    BOOLEANS,
    json_bool,
    json_float,
    json_int,
    json_str,
    one_text,
    text_to_float,
    text_to_int,
    words_to_bool,
)
from atila.validation.operators import Rule
from atila.validation.refusal import Refused

# HTML Living Standard, 4.10.5.1.5, but a domain has a dot.
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+")
MAX_EMAIL = 254  # characters, RFC 5321, 4.5.3.1
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

# No part can match a long text in many ways: each is searched in one pass, whatever is sent.
_UNSAFE = re.compile(
    r"<[\s/]*script"
    r"|=[\x00-\x20\"'`]*(?:{javascript}|{vbscript})\s*(?::|&colon;)"
    r"|[\s/\"'`]on[a-z]{{3,}}\s*="
    r"|&#(?:x[0-9a-f]|[0-9])".format(
        javascript=r"\s*".join("javascript"), vbscript=r"\s*".join("vbscript")
    ),
    re.IGNORECASE,
)


def text_to_list(value: Any) -> Any:
    """A repeated name, or text divided by ``|``; an empty text is an empty list."""
    if type(value) is str:
        return value.split("|") if value else []
    return json_list(value)


def json_list(value: Any) -> Any:
    """A list."""
    if isinstance(value, (list, tuple)):
        return value
    raise Refused("must be a list")


def an_object(value: Any) -> Any:
    """An object, as only JSON has them."""
    if isinstance(value, dict):
        return value
    raise Refused("must be an object")


def to_range(value: Any) -> Any:
    """``"1~5"``, or a list of two whole numbers, as (1, 5)."""
    if type(value) is str:
        low, tilde, high = value.partition("~")
        if tilde:
            try:
                return (text_to_int(low), text_to_int(high))
            except Refused:
                pass
    elif isinstance(value, (list, tuple)) and [type(item) for item in value] == [int, int]:
        return tuple(value)
    raise Refused("must be a range such as 1~5")


def email(value: Any) -> Any:
    """An e-mail address as browsers check it."""
    if type(value) is str and len(value) <= MAX_EMAIL and _EMAIL.fullmatch(value):
        return value
    raise Refused("must be an e-mail address")


def uuid(value: Any) -> Any:
    """A UUID in its usual form; it stays text."""
    if type(value) is str:
        if _UUID.fullmatch(value):
            return value
    elif isinstance(value, UUID):
        return value
    raise Refused("must be a UUID")


def without_tags(value: Any) -> Any:
    """Text in which ``<`` and ``>`` are character references."""
    return one_text(value).replace("<", "&lt;").replace(">", "&gt;")


def safe(value: Any) -> Any:
    """Text without scripts, attributes that run some, and hexadecimal or decimal references."""
    if _UNSAFE.search(one_text(value)):
        raise Refused("must not contain scripts")
    return value


VALUE_RULES: dict[str, Rule] = {
    "ints": Rule(text_to_int, json_int, 0),
    "floats": Rule(text_to_float, json_float, 0),
    "strings": Rule(one_text, json_str, 0, words=True),
    "booleans": Rule(words_to_bool(BOOLEANS), json_bool, 0),
    "lists": Rule(text_to_list, json_list, 0),
    "dicts": Rule(an_object, an_object, 0),
    "ranges": Rule(to_range, to_range, 0),
    "emails": Rule(email, email),
    "uuids": Rule(uuid, uuid),
    "safes": Rule(safe, safe, words=True),
    "notags": Rule(without_tags, without_tags, 2, words=True),
}
