"""``GrpcBackend``: the connections to one member of an HTTP alias that speaks gRPC, and its calls.

Lives on the worker's loop. A call that is cancelled is cancelled at the server too.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from grpc._cython import cygrpc

from skitai.tasks.errors import (
    Failure,
    NetworkError,
    OperationTimeout,
    TaskError,
    network_failure,
    request_failure,
    timeout_failure,
)
from skitai.tasks.status import STA_NETERR
from skitai.upstream.grpc.connection import MAX_RESPONSE, GrpcConnection
from skitai.upstream.grpc.credentials import load_credentials
from skitai.upstream.grpc.request import GrpcReply, each, parse, serialize
from skitai.upstream.http.backend import basic
from skitai.upstream.tls import check_verify
from skitai.wire.grpc import http_of_status

if TYPE_CHECKING:
    from skitai.upstream.grpc.request import GrpcRequest, Metadata
    from skitai.upstream.interface import Member

MAX_CONNECTIONS = 32
# Servers allow 100 streams on a connection; more calls than that get another one.
STREAMS = 100

_UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
_EXPIRED = grpc.StatusCode.DEADLINE_EXCEEDED


class GrpcBackend:
    """A server that is asked over gRPC.

    Parameters:
        member: of the alias; its ``path`` stands before that of each method.
        max_conns: connections at most, 0 for no limit.
        verify: as of ``skitai.upstream.http.backend.HttpBackend``.
        max_response: bytes that a message may have, and all messages of an answer together.

    Raises ``ConfigError`` for a ``verify`` that isn't there.

    Attributes:
        busy: calls that run here.
    """

    def __init__(
        self,
        member: Member,
        max_conns: int = MAX_CONNECTIONS,
        verify: bool | str = True,
        max_response: int = MAX_RESPONSE,
    ) -> None:
        check_verify(verify, member.name)
        self.busy = 0
        self._member = member
        self._base = member.path.rstrip("/")
        self._max_conns = max_conns
        self._verify = verify
        self._max_response = max_response
        self._connections: list[GrpcConnection] = []
        self._security: asyncio.Task[tuple[Any, str]] | None = None
        self._closed = False
        self._metadata: Metadata = []
        if member.user is not None:
            self._metadata.append(("authorization", basic(member.user, member.password)))

    async def call(self, request: GrpcRequest) -> GrpcReply:
        """Call a method, and take the whole answer.

        A status other than OK is an answer too: ``reply.error`` says what ``fetch`` raises, a
        ``grpc.RpcError``. Raises ``Failure`` when the server can't be reached or says UNAVAILABLE,
        and when the deadline passes.
        """
        self.busy += 1
        try:
            connection = await self._choose()
            connection.running += 1
            try:
                connected = await connection.ready()
                return await self._perform(connection, request, connected)
            finally:
                connection.running -= 1
        finally:
            self.busy -= 1

    async def close(self) -> None:
        """Close all connections; what still runs fails."""
        self._closed = True
        if self._security is not None:
            self._security.cancel()
        connections, self._connections = self._connections, []
        for connection in connections:
            await connection.close()

    # -- connections

    async def _choose(self) -> GrpcConnection:
        """The connection with the fewest calls; a new one when that has enough of them."""
        if found := self._free():
            return found
        credentials, name = None, ""
        if self._member.tls:
            credentials, name = await self._secure()
            if found := self._free():  # of another call that has waited, too
                return found
        if self._closed:
            text = f"{self._member.name}: the service stops"
            raise network_failure(NetworkError(text), False)
        connection = GrpcConnection(self._member, credentials, name, self._max_response)
        self._connections.append(connection)
        return connection

    def _free(self) -> GrpcConnection | None:
        """A connection that may have another call."""
        least = min(self._connections, key=lambda connection: connection.running, default=None)
        full = self._max_conns and len(self._connections) >= self._max_conns
        return least if least is not None and (least.running < STREAMS or full) else None

    async def _secure(self) -> tuple[Any, str]:
        """How connections are encrypted; found out once."""
        member, task = self._member, self._security
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            loading = load_credentials(member.host, member.port, self._verify)
            task = self._security = asyncio.ensure_future(loading)
        return await asyncio.shield(task)

    async def _forget(self, connection: GrpcConnection) -> None:
        """Its server may show another certificate now, that is not checked but known."""
        self._security = None
        if connection in self._connections:
            self._connections.remove(connection)
            await connection.close()

    # -- one call

    async def _perform(
        self, connection: GrpcConnection, request: GrpcRequest, connected: bool
    ) -> GrpcReply:
        seconds = request.deadline - monotonic()
        if seconds <= 0:
            raise timeout_failure(OperationTimeout("Operation Timeout"))
        path = f"{self._base}{request.path}/{request.method.name}"
        metadata = request.metadata  # other members get the same request
        if self._metadata and all(key != "authorization" for key, _ in metadata):
            metadata = [*metadata, *self._metadata]
        try:
            call = connection.start(request, path, metadata, seconds)
        except (ValueError, TypeError) as exc:
            raise request_failure(exc) from exc
        except grpc.aio.UsageError as exc:  # it was closed in the meantime
            raise network_failure(NetworkError(str(exc)), False) from exc
        try:
            data = await self._exchange(call, request)
            headers, trailers = await call.initial_metadata(), await call.trailing_metadata()
            return GrpcReply(data, headers, trailers)
        except grpc.aio.AioRpcError as exc:
            if not connected and self._verify is False and self._member.tls:
                await self._forget(connection)
            return self._judge(exc, connected)
        except DecodeError as exc:
            text = f"{path}: the answer is no {request.method.response.DESCRIPTOR.full_name}"
            return GrpcReply(None, None, None, 500, "DecodeError", BadMessage(f"{text}: {exc}"))
        finally:
            if not call.done():
                call.cancel()

    async def _exchange(self, call: Any, request: GrpcRequest) -> Any:
        """Give the messages, take the answer."""
        method = request.method
        if not method.takes_stream:
            return await self._receive(call, request)
        sending = asyncio.ensure_future(_send(call, request))
        receiving = asyncio.ensure_future(self._receive(call, request))
        try:
            await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                sending.result()  # raises what the app's iterator has raised
            return await receiving
        finally:
            for job in (sending, receiving):
                job.cancel()
            await asyncio.wait((sending, receiving))
            for job in (sending, receiving):
                if not job.cancelled():
                    job.exception()

    async def _receive(self, call: Any, request: GrpcRequest) -> Any:
        method = request.method
        if not method.gives_stream:
            return await parse(method, await call)
        messages, size = [], 0
        while (data := await call.read()) is not grpc.aio.EOF:
            size += len(data)
            if size > self._max_response:
                text = f"the answer is larger than {self._max_response} bytes"
                raise Failure(BadMessage(text))
            messages.append(await parse(method, data))
        code = await call.code()
        if code is not grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(
                code,
                await call.initial_metadata(),
                await call.trailing_metadata(),
                await call.details(),
            )
        return messages

    def _judge(self, error: grpc.aio.AioRpcError, connected: bool) -> GrpcReply:
        """What a status other than OK means. Raises ``Failure``."""
        code, details = error.code(), error.details() or ""
        if code is _EXPIRED:
            raise timeout_failure(OperationTimeout(details or "Operation Timeout")) from error
        if code is _UNAVAILABLE:
            # What grpcio says when it never had a connection for the call.
            sent = connected or not ("connect" in details or "resol" in details)
            raise Failure(error, STA_NETERR, sent, 502, code.name) from error
        number = int(code.value[0])
        metadata = error.initial_metadata(), error.trailing_metadata()
        return GrpcReply(None, *metadata, http_of_status(number), code.name, error)


class BadMessage(TaskError):
    """An answer that is too large, or no message of the type that the method gives."""


async def _send(call: Any, request: GrpcRequest) -> None:
    """Send the messages of a stream, as fast as the server takes them."""
    try:
        await call.wait_for_connection()
    except grpc.aio.AioRpcError:
        return  # the call has ended, and says why itself
    # Not call.write: when the server ends the call meanwhile, that replaces its status by INTERNAL.
    write = call._cython_call.send_serialized_message
    async for message in each(request.messages):
        data = serialize(request.method, message)
        if call.done():
            return
        try:
            await write(data)
        except cygrpc.InternalError:
            return
    try:
        await call.done_writing()
    except (asyncio.InvalidStateError, cygrpc.InternalError):
        return
