"""The HTTP methods as Python methods, in one signature for every kind of client.

`TestClient` and its JSON twin `Axios` inherit them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from skitai.testing.sessions import Response

    Headers = Mapping[str, str] | Iterable[tuple[str, str]] | None


class Verbs(ABC):
    """One method for each HTTP method, all through ``request``.

    Parameters of all of them:
        url: relative to the server, or absolute.
        data: the body: text, bytes, an open file, or a dict or pairs to be sent as a form.
        headers: a dict or pairs, for this request; a value of ``None`` leaves a default header out.
        json: a value to be sent as JSON, instead of ``data``.
        options: anything else that ``requests.request`` takes: ``params``, ``timeout`` (seconds of
            silence; default: the client's ``timeout``), ``allow_redirects`` (default: True), …

    They return the response whatever its status, and raise ``requests.RequestException`` when there
    is none.
    """

    @abstractmethod
    def request(
        self,
        method: str,
        url: str,
        data: Any = None,
        headers: Headers = None,
        json: Any = None,
        **options: Any,
    ) -> Response:
        """Send one request with any method; see the class for the parameters."""

    def get(
        self, url: str, data: Any = None, headers: Headers = None, json: Any = None, **options: Any
    ) -> Response:
        """Send a GET request; see the class for the parameters."""
        return self.request("GET", url, data, headers, json, **options)

    def post(
        self, url: str, data: Any = None, headers: Headers = None, json: Any = None, **options: Any
    ) -> Response:
        """Send a POST request; see the class for the parameters."""
        return self.request("POST", url, data, headers, json, **options)

    def put(
        self, url: str, data: Any = None, headers: Headers = None, json: Any = None, **options: Any
    ) -> Response:
        """Send a PUT request; see the class for the parameters."""
        return self.request("PUT", url, data, headers, json, **options)

    def patch(
        self, url: str, data: Any = None, headers: Headers = None, json: Any = None, **options: Any
    ) -> Response:
        """Send a PATCH request; see the class for the parameters."""
        return self.request("PATCH", url, data, headers, json, **options)

    def delete(
        self, url: str, data: Any = None, headers: Headers = None, json: Any = None, **options: Any
    ) -> Response:
        """Send a DELETE request; see the class for the parameters."""
        return self.request("DELETE", url, data, headers, json, **options)

    def head(
        self, url: str, data: Any = None, headers: Headers = None, json: Any = None, **options: Any
    ) -> Response:
        """Send a HEAD request; see the class for the parameters."""
        return self.request("HEAD", url, data, headers, json, **options)

    def options(
        self, url: str, data: Any = None, headers: Headers = None, json: Any = None, **options: Any
    ) -> Response:
        """Send a OPTIONS request; see the class for the parameters."""
        return self.request("OPTIONS", url, data, headers, json, **options)
