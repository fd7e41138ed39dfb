"""A server's certificates and private key, in the form that QUIC takes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from skitai.errors import ConfigError

_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.S)
_USABLE = (
    rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey,
)  # fmt: skip


@dataclass
class Identity:
    """What a server shows its clients.

    Attributes:
        certificates: its own, then those between it and its authority.
        private_key: of the first one.
    """

    certificates: list[x509.Certificate]
    private_key: Any


def load_identity(certfile: str, keyfile: str, passphrase: str) -> Identity:
    """Read the files of the settings of the same names; without ``keyfile`` both are in one.

    Raises ``ConfigError`` when they can't be read or can't be used.
    """
    path = certfile
    try:
        with open(certfile, "rb") as file:
            chain = file.read()
        certificates = x509.load_pem_x509_certificates(chain)
        path = keyfile or certfile
        with open(path, "rb") as file:
            found = _KEY.search(file.read())
        if found is None:
            raise ValueError("no private key is in it")
        key = load_pem_private_key(found[0], passphrase.encode() or None)
    except (OSError, ValueError, TypeError) as exc:
        raise ConfigError(f"{path!r} can't be used for quic: {exc}") from None
    if not isinstance(key, _USABLE):
        raise ConfigError(f"{path!r} can't be used for quic: give a key of type RSA, EC or Ed25519")
    return Identity(certificates, key)
