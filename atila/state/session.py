"""``was.session``: values that a user's browser carries from request to request (seed, Session).

An app has one ``Sessions``, made when it is frozen; a request that uses its session has one
``Session``, which is loaded when it is first read and written when it was changed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from atila.errors import ConfigError
from atila.state.cookies import NEVER, LenientMapping, placement
from atila.state.sealing import check_key
from atila.state.session_space import Space
from atila.state.session_store import CookieStore, check_store
from atila.state.strict_json import SCALARS, simplify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from atila.state.cookies import Cookie
    from atila.state.session_space import Record
    from atila.state.session_store import SessionStore

TIMEOUT: float = 1200  # seconds
_UNCHANGEABLE = SCALARS | {float}


class Sessions:
    """What the sessions of an app have in common.

    Parameters:
        securekey: of the app; without one a session raises ``ConfigError`` when it is used.
        timeout: seconds that a session lives after its last change; None for 1200.
        store: None for encrypted cookies.

    Raises ``ConfigError`` for what is no key or store, and for a timeout that nothing could reach.
    """

    __slots__ = ("securekey", "store", "timeout")

    def __init__(
        self,
        securekey: str | bytes | None,
        timeout: float | None = None,
        store: SessionStore | None = None,
    ) -> None:
        self.securekey = check_key(securekey)
        try:
            self.timeout = TIMEOUT if timeout is None else _seconds(timeout)
        except ValueError as exc:
            raise ConfigError(str(exc)) from None
        self.store: SessionStore = CookieStore() if store is None else check_store(store)


class Session(LenientMapping):
    """The session of one request (seed, Session).

    Values are text, numbers, booleans, None, lists and dictionaries. Setting or removing one lets
    the session live for another ``session_timeout`` seconds, and never shortens what
    ``set_expiry`` decided; reading does not. A list or dictionary that is changed in place is
    saved too.

    Parameters:
        sessions: of the app.
        cookie: the request's cookies.
        address: the client's, for ``getv``.
        https: the request came over https, and the cookie must not be sent over http.

    All methods raise ``ConfigError`` when the app has no ``securekey``.
    """

    __slots__ = ("_address", "_committed", "_cookie", "_https", "_sessions", "_space", "_spaces")

    def __init__(
        self, sessions: Sessions, cookie: Cookie, address: str = "", https: bool = False
    ) -> None:
        self._sessions = sessions
        self._cookie = cookie
        self._address = address
        self._https = https
        self._committed: list[str] | None = [] if cookie.sealed else None
        self._space = space = Space("")
        self._spaces = {"": space}
        space.configure(
            sessions.securekey,
            sessions.timeout,
            placement("/", None, https, True, "Lax"),
            extends=True,
        )

    # -- values

    def _read(self) -> dict[str, Any]:
        return self._opened().data

    def get(self, key: str, default: Any = None) -> Any:
        """A value, ``default`` when it is missing."""
        value = self._opened().data.get(key, default)
        if type(value) not in _UNCHANGEABLE:
            self._space.lent = True
        return value

    def getv(self, key: str, default: Any = None) -> Any:
        """A value that was set from the client's present address, else ``default``."""
        record = self._opened()
        if record.elsewhere.get(key, record.address) != self._address:
            return default
        return self.get(key, default)

    def set(self, key: str, value: Any) -> None:
        """Set a value.

        Raises ``TypeError`` when the key is no text or the value is of another type than JSON has;
        ``RuntimeError`` when the headers are sent.
        """
        record = self._writable()
        if not isinstance(key, str):
            raise TypeError(f"keys of a session are text, not {key!r}")
        if type(value) not in SCALARS:
            simplify(value, f"session[{key!r}]")
        if not record.data:
            record.address = self._address
            record.elsewhere.clear()
        elif record.address != self._address:
            record.elsewhere[key] = self._address
        elif record.elsewhere:
            record.elsewhere.pop(key, None)
        record.data[key] = value
        self._space.extend()

    def remove(self, key: str) -> None:
        """Remove a value; nothing happens when there is none."""
        record = self._opened()
        if key in record.data:
            self._writable()
            del record.data[key]
            record.elsewhere.pop(key, None)
            self._space.extend()

    def clear(self) -> None:
        """Remove all values, and with them the cookie."""
        if self._opened().data:
            self._writable().data.clear()
            self._space.changed = True

    # -- expiry

    def touch(self) -> None:
        """Let the session live for ``session_timeout`` seconds from now, or longer."""
        if self._writable().data:
            self._space.extend(explicitly=True)

    def set_expiry(self, timeout: float) -> None:
        """Let the session live for ``timeout`` seconds from now; 0 ends it."""
        if timeout <= 0:
            self.expire()
            return
        self._writable()
        lifetime = min(timeout, NEVER)
        self._space.live_until(time.time() + lifetime, lifetime)

    def expire(self) -> None:
        """End the session: remove its values and its cookie.

        What is set afterwards begins a new one. Do so when a user logs in, so that nobody who
        had the cookie before shares it.
        """
        self._writable()
        self._space.end()

    def get_expiry(self) -> int:
        """When the session expires, in seconds since the epoch; 0 when there is none."""
        return self._opened().deadline

    def use_time(self) -> float:
        """Seconds since the expiry was decided; 0 when there is no session."""
        record = self._opened()
        if not record.deadline:
            return 0.0
        return max(0.0, time.time() - (record.deadline - record.lifetime))

    def impending(self) -> bool:
        """Whether a fifth of the session's time, or ten seconds, are all that is left."""
        record = self._opened()
        if not record.deadline:
            return False
        return record.deadline - time.time() <= max(10.0, record.lifetime * 0.2)

    # -- several sessions

    def mount(
        self,
        name: str | None = None,
        session_timeout: float | None = None,
        securekey: str | bytes | None = None,
        path: str | None = None,
        domain: str | None = None,
        secure: bool = False,
        http_only: bool = True,
        same_site: str | None = "Lax",
        extend: bool = True,
    ) -> None:
        """Work with another session from here on (seed, Namespaced Session).

        Parameters:
            name: of the session, whatever its case; None goes back to the default one. Nothing
                happens when it is the present one.
            session_timeout: seconds, more than 0; default: of the app.
            securekey: default: of the app.
            path: where the cookie is valid, default ``/``; the default session has no other.
            domain, secure, http_only, same_site: see ``state.cookies.Placement``; https implies
                ``secure``.
            extend: whether a change extends the session.

        Raises ``ValueError`` for a timeout or an attribute of the cookie that can't be.
        """
        name = (name or "").upper()
        if name == self._space.name:
            return
        path = path or "/"
        if not name and path != "/":
            raise AssertionError(f"session.mount(path={path!r}): give the session a name")
        space = self._spaces.get(name)
        if space is None:
            space = Space(name)
        space.configure(
            securekey or self._sessions.securekey,
            self._sessions.timeout if session_timeout is None else _seconds(session_timeout),
            placement(path, domain, secure or self._https, http_only, same_site),
            extend,
        )
        self._spaces[name] = self._space = space

    @contextmanager
    def mounted(self, name: str, **options: Any) -> Iterator[Session]:
        """Work with another session for the length of a ``with`` block.

        Parameters: as ``mount`` has them.
        """
        before = self._space
        self.mount(name, **options)
        try:
            yield self
        finally:
            self._space = before

    # -- loading and saving

    @property
    def saving_waits(self) -> bool:
        """Whether ``commit`` will wait for a server, so that it must not run on the loop."""
        if self._committed is not None or not self._sessions.store.blocking:
            return False
        return any(space.changed or space.lent for space in self._spaces.values())

    async def load(self) -> Session:
        """Load the present session, in a thread where the store blocks.

        A coroutine calls it before it uses a session that a server keeps; the rest then doesn't
        wait.
        """
        space, store = self._space, self._sessions.store
        if space.record is None:
            if store.blocking:
                await asyncio.to_thread(space.load, self._cookie, store, self._address)
            else:
                space.load(self._cookie, store, self._address)
        return self

    def commit(self) -> list[str]:
        """Save what was changed and return the values of the Set-Cookie headers.

        From now on a change raises ``RuntimeError``, and a second call returns the same. Raises
        ``ValueError`` for a session that its cookie can't hold, ``TypeError`` when a list or
        dictionary in it was given a value that JSON has no type for.
        """
        if self._committed is None:
            store, spaces = self._sessions.store, self._spaces.values()
            values = [space.save(store) for space in spaces if space.record is not None]
            self._committed = [value for value in values if value]
        return self._committed

    async def commit_async(self) -> list[str]:
        """``commit`` for coroutines: in a thread where the store blocks and there is work.

        ``commit`` returns the same afterwards, and does not wait.
        """
        if self.saving_waits:
            return await asyncio.to_thread(self.commit)
        return self.commit()

    def reopen(self) -> None:
        """Read the session anew, and let it be changed once more: at the end of a websocket.

        ``commit`` has to be called again. What a server keeps is saved then; a session in a cookie
        stays as it was when the headers were sent, there is no way to the browser any more.
        """
        for space in self._spaces.values():
            space.reopen()
        self._committed = None

    def _opened(self) -> Record:
        space = self._space
        record = space.record
        if record is None:
            store = self._sessions.store
            if store.blocking:
                refuse_on_loop()
            record = space.load(self._cookie, store, self._address)
        return record

    def _writable(self) -> Record:
        if self._committed is not None:
            raise RuntimeError("the session can't be changed: the headers are sent")
        return self._opened()


def _seconds(timeout: float) -> float:
    """A timeout, a hundred years at most. Raises ``ValueError`` for what is none."""
    number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not number or not timeout > 0:
        raise ValueError(f"session_timeout = {timeout!r} must be a number of seconds, more than 0")
    return min(timeout, NEVER)


def refuse_on_loop() -> None:
    """Raise ``RuntimeError`` where waiting would stop all requests of the worker."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "the session is kept on a server, which the loop must not wait for: a coroutine calls "
        "`await was.session.load()` before it uses was.session, plain functions need threads"
    )
