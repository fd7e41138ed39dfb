"""What ``was.request`` tells of the request's head: target, headers, media types and addresses.

``Request`` inherits it; nothing here looks at the body's content or at the app.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from multipart import parse_options_header

from atila.arguments import charset, media_type
from skitai.wire.negotiation import parse_qualities, prefers

if TYPE_CHECKING:
    from skitai.server.exchange import Exchange

# ``Request`` has a method ``dict``, which hides the type in its annotations.
Qualities: TypeAlias = "dict[str, float]"
Attributes: TypeAlias = "dict[str, str]"


class Headers(dict[str, str]):
    """Headers by name, in whatever case; it lists them in lower case. Changes change nothing."""

    __slots__ = ()

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a header, or ``default``."""
        return super().get(name.lower(), default)


class RequestHead:
    """Target, headers and peer of one request (seed, Request Object).

    Attributes:
        method: upper-case method.
        uri: request target as sent.
        path: decoded path.
    """

    __slots__ = ("_exchange", "_headers", "method", "path", "uri")

    def __init__(self, exchange: Exchange) -> None:
        request = exchange.request
        self._exchange = exchange
        self._headers: Headers | None = None
        self.method = request.method
        self.uri = request.target
        self.path = request.path

    @property
    def version(self) -> str:
        """``"1.0"``, ``"1.1"``, …"""
        return self._exchange.request.version

    @property
    def scheme(self) -> str:
        """``"http"`` or ``"https"``, as the client sees it: with us, or with a trusted proxy."""
        return self._exchange.origin.scheme

    def split_uri(self) -> tuple[str, str | None, str | None, str | None]:
        """Path, ``;param``, ``?query`` and ``#fragment``; None where there is none."""
        rest, hash_mark, fragment = self.uri.partition("#")
        rest, question, query = rest.partition("?")
        path, semicolon, param = rest.partition(";")
        return (
            path,
            semicolon + param if semicolon else None,
            question + query if question else None,
            hash_mark + fragment if hash_mark else None,
        )

    # -- headers

    @property
    def headers(self) -> Headers:
        """All headers by name; repeated ones are joined, as RFC 9110, 5.3 says."""
        headers = self._headers
        if headers is None:
            headers = self._headers = Headers(self._exchange.request.headers)
        return headers

    @overload
    def get_header(self) -> list[str]: ...

    @overload
    def get_header(self, name: str, default: str | None = None) -> str | None: ...

    def get_header(self, name: str | None = None, default: str | None = None) -> Any:
        """A header by its name, whatever its case; without a name ``get_headers()``."""
        if name is None:
            return self.get_headers()
        return self._exchange.request.headers.get(name.lower(), default)

    def get_headers(self) -> list[str]:
        """All headers as ``"name: value"``."""
        return [f"{name}: {value}" for name, value in self._exchange.request.headers.items()]

    def get_header_params(self, name: str) -> tuple[str | None, Attributes]:
        """A header's value without its parameters, and these by name in lower case.

        ``form-data; name="a"`` is ``("form-data", {"name": "a"})``. ``(None, {})`` without one.
        """
        text = self.get_header(name)
        if text is None:
            return None, {}
        return text.partition(";")[0].strip(), parse_options_header(text)[1]

    def get_header_noparam(self, name: str) -> str | None:
        """A header's value without its parameters."""
        return self.get_header_params(name)[0]

    def get_attr(self, header: str, attr: str | None = None, default: Any = None) -> Any:
        """A parameter of a header, or ``default``; without ``attr`` all of them by name."""
        attributes = self.get_header_params(header)[1]
        return attributes if attr is None else attributes.get(attr.lower(), default)

    def get_user_agent(self) -> str | None:
        """The User-Agent header."""
        return self._exchange.request.headers.get("user-agent")

    user_agent = property(get_user_agent)

    @property
    def host(self) -> str:
        """The Host header."""
        return self._exchange.request.headers.get("host", "")

    @property
    def referer(self) -> str | None:
        """The Referer header."""
        return self._exchange.request.headers.get("referer")

    @property
    def origin(self) -> str | None:
        """The Origin header."""
        return self._exchange.request.headers.get("origin")

    # -- media types

    def get_content_type(self) -> str | None:
        """Media type of the body without parameters, in lower case."""
        value = self._exchange.request.headers.get("content-type")
        return None if value is None else media_type(value)

    def get_main_type(self) -> str | None:
        """``text`` of ``text/plain``."""
        value = self.get_content_type()
        return None if value is None else value.partition("/")[0]

    def get_sub_type(self) -> str | None:
        """``plain`` of ``text/plain``."""
        value = self.get_content_type()
        return None if value is None else value.partition("/")[2]

    content_type = property(get_content_type)
    main_type = property(get_main_type)
    sub_type = property(get_sub_type)

    def get_charset(self) -> str:
        """Charset of the body, ``utf-8`` when none was sent."""
        return charset(self._exchange.request.headers.get("content-type", ""))

    charset = property(get_charset)

    @property
    def acceptables(self) -> Qualities:
        """Media types of the Accept header and how much they are liked, 0 to 1."""
        return _qualities(self._exchange.request.headers.get("accept", ""))

    def acceptable(self, media: str, strict: bool = True) -> bool:
        """Whether the client takes answers of a media type.

        Parameters:
            media: e.g. ``"application/json"``.
            strict: the Accept header must name it. Otherwise ``application/*`` and ``*/*`` will do,
                and so will no Accept header at all (RFC 9110, 12.5.1).
        """
        accept = self._exchange.request.headers.get("accept", "")
        wanted = media.strip().lower()
        if strict and wanted not in (name.partition(";")[0] for name in _qualities(accept)):
            return False
        return prefers(accept, (wanted,)) is not None

    # -- addresses

    def get_remote_addr(self) -> str:
        """Address of the socket's peer; empty for a unix socket."""
        return self._exchange.channel.peer[0]

    remote_addr = property(get_remote_addr)

    def get_real_ip(self) -> str:
        """Address of the client, as the proxies tell that the service trusts.

        Which ones these are, ``skitai.run(trusted_proxies=...)`` says; otherwise it is that of the
        socket's peer.
        """
        return self._exchange.origin.address

    real_ip = property(get_real_ip)

    def is_private_ip(self) -> bool:
        """Whether the client's address is a private or local one."""
        return _is_private(self.get_real_ip())


def _qualities(accept: str) -> dict[str, float]:
    return dict(parse_qualities(accept))


def _is_private(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return not text  # a unix socket has no address: the peer is on this machine
    # Before Python 3.13 every IPv4 address that is written as IPv6 was private.
    return (getattr(address, "ipv4_mapped", None) or address).is_private
