"""The HTTP services of apps: ``was.stub``, ``was.get``, ``was.xmlrpc``, ``was.jsonrpc`` and so on.

See the seed, HTTP Based Protocols.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skitai.tasks.task import Task
from skitai.upstream.databases import identify
from skitai.upstream.http.backend import basic
from skitai.upstream.http.payload import REQUEST_TYPE, UPLOAD, build_request
from skitai.upstream.http.rpc import RemoteMethod, jsonrpc_request, xmlrpc_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.upstream.calls import Calls
    from skitai.upstream.http.reply import Headers
    from skitai.upstream.http.request import HttpRequest

_NO_HEADERS: dict[str, str] = {}


class HttpTask(Task):
    """A request to a service. When it has ended, it has what the service answered."""

    __slots__ = ()

    @property
    def headers(self) -> Headers | dict[str, str]:
        """Headers of the answer, in any case; empty when there was none."""
        return getattr(self.reply, "headers", _NO_HEADERS)

    def get_header(self, name: str, default: str | None = None) -> str | None:
        """A header of the answer."""
        return self.headers.get(name, default)

    @property
    def content(self) -> bytes:
        """The body as it came; ``b""`` when there was no answer."""
        content: bytes = getattr(self.reply, "content", b"")
        return content

    binary = content

    @property
    def text(self) -> str:
        """The body as text, in the charset that the answer names."""
        return getattr(self.reply, "text", "")

    def json(self) -> Any:
        """The body as JSON. Raises ``ValueError`` for what is none."""
        reply: Any = self.reply
        if not hasattr(reply, "json"):
            raise ValueError("there is no answer that could be JSON")
        return reply.json()

    @property
    def url(self) -> str:
        """What was asked; empty when there was no answer."""
        return getattr(self.reply, "url", "")


def send(calls: Calls, base: str, method: str, path: str, args: Any, fields: Any) -> Task:
    """Start a request; see ``skitai.upstream.http.payload.build_request``."""
    options = calls.options
    headers = _with_auth(options.headers, options.auth)
    request_type = options.request_type or calls.owner.request_type or REQUEST_TYPE
    request = build_request(method, base, path, args, fields, headers, request_type)
    identity = None
    if request.method in ("GET", "HEAD"):
        target, pairs = request.target, tuple(request.headers)
        identity = _Identity(request.method, target, pairs)
    return start(calls, request, identity)


def start(calls: Calls, request: HttpRequest, identity: Callable[[], Any] | None = None) -> Task:
    """Start a request that is made already.

    Services of an alias are told for which request of ours they work, others are not.
    """
    if calls.owner.trace is not None and calls.place.name.startswith("@"):
        request.headers += calls.owner.trace()
    return calls.start(request, request.repeatable, identity, HttpTask)


class _Identity:
    """What tells a request from others in the result cache."""

    __slots__ = ("_values",)

    def __init__(self, *values: Any) -> None:
        self._values = values

    def __call__(self) -> Any:
        return identify(*self._values)


def _with_auth(headers: Any, auth: Any) -> Any:
    """The headers with user and password, given as a pair or ``"user:pass"``."""
    if not auth:
        return headers
    user, password = auth.partition(":")[::2] if isinstance(auth, str) else auth
    pairs = list(headers.items() if hasattr(headers, "items") else headers or ())
    return [*pairs, ("Authorization", basic(user, password))]


class Stub:
    """A service by its base path; methods start requests (seed, HTTP Based Protocols).

    ``with`` gives the object itself and does nothing at its end: tasks are used behind it too.

    Parameters:
        calls: starts the tasks.
        base: path before that of each request.
    """

    __slots__ = ("_base", "_calls")

    def __init__(self, calls: Calls, base: str) -> None:
        self._calls = calls
        self._base = base

    def __enter__(self) -> Stub:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(self, method: str, path: str, /, *args: Any, **fields: Any) -> Task:
        """Start a request.

        Parameters:
            path: with ``{}`` for values.
            args: the values, and behind them the payload: a dictionary, text or bytes.
            fields: more fields of the payload.

        The payload of GET, DELETE, HEAD and OPTIONS is the query, that of others the body, as JSON
        unless the headers name a form. Raises ``ValueError`` for what can't be sent.
        """
        return send(self._calls, self._base, method, path, args, fields)

    def get(self, path: str = "", /, *args: Any, **fields: Any) -> Task:
        """GET; parameters: ``request``."""
        return self.request("GET", path, *args, **fields)

    def head(self, path: str = "", /, *args: Any, **fields: Any) -> Task:
        """HEAD; parameters: ``request``."""
        return self.request("HEAD", path, *args, **fields)

    def delete(self, path: str = "", /, *args: Any, **fields: Any) -> Task:
        """DELETE; parameters: ``request``."""
        return self.request("DELETE", path, *args, **fields)

    def options(self, path: str = "", /, *args: Any, **fields: Any) -> Task:
        """OPTIONS; parameters: ``request``."""
        return self.request("OPTIONS", path, *args, **fields)

    def trace(self, path: str = "", /, *args: Any, **fields: Any) -> Task:
        """TRACE; parameters: ``request``."""
        return self.request("TRACE", path, *args, **fields)

    def post(self, path: str = "", /, *args: Any, **fields: Any) -> Task:
        """POST; parameters: ``request``."""
        return self.request("POST", path, *args, **fields)

    def put(self, path: str = "", /, *args: Any, **fields: Any) -> Task:
        """PUT; parameters: ``request``."""
        return self.request("PUT", path, *args, **fields)

    def patch(self, path: str = "", /, *args: Any, **fields: Any) -> Task:
        """PATCH; parameters: ``request``."""
        return self.request("PATCH", path, *args, **fields)

    def upload(self, path: str = "", /, *args: Any, **fields: Any) -> Task:
        """POST of a form with files: open files, bytes, or (name, content, type)."""
        return self.request(UPLOAD, path, *args, **fields)


class RpcStub:
    """A service whose methods are called by name: ``stub.math.add (1, 2)`` starts a task."""

    __slots__ = ("_base", "_calls")

    def __init__(self, calls: Calls, base: str) -> None:
        self._calls = calls
        self._base = base

    def __enter__(self) -> RpcStub:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("__"):
            raise AttributeError(name)
        return RemoteMethod(self._send, name)

    def _send(self, method: str, params: tuple[Any, ...]) -> Task:
        request = self._request(method, params)
        options = self._calls.options
        headers = _with_auth(options.headers, options.auth)
        if headers:
            request.headers += headers.items() if hasattr(headers, "items") else headers
        return start(self._calls, request)

    def _request(self, method: str, params: tuple[Any, ...]) -> HttpRequest:
        raise NotImplementedError


class XmlRpcStub(RpcStub):
    """A service that speaks XML-RPC. A ``Fault`` is raised when the task is fetched."""

    __slots__ = ()

    def _request(self, method: str, params: tuple[Any, ...]) -> HttpRequest:
        return xmlrpc_request(self._base, method, params)


class JsonRpcStub(RpcStub):
    """A service that speaks JSON-RPC 2.0. ``JsonRpcError`` is raised when the task is fetched."""

    __slots__ = ()

    def _request(self, method: str, params: tuple[Any, ...]) -> HttpRequest:
        return jsonrpc_request(self._base, method, params)
