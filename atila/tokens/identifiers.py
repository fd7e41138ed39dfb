"""Names for things that have none: unique identifiers and time stamps of ``was``."""

from __future__ import annotations

import hashlib
import secrets
import time

from atila.state.sealing import to_text


def make_uid(source: str | bytes | None = None) -> str:
    """22 characters for URLs and file names: the same ones for the same source.

    Parameters:
        source: anything; None for a random identifier.
    """
    if source is None:
        return to_text(secrets.token_bytes(16))
    octets = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    return to_text(hashlib.blake2b(octets, digest_size=16).digest())


def uniqid() -> str:
    """20 hexadecimal digits that nobody can guess."""
    return secrets.token_hex(10)


def timestamp() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
