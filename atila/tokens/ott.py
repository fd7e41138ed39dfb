"""One-time tokens: signed values for links, with an expiry (seed, One-Time Token).

``atila/tokens/methods.py`` adds what makes one revocable: a number that is kept in a session.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import msgspec

from atila.state.sealing import signer
from atila.state.strict_json import MALFORMED, encode, simplify

TIMEOUT = 1200  # seconds
PURPOSE = "one-time token"
FORMAT = 1

_decode = msgspec.json.Decoder(tuple[int, Any, int, str, str]).decode


class Ticket(NamedTuple):
    """What a token says.

    Attributes:
        value: what was encoded.
        expires: seconds since the epoch, 0 for never.
        session_key: name of the session in which the nonce is kept, empty for none.
        nonce: what that session must have.
    """

    value: Any
    expires: int = 0
    session_key: str = ""
    nonce: str = ""

    @property
    def expired(self) -> bool:
        return 0 < self.expires <= time.time()


def sign_ticket(ticket: Ticket, secret: bytes) -> str:
    """The token of a ticket: letters, digits, ``-``, ``_`` and ``.`` only.

    Raises ``TypeError`` for values that JSON has no type for.
    """
    value, *rest = ticket
    fields = [FORMAT, simplify(value, "the token's value"), *rest]
    return signer(secret, PURPOSE).sign(encode(fields, "the token"))


def read_ticket(token: str | None, secret: bytes) -> Ticket | None:
    """The ticket of a token, which may have expired; None when it is not ours.

    Parameters:
        token: from the client, or None.
    """
    if not isinstance(token, str):
        return None
    signed = signer(secret, PURPOSE).verify(token)
    if signed is None:
        return None
    try:
        format, *fields = _decode(signed)
    except MALFORMED:
        return None
    return Ticket(*fields) if format == FORMAT else None
