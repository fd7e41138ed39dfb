"""Puts the tag of the refresh script into whole HTML documents, and keeps their fields right."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.server.representation import Fields, Head
    from skitai.wire.request import Request

HTML = "text/html"
MAX_PAGE = 8 * 1024 * 1024  # bytes
# What a browser shows as a page; anything else that asks for HTML puts it somewhere itself.
_PAGES = frozenset(("document", "iframe", "frame", "embed", "object"))
_BEGINNING = re.compile(rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html\b)", re.DOTALL | re.I)
_NONCE = re.compile(r"'nonce-([A-Za-z0-9+/_=-]+)'")
# What was said of other bytes.
_OF_BYTES = frozenset(
    ("last-modified", "content-encoding", "accept-ranges")
    + ("content-md5", "digest", "content-digest", "repr-digest")
)
_POLICY = "content-security-policy"


class Policy:
    """What the Content-Security-Policy of an answer says of the refresh script (CSP3, 6).

    Attributes:
        nonce: what the tag needs, empty for nothing.
        forbidden: the directive that doesn't let the script work, empty when all is well.
    """

    def __init__(self, fields: Fields | None) -> None:
        self.nonce = self.forbidden = ""
        for name, value in fields or ():
            if name.lower() == _POLICY:
                for policy in value.split(","):
                    self._read(policy)

    def _read(self, policy: str) -> None:
        directives: dict[str, list[str]] = {}
        for text in policy.split(";"):
            words = text.split()
            if words:
                directives.setdefault(words[0].lower(), words[1:])
        if "sandbox" in directives and "allow-scripts" not in directives["sandbox"]:
            self.forbidden = "sandbox"
        for name, names in (
            ("script-src", ("script-src-elem", "script-src", "default-src")),
            ("connect-src", ("connect-src", "default-src")),
        ):
            sources = next((directives[each] for each in names if each in directives), None)
            if sources is not None and not self._admits(sources, name):
                self.forbidden = name

    def _admits(self, sources: list[str], name: str) -> bool:
        if name == "script-src":
            nonce = next(filter(None, map(_NONCE.fullmatch, sources)), None)
            if nonce is not None:
                self.nonce = nonce[1]
                return True
            if "'strict-dynamic'" in sources:
                return False
        return any(source.lower() in ("'self'", "*", "http:", "https:") for source in sources)


def is_page(request: Request, head: Head) -> bool:
    """Whether an answer may be a document that a browser shows."""
    if not head.content_type[:9].lower() == HTML or head.status in (204, 206, 304):
        return False
    if any(_is_kept(name.lower(), value) for name, value in head.fields or ()):
        return False
    headers = request.headers
    if headers.get("sec-fetch-dest", "document") not in _PAGES:
        return False
    return headers.get("x-requested-with", "").lower() != "xmlhttprequest"


def _is_kept(name: str, value: str) -> bool:
    """Whether a field says that the answer becomes a file, or that its bytes have been signed."""
    if name == "content-disposition":
        return not value.lstrip()[:6].lower() == "inline"
    return name == "signature"


def place_of(body: bytes) -> int | None:
    """Where the tag belongs in a document; None for what is no document, such as a fragment."""
    lowered = body.lower()
    for end in (b"</body", b"</html"):
        at = lowered.rfind(end)
        while at >= 0 and _is_within(lowered, at):
            at = lowered.rfind(end, 0, at)
        if at >= 0:
            return at
    return len(body) if _BEGINNING.match(body) else None


def _is_within(body: bytes, at: int) -> bool:
    """Whether a place in a document is that of a script or a comment, and no markup."""
    return any(
        body.rfind(opening, 0, at) > body.rfind(closing, 0, at)
        for opening, closing in ((b"<script", b"</script"), (b"<!--", b"-->"))
    )


def insert(
    head: Head, body: bytes, tag: Callable[[str], str], state: str, doubt: Callable[[str], None]
) -> bytes:
    """The document with the tag in it, and ``head`` changed to match; as it is if it is none.

    Parameters:
        head: of the answer.
        body: all of it.
        tag: makes the tag, with a nonce.
        state: what the document shows; the entity tag changes with it.
        doubt: told of a directive of the answer's policy that forbids the script.
    """
    fields = head.fields or []
    encoding = next((value for name, value in fields if name.lower() == "content-encoding"), "")
    plain: bytes | None = body
    if encoding:
        plain = _unpack(body) if encoding.lower() == "gzip" else None
    at = None if plain is None else place_of(plain)
    if plain is None or at is None:
        return body
    policy = Policy(fields)
    if policy.forbidden:
        doubt(policy.forbidden)
        return body
    head.fields = _matching(fields, state)
    return plain[:at] + tag(policy.nonce).encode() + plain[at:]


def _matching(fields: Fields, state: str) -> Fields | None:
    """The fields of the document with a tag in it: it has another entity tag, and no date."""
    matching = []
    for name, value in fields:
        lowered = name.lower()
        if lowered == "etag" and value.endswith('"'):
            matching.append((name, f'{value[:-1]}-{state}"'))
        elif lowered not in _OF_BYTES:
            matching.append((name, value))
    return matching or None


def _unpack(body: bytes) -> bytes | None:
    """What an app has compressed itself; None when that is too much or no gzip."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        plain = unpacker.decompress(body, MAX_PAGE)
    except zlib.error:
        return None
    return plain if unpacker.eof else None
