"""What the test client takes from ``requests``: a session for loopback, and the response.

Imported by the client at first use, as ``requests`` is an extra.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import MaxRetryError, NewConnectionError

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = ("https://127.0.0.1:", "https://localhost:")


class Response(requests.Response):
    """A response of ``requests``, and ``data``.

    Attributes:
        spec: what an app under ``--devel`` says of the resource; it is in no data, but in ``text``
            and ``content``. None where it says nothing.
    """

    spec: dict[str, Any] | None = None

    def json(self, **options: Any) -> Any:
        """The parsed body; ``options`` are those of ``json.loads``. Raises ``ValueError``."""
        data = super().json(**options)
        if self.spec is not None:
            del data["__spec__"]
        return data

    @property
    def data(self) -> Any:
        """The parsed body of ``application/json``, ``{}`` if it is broken; else the bytes."""
        content_type = self.headers.get("Content-Type", "").partition(";")[0]
        if content_type.strip().lower() != "application/json":
            return self.content
        try:
            return self.json()
        except ValueError:
            return {}


class HttpSession(requests.Session):
    """Keeps cookies, connections and default headers; its responses are `Response` objects.

    Proxies, certificates and passwords named by the environment are not used. Certificates are
    verified, except those of servers on this machine: tests make their own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.headers["X-Spec"] = "1"  # an app under --devel may say what its resources are
        for prefix in ("http://", "https://"):
            self.mount(prefix, Adapter())
        for prefix in LOOPBACK:
            self.mount(prefix, _LoopbackAdapter())

    def over(self, adapter: Adapter) -> HttpSession:
        """A session with the cookies and default headers of this one, and another way to send."""
        session = HttpSession()
        session.cookies, session.headers = self.cookies, self.headers
        session.adapters.clear()
        for prefix in ("http://", "https://"):
            session.mount(prefix, adapter)
        return session


class Refused(requests.ConnectionError):
    """No connection was made: what the adapters of other protocols raise."""


def is_refused(error: requests.ConnectionError) -> bool:
    """Tell whether no connection was made at all, as when no process listens."""
    if isinstance(error, Refused):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError)


def unverified() -> ssl.SSLContext:
    """A context for servers of this machine, whose certificates nobody vouches for."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Adapter(HTTPAdapter):
    """Makes `Response` objects."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> Response:
        response = Response()
        response.__dict__.update(super().build_response(req, resp).__dict__)
        return response

    def close(self) -> None:
        """Close idle connections now. urllib3 alone keeps those to whose answers something refers,
        and a service waits 1.5 seconds in its end for a client that does not close them.
        """
        pools = self.poolmanager.pools
        for key in pools.keys():
            pools[key].close()
        super().close()


class _UnverifiedConnection(HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        self.is_verified = True  # or urllib3 warns at each request that nobody verified it


class _UnverifiedPool(HTTPSConnectionPool):
    ConnectionCls = _UnverifiedConnection


class _LoopbackAdapter(Adapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {
            "http": HTTPConnectionPool,
            "https": _UnverifiedPool,
        }

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        if verify is True:  # the default; a test that names its certificates means it
            verify = False
        options: dict[str, Any] = {"timeout": timeout, "cert": cert, "proxies": proxies}
        return super().send(request, stream=stream, verify=verify, **options)
