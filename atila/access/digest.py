"""The scheme Digest (RFC 7616): challenges, nonces, and the check of what a client answers.

Knows no app and no ``was``; ``atila/access/auth.py`` looks accounts up and asks it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
import struct
import threading
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

from atila.access.passwords import (
    ALGORITHMS,
    CHALLENGE,
    first_hash,
    from_octets,
    hashed,
    is_plain,
    octets,
    quoted,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from atila.access.passwords import Account
    from skitai.server.representation import Fields
    from skitai.wire.request import Request

LIFETIME = 300.0  # seconds for which a nonce holds
CAPACITY = 10_000  # nonces in use that a worker remembers
WINDOW = 64  # how far requests of one client may overtake each other
_SKEW = 60.0  # seconds that the clock may have been set back

# The same for all workers that are forks of one master that had this module.
_PROCESS_SECRET = secrets.token_bytes(32)

_PARAMETER = re.compile(
    r"[\t ,]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)[\t ]*=[\t ]*"
    r'(?:"((?:[^"\\]|\\.)*)"|([!#$%&\'*+.^_`|~0-9A-Za-z-]+))[\t ]*(?=,|$)'
)
_END = re.compile(r"[\t ,]*\Z")
_ESCAPED = re.compile(r"\\(.)")
_COUNT = re.compile(r"[0-9a-fA-F]{8}")
_REQUIRED = ("realm", "nonce", "uri", "response", "cnonce", "nc", "qop")


class DigestCredentials(NamedTuple):
    """What a client answered to a challenge (RFC 7616, 3.4)."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    cnonce: str
    nc: str
    algorithm: str
    opaque: str | None


class DigestScheme:
    """The scheme Digest with SHA-256 and MD5, ``qop=auth``.

    Parameters:
        realm: printable ASCII.
        secret: the app's, shared by its workers; None: one of this process and its forks.
        opaque: a text that clients send back; default: the MD5 of the realm.
        only_md5: accounts have encrypted passwords, which are MD5, so nothing else is offered.
        clock: seconds since the epoch.
    """

    name = "digest"

    def __init__(
        self,
        realm: str,
        secret: bytes | None = None,
        opaque: str | None = None,
        only_md5: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.realm = realm
        self.opaque = hashed("MD5", realm) if opaque is None else opaque
        self.only_md5 = only_md5
        self.nonces = Nonces(secret or _PROCESS_SECRET, realm, clock)

    def challenge(self, stale: bool = False) -> Fields:
        """The headers of a 401, the strongest algorithm first.

        Parameters:
            stale: the client may try again with the new nonce without asking its user.
        """
        nonce = self.nonces.issue()
        rest = f'nonce="{nonce}", opaque={quoted(self.opaque)}, charset=UTF-8'
        if stale:
            rest += ", stale=true"
        start = f'Digest realm={quoted(self.realm)}, qop="auth", algorithm='
        offered = ("MD5",) if self.only_md5 else ("SHA-256", "MD5")
        return [(CHALLENGE, f"{start}{algorithm}, {rest}") for algorithm in offered]

    def read(self, text: str, request: Request) -> DigestCredentials | None:
        """The credentials; None when they are malformed or for another resource or realm."""
        given = parse_parameters(from_octets(octets_of_header(text)))
        if given is None or any(name not in given for name in _REQUIRED):
            return None
        username = _username(given)
        algorithm = given.get("algorithm", "MD5").upper()
        opaque = given.get("opaque")
        if (
            username is None
            or not is_plain(username)
            or algorithm not in ALGORITHMS
            or given["qop"].lower() != "auth"
            or given["realm"] != self.realm
            or opaque not in (None, self.opaque)
            or not _COUNT.fullmatch(given["nc"])
            or not _is_target(given["uri"], request.target)
        ):
            return None
        return DigestCredentials(
            username,
            given["realm"],
            given["nonce"],
            given["uri"],
            given["response"],
            given["cnonce"],
            given["nc"],
            algorithm,
            opaque,
        )

    def check(
        self, given: DigestCredentials, request: Request, account: Account | None
    ) -> Fields | None:
        """None when the response is right and new, else the headers of a 401.

        A right response with a nonce that doesn't hold any more gets ``stale=true``; so does every
        SHA-256 when there are accounts that have but an MD5.
        """
        if account is not None and account.encrypted and not self.only_md5:
            self.only_md5 = True  # what the app has for one account it has for others
        if self.only_md5 and given.algorithm != "MD5":
            return self.challenge(stale=True)
        # Somebody unknown takes as long as somebody with a wrong password.
        expected = expected_response(given, request.method, account)
        right = hmac.compare_digest(octets(given.response.lower()), octets(expected))
        if not right or account is None:
            return self.challenge()
        if not self.nonces.spend(given.nonce, int(given.nc, 16)):
            return self.challenge(stale=True)
        return None


def expected_response(given: DigestCredentials, method: str, account: Account | None) -> str:
    """The response of a client that knows the account's password (RFC 7616, 3.4.1)."""
    algorithm = given.algorithm
    if account is None:
        first = first_hash(algorithm, given.username, given.realm, secrets.token_hex())
    elif account.encrypted:
        first = account.password.lower()
    else:
        first = first_hash(algorithm, given.username, given.realm, account.password)
    second = hashed(algorithm, f"{method}:{given.uri}")
    middle = f"{given.nonce}:{given.nc}:{given.cnonce}:auth"
    return hashed(algorithm, f"{first}:{middle}:{second}")


class Nonces:
    """The nonces of one realm.

    A nonce says when it was made and is signed, so that any worker with the secret knows it. Which
    counts were used with it is remembered by each worker for itself.

    Parameters:
        secret: bytes that only the service knows.
        realm: nonces of other realms are foreign.
        clock: seconds since the epoch.
        lifetime: seconds for which a nonce holds.
        capacity: how many nonces in use are remembered; older ones become old before their time.
    """

    _FORM = struct.Struct(">Q8s")  # milliseconds since the epoch, random bytes
    _MAC = 16

    def __init__(
        self,
        secret: bytes,
        realm: str,
        clock: Callable[[], float] = time.time,
        lifetime: float = LIFETIME,
        capacity: int = CAPACITY,
    ) -> None:
        self._key = hmac.digest(secret, b"atila digest nonce:" + octets(realm), "sha256")
        self._clock = clock
        self._lifetime = lifetime
        self._capacity = capacity
        self._lock = threading.Lock()
        self._used: dict[str, _Counts] = {}
        self._forgotten = 0.0  # nonces made up to then were used or are as good as used

    def issue(self) -> str:
        """A new nonce."""
        data = self._FORM.pack(int(self._clock() * 1000), secrets.token_bytes(8))
        return base64.urlsafe_b64encode(data + self._sign(data)).decode()

    def spend(self, nonce: str, count: int) -> bool:
        """Use a nonce for a request; False when it doesn't hold or that count was used already.

        Call it for requests that proved a password only: what it remembers is bounded, but others
        would push out what matters.
        """
        made = self._made_at(nonce)
        if made is None or not self._holds(made):
            return False
        with self._lock:
            counts = self._used.get(nonce)
            if counts is None:
                if made <= self._forgotten:
                    return False
                self._make_room()
                counts = self._used[nonce] = _Counts(made)
            return counts.take(count)

    def _make_room(self) -> None:
        """Forget nonces that don't hold any more, and the first one when there are too many."""
        used = self._used
        while used:
            first = next(iter(used))
            made = used[first].made
            if self._holds(made) and len(used) < self._capacity:
                return
            del used[first]
            self._forgotten = max(self._forgotten, made)

    def _holds(self, made: float) -> bool:
        return -_SKEW <= self._clock() - made < self._lifetime

    def _made_at(self, nonce: str) -> float | None:
        """When a nonce was made (seconds since the epoch); None for one that isn't ours."""
        try:
            data = base64.b64decode(octets(nonce), b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        size = self._FORM.size
        # Only one way to write it is accepted, or a count could be used again under another name.
        if len(data) != size + self._MAC or base64.urlsafe_b64encode(data) != octets(nonce):
            return None
        if not hmac.compare_digest(self._sign(data[:size]), data[size:]):
            return None
        milliseconds: int = self._FORM.unpack(data[:size])[0]
        return milliseconds / 1000

    def _sign(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, "sha256")[: self._MAC]


class _Counts:
    """The counts that were used with one nonce: the highest, and which of those just below."""

    __slots__ = ("_highest", "_seen", "made")

    def __init__(self, made: float) -> None:
        self.made = made
        self._highest = 0
        self._seen = 0  # bit n: highest - n was used

    def take(self, count: int) -> bool:
        """Use a count; False when it was used, or is too far below the highest to know."""
        ahead = count - self._highest
        if ahead > 0:
            self._seen = (self._seen << min(ahead, WINDOW) | 1) & ((1 << WINDOW) - 1)
            self._highest = count
            return True
        bit = 1 << -ahead
        if count < 1 or -ahead >= WINDOW or self._seen & bit:
            return False
        self._seen |= bit
        return True


def parse_parameters(text: str) -> dict[str, str] | None:
    """``name=value`` pairs of a header (RFC 9110, 11.4), names lower-case; None when malformed."""
    found: dict[str, str] = {}
    at = 0
    while not _END.match(text, at):
        match = _PARAMETER.match(text, at)
        if match is None or match[1].lower() in found:
            return None
        quoted_text, token = match[2], match[3]
        found[match[1].lower()] = token if quoted_text is None else _ESCAPED.sub(r"\1", quoted_text)
        at = match.end()
    return found


def octets_of_header(text: str) -> bytes:
    """The bytes that were sent for a header's value."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:  # not from a wire
        return octets(text)


def _username(given: dict[str, str]) -> str | None:
    """The user's name, which may be written as RFC 8187 has it; None when it can't be known."""
    if given.get("userhash", "false").lower() != "false":
        return None
    extended = given.get("username*")
    if extended is None:
        return given.get("username")
    charset, _, rest = extended.partition("'")
    _, quote, value = rest.partition("'")
    if "username" in given or charset.lower() != "utf-8" or not quote:
        return None
    try:
        return unquote_to_bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _is_target(uri: str, target: str) -> bool:
    """Whether ``uri`` is what the request is for; the target may have been made absolute."""
    target = from_octets(octets_of_header(target))
    if uri == target:
        return True
    _, mark, rest = target.partition("://")
    return bool(mark) and uri == "/" + rest.partition("/")[2]
