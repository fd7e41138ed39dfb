"""Connection ids of QUIC that carry the worker which has the connection, readable to workers only.

``wire/http3/quic.py`` makes ids with it, ``server/http3/listener.py`` finds the way of datagrams
with it.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ID_LENGTH = 16  # bytes: one block
SECRET_LENGTH = 32
_MARK = b"skit"


class ConnectionIds:
    """Makes and reads the connection ids of one worker.

    An id is one block, encrypted with a key that all workers of a service have: nobody on the way
    can tell which worker it names or which ids belong together (RFC 9000, 5.1).

    Parameters:
        secret: 32 random bytes, the same in all workers, old and new.
        worker: number of this one, below 2**32.

    Attributes:
        token_key: key for tokens that any worker may check.
    """

    def __init__(self, secret: bytes, worker: int) -> None:
        cipher = Cipher(algorithms.AES(_derive(secret, b"id")), modes.ECB())  # single blocks
        self._encryptor = cipher.encryptor()
        self._decryptor = cipher.decryptor()
        self._reset_key = _derive(secret, b"reset")
        self._prefix = _MARK + worker.to_bytes(4, "big")
        self.token_key = _derive(secret, b"token")

    def make(self) -> bytes:
        """A new id."""
        return self._encryptor.update(self._prefix + os.urandom(ID_LENGTH - 8))

    def worker_of(self, connection_id: bytes) -> int | None:
        """The worker that has made an id; None for one that no worker of this service has made."""
        if len(connection_id) != ID_LENGTH:
            return None
        block = self._decryptor.update(connection_id)
        return int.from_bytes(block[4:8], "big") if block[:4] == _MARK else None

    def reset_token(self, connection_id: bytes) -> bytes:
        """The token that ends a connection nobody knows any more (RFC 9000, 10.3.2)."""
        return hmac.digest(self._reset_key, connection_id, "sha256")[:16]


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return hashlib.blake2b(key=secret, person=purpose, digest_size=16).digest()
