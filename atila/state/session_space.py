"""One session of a request on its way from its cookie and back: loaded, extended, saved.

``atila/state/session.py`` has one for the default session, and one for each that was mounted.
"""

from __future__ import annotations

import time
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Any

import msgspec

from atila.state.cookies import MAX_SIZE, SESSION, encode_name
from atila.state.sealing import key_bytes, sealer
from atila.state.strict_json import MALFORMED, simplify

if TYPE_CHECKING:
    from atila.state.cookies import Cookie, Placement
    from atila.state.sealing import Sealer
    from atila.state.session_store import SessionStore

PURPOSE = "session"
FORMAT = 1


class Record(msgspec.Struct, array_like=True):
    """A session as a store keeps it.

    Attributes:
        format: of the record.
        deadline: when it expires, in seconds since the epoch; 0 when it has not begun.
        lifetime: seconds from the moment when that was decided.
        address: of the client that began it.
        data: what the app put into it.
        elsewhere: addresses of the clients that set single values later, if from another one.
    """

    format: int
    deadline: int
    lifetime: int
    address: str
    data: dict[str, Any]
    elsewhere: dict[str, str] = msgspec.field(default_factory=dict)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


@lru_cache(maxsize=64)
def cookie_name(name: str) -> str:
    """The name of a session's cookie."""
    return encode_name(SESSION + name)


class Space:
    """One session by its name.

    Attributes:
        record: what it contains; None until it is loaded.
        changed: it has to be saved.
        lent: the app was given a list or a dictionary, which it may change.
    """

    __slots__ = (
        "_ended",
        "_extends",
        "_placement",
        "_revoked",
        "_sealer",
        "_securekey",
        "_sent",
        "_stored",
        "_ticket",
        "_timeout",
        "changed",
        "cookie",
        "lent",
        "name",
        "record",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.cookie = cookie_name(name)
        self.record: Record | None = None
        self.changed = False
        self.lent = False
        self._sent = False  # the client has such a cookie
        self._stored = b""  # the record as it was loaded
        self._ticket: bytes | None = None
        self._ended = False
        self._revoked: bytes | None = None  # the ticket of the session that was ended

    def configure(
        self, securekey: str | bytes | None, timeout: float, place: Placement, extends: bool
    ) -> None:
        """Set how the session is written.

        Parameters:
            securekey: what it is encrypted with.
            timeout: seconds that it lives after a change.
            place: where its cookie is valid.
            extends: whether a change extends a session that has begun.
        """
        self._securekey = securekey
        self._sealer: Sealer | None = None
        self._timeout = timeout
        self._placement = place
        self._extends = extends

    # -- expiry

    def live_until(self, deadline: float, lifetime: float) -> None:
        """Let the session expire at ``deadline``, in ``lifetime`` seconds from now."""
        record = self._loaded()
        record.deadline = ceil(deadline)
        record.lifetime = ceil(lifetime)
        self.changed = True

    def extend(self, explicitly: bool = False) -> None:
        """Save the session, and let it live for another timeout unless it lives longer."""
        self.changed = True
        record = self._loaded()
        deadline = time.time() + self._timeout
        if deadline > record.deadline and (self._extends or explicitly or not record.deadline):
            self.live_until(deadline, self._timeout)

    def end(self) -> None:
        """Empty the session; what is put into it later begins a new one."""
        record = self._loaded()
        record.data.clear()
        record.deadline = record.lifetime = 0
        self._revoked, self._ticket = self._ticket or self._revoked, None
        self.changed = self._ended = True

    # -- loading and saving

    def load(self, cookie: Cookie, store: SessionStore, address: str) -> Record:
        """Read the session; an empty one when there is none, or none that can be trusted.

        Raises ``ConfigError`` when there is no key.
        """
        sealer = self._open_sealer()
        ticket = self._ticket
        if ticket is None and (token := cookie.get(self.cookie)) is not None:
            self._sent = True
            ticket = sealer.open(token, self.cookie)
        if ticket is not None:
            stored = store.load(ticket)
            record = None if stored is None else read_record(stored)
            if record is not None:
                self._ticket = ticket
                self._stored = stored or b""
                self.record = record
                return record
        self.record = record = Record(FORMAT, 0, 0, address, {})
        return record

    def save(self, store: SessionStore) -> str:
        """Save the session if it was changed, and return the value of a Set-Cookie header.

        Empty when there is nothing to tell the client. Raises ``ValueError`` when the cookie would
        be too large, ``TypeError`` for a value that JSON has no type for.
        """
        if not self.changed:
            if not self.lent or self._write() == self._stored:
                return ""
            self.extend()
        if self._revoked is not None:
            store.delete(self._revoked)
        record = self._loaded()
        if not record.data:
            if self._ticket is not None:
                store.delete(self._ticket)
            known = self._ended or self._ticket is not None
            return self._placement.erase(self.cookie) if self._sent and known else ""
        ticket = store.save(self._ticket, self._write(), record.deadline)
        if ticket is None:
            return ""  # it has ended while the request ran; the browser was told then
        self._ticket = ticket
        token = self._open_sealer().seal(ticket, self.cookie)
        size = len(self.cookie) + len(token)
        if size > MAX_SIZE:
            raise ValueError(
                f"the session takes {size} bytes and browsers drop cookies of more than "
                f"{MAX_SIZE}: put less into was.session, or keep sessions on a server with "
                "app.session_store = RedisSessionStore(…)"
            )
        return self._placement.write(self.cookie, token, record.deadline)

    def reopen(self) -> None:
        """Forget what was loaded, and load what the store has now when it is asked for."""
        self.record = None
        self.changed = self.lent = self._ended = False
        self._revoked = None

    def _loaded(self) -> Record:
        assert self.record is not None
        return self.record

    def _open_sealer(self) -> Sealer:
        if self._sealer is None:
            self._sealer = sealer(key_bytes(self._securekey, "was.session"), PURPOSE)
        return self._sealer

    def _write(self) -> bytes:
        record = self._loaded()
        record.data = simplify(record.data, "session")
        try:
            return _encode(record)
        except UnicodeEncodeError as exc:
            raise TypeError(f"the session has text that is not Unicode: {exc.reason}") from None


def read_record(stored: bytes) -> Record | None:
    """The session of a store's bytes; None when it has expired, or is of another format."""
    try:
        record = _decode(stored)
    except MALFORMED:
        return None
    if record.format != FORMAT or record.deadline <= time.time():
        return None
    return record
