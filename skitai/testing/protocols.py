"""Requests of the test client over one protocol: ``client.http``, ``http2`` and ``http3``."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, overload

from skitai.testing.verbs import Verbs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from skitai.testing.sessions import Response
    from skitai.testing.verbs import Headers

AT_ONCE = 100  # requests of a list; servers allow as many streams


class Protocol(Verbs):
    """The methods of HTTP over one protocol, with the cookies and headers of the client.

    Parameters:
        send: sends one request, as ``TestClient.request``.
        at_once: requests of a list that are under way together.
    """

    def __init__(self, send: Callable[..., Response], at_once: int = AT_ONCE) -> None:
        self._send = send
        self._at_once = at_once

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
        return self._send(method, url, data, headers, json, **options)

    @overload
    def get(
        self,
        url: str,
        data: Any = None,
        headers: Headers = None,
        json: Any = None,
        **options: Any,
    ) -> Response: ...

    @overload
    def get(
        self,
        url: Sequence[str],
        data: Any = None,
        headers: Headers = None,
        json: Any = None,
        **options: Any,
    ) -> list[Response]: ...

    def get(
        self,
        url: str | Sequence[str],
        data: Any = None,
        headers: Headers = None,
        json: Any = None,
        **options: Any,
    ) -> Response | list[Response]:
        """Send a GET request, or one for each URL of a list.

        HTTP/2 and HTTP/3 send those of a list together over one connection, HTTP/1.1 one behind
        the other. The responses are in the order of the URLs. The first request that gets none
        raises, when all have ended.
        """
        if isinstance(url, str):
            return self.request("GET", url, data, headers, json, **options)

        def one(each: str) -> Response:
            return self.request("GET", each, data, headers, json, **options)

        if self._at_once == 1 or len(url) < 2:
            return [one(each) for each in url]
        with ThreadPoolExecutor(min(len(url), self._at_once)) as pool:
            return list(pool.map(one, url))
