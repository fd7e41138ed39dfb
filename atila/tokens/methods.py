"""Methods of ``was`` that make and check tokens, passwords and identifiers.

They use the app's ``securekey`` where no other key is given.
"""

from __future__ import annotations

import hmac
import secrets
import time
from math import ceil
from typing import TYPE_CHECKING, Any

from atila.state.sealing import key_bytes
from atila.tokens.identifiers import make_uid, timestamp, uniqid
from atila.tokens.jwt_claims import bearer_token, decode_jwt, encode_jwt
from atila.tokens.otp import generate_otp, verify_otp
from atila.tokens.ott import TIMEOUT, Ticket, read_ticket, sign_ticket
from atila.tokens.password_hash import encrypt_password, verify_password

if TYPE_CHECKING:
    from atila.app import Atila
    from atila.request import Request
    from atila.state.session import Session


class TokenMethods:
    """The part of ``was`` for tokens; those that need a request say so."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def app(self) -> Atila: ...

        @property
        def request(self) -> Request: ...

        @property
        def session(self) -> Session: ...

    # -- JSON Web Tokens

    def encode_jwt(
        self, claim: dict[str, Any], salt: str | bytes | None = None, alg: str = "HS256"
    ) -> str:
        """A signed JSON Web Token (seed, JWT Token).

        Parameters:
            claim: the claims; ``exp`` is needed, in seconds since the epoch.
            salt: the key; None for ``securekey``. A private key in PEM form for RS256, ES256, …
            alg: HS256, HS384, HS512, or what the private key is for.

        Raises: see ``atila.tokens.jwt_claims.encode_jwt``.
        """
        return encode_jwt(claim, self._key(salt, "was.encode_jwt"), alg)

    def decode_jwt(
        self, token: str | None = None, salt: str | bytes | None = None
    ) -> dict[str, Any]:
        """The claims of a JSON Web Token; ``{"err": …, "ecd": …}`` when it isn't good.

        Parameters:
            token: None for the one in the request's Authorization header.
            salt: the key; None for ``securekey``. A public or private key in PEM form for RS256, …
        """
        if token is None:
            token = bearer_token(self.request.headers.get("authorization"))
        return decode_jwt(token, self._key(salt, "was.decode_jwt"))

    mkjwt = encode_jwt
    dejwt = decode_jwt

    # -- one-time passwords

    def generate_otp(self, salt: str | bytes | None = None, delta: float = 0) -> str:
        """A password that is good for some seconds (seed, One-Time Password).

        Parameters:
            salt: the secret; None for ``securekey``.
            delta: seconds to add to the clock.
        """
        return generate_otp(self._key(salt, "was.generate_otp"), delta)

    def verify_otp(self, otp: str | None, salt: str | bytes | None = None) -> bool:
        """Whether a password was made with the same secret at most 20 to 30 seconds ago."""
        return verify_otp(otp, self._key(salt, "was.verify_otp"))

    # -- one-time tokens

    def encode_ott(
        self, obj: Any, timeout: float | None = TIMEOUT, session_key: str | None = None
    ) -> str:
        """A signed token for links, which everybody can read (seed, One-Time Token).

        Parameters:
            obj: any value that JSON has a type for.
            timeout: seconds; 0 or None for no end.
            session_key: makes the token revocable, and good for this browser only: a session of
                that name keeps its counterpart. A newer token with the same name replaces it.

        Raises ``TypeError`` for other types of values, ``AssertionError`` for a session key without
        timeout.
        """
        secret = self._key(None, "was.encode_ott")
        expires = ceil(time.time() + timeout) if timeout else 0
        if not session_key:
            return sign_ticket(Ticket(obj, expires), secret)
        if not timeout:
            raise AssertionError(f"session_key={session_key!r}: the token needs a timeout too")
        nonce = secrets.token_urlsafe(12)
        token = sign_ticket(Ticket(obj, expires, session_key, nonce), secret)
        with self.session.mounted(session_key, session_timeout=timeout) as session:
            session.set(_place(session_key), nonce)
        return token

    def decode_ott(self, token: str | None) -> Any:
        """The value of a token; None when it isn't ours, has expired, or was revoked."""
        ticket = read_ticket(token, self._key(None, "was.decode_ott"))
        if ticket is None:
            return None
        if not ticket.session_key:
            return None if ticket.expired else ticket.value
        with self.session.mounted(ticket.session_key) as session:
            kept = session.get(_place(ticket.session_key))
            matches = isinstance(kept, str) and hmac.compare_digest(
                kept.encode(), ticket.nonce.encode()
            )
            if matches and not ticket.expired:
                return ticket.value
            session.remove(_place(ticket.session_key))
            return None

    def revoke_ott(self, token: str | None) -> None:
        """Let a token that was made with a session key be good for nothing any more."""
        ticket = read_ticket(token, self._key(None, "was.revoke_ott"))
        if ticket is not None and ticket.session_key:
            with self.session.mounted(ticket.session_key) as session:
                session.remove(_place(ticket.session_key))

    mkott = mktoken = token = encode_ott
    deott = detoken = decode_ott
    rvott = rmtoken = revoke_ott

    # -- passwords and identifiers

    def encrypt_password(self, password: str | bytes) -> tuple[str, str]:
        """Salt and signature of a password, to be stored in its place; takes 0.2 seconds."""
        return encrypt_password(password)

    def verify_password(self, password: str | bytes, salt: str, signature: str) -> bool:
        """Whether salt and signature are those of this password."""
        return verify_password(password, salt, signature)

    def make_uid(self, source: str | bytes | None = None) -> str:
        """22 characters for URLs, the same ones for the same source; None for random ones."""
        return make_uid(source)

    @property
    def uniqid(self) -> str:
        """20 characters that nobody can guess, other ones each time."""
        return uniqid()

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""
        return timestamp()

    def _key(self, salt: str | bytes | None, needed_by: str) -> bytes:
        return key_bytes(self.app.salt if salt is None else salt, needed_by)


def _place(session_key: str) -> str:
    return f"_{session_key}_token"
