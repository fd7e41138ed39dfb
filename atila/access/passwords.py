"""Accounts with passwords, and the scheme Basic (RFC 7617; seed, Password Provider).

``auth`` looks accounts up and asks a scheme, this one or that of ``digest``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from skitai.server.representation import Fields
    from skitai.wire.request import Request

CHALLENGE = "WWW-Authenticate"
# A name or a password has none of these (RFC 7617, 2), and no store of accounts has to see them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Account(NamedTuple):
    """What is known of a user.

    Attributes:
        password: the password, or when ``encrypted`` the MD5 of ``name:realm:password`` in hex.
        info: whatever the app knows of the user.
    """

    password: str
    encrypted: bool = False
    info: Any = None


class User:
    """Who sent the request: ``was.request.user`` after basic and digest authentication.

    Attributes:
        name: also what ``str`` gives.
        realm: the app's realm.
        info: what the account has as its third part.
    """

    def __init__(self, name: str, realm: str, info: Any = None) -> None:
        self.name = name
        self.realm = realm
        self.info = info

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"User({self.name!r}, {self.realm!r})"


class Scheme(Protocol):
    """A way to prove that one knows a password.

    Attributes:
        name: as in the header Authorization, lower-case.
        realm: of the app.
    """

    name: str
    realm: str

    def challenge(self) -> Fields:
        """The headers of a 401."""

    def read(self, text: str, request: Request) -> Any:
        """What stands behind the scheme's name, with a ``username``; None when malformed."""

    def check(self, given: Any, request: Request, account: Account | None) -> Fields | None:
        """None when the credentials prove the account's password, else the headers of a 401."""


def account_of(result: Any) -> Account | None:
    """The account that ``app.users`` or the authorization handler gave.

    Parameters:
        result: a password, ``(password, encrypted)``, ``(password, encrypted, info)``, or None.

    Raises ``TypeError`` for anything else: that is an error of the app.
    """
    if result is None:
        return None
    if isinstance(result, str):
        return Account(result)
    if isinstance(result, (tuple, list)) and 1 <= len(result) <= 3 and isinstance(result[0], str):
        account = Account(*result)
        return account._replace(encrypted=bool(account.encrypted))
    raise TypeError(
        "an account must be a password, (password, encrypted), (password, encrypted, info) or "
        f"None, not {type(result).__name__}"
    )


class BasicCredentials(NamedTuple):
    """Name and password as the client sent them."""

    username: str
    password: str


class BasicScheme:
    """The scheme Basic (RFC 7617).

    Parameters:
        realm: printable ASCII.
    """

    name = "basic"

    def __init__(self, realm: str) -> None:
        self.realm = realm

    def challenge(self) -> Fields:
        """The headers of a 401."""
        return [(CHALLENGE, f"Basic realm={quoted(self.realm)}")]

    def read(self, text: str, request: Request) -> BasicCredentials | None:
        """Name and password; None when they are malformed."""
        try:
            pair = from_octets(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError):
            return None
        username, colon, password = pair.partition(":")
        if not colon or not is_plain(pair):
            return None
        return BasicCredentials(username, password)

    def check(
        self, given: BasicCredentials, request: Request, account: Account | None
    ) -> Fields | None:
        """None when the password is right, else the headers of a 401."""
        sent = given.password
        if account is not None and account.encrypted:
            sent, kept = (
                first_hash("MD5", given.username, self.realm, sent),
                account.password.lower(),
            )
        else:
            # Somebody unknown takes as long as somebody with a wrong password.
            kept = secrets.token_hex() if account is None else account.password
        if hmac.compare_digest(octets(sent), octets(kept)) and account is not None:
            return None
        return self.challenge()


_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
ALGORITHMS = tuple(_HASHES)


def hashed(algorithm: str, text: str) -> str:
    """The hexadecimal hash of a text in UTF-8."""
    return _HASHES[algorithm](octets(text), usedforsecurity=False).hexdigest()


def first_hash(algorithm: str, username: str, realm: str, password: str) -> str:
    """What stands for a password in digest authentication (RFC 7616, 3.4.2: A1)."""
    return hashed(algorithm, f"{username}:{realm}:{password}")


def octets(text: str) -> bytes:
    """UTF-8 of any text."""
    return text.encode("utf-8", "surrogatepass")


def from_octets(data: bytes) -> str:
    """Text of a client that may not have heard of UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def is_plain(text: str) -> bool:
    """Whether a text has no control characters."""
    return _CONTROL.search(text) is None


def quoted(text: str) -> str:
    """A quoted string for a header (RFC 9110, 5.6.4); what can't be in one becomes ``?``."""
    safe = _CONTROL.sub("?", text).encode("latin-1", "replace").decode("latin-1")
    escaped = safe.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
