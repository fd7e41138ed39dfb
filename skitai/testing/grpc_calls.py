"""gRPC for the test client: a channel to its service, and services whose methods are attributes.

``TestClient.grpc`` opens it. It is grpcio's own client, so that a test sees what any client sees.
"""

from __future__ import annotations

import ssl
from collections import namedtuple
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from skitai.errors import SkitaiError
from skitai.testing.remote import sent_headers
from skitai.wire.protobuf import UnknownMethod, find_method, find_service

try:
    import grpc
except ImportError as exc:
    raise SkitaiError("client.grpc needs grpcio: pip install skitai[grpc]") from exc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from skitai.testing.client import TestClient


class GrpcService:
    """A service by its name; its methods are those of a stub of grpcio.

    Raises ``UnknownMethod`` when no imported ``*_pb2`` module describes it.
    """

    def __init__(self, channel: Any, name: str) -> None:
        self._channel = channel
        self._name = name
        find_service(name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            method = find_method(self._name, name)
        except UnknownMethod as exc:
            raise AttributeError(str(exc)) from None
        kinds = (
            "stream" if many else "unary" for many in (method.takes_stream, method.gives_stream)
        )
        make = getattr(self._channel, "_".join(kinds))
        return make(
            f"/{self._name}/{name}",
            request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString,
        )


@contextmanager
def open_grpc(client: TestClient, service: str | Callable[[Any], Any] | None) -> Iterator[Any]:
    """Open a channel, and close it at the end; see ``TestClient.grpc``."""
    place = urlsplit(client.url)
    target = f"{place.hostname}:{place.port}"
    with _open_channel(target, place.scheme == "https", client.timeout) as channel:
        intercepted = grpc.intercept_channel(channel, _Calls(client))
        if service is None:
            yield intercepted
        elif isinstance(service, str):
            yield GrpcService(intercepted, service.strip("/"))
        else:
            yield service(intercepted)


def _open_channel(target: str, tls: bool, timeout: float) -> Any:
    options: list[tuple[str, Any]] = [("grpc.enable_http_proxy", 0)]
    if not tls:
        return grpc.insecure_channel(target, options)
    # grpcio can't leave a certificate unverified: what the service shows now is what is trusted.
    host, _, port = target.rpartition(":")
    shown = ssl.get_server_certificate((host, int(port)), timeout=timeout)
    options.append(("grpc.ssl_target_name_override", _name_in(shown)))
    return grpc.secure_channel(
        target, grpc.ssl_channel_credentials(root_certificates=shown.encode()), options
    )


def _name_in(pem: str) -> str:
    """A name that a certificate is good for."""
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(pem.encode())
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "localhost"
    for kind in (x509.DNSName, x509.IPAddress):
        for name in names.get_values_for_type(kind):
            return str(name).replace("*", "www")
    return "localhost"


_Details = namedtuple("_Details", "method timeout metadata credentials wait_for_ready compression")


class _Calls(
    grpc.UnaryUnaryClientInterceptor,  # type: ignore[misc]  # grpcio has no types
    grpc.UnaryStreamClientInterceptor,  # type: ignore[misc]
    grpc.StreamUnaryClientInterceptor,  # type: ignore[misc]
    grpc.StreamStreamClientInterceptor,  # type: ignore[misc]
):
    """Gives calls what requests of the client have: its cookies, token, headers and timeout."""

    def __init__(self, client: TestClient) -> None:
        self._client = client

    def intercept_unary_unary(self, proceed: Any, details: Any, request: Any) -> Any:
        metadata = [
            *((name.lower(), value) for name, value in sent_headers(self._client)),
            *(details.metadata or ()),
        ]
        timeout = self._client.timeout if details.timeout is None else details.timeout
        known = [getattr(details, name, None) for name in _Details._fields[3:]]
        return proceed(_Details(details.method, timeout, metadata, *known), request)

    intercept_unary_stream = intercept_unary_unary
    intercept_stream_unary = intercept_unary_unary
    intercept_stream_stream = intercept_unary_unary
