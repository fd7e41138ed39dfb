"""A browser's cookies: takes Set-Cookie headers, gives the Cookie header of the next request."""

from __future__ import annotations

from typing import NamedTuple


class SetCookie(NamedTuple):
    """One Set-Cookie header.

    Attributes:
        name, value: as sent.
        attributes: by lower-case name; True for those without a value.
    """

    name: str
    value: str
    attributes: dict[str, str | bool]

    @property
    def erases(self) -> bool:
        expires = self.attributes.get("expires")
        return isinstance(expires, str) and "1970" in expires


def read(header: str) -> SetCookie:
    pair, *parts = header.split("; ")
    name, _, value = pair.partition("=")
    attributes: dict[str, str | bool] = {}
    for part in parts:
        key, mark, text = part.partition("=")
        attributes[key.lower()] = text if mark else True
    return SetCookie(name, value, attributes)


class Jar:
    """Keeps cookies by name, as one browser would for one page."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}

    def take(self, headers: list[str]) -> list[SetCookie]:
        taken = [read(header) for header in headers]
        for cookie in taken:
            if cookie.erases:
                self.cookies.pop(cookie.name, None)
            else:
                self.cookies[cookie.name] = cookie.value
        return taken

    @property
    def header(self) -> str | None:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items()) or None
