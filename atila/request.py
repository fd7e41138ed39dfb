"""``was.request``: the request as an app sees it (seed, Request Object).

Made when an app first asks for it; everything is parsed when it is first read. It refers to the
exchange, never to ``was``, so that a finished request is freed at once.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, TypeAlias

from atila.arguments import charset, form_body, json_body, media_type, query_arguments
from atila.environ import make_environ
from atila.journal import transaction_id
from skitai.wire.negotiation import parse_qualities

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atila.app import Atila
    from atila.routing import Route
    from skitai.server.exchange import Exchange

_UNREAD: Any = object()
# ``Request`` has a method ``dict``, which hides the type in its annotations.
Fields: TypeAlias = "dict[str, Any]"
Qualities: TypeAlias = "dict[str, float]"


class Globals(dict[str, Any]):
    """A dictionary whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None


class Request:
    """One request.

    Attributes:
        method: upper-case method.
        uri: request target as sent.
        path: decoded path.
        headers: lower-case name to value.
        g: a dictionary of this request, for hooks and handlers.
        user: set by authentication or the app, None before.
    """

    __slots__ = (
        "_app",
        "_environ",
        "_exchange",
        "_form",
        "_json",
        "_route",
        "_txnid",
        "_url",
        "g",
        "headers",
        "method",
        "path",
        "uri",
        "user",
    )

    def __init__(self, app: Atila, exchange: Exchange, route: Route | None) -> None:
        request = exchange.request
        self._app = app
        self._exchange = exchange
        self._route = route
        self._form: Any = _UNREAD
        self._json: Any = _UNREAD
        self._url: Fields | None = None
        self._environ: Fields | None = None
        self._txnid = ""
        self.method = request.method
        self.uri = request.target
        self.path = request.path
        self.headers: Mapping[str, str] = request.headers
        self.g = Globals()
        self.user: Any = None

    @property
    def version(self) -> str:
        """``"1.0"``, ``"1.1"``, …"""
        return self._exchange.request.version

    @property
    def scheme(self) -> str:
        """``"http"`` or ``"https"``."""
        return self._exchange.channel.scheme

    # -- parameters

    def arguments(self) -> Fields:
        """What the request carries by name: body over path over query; made once.

        Raises ``HTTPError`` 400 when query or body are malformed.
        """
        exchange = self._exchange
        arguments = exchange.arguments
        if arguments is None:
            arguments = dict(self.URL)
            if exchange.params:
                arguments.update(exchange.params)
            data = self.JSON
            if data is None:
                data = self.FORM
            if isinstance(data, dict):
                arguments.update(data)
            exchange.arguments = arguments
        return arguments

    @property
    def args(self) -> Fields:
        """Everything the request carries by name, and the handler's defaults for the rest."""
        return {**(self.DEFAULT or {}), **self.arguments()}

    ARGS = args

    @property
    def DEFAULT(self) -> Fields | None:
        """Defaults of the handler's parameters; None when it has none."""
        return (self._route.signature.defaults or None) if self._route is not None else None

    @property
    def PARAMS(self) -> Fields:
        """Parameters of the path."""
        return self._exchange.params or {}

    @property
    def URL(self) -> Fields:
        """Fields of the query string."""
        if self._url is None:
            query = self._exchange.request.query
            self._url = query_arguments(query) if query else {}
        return self._url

    @property
    def FORM(self) -> Fields | None:
        """Fields of a form in the body; None when the body is no form."""
        if self._form is _UNREAD:
            self._form = form_body(self._exchange)
        return self._form  # type: ignore[no-any-return]  # _UNREAD has no type of its own

    @property
    def JSON(self) -> Any:
        """The document of a JSON body; None when the body is not JSON."""
        if self._json is _UNREAD:
            self._json = json_body(self._exchange)
        return self._json

    @property
    def DATA(self) -> Any:
        """The JSON document, else the form, else an empty dictionary."""
        return self.JSON or self.FORM or {}

    def json(self) -> Any:
        """``JSON`` as a method."""
        return self.JSON

    def form(self) -> Fields | None:
        """``FORM`` as a method."""
        return self.FORM

    def dict(self) -> Fields:
        """``args`` as a method."""
        return self.args

    # -- body

    def get_body(self) -> bytes:
        """The raw body, empty when there is none."""
        body = self._exchange.body
        return body.read() if body is not None else b""

    @property
    def body(self) -> bytes:
        """The raw body, empty when there is none."""
        return self.get_body()

    payload = body

    @property
    def content_length(self) -> int:
        """Bytes of the body."""
        body = self._exchange.body
        return body.size if body is not None else 0

    # -- headers

    def get_header(self, name: str, default: str | None = None) -> str | None:
        """A header by name, whatever its case."""
        return self.headers.get(name.lower(), default)

    def get_headers(self) -> list[str]:
        """All headers as ``"name: value"``."""
        return [f"{name}: {value}" for name, value in self.headers.items()]

    def get_content_type(self) -> str | None:
        """Media type of the body without parameters."""
        value = self.headers.get("content-type")
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

    @property
    def charset(self) -> str:
        """Charset of the body, ``utf-8`` when none was sent."""
        return charset(self.headers.get("content-type", ""))

    def get_user_agent(self) -> str | None:
        """The User-Agent header."""
        return self.headers.get("user-agent")

    user_agent = property(get_user_agent)

    @property
    def host(self) -> str:
        """The Host header."""
        return self.headers.get("host", "")

    @property
    def referer(self) -> str | None:
        """The Referer header."""
        return self.headers.get("referer")

    @property
    def origin(self) -> str | None:
        """The Origin header."""
        return self.headers.get("origin")

    @property
    def acceptables(self) -> Qualities:
        """Media types of the Accept header and how much they are liked, 0 to 1."""
        return _qualities(self.headers.get("accept", ""))

    def acceptable(self, media: str, strict: bool = True) -> bool:
        """Whether the Accept header names ``media``; without ``strict`` ``*/*`` will do too."""
        liked = self.acceptables
        return liked.get(media.lower(), 0) > 0 or (not strict and liked.get("*/*", 0) > 0)

    # -- peers

    def get_remote_addr(self) -> str:
        """Address of the socket's peer."""
        return self._exchange.channel.peer[0]

    remote_addr = property(get_remote_addr)

    def get_real_ip(self) -> str:
        """Address of the client: what a proxy on a private address says it is, else the peer's."""
        peer = self.get_remote_addr()
        forwarded = self.headers.get("x-forwarded-for", "").partition(",")[0].strip()
        if not forwarded or not _is_private(peer):
            return peer
        return forwarded if _is_address(forwarded) else peer

    real_ip = property(get_real_ip)

    def is_private_ip(self) -> bool:
        """Whether the client's address is a private or local one."""
        return _is_private(self.get_real_ip())

    # -- cookies

    def set_cookie_values(self) -> list[str]:
        """Values of the Set-Cookie headers of the response; called once, when it is sent."""
        return []

    def drop_changes(self) -> None:
        """Forget what was written to cookies, session and message box: the request failed."""

    # -- target, route, environment

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

    @property
    def routed(self) -> Any:
        """The function that the router chose; None when there is none."""
        return self._route.function if self._route is not None else None

    @property
    def routable(self) -> Fields:
        """The chosen route's options; empty when there is none."""
        return self._route.describe() if self._route is not None else {}

    @property
    def env(self) -> Fields:
        """The request as a WSGI environment (seed, Environment Variables)."""
        if self._environ is None:
            self._environ = make_environ(self._exchange, self._app.urls.point)
        return self._environ

    @property
    def txnid(self) -> str:
        """Transaction id ``global/local``, the same for all log lines of this request."""
        if not self._txnid:
            self._txnid = transaction_id(self.headers)
        return self._txnid


def _qualities(accept: str) -> dict[str, float]:
    return dict(parse_qualities(accept))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_private(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_private
    except ValueError:
        return not text  # a unix socket has no address: the peer is on this machine
