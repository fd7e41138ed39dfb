"""What must not be shown: values with the names of secrets, and known secrets inside of others.

All pages of this room, and the traceback in JSON, hand their texts through a ``Masker``.
"""

from __future__ import annotations

import os
import re
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from atila.app import Atila

MASK = "********"
MIN_SENT = 8  # the same for what clients send, and for values of variables
MAX_SENT = 4096
MAX_PARTS = 20  # of a secret that is a container
MIN_SECRET = 6  # characters: shorter ones, such as "pass", are words of other texts

# Anywhere in a name that is written in one.
_PARTS = (
    *("password", "passwd", "passphrase", "passcode", "secret", "token", "apikey", "securekey"),
    *("authoriz", "authentic", "cookie", "credential", "private", "signature", "session"),
    *("bearer", "encryptionkey", "accesskey"),
)
# A word of its own in a name.
_WORDS = frozenset(
    ("pass", "pw", "pwd", "key", "keys", "auth", "sid", "jwt", "otp", "ott", "pin", "cvv", "salt")
    + ("csrf", "xsrf", "creds", "dsn")
)
# Keys that open nothing, and names of failures.
_PLAIN = re.compile(
    r"(?i:(primary|foreign|public|sort|group|partition|composite)[_-]?keys?)$|(Error|Exception)$"
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_VALUE = r"b?\"(?:[^\"\\\n]|\\.)*\"|b?'(?:[^'\\\n]|\\.)*'"
# What a value is given to: name=, and 'name': with its quotes written in any way. A name begins
# where no other can: what can't fail at many places is quick with long words.
_GIVEN = re.compile(r"(?<![\w.-])(?P<name>[\w.-]+)(?:=(?!=)|\)=\(|\\*[\"']\s*:\s*)")
_WRITTEN = re.compile(
    # In a text within a text the quotes have strokes; one that is cut off has no second quote.
    rf"{_VALUE}|(?P<mark>\\+[\"']).*?(?P=mark)|b?\\*[\"'].*|[^\s,;&)\]}}>\"'={{\[(\\]+"
)
_CODE_GIVEN = re.compile(
    r"(?<![\w.-])(?P<name>[\w.-]+)[\"']?\]?\s*(?:=(?!=)|:)\s*[ruRUfF]?(?P<value>"
    rf"{_VALUE})"
)
_HEADER = re.compile(
    r"(?P<head>\b(?:proxy-authorization|authorization|(?:set-)?cookie|x-(?:api|auth)-\w+) *: *)"
    r"(?P<value>[^\s\"'][^\r\n\"']*)", re.I
)  # fmt: skip
_PEM = re.compile(r"(?P<head>-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----)[^-]+")
_SCHEME = re.compile(r"\b(?P<scheme>Bearer|Basic) +(?=[a-z.~+/=-]*[A-Z0-9_])[\w.~+/=-]{6,}")
# A password may have any sign that people forget to quote; a number is a port.
_CREDENTIALS = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]{0,30}://[^\s/:@\"'\[]{0,200}:)(?!\d{1,5}(?![^/?#\s\"']))"
    r"(?P<value>[^\s\"'<>]{1,500})@", re.I
)  # fmt: skip
_WORDY = re.compile(r"[A-Za-z_ .-]+|\d{1,9}")
_HARMLESS = (type(None), bool)


def is_secret(name: object) -> bool:
    """Whether a value of this name (of a variable, field, header or key) must not be shown."""
    if isinstance(name, bytes):
        name = name[:200].decode("latin-1")
    if not isinstance(name, str):
        return False
    name = str.__str__(name[:200])
    if _PLAIN.search(name):
        return False
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if any(part in plain for part in _PARTS):
        return True
    return any(word.lower() in _WORDS for word in _WORD.findall(name))


def is_shown(value: object) -> bool:
    """Whether a value tells nothing, whatever its name is: None, True, False, empty ones, code."""
    if type(value) in _HARMLESS:
        return True
    if type(value) in (str, bytes, list, tuple, dict, set):
        return not value
    return type(value).__name__ in ("function", "builtin_function_or_method", "module", "type")


def texts_in(value: object, depth: int = 3) -> Iterator[str]:
    """The texts of a secret, which may have several."""
    if type(value) is str:
        yield value
    elif type(value) is bytes:
        yield value[: MAX_SENT + 1].decode("latin-1")
    elif depth and type(value) in (list, tuple, dict):
        items: Any = value
        for item in islice(items.values() if type(value) is dict else items, MAX_PARTS):
            yield from texts_in(item, depth - 1)


def is_telling(value: str) -> bool:
    """Whether a secret can be looked for in other texts: it is no word that they have anyway."""
    return MIN_SENT <= len(value) <= MAX_SENT and _WORDY.fullmatch(value) is None


class Masker:
    """Takes secrets out of texts.

    Parameters:
        secrets: values that are never shown, wherever they turn up.
        sent: the same of a request and of variables.

    Attributes:
        longest: characters of the longest of them, in any form.
    """

    def __init__(self, secrets: Iterable[str] = (), sent: Iterable[str] = ()) -> None:
        known = _forms(secrets, MIN_SECRET) | _forms(filter(is_telling, sent), MIN_SENT)
        self.longest = max(map(len, known), default=0)
        self._known = _any_of(known)

    def known(self, text: str) -> str:
        """The text without known secrets and the passwords of URLs."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        if "://" in text:
            text = _CREDENTIALS.sub(rf"\g<scheme>{MASK}@", text)
        return text

    def text(self, text: str) -> str:
        """The text without known secrets, and without what is given to names of secrets."""
        text = _PEM.sub(rf"\g<head>{MASK}", text)
        text = _SCHEME.sub(rf"\g<scheme> {MASK}", _HEADER.sub(rf"\g<head>{MASK}", self.known(text)))
        return _hide_given(text)

    def beginning(self, text: str, size: int) -> str:
        """About ``size`` characters of a text, without secrets: none is cut into a part of one."""
        head = text[: size + self.longest]
        end = size
        for found in () if self._known is None else self._known.finditer(head):
            if found.start() < size < found.end():
                end = found.end()
        return self.text(head[:end])

    def code(self, line: str) -> str:
        """A line of source without known secrets and literals for secrets; it keeps its length."""
        if self._known is not None:
            line = self._known.sub(_stars, line)
        line = _CREDENTIALS.sub(
            lambda found: f"{found['scheme']}{'*' * len(found['value'])}@", line
        )
        return _CODE_GIVEN.sub(_hide_literal, line)


def _forms(secrets: Iterable[str], least: int) -> set[str]:
    """Secrets as they are written in texts, URLs and literals."""
    forms: set[str] = set()
    for secret in secrets:
        if len(secret) < least:
            forms.add(f":{secret}@")  # as in an address
        else:
            literal = repr(secret)[1:-1]
            forms |= {secret, literal, literal.replace("'", "\\'")}
            forms |= {quote(secret, ""), quote_plus(secret)}
    return forms


def _any_of(forms: set[str]) -> re.Pattern[str] | None:
    ordered = sorted(forms, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered))) if forms else None


def _stars(found: re.Match[str]) -> str:
    return "*" * len(found[0])


def _hide_given(text: str) -> str:
    """The text without the values of names of secrets."""
    parts, done = [], 0
    for found in _GIVEN.finditer(text):
        if found.start() < done or not is_secret(found["name"]):
            continue
        value = _WRITTEN.match(text, found.end())
        if value is None or value[0] in ("None", "True", "False", "null", "''", '""'):
            continue
        parts += [text[done : value.start()], MASK]
        done = value.end()
    return "".join([*parts, text[done:]])


def _hide_literal(found: re.Match[str]) -> str:
    value = found["value"]
    if not is_secret(found["name"]) or len(value.lstrip("b")) <= 2:
        return found[0]
    start = found.start("value") - found.start()
    skip = 2 if value[0] == "b" else 1
    hidden = value[:skip] + "*" * (len(value) - skip - 1) + value[-1]
    return found[0][:start] + hidden + found[0][start + len(value) :]


def secrets_of(app: Atila) -> list[str]:
    """What an app must not show: its keys, passwords of aliases and those in the environment."""
    found: list[Any] = [app.securekey, app.opaque]
    found += [value for name, value in app.config.items() if is_secret(name)]
    upstreams = app.peers.upstreams
    for aliases in (app.aliases, None if upstreams is None else upstreams.aliases):
        for alias in aliases or ():
            found += [member.password for member in alias.members]
    if isinstance(app.users, dict):
        for account in list(app.users.values()):
            given = account[:1] if isinstance(account, (list, tuple)) else [account]
            found += [each for each in given if isinstance(each, str)]
    # Of the environment no words, e.g. SESSION=ubuntu, and no paths, e.g. PWD.
    secret = (value for name, value in os.environ.items() if is_secret(name))
    found += [value for value in secret if is_telling(value) and not value.startswith(("/", "."))]
    texts = (value.decode("latin-1") if isinstance(value, bytes) else value for value in found)
    return [text for text in texts if isinstance(text, str)]
