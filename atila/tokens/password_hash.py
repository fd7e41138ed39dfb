"""Passwords as they may be stored: hashed with scrypt (RFC 7914).

``was.encrypt_password`` and ``was.verify_password`` are these functions.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from atila.state.sealing import from_text, to_text

NAME = "scrypt"
COST = 2**14  # 16 MB with blocks of 8
BLOCK = 8
PARALLEL = 5
SALT_SIZE = 16  # bytes
SIZE = 32  # bytes

_SIGNATURE = re.compile(rf"{NAME}\$([0-9]{{1,9}})\$([0-9]{{1,9}})\$([0-9]{{1,9}})\$(.+)")


def encrypt_password(password: str | bytes) -> tuple[str, str]:
    """Salt and signature of a password, to be stored in its place.

    It takes 0.2 seconds on purpose, so do it in a plain function, not in a coroutine. The
    signature names the parameters, so that old ones are good when the defaults grow.
    """
    salt = secrets.token_bytes(SALT_SIZE)
    digest = _scrypt(password, salt, COST, BLOCK, PARALLEL)
    return to_text(salt), f"{NAME}${COST}${BLOCK}${PARALLEL}${to_text(digest)}"


def verify_password(password: str | bytes, salt: str, signature: str) -> bool:
    """Whether salt and signature are those of this password; malformed ones are not.

    Empty ones stand for an account that isn't there. They take as long as a wrong password, so that
    nobody learns from the time who has an account.
    """
    found = _SIGNATURE.fullmatch(signature)
    salt_octets = from_text(salt)
    if found is None or salt_octets is None:
        _scrypt(password, b"", COST, BLOCK, PARALLEL)
        return False
    cost, block, parallel = (int(part) for part in found.groups()[:3])
    expected = from_text(found[4])
    try:
        digest = _scrypt(password, salt_octets, cost, block, parallel)
    except (ValueError, OverflowError):
        return False
    return expected is not None and hmac.compare_digest(digest, expected)


def _scrypt(password: str | bytes, salt: bytes, cost: int, block: int, parallel: int) -> bytes:
    octets = password.encode("utf-8", "surrogatepass") if isinstance(password, str) else password
    memory = 128 * block * (cost + parallel + 2)
    return hashlib.scrypt(
        octets, salt=salt, n=cost, r=block, p=parallel, maxmem=memory * 2, dklen=SIZE
    )
