"""HTTP/2 for the test client: `skitai.testing.adapters` over the transport of httpx.

The client imports it at first use.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import h2  # noqa: F401  # httpx needs it for HTTP/2, and asks for it late
import httpx
import requests

from skitai.testing.adapters import Answered, LoopAdapter
from skitai.testing.sessions import Refused, unverified

if TYPE_CHECKING:
    from skitai.testing.adapters import Asked, Cert, Verify


class Http2Adapter(LoopAdapter):
    """Speaks HTTP/2 only: over TLS, or at once where there is none (RFC 9113, 3.3).

    There is one connection to each server, with all requests of a moment.
    """

    def __init__(self) -> None:
        super().__init__()
        self._transports: dict[tuple[Verify, Cert], httpx.AsyncHTTPTransport] = {}

    async def exchange(self, asked: Asked) -> Answered:
        """Send a request, and read the answer. Raises ``requests.RequestException``."""
        connecting, silent = asked.timeout
        limits = httpx.Timeout(silent, connect=connecting).as_dict()
        request = httpx.Request(
            asked.method,
            asked.url,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in asked.fields],
            content=asked.body,
            extensions={"timeout": limits},
        )
        try:
            response = await self._transport(asked).handle_async_request(request)
            try:
                body = b"".join([piece async for piece in response.aiter_raw()])
            finally:
                await response.aclose()
        except httpx.ConnectTimeout as exc:
            raise requests.ConnectTimeout(f"{asked.url}: no connection in time") from exc
        except httpx.TimeoutException as exc:
            raise requests.ReadTimeout(f"{asked.url}: {silent:g} seconds of silence") from exc
        except httpx.ConnectError as exc:
            if isinstance(_root(exc), ssl.SSLError):
                raise requests.exceptions.SSLError(f"{asked.url}: {exc}") from exc
            raise Refused(f"{asked.url}: {exc}") from exc
        except httpx.TransportError as exc:
            raise requests.ConnectionError(f"{asked.url} over HTTP/2: {exc}") from exc
        fields = [(name.decode(), value.decode("latin-1")) for name, value in response.headers.raw]
        return Answered(response.status_code, fields, body, 20)

    async def disconnect(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()

    def _transport(self, asked: Asked) -> httpx.AsyncHTTPTransport:
        key = (asked.verify, asked.cert)
        found = self._transports.get(key)
        if found is None:
            found = self._transports[key] = httpx.AsyncHTTPTransport(
                verify=_context(*key), http1=False, http2=True, trust_env=False
            )
        return found


def _context(verify: Verify, cert: Cert) -> ssl.SSLContext:
    if verify is False:
        context = unverified()
    else:
        place = requests.utils.DEFAULT_CA_BUNDLE_PATH if verify is True else str(verify)
        folder = Path(place).is_dir()
        context = ssl.create_default_context(
            cafile=None if folder else place, capath=place if folder else None
        )
    if cert is not None:
        context.load_cert_chain(*((cert,) if isinstance(cert, str) else cert))
    return context


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]  # one is there
    return error
