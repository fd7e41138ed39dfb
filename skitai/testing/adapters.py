"""What the test client's HTTP/2 and HTTP/3 share: a request of ``requests`` goes to an event loop,
and what came back becomes a response of ``requests``.

With that cookies, redirects, forms and JSON are those of every other request of the client.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from email.message import Message
from http.client import responses
from io import BytesIO
from typing import TYPE_CHECKING, Any

from urllib3 import HTTPHeaderDict, HTTPResponse

from skitai.testing.loop_thread import LoopThread
from skitai.testing.sessions import LOOPBACK, Adapter

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

    from skitai.testing.sessions import Response

    Verify = bool | str
    Cert = str | tuple[str, str] | None
    Timeout = tuple[float | None, float | None]

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
"""Fields of a connection of HTTP/1.1, which others don't have (RFC 9113, 8.2.2; 9114, 4.2)."""


@dataclass
class Asked:
    """A request, as it is sent.

    Attributes:
        fields: of the head, without those of a connection; names are in lower case.
        timeout: seconds, to connect and of silence; None: as long as it takes.
        verify: False; True: by the known authorities; or a path with others.
        cert: of the client: a path, or two with the key.
    """

    method: str
    url: str
    fields: list[tuple[str, str]]
    body: bytes
    timeout: Timeout
    verify: Verify
    cert: Cert


@dataclass
class Answered:
    """An answer that is complete. ``version``: 20 or 30."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    version: int


class LoopAdapter(Adapter, ABC):
    """Sends requests over connections on a loop of its own, from any number of threads."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = LoopThread(self.disconnect)

    @abstractmethod
    async def exchange(self, asked: Asked) -> Answered:
        """Send a request, and read the answer. Raises ``requests.RequestException``."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Close all connections."""

    def prepare(self, asked: Asked) -> None:
        """What has to be known before a request; in the thread that asks."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        """Send one; ``stream`` and ``proxies`` change nothing."""
        url = request.url or ""
        if verify is True and url.lower().startswith(LOOPBACK):
            verify = False
        asked = Asked(
            request.method or "GET",
            url,
            [
                (_text(name).lower(), _text(value))
                for name, value in request.headers.items()
                if _text(name).lower() not in HOP_BY_HOP
            ],
            _body(request.body),
            timeout if isinstance(timeout, tuple) else (timeout, timeout),
            verify,
            cert,
        )
        self.prepare(asked)
        answered = self._thread.run(lambda: self.exchange(asked))
        return self.build_response(request, _raw(asked.method, answered))

    def close(self) -> None:
        """Close all connections, and end the loop."""
        self._thread.close()
        super().close()


class _Head:
    """What ``requests`` finds cookies in."""

    def __init__(self, fields: list[tuple[str, str]]) -> None:
        self.msg = Message()
        for name, value in fields:
            self.msg[name] = value

    def isclosed(self) -> bool:
        return True

    def close(self) -> None:
        pass


def _raw(method: str, answered: Answered) -> HTTPResponse:
    head: Any = _Head(answered.fields)
    return HTTPResponse(
        BytesIO(answered.body),
        HTTPHeaderDict(answered.fields),
        answered.status,
        answered.version,
        f"HTTP/{answered.version // 10}",
        responses.get(answered.status, ""),
        preload_content=False,
        original_response=head,
        request_method=method,
    )


def _text(given: str | bytes) -> str:
    return given.decode("latin-1") if isinstance(given, bytes) else given


def _body(given: Any) -> bytes:
    """A body as a whole: ``requests`` makes text, bytes, open files and iterators of bytes."""
    if given is None:
        return b""
    if hasattr(given, "read"):
        given = given.read()
    if isinstance(given, str):
        return given.encode()
    if isinstance(given, (bytes, bytearray)):
        return bytes(given)
    return b"".join(given)
