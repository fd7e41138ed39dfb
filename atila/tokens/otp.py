"""One-time passwords: what two sides who share a secret know for some seconds (seed, One-Time
Password).

``was.generate_otp`` and ``was.verify_otp`` use the app's key; clients import ``generate_otp``.
"""

from __future__ import annotations

import hmac
import time

STEP = 10  # seconds
WINDOW = 2  # steps before and after the present one that are accepted
LENGTH = 32  # hexadecimal digits, 128 bits


def generate_otp(secret: str | bytes, delta: float = 0) -> str:
    """The password of this moment.

    It is accepted for 20 seconds, and at most for 30, by a server whose clock says the same. The
    server keeps no list: it may be used more than once in that time.

    Parameters:
        secret: what both sides know; text is the same as its bytes in UTF-8.
        delta: seconds to add to the clock.
    """
    return _password(secret, _step(delta))


def verify_otp(otp: str | None, secret: str | bytes) -> bool:
    """Whether a password was generated with ``secret`` at most 20 to 30 seconds ago.

    Parameters:
        otp: from the client, or None.
    """
    if not isinstance(otp, str):
        return False
    given = otp.encode("utf-8", "replace")
    now = _step(0)
    steps = range(now - WINDOW, now + WINDOW + 1)
    matches = [hmac.compare_digest(_password(secret, step).encode(), given) for step in steps]
    return any(matches)


def _step(delta: float) -> int:
    return int((time.time() + delta) // STEP)


def _password(secret: str | bytes, step: int) -> str:
    key = secret.encode() if isinstance(secret, str) else secret
    return hmac.digest(key, b"atila otp %d" % step, "sha256").hex()[:LENGTH]
