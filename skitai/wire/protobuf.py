"""Services of Protocol Buffers, as the ``*_pb2`` modules that were imported describe them.

The gRPC client and the gRPC server find here which messages a method takes and gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
    from google.protobuf.message import Message


@dataclass(frozen=True)
class Method:
    """A method of a service.

    Attributes:
        service: full name, ``package.Service``.
        name: of the method.
        request, response: classes of the messages.
        takes_stream, gives_stream: whether there are many of them.
        idempotent: it may be called again, the service declares that (``idempotency_level``).
    """

    service: str
    name: str
    request: type[Message]
    response: type[Message]
    takes_stream: bool
    gives_stream: bool
    idempotent: bool


class UnknownMethod(LookupError):
    """A service or a method that no imported module describes."""


_methods: dict[tuple[str, str], Method] = {}


def find_method(service: str, name: str) -> Method:
    """The method of a service, e.g. ``find_method("helloworld.Greeter", "SayHello")``.

    Raises ``UnknownMethod``, and ``ConfigError`` when protobuf is not installed.
    """
    found = _methods.get((service, name))
    if found is None:
        methods = find_service(service).methods_by_name
        if name not in methods:
            known = ", ".join(sorted(methods)) or "none"
            raise UnknownMethod(f"the service {service} has no method {name!r}, but {known}")
        # Only what exists is kept: names come from clients too.
        found = _methods[service, name] = _method_of(service, methods[name])
    return found


def find_service(name: str) -> ServiceDescriptor:
    """The description of a service. Raises as ``find_method``."""
    try:
        from google.protobuf import descriptor_pool
    except ImportError:
        raise ConfigError("gRPC needs protobuf: pip install 'skitai[grpc]'") from None
    try:
        return descriptor_pool.Default().FindServiceByName(name)
    except KeyError:
        raise UnknownMethod(
            f"there is no gRPC service {name!r}: import the *_pb2 module that protoc has made of "
            "its .proto file"
        ) from None


def _method_of(service: str, descriptor: MethodDescriptor) -> Method:
    from google.protobuf.message_factory import GetMessageClass

    described: Any = descriptor  # its stubs don't know the two flags
    return Method(
        service,
        descriptor.name,
        GetMessageClass(descriptor.input_type),
        GetMessageClass(descriptor.output_type),
        described.client_streaming,
        described.server_streaming,
        bool(descriptor.GetOptions().idempotency_level),
    )
