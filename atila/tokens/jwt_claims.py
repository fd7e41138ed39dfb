"""JSON Web Tokens (RFC 7515, 7519; seed, JWT Token).

The cryptography is PyJWT's. The text around it is read here, because old tokens have the standard
base64 alphabet, which PyJWT refuses, and because the algorithms follow from the key.
"""

from __future__ import annotations

import binascii
import time
from datetime import datetime
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)

from atila.errors import ConfigError
from atila.state.sealing import MAX_TOKEN, to_text
from atila.state.strict_json import decode as decode_json
from atila.state.strict_json import encode as encode_json

if TYPE_CHECKING:
    from jwt.algorithms import Algorithm

EXPIRED = 0  # the ``ecd`` of a token that was good once
INVALID = 1  # that of all others

_HMAC = ("HS256", "HS384", "HS512")
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512", "secp256k1": "ES256K"}
_DATES = ("exp", "nbf", "iat")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
_LEGAL = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


class InvalidToken(ValueError):
    """A token that is not to be trusted, and why."""


@cache
def _algorithms() -> dict[str, Algorithm]:
    """All algorithms of PyJWT by name; loaded with the first key, as that takes a tenth of a second
    and most apps have no such tokens.
    """
    from jwt.algorithms import get_default_algorithms

    return get_default_algorithms()


class Key:
    """A key and the algorithms that it is for.

    A token doesn't choose its algorithm: ``none`` is for no key, and the text of a public key is
    never the secret of an HMAC.

    Parameters:
        secret: any octets, or a private or public key in PEM form.

    Attributes:
        algorithms: by name, the first is the usual one.
        signing: what they sign with; None for a public key.
        checking: what they verify with.

    Raises ``ConfigError`` for a PEM text that isn't such a key.
    """

    __slots__ = ("algorithms", "checking", "signing")

    def __init__(self, secret: bytes) -> None:
        names: tuple[str, ...]
        if b"-----BEGIN " in secret:
            self.signing, self.checking = _load_pem(secret)
            names = _names_for(self.checking)
        else:
            self.signing = self.checking = secret
            names = _HMAC
        self.algorithms = {name: _algorithms()[name] for name in names}


key_of = lru_cache(maxsize=64)(Key)


def _load_pem(text: bytes) -> tuple[Any, Any]:
    try:
        if b" PRIVATE KEY-----" in text:
            private = load_pem_private_key(text, None)
            return private, private.public_key()
        return None, load_pem_public_key(text)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ConfigError(f"the key for a JWT is no private or public key: {exc}") from None


def _names_for(key: Any) -> tuple[str, ...]:
    if isinstance(key, rsa.RSAPublicKey):
        return _RSA
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return (_CURVES[key.curve.name],)
    if isinstance(key, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        return ("EdDSA",)
    raise ConfigError("the key for a JWT must be one of RSA, ECDSA (P-256, P-384, P-521) or EdDSA")


@lru_cache(maxsize=32)
def _header(alg: str) -> str:
    return to_text(encode_json({"alg": alg, "typ": "JWT"}, "the header"))


def encode_jwt(claims: dict[str, Any], secret: bytes, alg: str = "HS256") -> str:
    """A signed token.

    Parameters:
        claims: ``exp`` is needed, seconds since the epoch or a datetime; so are ``nbf`` and
            ``iat`` when they are there. All others are values that JSON has a type for.
        secret: the key; a private one in PEM form for algorithms that aren't HMAC.
        alg: HS256, HS384 or HS512; for PEM keys RS256, PS256, ES256, EdDSA and their kin.

    Raises ``AssertionError`` without ``exp``, ``TypeError`` for other types of values,
    ``ValueError`` when the key isn't for the algorithm.
    """
    if "exp" not in claims:
        raise AssertionError("a JWT needs the claim exp: when it expires, in seconds since 1970")
    key = key_of(secret)
    algorithm = key.algorithms.get(alg)
    if algorithm is None or key.signing is None:
        names = ", ".join(key.algorithms) if key.signing is not None else "verifying only"
        raise ValueError(f"alg={alg!r} doesn't fit the key, which is for {names}")
    plain = dict(claims)
    for name in _DATES:
        if isinstance(plain.get(name), datetime):
            plain[name] = int(plain[name].timestamp())
    text = f"{_header(alg)}.{to_text(encode_json(plain, 'claims'))}"
    return f"{text}.{to_text(algorithm.sign(text.encode(), key.signing))}"


def decode_jwt(token: str | None, secret: bytes) -> dict[str, Any]:
    """The claims of a token, or why there are none: ``{"err": …, "ecd": …}``.

    Parameters:
        token: from the client, or None.
        secret: the key it must have been signed with, or its public half.

    ``ecd`` is 0 for a token that has expired, 1 for one that is missing, malformed, not signed with
    the key, without ``exp``, or not valid yet.
    """
    try:
        claims = _verified(token, key_of(secret))
        now = time.time()
        if _moment(claims, "exp") <= now:
            return {"err": "token expired", "ecd": EXPIRED}
        if "nbf" in claims and _moment(claims, "nbf") > now:
            raise InvalidToken("token not valid yet")
    except InvalidToken as exc:
        return {"err": str(exc), "ecd": INVALID}
    return claims


def bearer_token(authorization: str | None) -> str | None:
    """The token of an Authorization header (RFC 6750, 2.1); None when it has none."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _verified(token: str | None, key: Key) -> dict[str, Any]:
    if not isinstance(token, str) or not token:
        raise InvalidToken("token missing")
    parts = token.split(".") if len(token) <= MAX_TOKEN else ()
    if len(parts) != 3:
        raise InvalidToken("malformed token")
    header, signature = _object(parts[0]), _octets(parts[2])
    if "crit" in header or header.get("b64", True) is not True:
        raise InvalidToken("token with an extension that is not known")
    alg = header.get("alg")
    algorithm = key.algorithms.get(alg) if isinstance(alg, str) else None
    if algorithm is None:
        raise InvalidToken("token with another algorithm")
    if not algorithm.verify(f"{parts[0]}.{parts[1]}".encode(), key.checking, signature):
        raise InvalidToken("invalid signature")
    return _object(parts[1])


def _object(part: str) -> dict[str, Any]:
    try:
        value = decode_json(_octets(part))
    except ValueError:
        raise InvalidToken("malformed token") from None
    if not isinstance(value, dict):
        raise InvalidToken("malformed token")
    return value


def _octets(part: str) -> bytes:
    """What a part of a token stands for, in the alphabet of URLs or in the standard one."""
    try:
        standard = part.rstrip("=").encode("ascii").translate(_FROM_URL)
        if _LEGAL.issuperset(standard):
            return binascii.a2b_base64(standard + b"=" * (-len(standard) % 4))
    except (UnicodeEncodeError, binascii.Error):
        pass
    raise InvalidToken("malformed token")


def _moment(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidToken(f"token without {name}")
    return value
