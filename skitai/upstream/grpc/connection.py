"""``GrpcConnection``: one HTTP/2 connection of grpcio to a member, and calls on it.

``backend`` has some of them. grpcio connects again by itself when it breaks.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from skitai.tasks.errors import NetworkError, network_failure

if TYPE_CHECKING:
    from skitai.upstream.grpc.request import GrpcRequest, Metadata
    from skitai.upstream.interface import Member

CONNECT_SECONDS = 5.0
MAX_RESPONSE = 64 * 1024 * 1024
IDLE_SECONDS = 300
# Servers break off clients that ask for signs of life more often than every 300 s.
KEEPALIVE_SECONDS = 330
KEEPALIVE_PATIENCE = 20

_READY = grpc.ChannelConnectivity.READY
_FAILED = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)
_COMPRESSION = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}

_OPTIONS = [
    # Without this all channels to one address are one connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.max_send_message_length", -1),
    ("grpc.client_idle_timeout_ms", IDLE_SECONDS * 1000),
    ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_PATIENCE * 1000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", int(CONNECT_SECONDS * 1000)),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.primary_user_agent", "skitai"),
]


class GrpcConnection:
    """A channel of grpcio.

    Parameters:
        member: of the alias.
        credentials: for TLS; None without.
        server_name: what the certificate is for, when that is not the host.
        max_response: bytes of a message.

    Attributes:
        running: calls.
    """

    __slots__ = ("_channel", "_connecting", "_makers", "_name", "running")

    def __init__(
        self, member: Member, credentials: Any, server_name: str, max_response: int
    ) -> None:
        options = [*_OPTIONS, ("grpc.max_receive_message_length", max_response)]
        if server_name:
            options.append(("grpc.ssl_target_name_override", server_name))
        target = _target(member)
        self._channel = (
            grpc.aio.insecure_channel(target, options)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options)
        )
        self._name = f"{member.host}:{member.port}"
        self._makers: dict[tuple[str, bool, bool], Any] = {}
        self._connecting: asyncio.Task[bool] | None = None
        self.running = 0

    async def ready(self) -> bool:
        """Wait until there is a connection; False when it can't be made.

        Raises ``Failure`` when that takes longer than 5 seconds.
        """
        if self._channel.get_state(try_to_connect=True) is _READY:
            return True
        connecting = self._connecting
        if connecting is None:
            connecting = self._connecting = asyncio.ensure_future(self._connect())
            connecting.add_done_callback(self._connected)
        done, _ = await asyncio.wait({connecting}, timeout=CONNECT_SECONDS)
        if not done:
            text = f"no connection to {self._name} within {CONNECT_SECONDS:g} seconds"
            raise network_failure(NetworkError(text), False)
        return not connecting.cancelled() and connecting.result()

    async def _connect(self) -> bool:
        channel = self._channel
        while (state := channel.get_state(try_to_connect=True)) is not _READY:
            if state in _FAILED:
                return False
            await channel.wait_for_state_change(state)
        return True

    def _connected(self, connecting: asyncio.Task[bool]) -> None:
        self._connecting = None
        if not connecting.cancelled():
            connecting.exception()  # whoever waits for it has it

    def start(self, request: GrpcRequest, path: str, metadata: Metadata, seconds: float) -> Any:
        """Start a call; give it the messages of a method that takes a stream.

        Parameters:
            path: of the method.
            metadata: of the request, and what the member asks for.
            seconds: until the deadline.
        """
        method = request.method
        key = (path, method.takes_stream, method.gives_stream)
        make = self._makers.get(key)
        if make is None:
            kind = "_".join("stream" if stream else "unary" for stream in key[1:])
            make = self._makers[key] = getattr(self._channel, kind)(path)
        options: dict[str, Any] = {"timeout": seconds, "metadata": metadata}
        if request.compress:
            options["compression"] = _COMPRESSION[request.compress]
        if method.takes_stream:
            return make(**options)
        return make(request.message, **options)

    async def close(self) -> None:
        """Close it; what still runs is cancelled."""
        if self._connecting is not None:
            self._connecting.cancel()
        await self._channel.close()


def _target(member: Member) -> str:
    """The address in the form of grpcio (grpc.io, Name Resolution)."""
    try:
        address = ipaddress.ip_address(member.host.strip("[]"))
    except ValueError:
        host = member.host if member.host.isascii() else member.host.encode("idna").decode()
        return f"dns:///{host}:{member.port}"
    if address.version == 4:
        return f"ipv4:{address}:{member.port}"
    return f"ipv6:[{address}]:{member.port}"
