"""The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), for the stand-in of MongoDB."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass

_ROUNDS = 4096


@dataclass(frozen=True)
class ScramUser:
    """Somebody who is known.

    Attributes:
        database: where the user was made; only there the password is accepted.
    """

    database: str
    name: str
    password: str


class ScramExchange:
    """One conversation; each step gives the answer, or None when it fails.

    Attributes:
        done: the client has proved that it knows the password.
    """

    def __init__(self, user: ScramUser) -> None:
        self._user = user
        self._salt = secrets.token_bytes(16)
        self._first = self._challenge = ""
        self.done = False

    def first(self, payload: bytes) -> bytes | None:
        self._first = payload.decode().partition("n,,")[2]
        fields = _fields(self._first)
        name = fields["n"].replace("=2C", ",").replace("=3D", "=")
        if name != self._user.name:
            return None
        nonce = fields["r"] + secrets.token_urlsafe(12)
        salt = base64.b64encode(self._salt).decode()
        self._challenge = f"r={nonce},s={salt},i={_ROUNDS}"
        return self._challenge.encode()

    def final(self, payload: bytes) -> bytes | None:
        if self.done:
            return b""
        text = payload.decode()
        bare, _, proof = text.rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", self._user.password.encode(), self._salt, _ROUNDS)
        client_key = _sign(salted, b"Client Key")
        signed = f"{self._first},{self._challenge},{bare}".encode()
        signature = _sign(hashlib.sha256(client_key).digest(), signed)
        expected = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        if not hmac.compare_digest(base64.b64decode(proof), expected):
            return None
        self.done = True
        return b"v=" + base64.b64encode(_sign(_sign(salted, b"Server Key"), signed))


def _fields(text: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in text.split(","))  # type: ignore[misc]  # pairs


def _sign(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")
