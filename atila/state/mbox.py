"""``was.mbox``: messages for a user that wait for the next page (seed, Message Box).

They travel in a signed cookie, which the browser keeps until they have been read.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from atila.state.cookies import MAX_SIZE, MESSAGES, NEVER, encode_name, placement
from atila.state.sealing import key_bytes, signer
from atila.state.strict_json import MALFORMED, encode

if TYPE_CHECKING:
    from atila.state.cookies import Cookie, Placement
    from atila.state.sealing import TextSigner

PURPOSE = "message box"
FORMAT = 1


class Message(NamedTuple):
    """One message.

    Attributes:
        id: 0, 1, 2, … in one box.
        category: e.g. ``"info"``.
        created: seconds since the epoch.
        valid: seconds that it stays; 0: until it is read once.
        msg: usually text.
        extra: whatever else was given.
    """

    id: int
    category: str
    created: int
    valid: int
    msg: Any
    extra: dict[str, Any]


_decode = msgspec.json.Decoder(tuple[int, list[Message]]).decode


class Box:
    """One message box of a request, by its name."""

    __slots__ = ("changed", "cookie", "messages", "name", "placement", "securekey", "sent")

    def __init__(self, name: str, securekey: str | bytes | None, place: Placement) -> None:
        self.name = name
        self.cookie = encode_name(MESSAGES + name)
        self.securekey = securekey
        self.placement = place
        self.messages: list[Message] | None = None  # until it is loaded
        self.sent = False  # the client has such a cookie
        self.changed = False

    def signer(self) -> TextSigner:
        # The name of the cookie is in the key, so that no box can be put in another's place.
        return signer(key_bytes(self.securekey, "was.mbox"), f"{PURPOSE} {self.cookie}")

    def capacity(self) -> int:
        """Bytes of messages that fit into the cookie."""
        room = MAX_SIZE - len(self.cookie) - len(self.signer().sign(b""))
        return room * 3 // 4 - len(_envelope([]))


class MessageBox:
    """The message box of one request (seed, Message Box).

    Parameters:
        cookie: the request's cookies.
        securekey: of the app.
        https: the request came over https, and the cookie must not be sent over http.

    A cookie has 4 KB: when there is no room for a new message, the oldest ones are dropped. All
    methods raise ``ConfigError`` when the app has no ``securekey``.
    """

    __slots__ = ("_box", "_boxes", "_committed", "_cookie", "_https", "_securekey")

    def __init__(self, cookie: Cookie, securekey: str | bytes | None, https: bool = False) -> None:
        self._cookie = cookie
        self._securekey = securekey
        self._https = https
        self._committed: list[str] | None = [] if cookie.sealed else None
        self._box = Box("", securekey, placement("/", None, https, True, "Lax"))
        self._boxes = {"": self._box}

    def send(self, msg: Any, category: str = "info", valid: int = 0, **extra: Any) -> None:
        """Leave a message.

        Parameters:
            msg: text, or anything else that JSON has a type for.
            category: what ``get`` finds it by.
            valid: seconds that it stays; 0: until it is read once.
            extra: more values, by which ``get`` finds it too.

        Raises ``TypeError`` for values that JSON has no type for, ``ValueError`` for a message
        that no cookie could hold, ``RuntimeError`` when the headers are sent.
        """
        box = self._writable()
        messages = self._opened()
        number = messages[-1].id + 1 if messages else 0
        seconds = max(0, int(valid or 0))
        message = Message(number, category, int(time.time()), seconds, msg, extra)
        size, capacity = len(encode(message, "the message")), box.capacity()
        if size > capacity:
            raise ValueError(
                f"the message takes {size} bytes and a cookie has room for {capacity}: "
                "send a shorter one"
            )
        messages.append(message)
        box.changed = True

    push = send

    def get(self, k: str | None = None, v: Any = None) -> list[Message]:
        """Messages, the oldest first; those that are not valid for a time are removed.

        Parameters:
            k: a category; None for all messages.
            v: with it, messages that have an extra value ``k`` are found if that is ``v``, and
                those that have none if their category is ``k`` or ``v``.
        """
        found = self._find(k, v)
        if any(not message.valid for message in found):
            read = {message.id for message in found if not message.valid}
            self._drop(read)
        return found

    def search(self, k: str, v: Any = None) -> list[int]:
        """The ids of what ``get`` would return; nothing is removed."""
        return [message.id for message in self._find(k, v)]

    def remove(self, id: int) -> None:
        """Remove a message; nothing happens when there is none with that id."""
        if any(message.id == id for message in self._opened()):
            self._drop({id})

    def mount(
        self,
        name: str | None = None,
        securekey: str | bytes | None = None,
        path: str | None = None,
        domain: str | None = None,
        secure: bool = False,
        http_only: bool = True,
        same_site: str | None = "Lax",
    ) -> None:
        """Work with another box from here on; None goes back to the default one.

        Parameters: as ``Session.mount`` has them.
        """
        name = (name or "").upper()
        if name == self._box.name:
            return
        path = path or "/"
        if not name and path != "/":
            raise AssertionError(f"mbox.mount(path={path!r}): give the message box a name")
        place = placement(path, domain, secure or self._https, http_only, same_site)
        key = securekey or self._securekey
        box = self._boxes.get(name)
        if box is None:
            box = self._boxes[name] = Box(name, key, place)
        box.securekey, box.placement = key, place
        self._box = box

    def commit(self) -> list[str]:
        """The values of the Set-Cookie headers; from now on a change raises ``RuntimeError``."""
        if self._committed is None:
            values = [self._write(box) for box in self._boxes.values() if box.changed]
            self._committed = [value for value in values if value]
        return self._committed

    def _find(self, k: str | None, v: Any) -> list[Message]:
        messages = self._opened()
        if k is None:
            return list(messages)
        if v is None:
            return [message for message in messages if message.category == k]
        either = (k, v)
        return [
            message
            for message in messages
            if (message.extra[k] == v if k in message.extra else message.category in either)
        ]

    def _drop(self, ids: set[int]) -> None:
        box = self._writable()
        box.messages = [message for message in self._opened() if message.id not in ids]
        box.changed = True

    def _writable(self) -> Box:
        if self._committed is not None:
            raise RuntimeError("the message box can't be changed: the headers are sent")
        return self._box

    def _opened(self) -> list[Message]:
        box = self._box
        if box.messages is None:
            box.messages = self._load(box)
        return box.messages

    def _load(self, box: Box) -> list[Message]:
        signer = box.signer()
        token = self._cookie.get(box.cookie)
        if token is None:
            return []
        box.sent = True
        signed = signer.verify(token)
        if signed is None:
            return []
        try:
            format, every = _decode(signed)
        except MALFORMED:
            return []
        if format != FORMAT:
            return []
        now = time.time()
        kept = [each for each in every if not each.valid or now - each.created <= each.valid]
        box.changed = len(kept) < len(every) and self._committed is None
        return kept

    def _write(self, box: Box) -> str:
        messages = box.messages
        if not messages:
            return box.placement.erase(box.cookie) if box.sent else ""
        room = box.capacity()
        kept: list[bytes] = []
        for message in reversed(messages):
            data = encode(message, "the message")
            room -= len(data)
            if room < 0:
                break
            room -= len(",")
            kept.append(data)
        token = box.signer().sign(_envelope(kept[::-1]))
        return box.placement.write(box.cookie, token, time.time() + NEVER)


def _envelope(messages: list[bytes]) -> bytes:
    return b"[%d,[%b]]" % (FORMAT, b",".join(messages))
