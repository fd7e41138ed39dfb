"""The header fields of a WebSocket handshake (RFC 6455, 4.2): checked, read, answered."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha1

from skitai.wire.websocket.deflate import EXTENSION, Deflate, agree

VERSION = "13"
Offers = list[tuple[str, list[tuple[str, "str | None"]]]]

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TOKENS = re.compile(_TOKEN)
_EXTENSION_NAME = re.compile(rf"[ \t]*({_TOKEN})[ \t]*")
_EXTENSION_PARAM = re.compile(
    rf';[ \t]*({_TOKEN})(?:[ \t]*=[ \t]*(?:({_TOKEN})|"((?:[^"\\]|\\.)*)"))?[ \t]*'
)


def accept_key(key: str) -> str:
    """The value of Sec-WebSocket-Accept (RFC 6455, 4.2.2). Raises ``ValueError`` for a bad key."""
    if not _KEY.fullmatch(key):
        raise ValueError("Sec-WebSocket-Key must be the base64 of 16 bytes")
    return b64encode(sha1((key + _GUID).encode("ascii")).digest()).decode("ascii")


def parse_subprotocols(value: str) -> tuple[str, ...]:
    """The names in Sec-WebSocket-Protocol, in the client's order; ``ValueError`` when malformed."""
    names = tuple(name.strip(" \t") for name in value.split(","))
    if not all(_TOKENS.fullmatch(name) for name in names) or len(set(names)) < len(names):
        raise ValueError("Sec-WebSocket-Protocol must be a list of different names")
    return names


def parse_extensions(value: str) -> Offers:
    """The offers in Sec-WebSocket-Extensions (RFC 6455, 9.1); ``ValueError`` when malformed."""
    offers: Offers = []
    at = 0
    while True:
        name = _EXTENSION_NAME.match(value, at)
        if name is None:
            break
        params: list[tuple[str, str | None]] = []
        at = name.end()
        while param := _EXTENSION_PARAM.match(value, at):
            at = param.end()
            text = param[2]
            if param[3] is not None:
                text = re.sub(r"\\(.)", r"\1", param[3])
                if not _TOKENS.fullmatch(text):
                    raise ValueError("Sec-WebSocket-Extensions has a value that is no token")
            params.append((param[1], text))
        offers.append((name[1], params))
        if at == len(value):
            return offers
        if value[at] != ",":
            break
        at += 1
    raise ValueError("Sec-WebSocket-Extensions is malformed")


def choose_deflate(offers: Offers) -> Deflate | None:
    """Agree to the first offer of permessage-deflate that can be met; None: to none."""
    for name, params in offers:
        if name == EXTENSION:
            agreed = agree(params)
            if agreed is not None:
                return agreed
    return None
