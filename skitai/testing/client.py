"""``skitai.test_client``: an HTTP client bound to a running service, or to one that it starts."""

from __future__ import annotations

import mimetypes
import os
import weakref
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from skitai.errors import ConfigError, SkitaiError
from skitai.testing.launcher import ServerProcess, build_command, free_port
from skitai.testing.output import KEPT
from skitai.testing.protocols import Protocol
from skitai.testing.recording import take_spec
from skitai.testing.remote import ApiPath, Stub, jsonrpc_proxy, open_websocket, xmlrpc_proxy
from skitai.testing.verbs import Verbs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from xmlrpc.client import ServerProxy

    from typing_extensions import Self
    from websockets.sync.client import ClientConnection

    from skitai.testing.driver import Driver
    from skitai.testing.sessions import HttpSession, Response
    from skitai.testing.verbs import Headers

HOST = "127.0.0.1"


class TestClient(Verbs):
    """Sends requests to a service on this machine (seed, Integrating pytest).

    Without a script it talks to whatever serves on ``port``. With one it starts the script, waits
    until all its workers serve, and stops it on leaving ``with``, by ``stop()``, when the client is
    garbage, or when the interpreter ends. Cookies are kept; proxies from the environment are not
    used.

    Parameters:
        script: path of a launch script, seen from the current directory; may go on with arguments
            (``"serve.py --x"``). ``None``: attach to a server that runs already.
        port: TCP port; 0 with a script: a free one.
        devel: start with ``--devel``.
        ssl: speak https; the certificate is not verified.
        silent: capture the server's output (see ``log``); False lets it through.
        dry: never start or stop anything, even if there is a script.
        temp_dir: directory for the captured output; ``None``: the system's.
        startup_timeout: seconds that the script has to get ready.
        stop_timeout: seconds that it has to end after SIGTERM; then it is killed.
        options: further command-line options of the script: ``workers=2`` is ``--workers 2``,
            ``True`` is the option alone, ``None`` and ``False`` leave it out.

    Raises `ConfigError` for a wrong value, `StartupError` (with the end of the server's output)
    when the script does not get ready, `SkitaiError` when ``requests`` is not installed.
    """

    __test__ = False  # pytest would collect it by its name

    timeout: float = 30.0
    """Seconds of silence after which a request is given up; ``timeout=`` of a request wins."""

    def __init__(
        self,
        script: str | os.PathLike[str] | None = None,
        port: int | str = 5000,
        devel: bool = False,
        ssl: bool = False,
        silent: bool = True,
        dry: bool = False,
        temp_dir: str | os.PathLike[str] | None = None,
        *,
        startup_timeout: float = 30.0,
        stop_timeout: float = 10.0,
        **options: Any,
    ) -> None:
        launches = script is not None and not dry
        if script is None and options:
            given = ", ".join(f"{name}=" for name in options)
            raise ConfigError(f"{given} is for a script that is started: give script= as well")
        self.port = _check_port(port, launches)
        self.url = f"{'https' if ssl else 'http'}://{HOST}:{self.port}"
        self.session = _open_session()
        self._server: ServerProcess | None = None
        if script is not None and launches:
            self._server = ServerProcess(
                build_command(script, self.port, devel, options),
                silent=silent,
                temp_dir=temp_dir,
                startup_timeout=startup_timeout,
                stop_timeout=stop_timeout,
            )
        self._sessions: dict[str, HttpSession] = {}  # by protocol, beside that of HTTP/1.1
        self._drivers: list[Driver] = []
        self._finalizer = weakref.finalize(
            self, _end, self._drivers, self.session, self._sessions, self._server
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        script = f" {self._server.script}" if self._server is not None else ""
        return f"<TestClient {self.url}{script}>"

    # The server

    def stop(self) -> None:
        """Stop the server if this client started it, and wait until nothing of it is left.

        It gets SIGTERM and ``stop_timeout`` seconds, then it is killed. May be called again.
        """
        self._finalizer()

    @property
    def pid(self) -> int | None:
        """Process id of the started script; ``None`` if this client started none."""
        return self._server.pid if self._server is not None else None

    @property
    def returncode(self) -> int | None:
        """Exit code of the started script, negative for a signal; ``None`` while it runs."""
        return self._server.returncode if self._server is not None else None

    @property
    def output(self) -> str:
        """What the started server has printed; see ``log``."""
        return self.log()

    def log(self, limit: int = KEPT) -> str:
        """Return the last ``limit`` bytes, at most 1 MiB, of what the started server printed.

        Also after its end. Empty if this client started none or is not ``silent``.
        """
        return self._server.text(limit) if self._server is not None else ""

    # Requests

    def resolve(self, url: str) -> str:
        """Return the absolute form of a URL; a relative one begins at the server's root."""
        if url.lower().startswith(("http://", "https://")):
            return url
        return self.url + url if url.startswith("/") else f"{self.url}/{url}"

    def request(
        self,
        method: str,
        url: str,
        data: Any = None,
        headers: Headers = None,
        json: Any = None,
        **options: Any,
    ) -> Response:
        """Send one request with any method; see `Verbs` for the parameters.

        Raises ``requests.ConnectionError`` naming the cause when the server has ended or there is
        none, ``requests.Timeout`` when it doesn't answer in time.
        """
        return self._send(self.session, method, url, data, headers, json, **options)

    def _send(
        self,
        session: HttpSession,
        method: str,
        url: str,
        data: Any = None,
        headers: Headers = None,
        json: Any = None,
        **options: Any,
    ) -> Response:
        import requests

        from skitai.testing.sessions import is_refused

        target = self.resolve(url)
        ours = f"{target}/".startswith(f"{self.url}/")
        if ours and self.returncode is not None:  # the port may be somebody else's by now
            raise requests.ConnectionError(self._why_refused())
        options.setdefault("timeout", self.timeout)
        sent_headers = dict(headers) if headers is not None else None
        try:
            response = session.request(
                method, target, data=data, headers=sent_headers, json=json, **options
            )
        except requests.ConnectionError as exc:
            if ours and (self.returncode is not None or is_refused(exc)):
                raise requests.ConnectionError(self._why_refused(), request=exc.request) from None
            raise
        answer = cast("Response", response)  # the session's adapters make no others
        if not options.get("stream"):
            take_spec(answer)
        return answer

    def upload(
        self, url: str, data: Mapping[str, Any], headers: Headers = None, **options: Any
    ) -> Response:
        """Post a multipart form (RFC 7578).

        Parameters:
            data: field names and their values: text, bytes, a number, an open file, a tuple such as
                ``requests`` takes in ``files`` (filename, content, type), or a list of these.
            headers, options: as in ``post``.
        """
        parts = [part for name, value in data.items() for part in _form_parts(name, value)]
        return self.post(url, headers=headers, files=parts, **options)

    @property
    def axios(self) -> Axios:
        """The same methods for JSON APIs."""
        return Axios(self)

    # One protocol

    @property
    def http(self) -> Protocol:
        """The same methods over HTTP/1.1, as the client itself sends them."""
        return Protocol(partial(self._send, self.session), 1)

    @property
    def http2(self) -> Protocol:
        """The same methods over HTTP/2: ``client.http2.get(["/a", "/b"])`` asks for both at once.

        Raises ``SkitaiError`` when httpx is not installed.
        """
        return self._protocol("http2", "Http2Adapter", "test")

    h2 = http2

    @property
    def http3(self) -> Protocol:
        """The same over HTTP/3, at the port that the service announces; for ``ssl=True``.

        Raises ``SkitaiError`` when aioquic is not installed.
        """
        return self._protocol("http3", "Http3Adapter", "http3")

    h3 = http3

    def _protocol(self, module: str, adapter: str, extra: str) -> Protocol:
        session = self._sessions.get(module)
        if session is None:
            if not self._finalizer.alive:
                raise SkitaiError(f"client.{module}: this test client has been stopped")
            try:
                found = import_module(f"skitai.testing.{module}")
            except ImportError as exc:
                raise SkitaiError(
                    f"client.{module} needs the package {exc.name}: pip install skitai[{extra}]"
                ) from exc
            session = self.session.over(getattr(found, adapter)())
            self._sessions[module] = session
        return Protocol(partial(self._send, session))

    # Other ways to ask

    def stub(self, base: str = "", headers: Mapping[str, str] | None = None) -> Stub:
        """Requests with JSON below a path, as ``was.stub`` makes them.

        ``with client.stub("/api") as stub: stub.put("/notes/{}", 7, text="milk")``; parameters of
        its methods: see `skitai.testing.remote.Stub`.
        """
        return Stub(self.axios, base, headers or {})

    def api(self, point: str = "") -> ApiPath:
        """Requests with JSON by attributes: ``client.api().notes(7).get(limit=3)``."""
        return ApiPath(self.stub(point))

    @property
    def siesta(self) -> ApiPath:
        """``api`` from the root: ``client.siesta.notes.get()``."""
        return self.api()

    def xmlrpc(self, url: str = "/") -> ServerProxy:
        """Call procedures by XML-RPC: ``with client.rpc("/rpc2") as proxy: proxy.add(1, 2)``.

        Raises ``xmlrpc.client.Fault`` and ``ProtocolError``.
        """
        return xmlrpc_proxy(self, url)

    rpc = xmlrpc

    def jsonrpc(self, url: str = "/") -> Any:
        """The same by JSON-RPC, with the extra ``rpc``. Raises ``jsonrpclib.ProtocolError``."""
        return jsonrpc_proxy(self, url)

    def grpc(self, service: str | Callable[[Any], Any] | None = None) -> Any:
        """Call methods of a gRPC service: ``with client.grpc("guide.Places") as places: ...``

        A context manager. Methods are those of stubs of grpcio: ``places.GetPlace(point,
        timeout=5)`` gives a message or an iterator of them, and raises ``grpc.RpcError``. They
        send this client's cookies, token and ``X-`` headers as metadata.

        Parameters:
            service: the full name, when its ``*_pb2`` module is imported; or a class of stubs, from
                ``*_pb2_grpc``. ``None``: what is given is the channel.

        Raises ``SkitaiError`` without grpcio, the extra ``grpc``.
        """
        from skitai.testing.grpc_calls import open_grpc

        return open_grpc(self, service)

    def websocket(
        self, path: str, headers: Mapping[str, str] | None = None, **options: Any
    ) -> ClientConnection:
        """Open a websocket with this client's cookies, token and ``X-`` headers.

        ``with client.websocket("/echo") as socket: socket.send("hello"); socket.recv(timeout=5)``

        Parameters:
            headers: more of them.
            options: those of ``websockets.sync.client.connect``.

        Raises ``websockets.exceptions.InvalidStatus`` when the service refuses.
        """
        return open_websocket(self, path, (headers or {}).items(), **options)

    def driver(self) -> Driver:
        """A headless Chromium with this client's cookies: ``with client.driver() as driver: ...``

        ``driver.navigate("/"); driver.one("h1").text; driver.capture("page.png")``. Its steps may
        take ``timeout`` seconds of the client. Raises ``SkitaiError`` without Chromium.
        """
        from skitai.testing.driver import Driver

        if not self._finalizer.alive:
            raise SkitaiError("client.driver: this test client has been stopped")
        driver = Driver(self.url, self.session, self.timeout)
        self._drivers.append(driver)
        return driver

    def set_default_header(self, name: str, value: str) -> None:
        """Send this header with every request."""
        self.session.headers[name] = value

    def get_default_header(self, name: str, default: str | None = None) -> str | None:
        """Return the value that is sent with every request."""
        value = self.session.headers.get(name)
        return default if value is None else str(value)

    def unset_default_header(self, name: str) -> None:
        """Stop sending this header; one that isn't set is no error."""
        self.session.headers.pop(name, None)

    def set_jwt(self, token: str) -> None:
        """Send a bearer token with every request (RFC 6750, 2.1)."""
        self.set_default_header("Authorization", f"Bearer {token}")

    def _why_refused(self) -> str:
        if self._server is None:
            return f"nothing listens at {self.url}: start the server, or give script="
        if self.returncode is not None:
            return f"no request can be sent to {self.url}: {self._server.describe_end()}"
        return f"{self._server.script} runs, but does not listen at {self.url}"


class Axios(Verbs):
    """Sends and asks for JSON: dicts and lists become JSON bodies, anything else goes as it is."""

    def __init__(self, client: TestClient) -> None:
        self._client = client

    def request(
        self,
        method: str,
        url: str,
        data: Any = None,
        headers: Headers = None,
        json: Any = None,
        **options: Any,
    ) -> Response:
        """Send one request with any method; see `Verbs` for the parameters."""
        wanted = {"Accept": "application/json", "Content-Type": "application/json"}
        wanted.update(headers or {})
        if isinstance(data, (dict, list)):
            data, json = None, data
        return self._client.request(method, url, data, wanted, json, **options)


test_client = TestClient


def _open_session() -> HttpSession:
    try:
        from skitai.testing.sessions import HttpSession
    except ImportError as exc:
        raise SkitaiError(
            "skitai.test_client needs the package requests: pip install skitai[test]"
        ) from exc
    return HttpSession()


def _end(
    drivers: list[Driver],
    session: HttpSession,
    others: Mapping[str, HttpSession],
    server: ServerProcess | None,
) -> None:
    with ExitStack() as ends:  # the last one first, and each whatever another raises
        if server is not None:
            ends.callback(server.stop)
        for one in (session, *others.values()):
            ends.callback(one.close)  # idle connections would only hold up the server's end
        for driver in drivers:
            ends.callback(driver.close)


def _check_port(port: int | str, launches: bool) -> int:
    try:
        number = int(port)
    except (TypeError, ValueError):
        number = -1
    if number == 0 and launches:
        return free_port()
    if not 0 < number < 65536:
        choice = "1 to 65535, or 0 for a free one" if launches else "the server's, 1 to 65535"
        raise ConfigError(f"port={port!r} is no port: give {choice}")
    return number


def _form_parts(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for item in value:
            yield from _form_parts(name, item)
    elif isinstance(value, tuple):
        yield name, value
    elif hasattr(value, "read"):
        path = getattr(value, "name", None)
        filename = os.path.basename(path) if isinstance(path, str) else name
        kind = mimetypes.guess_type(filename)[0] or "application/octet-stream"
        yield name, (filename, value, kind)
    else:
        yield name, (None, value if isinstance(value, bytes) else str(value))
