"""``was.request``: the request as an app sees it (seed, Request Object).

Made when an app first asks for it; everything is parsed when it is first read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from atila.arguments import form_body, json_body, media_type, query_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from atila.was import Was

_UNREAD = object()


class Globals(dict[str, Any]):
    """A dictionary whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


class Request:
    """The request of one ``was``.

    Attributes:
        method: upper-case method.
        uri: request target as sent.
        path: decoded path.
        version: ``"1.0"``, ``"1.1"``, …
        scheme: ``"http"`` or ``"https"``.
        headers: lower-case name to value.
        g: a dictionary of this request, for hooks and handlers.
        user: set by authentication, None before.
    """

    __slots__ = ("_form", "_json", "_was", "g", "headers", "method", "path", "uri", "user")

    def __init__(self, was: Was) -> None:
        request = was.exchange.request
        self._was = was
        self._form: Any = _UNREAD
        self._json: Any = _UNREAD
        self.method = request.method
        self.uri = request.target
        self.path = request.path
        self.headers: Mapping[str, str] = request.headers
        self.g = Globals()
        self.user: Any = None

    @property
    def version(self) -> str:
        return self._was.exchange.request.version

    @property
    def scheme(self) -> str:
        return self._was.exchange.channel.scheme

    # -- parameters

    @property
    def args(self) -> dict[str, Any]:
        """Everything the request carries by name, and the handler's defaults for the rest."""
        return {**self._was.defaults(), **self._was.arguments()}

    ARGS = args

    @property
    def PARAMS(self) -> dict[str, Any]:
        """Parameters of the path."""
        return self._was.exchange.params or {}

    @property
    def URL(self) -> dict[str, Any]:
        """Fields of the query string."""
        return query_arguments(self._was.exchange.request.query)

    @property
    def FORM(self) -> dict[str, Any] | None:
        """Fields of a form in the body; None when the body is no form."""
        if self._form is _UNREAD:
            self._form = form_body(self._was.exchange)
        return self._form  # type: ignore[no-any-return]  # _UNREAD has no type of its own

    @property
    def JSON(self) -> Any:
        """The document of a JSON body; None when the body is not JSON."""
        if self._json is _UNREAD:
            self._json = json_body(self._was.exchange)
        return self._json

    @property
    def DATA(self) -> Any:
        """The JSON document, else the form, else an empty dictionary."""
        return self.JSON or self.FORM or {}

    # -- headers and peers

    def get_header(self, name: str, default: str | None = None) -> str | None:
        """A header by name, whatever its case."""
        return self.headers.get(name.lower(), default)

    def get_headers(self) -> list[str]:
        """All headers as ``"name: value"``."""
        return [f"{name}: {value}" for name, value in self.headers.items()]

    def get_body(self) -> bytes:
        """The raw body, empty when there is none."""
        body = self._was.exchange.body
        return body.read() if body is not None else b""

    @property
    def body(self) -> bytes:
        return self.get_body()

    def get_remote_addr(self) -> str:
        """Address of the socket's peer."""
        return self._was.exchange.channel.peer[0]

    def get_user_agent(self) -> str | None:
        return self.headers.get("user-agent")

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

    # -- route

    @property
    def routed(self) -> Any:
        """The function that the router chose."""
        return self._was.route.function

    @property
    def routable(self) -> dict[str, Any]:
        """The chosen route's options."""
        return self._was.route.describe()
