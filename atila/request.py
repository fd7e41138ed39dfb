"""``was.request``: the request as an app sees it (seed, Request Object).

Made when an app first asks for it; everything is parsed when it is first read. It refers to the
exchange, never to ``was``, so that a finished request is freed at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from atila.arguments import form_body, json_body, query_arguments
from atila.environ import make_environ
from atila.journal import GLOBAL_HEADER, LOCAL_HEADER, trace_context, transaction_id
from atila.request_head import RequestHead
from atila.state.cookies import Cookie
from atila.state.mbox import MessageBox
from atila.state.sealing import key_bytes
from atila.state.session import Session
from atila.tokens.jwt_claims import bearer_token, decode_jwt

if TYPE_CHECKING:
    from atila.app import Atila
    from atila.routing.router import Route
    from skitai.server.exchange import Exchange

_UNREAD: Any = object()
# ``Request`` has a method ``dict``, which hides the type in its annotations.
Fields: TypeAlias = "dict[str, Any]"


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


class Request(RequestHead):
    """One request.

    Attributes:
        g: a dictionary of this request, for hooks and handlers.
        user: set by authentication or the app, None before.
    """

    __slots__ = (
        "_app",
        "_cookie",
        "_environ",
        "_form",
        "_json",
        "_jwt",
        "_mbox",
        "_route",
        "_session",
        "_traced",
        "_txnid",
        "_url",
        "_varies",
        "g",
        "user",
    )

    def __init__(self, app: Atila, exchange: Exchange, route: Route | None) -> None:
        super().__init__(exchange)
        self._app = app
        self._route = route
        self._form: Any = _UNREAD
        self._json: Any = _UNREAD
        self._url: Fields | None = None
        self._environ: Fields | None = None
        self._txnid = ""
        self._traced = 0
        self._jwt: Fields | None = None
        self._cookie: Cookie | None = None
        self._session: Session | None = None
        self._mbox: MessageBox | None = None
        self._varies = False
        self.g = Globals()
        self.user: Any = None

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

    def get_content_length(self) -> int | None:
        """Bytes of the body; None when there is none."""
        body = self._exchange.body
        return None if body is None else body.size

    content_length = property(get_content_length)

    # -- cookies, and what is kept in them

    @property
    def cookie(self) -> Cookie:
        """The cookies of the client (seed, Cookie)."""
        if self._cookie is None:
            exchange = self._exchange
            header = exchange.request.headers.get("cookie")
            self._cookie = Cookie(header, self._app.urls.point, exchange.answered)
        return self._cookie

    @property
    def session(self) -> Session:
        """Values that the client's browser carries from request to request (seed, Session)."""
        if self._session is None:
            address, scheme, _ = self._exchange.origin
            self._session = Session(self._app.sessions, self.cookie, address, scheme == "https")
        return self._session

    @property
    def mbox(self) -> MessageBox:
        """Messages for the user of the browser (seed, Message Box)."""
        if self._mbox is None:
            self._mbox = MessageBox(self.cookie, self._app.securekey, self.scheme == "https")
        return self._mbox

    @property
    def JWT(self) -> Fields:
        """Claims of the bearer token, or ``err`` and ``ecd`` that say why there are none.

        Raises ``ConfigError`` when the app has no ``securekey``.
        """
        if self._jwt is None:
            token = bearer_token(self._exchange.request.headers.get("authorization"))
            self._jwt = decode_jwt(token, key_bytes(self._app.salt, "was.request.JWT"))
        return self._jwt

    @property
    def varies(self) -> bool:
        """Whether the answer may depend on the client's cookies: something has looked at them."""
        return self._varies or (self._cookie is not None and self._cookie.read)

    @property
    def saving_waits(self) -> bool:
        """Whether ``set_cookie_values`` will wait for a server: the loop must not call it then."""
        return self._session is not None and self._session.saving_waits

    def dejwt(self, token: str | None = None, salt: str | bytes | None = None) -> Fields:
        """``was.decode_jwt``: claims of a token, by default the bearer token of this request."""
        if token is None:
            token = bearer_token(self._exchange.request.headers.get("authorization"))
        key = key_bytes(self._app.salt if salt is None else salt, "was.request.dejwt")
        return decode_jwt(token, key)

    def set_cookie_values(self) -> list[str]:
        """Values of the Set-Cookie headers of the response; called once, when it is sent."""
        values: list[str] = []
        if self._session is not None:
            values += self._session.commit()
        if self._mbox is not None:
            values += self._mbox.commit()
        if self._cookie is not None:
            values += self._cookie.set_cookie_values()
        return values

    async def save_session(self) -> None:
        """Store the session without blocking the loop, before ``set_cookie_values`` is called."""
        if self._session is not None:
            await self._session.commit_async()

    def drop_changes(self) -> None:
        """Forget what was written to cookies, session and message box: the request failed."""
        self._varies = self.varies
        self._cookie = self._session = self._mbox = None

    # -- route and environment

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
            self._txnid = transaction_id(self._exchange.request.headers)
            self._exchange.transaction = self._txnid
        return self._txnid

    def trace_headers(self) -> list[tuple[str, str]]:
        """Headers for a call of a service: the transaction, and the how manieth call of it."""
        transaction, _, local = self.txnid.partition("/")
        number = int(local) + self._traced
        self._traced += 1
        fields = [(GLOBAL_HEADER, transaction), (LOCAL_HEADER, str(number))]
        headers = self._exchange.request.headers
        return fields + trace_context(headers) if "traceparent" in headers else fields
