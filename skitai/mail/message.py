"""``Email``: a message that an app writes, and hands over for delivery (``was.email``)."""

from __future__ import annotations

import mimetypes
import os
import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, getaddresses, make_msgid
from typing import TYPE_CHECKING, Any

from skitai.mail.account import SmtpAccount, make_account

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ENVELOPE = ("to", "cc", "bcc")
# What is made from other parts of a message.
OWN = frozenset(
    {"content-type", "content-transfer-encoding", "mime-version", "subject", "from", "date"}
)
_LOCAL = re.compile(r"[^\s<>@\"(),:;\\\[\]\x00-\x1f\x7f-\uffff]+")
_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.A-Za-z]+\]")


class Envelope:
    """What is delivered: who sends, who gets, and the bytes.

    Attributes:
        id: of the message, as in its ``Message-ID``.
        sender, recipients: addresses without names.
        content: the message.
    """

    __slots__ = ("content", "id", "recipients", "sender")

    def __init__(self, id: str, sender: str, recipients: list[str], content: bytes) -> None:
        self.id = id
        self.sender = sender
        self.recipients = recipients
        self.content = content


class Email:
    """A message.

    Parameters:
        subject: of one line.
        sender: ``"a@b.c"`` or ``"Name <a@b.c>"``.
        recipient: the same; several are separated by commas, or are a list.
        post: takes the envelope and the account, None for that of the service.

    Raises ``ValueError`` for what is no address, and for a line break, which would be a header.
    """

    def __init__(
        self,
        subject: str,
        sender: str,
        recipient: str | Iterable[str],
        post: Callable[[Envelope, SmtpAccount | None], Any] | None = None,
    ) -> None:
        self._post = post
        self._account: SmtpAccount | None = None
        self._subject = _line("subject", subject)
        self._senders = _addresses("sender", sender)
        if len(self._senders) != 1:
            raise ValueError(f"sender {sender!r} must be one address")
        self._headers: list[tuple[str, str]] = []
        self._people = {"to": _addresses("recipient", recipient)}
        self._contents: list[tuple[str, str, str]] = []
        self._files: list[tuple[bytes, str, str | None]] = []

    def set_smtp(
        self,
        server: str,
        user: str | None = None,
        password: str | None = None,
        ssl: bool = False,
        **options: Any,
    ) -> Email:
        """Use another server than that of the service. Parameters: ``skitai.set_smtp``."""
        self._account = make_account(server, user, password, ssl, **options)
        return self

    def set_header(self, name: str, value: str) -> Email:
        """Set a header; of ``Cc``, ``Bcc`` and ``Reply-To`` the value is addresses.

        Raises ``ValueError`` for a name that is none, a line break, and headers that are made from
        other parts of the message.
        """
        if not re.fullmatch(r"[A-Za-z0-9-]+", name) or name.lower() in OWN:
            raise ValueError(f"header {name!r} can't be set")
        if name.lower() in ENVELOPE:
            self._people[name.lower()] = _addresses(name, value)
        else:
            self._headers = [one for one in self._headers if one[0].lower() != name.lower()]
            self._headers.append((name, _line(name, value)))
        return self

    def add_content(self, text: str, mimetype: str = "text/plain", charset: str = "utf8") -> Email:
        """Add the text; another one of another type is the same in another form.

        Raises ``ValueError`` for a type that is no text, ``LookupError`` for an unknown charset.
        """
        kind, slash, subtype = mimetype.partition("/")
        if kind != "text" or not re.fullmatch(r"[a-z0-9.+-]+", subtype):
            raise ValueError(f"content of type {mimetype!r} must be text: use add_attachment()")
        text.encode(charset, "replace")
        self._contents.append((text, subtype, charset))
        return self

    add_text = add_content

    def add_attachment(self, file: Any, name: str | None = None, cid: str | None = None) -> Email:
        """Add a file, which is read now.

        Parameters:
            file: a path, an open file, or bytes, which need a name.
            name: as recipients see it; default: that of the file.
            cid: how HTML names it: ``<img src="cid:logo">``; then it is part of that.

        Raises ``ValueError`` when there is no name, ``OSError`` when it can't be read.
        """
        if isinstance(file, (bytes, bytearray)):
            data = bytes(file)
        elif hasattr(file, "read"):
            data = file.read()
            if isinstance(data, str):
                data = data.encode()
            name = name or os.path.basename(str(getattr(file, "name", "")))
        else:
            with open(file, "rb") as opened:
                data = opened.read()
            name = name or os.path.basename(os.fspath(file))
        if not name:
            raise ValueError("an attachment of bytes needs a name")
        if cid is not None and not re.fullmatch(r"[A-Za-z0-9._@+-]+", cid):
            raise ValueError(f"cid {cid!r} must be of letters, digits and . _ @ + -")
        self._files.append((data, _line("name of an attachment", name), cid))
        return self

    def send(self) -> Any:
        """Hand it over for delivery; returns a task, whose data is the id of the message.

        In a thread the message is kept when this returns. On the loop it is to be awaited or
        yielded. Raises ``RuntimeError`` where there is no service, ``ValueError`` without content.
        """
        if self._post is None:
            raise RuntimeError("there is no service here that could deliver mail")
        return self._post(self.envelope(), self._account)

    def envelope(self) -> Envelope:
        """The message as it is delivered. Raises ``ValueError`` without content."""
        if not self._contents and not self._files:
            raise ValueError("the message is empty: use add_content()")
        message = EmailMessage(policy=SMTP)
        sender = self._senders[0]
        message["Subject"] = self._subject
        message["From"] = sender
        for name in ("to", "cc"):
            if self._people.get(name):
                message[name.capitalize()] = self._people[name]
        message["Date"] = formatdate(localtime=True)
        message["Message-ID"] = identity = make_msgid(domain=sender.domain)
        for name, value in self._headers:
            del message[name]
            message[name] = value
        self._write_parts(message)
        everybody = [one.addr_spec for people in self._people.values() for one in people]
        return Envelope(
            identity.strip("<>"), sender.addr_spec, list(dict.fromkeys(everybody)),
            message.as_bytes(),
        )  # fmt: skip

    def _write_parts(self, message: EmailMessage) -> None:
        for position, (text, subtype, charset) in enumerate(
            self._contents or [("", "plain", "utf8")]
        ):
            if position:
                message.add_alternative(text, subtype=subtype, charset=charset)
            else:
                message.set_content(text, subtype=subtype, charset=charset)
        bodies = [part for part in message.walk() if part.get_content_type() == "text/html"]
        for data, name, cid in self._files:
            guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
            kind, _, subtype = guessed.partition("/")
            if cid is not None and bodies:
                bodies[-1].add_related(
                    data, kind, subtype, filename=name, cid=f"<{cid}>", disposition="inline"
                )
        for data, name, cid in self._files:
            guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
            kind, _, subtype = guessed.partition("/")
            if cid is None or not bodies:
                message.add_attachment(data, kind, subtype, filename=name)


def _line(what: str, text: str) -> str:
    if not isinstance(text, str):
        raise ValueError(f"{what} must be text, not {type(text).__name__}")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise ValueError(f"{what} {text[:60]!r} has a line break or another control character")
    return text


def _addresses(what: str, given: str | Iterable[str]) -> list[Address]:
    texts = [given] if isinstance(given, str) else list(given)
    found = [_address(what, *pair) for pair in getaddresses([_line(what, one) for one in texts])]
    if not found:
        raise ValueError(f"{what} {given!r} must be an address")
    return found


def _address(what: str, name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    try:
        if not domain.isascii():
            domain = domain.encode("idna").decode()
        if _LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain) and len(address) <= 254:
            return Address(name, local, domain)
    except ValueError:
        pass
    raise ValueError(f"{what}: {address or name!r} is no address of mail")
