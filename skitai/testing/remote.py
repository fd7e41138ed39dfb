"""Ways to talk to a service beside plain requests: paths as templates and attributes, remote
procedures, websockets. `TestClient` makes them; all go through its session, with its cookies.
"""

from __future__ import annotations

import xmlrpc.client
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from skitai.errors import SkitaiError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Self
    from websockets.sync.client import ClientConnection

    from skitai.testing.client import Axios, TestClient
    from skitai.testing.sessions import Response

BODY_METHODS = ("post", "put", "patch")
METHODS = (*BODY_METHODS, "get", "delete", "head", "options")


class Stub:
    """Requests below a base path, as those of ``was.stub``: ``stub.get("/notes/{}", 7, limit=3)``.

    Parameters:
        axios: sends them; bodies are JSON.
        base: put in front of each path.
        headers: of all its requests.
    """

    def __init__(self, axios: Axios, base: str, headers: Mapping[str, str]) -> None:
        self._axios = axios
        self._base = base.rstrip("/")
        self._headers = headers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(self, method: str, path: str, /, *args: Any, **fields: Any) -> Response:
        """Send a request.

        Parameters:
            path: with ``{}`` for values.
            args: the values, and behind them, if it is a dictionary, the payload.
            fields: more fields of the payload, which is the body of POST, PUT and PATCH, and the
                query of others.

        Raises ``ValueError`` when the values don't fit the path.
        """
        values = list(args)
        payload = dict(values.pop()) if values and isinstance(values[-1], dict) else {}
        payload.update(fields)
        if path.count("{}") != len(values):
            raise ValueError(f"{path!r} has {path.count('{}')} places for {len(values)} values")
        url = self._base + path.format(*(quote(str(value), safe="") for value in values))
        if method.lower() in BODY_METHODS:
            return self._axios.request(method.upper(), url, payload, self._headers)
        return self._axios.request(method.upper(), url, None, self._headers, params=payload)

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(f"{name} is no method of HTTP: {', '.join(METHODS)}")
        return lambda path="", /, *args, **fields: self.request(name, path, *args, **fields)


class ApiPath:
    """A path by attributes: ``api.notes(7).get(limit=3)`` asks for ``/notes/7?limit=3``.

    ``api.notes_`` ends with a slash.
    """

    def __init__(self, stub: Stub, path: str = "") -> None:
        self._stub = stub
        self._path = path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in METHODS:
            return lambda *args, **fields: self._stub.request(name, self._path, *args, **fields)
        slash = "/" if name.endswith("_") else ""
        return ApiPath(self._stub, f"{self._path.rstrip('/')}/{name.rstrip('_')}{slash}")

    def __call__(self, *segments: Any) -> ApiPath:
        quoted = "".join(f"/{quote(str(segment), safe='')}" for segment in segments)
        return ApiPath(self._stub, self._path.rstrip("/") + quoted)


class XmlTransport(xmlrpc.client.Transport):
    """XML-RPC through the session of a test client."""

    def __init__(self, client: TestClient) -> None:
        super().__init__(use_builtin_types=True)
        self._client = client

    def request(self, host: Any, handler: str, request_body: Any, verbose: bool = False) -> Any:
        """Send a call. Raises ``xmlrpc.client.ProtocolError`` for every status but 200."""
        answer = self._client.post(handler, request_body, {"Content-Type": "text/xml"})
        _check(answer, xmlrpc.client.ProtocolError)
        parser, unmarshaller = self.getparser()
        parser.feed(answer.content)
        parser.close()
        return unmarshaller.close()


def xmlrpc_proxy(client: TestClient, url: str) -> xmlrpc.client.ServerProxy:
    """A proxy whose attributes are the procedures at ``url``; faults are raised."""
    transport = XmlTransport(client)
    return xmlrpc.client.ServerProxy(client.resolve(_slashed(url)), transport, allow_none=True)


def jsonrpc_proxy(client: TestClient, url: str) -> Any:
    """The same for JSON-RPC; needs the extra ``rpc``."""
    try:
        from jsonrpclib import jsonrpc
    except ImportError as exc:
        raise SkitaiError("client.jsonrpc needs jsonrpclib: pip install skitai[rpc]") from exc

    class JsonTransport(jsonrpc.Transport):  # type: ignore[misc]  # the package has no types
        def request(self, host: Any, handler: str, request_body: str, verbose: int = 0) -> str:
            headers = {"Content-Type": "application/json-rpc"}
            answer = client.post(handler, request_body.encode(), headers)
            _check(answer, jsonrpc.TransportError)
            return answer.text

    transport = JsonTransport(config=jsonrpc.jsonrpclib.config.DEFAULT)
    return jsonrpc.ServerProxy(client.resolve(_slashed(url)), transport)


def sent_headers(client: TestClient) -> list[tuple[str, str]]:
    """What requests that don't go through the session take from it: token, ``X-`` and cookies."""
    sent = [
        (name, str(value))
        for name, value in client.session.headers.items()
        if name.lower() in ("authorization", "origin") or name.lower().startswith("x-")
    ]
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.session.cookies)
    return [*sent, ("Cookie", cookies)] if cookies else sent


def open_websocket(
    client: TestClient, path: str, headers: Iterable[tuple[str, str]], **options: Any
) -> ClientConnection:
    """Open a websocket with the cookies and headers of a client; see ``TestClient.websocket``."""
    from websockets.sync.client import connect

    from skitai.testing.sessions import unverified

    url = client.resolve(path)
    if url.startswith("https:"):
        options.setdefault("ssl", unverified())
    options = {"proxy": None, "open_timeout": client.timeout, **options}
    target = f"ws{url.removeprefix('http')}"
    socket: ClientConnection = connect(
        target, additional_headers=[*sent_headers(client), *headers], **options
    )
    return socket


def _slashed(url: str) -> str:
    return url if url.endswith("/") else f"{url}/"


def _check(answer: Response, error: type[Exception]) -> None:
    if answer.status_code != 200:
        place = urlsplit(answer.url)
        where = f"{place.netloc}{place.path}"
        raise error(where, answer.status_code, answer.reason, dict(answer.headers))
