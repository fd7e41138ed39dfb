"""What a client keeps for us without reading or changing it: encrypted, or signed.

Sessions are encrypted; message boxes and one-time tokens are signed. The keys come from
``securekey``, another one for each purpose, so that nothing can be used in another's place.
"""

from __future__ import annotations

import binascii
import hashlib
import os
import re
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from itsdangerous import BadSignature, Signer

from atila.errors import ConfigError

VERSION = 1
MAX_TOKEN = 65536  # characters; longer ones are not looked at

_NONCE = 12
_OVERHEAD = 2 + _NONCE + 16  # version, number of the key, nonce, authentication tag
_SIGNED = re.compile(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+")
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def check_key(securekey: str | bytes | None) -> str | bytes | None:
    """The key, if there is one. Raises ``ConfigError`` for what is neither text nor bytes."""
    if securekey is None or isinstance(securekey, (str, bytes)):
        return securekey
    kind = type(securekey).__name__
    raise ConfigError(f"securekey must be text or bytes, not {kind}: set pref.securekey to a text")


def key_bytes(securekey: str | bytes | None, needed_by: str) -> bytes:
    """The key as bytes.

    Parameters:
        securekey: as the app has it.
        needed_by: what can't be done without a key, e.g. ``"was.session"``.

    Raises ``ConfigError`` when there is none, or something else.
    """
    key = check_key(securekey)
    if not key:
        raise ConfigError(
            f"{needed_by} needs a key, and the app has none: set pref.securekey to a long random "
            "text that you keep secret, e.g. of `python3 -c 'import secrets; "
            "print(secrets.token_urlsafe(32))'`"
        )
    return key.encode() if isinstance(key, str) else key


def to_text(data: bytes) -> str:
    """Base64 for URLs without padding (RFC 4648, 5)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")


def from_text(text: str) -> bytes | None:
    """The bytes of ``to_text``; None for any other text, also another spelling of the same."""
    try:
        standard = text.encode("ascii").translate(_FROM_URL)
        data = binascii.a2b_base64(standard + b"=" * (-len(standard) % 4))
    except (UnicodeEncodeError, binascii.Error):
        return None
    return data if to_text(data) == text else None


class Sealer:
    """Encrypts and authenticates with AES-256-GCM.

    Parameters:
        secret: the app's key.
        purpose: what is sealed.

    Random nonces of 96 bits are good for 2**32 messages with one key, so there are 256 of them,
    which the random byte behind the version chooses.
    """

    __slots__ = ("_ciphers", "_purpose", "_secret")

    def __init__(self, secret: bytes, purpose: str) -> None:
        self._secret = secret
        self._purpose = purpose.encode()
        self._ciphers: list[AESGCM | None] = [None] * 256

    def _cipher(self, number: int) -> AESGCM:
        cipher = self._ciphers[number]
        if cipher is None:
            info = b"%b %d %d" % (self._purpose, VERSION, number)
            cipher = AESGCM(HKDF(SHA256(), 32, b"atila", info).derive(self._secret))
            self._ciphers[number] = cipher
        return cipher

    def seal(self, data: bytes, name: str) -> str:
        """A text for cookies and URLs that only ``open`` with the same ``name`` can read."""
        random = os.urandom(1 + _NONCE)
        body = self._cipher(random[0]).encrypt(random[1:], data, name.encode())
        return to_text(b"%c%b%b" % (VERSION, random, body))

    def open(self, token: str, name: str) -> bytes | None:
        """What was sealed under ``name``; None when that is not what the token is."""
        sealed = from_text(token) if len(token) <= MAX_TOKEN else None
        if sealed is None or len(sealed) < _OVERHEAD or sealed[0] != VERSION:
            return None
        nonce, body = sealed[2 : 2 + _NONCE], sealed[2 + _NONCE :]
        try:
            return self._cipher(sealed[1]).decrypt(nonce, body, name.encode())
        except InvalidTag:
            return None


@lru_cache(maxsize=64)
def sealer(secret: bytes, purpose: str) -> Sealer:
    """The sealer of a key, made once."""
    return Sealer(secret, purpose)


class TextSigner:
    """Signs what anybody may read, with HMAC-SHA256.

    Parameters:
        secret: the app's key.
        purpose: what is signed.
    """

    __slots__ = ("_signer",)

    def __init__(self, secret: bytes, purpose: str) -> None:
        key = HKDF(SHA256(), 32, b"atila", purpose.encode()).derive(secret)
        self._signer = Signer(key, key_derivation="none", digest_method=hashlib.sha256)

    def sign(self, data: bytes) -> str:
        """A text for cookies and URLs with ``data`` and its signature."""
        return self._signer.sign(to_text(data)).decode("ascii")

    def verify(self, token: str) -> bytes | None:
        """The signed data; None when the signature is not ours."""
        # Decoders of base64 read several spellings of the same bytes; one of them is ours.
        if len(token) > MAX_TOKEN or not _SIGNED.fullmatch(token):
            return None
        try:
            signed = self._signer.unsign(token)
        except BadSignature:
            return None
        return from_text(signed.decode("ascii"))


@lru_cache(maxsize=64)
def signer(secret: bytes, purpose: str) -> TextSigner:
    """The signer of a key, made once."""
    return TextSigner(secret, purpose)
