"""``was.grpc``: the methods of a service, each of which starts a task (seed, HTTP Based Protocols).

``skitai.upstream.upstreams`` makes the stubs.
"""

from __future__ import annotations

import sys
from copy import copy
from functools import partial
from importlib.util import find_spec
from time import monotonic
from typing import TYPE_CHECKING, Any

from skitai.errors import ConfigError
from skitai.tasks.task import Task
from skitai.upstream.databases import identify
from skitai.upstream.grpc.request import (
    GrpcReply,
    GrpcRequest,
    check_messages,
    make_metadata,
    serialize,
)
from skitai.upstream.http.backend import basic
from skitai.upstream.kinds import PROTO_HTTP
from skitai.upstream.place import Place
from skitai.wire.grpc import ENCODINGS
from skitai.wire.protobuf import UnknownMethod, find_method, find_service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from skitai.upstream.calls import Calls
    from skitai.upstream.interface import Backend, Member
    from skitai.wire.protobuf import Method


class GrpcTask(Task):
    """A call of a gRPC method. When it has ended, it has what came with the answer."""

    __slots__ = ()

    @property
    def headers(self) -> dict[str, Any]:
        """The metadata that came before the answer; empty when there was none."""
        return self.reply.headers if isinstance(self.reply, GrpcReply) else {}

    @property
    def trailers(self) -> dict[str, Any]:
        """The metadata that came behind the answer."""
        return self.reply.trailers if isinstance(self.reply, GrpcReply) else {}


class GrpcStub:
    """A gRPC service; its methods are attributes, and start tasks.

    ``with`` gives the object itself and does nothing at its end: tasks are used behind it too.

    Parameters:
        calls: starts the tasks.
        path: of the service, ``/package.Service``; there may be a base path before it.
        compress: what messages are compressed with: ``"gzip"``, ``"deflate"``, or nothing.

    Raises ``UnknownMethod`` for a service that no imported ``*_pb2`` module describes, and
    ``ValueError`` for another compression; ``ConfigError`` without grpcio.
    """

    __slots__ = ("_calls", "_compress", "_metadata", "_path", "_service")

    def __init__(self, calls: Calls, path: str, compress: str = "") -> None:
        if "grpc" not in sys.modules and find_spec("grpc") is None:
            raise ConfigError("was.grpc needs grpcio: pip install 'skitai[grpc]'")
        if compress not in ("", *ENCODINGS):
            raise ValueError(f"compress={compress!r} must be 'gzip' or 'deflate'")
        self._calls = calls
        self._path = "/" + path.strip("/")
        self._service = self._path.rpartition("/")[2]
        self._compress = compress
        find_service(self._service)
        options, owner = calls.options, calls.owner
        self._metadata = make_metadata(options.headers)
        if options.auth:
            auth = options.auth
            user, password = auth.partition(":")[::2] if isinstance(auth, str) else auth
            self._metadata.append(("authorization", basic(user, password)))
        if owner.trace is not None and calls.place.name.startswith("@"):
            self._metadata += make_metadata(owner.trace())

    def __enter__(self) -> GrpcStub:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> partial[Task]:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            method = find_method(self._service, name)
        except UnknownMethod as exc:
            raise AttributeError(str(exc)) from None
        return partial(self._call, method)

    def _call(self, method: Method, message: Any, timeout: float | None = None) -> Task:
        """Start a task: what every method of a stub does.

        Parameters:
            message: for the method. One that takes a stream gets an iterator, also an asynchronous
                one, or a list; a generator runs in a thread.
            timeout: seconds, those of the stub by default. The server is told of it.

        The data of the task is the message of the answer, a list of them if the method gives a
        stream. Raises ``TypeError`` for what is no message of the method.
        """
        calls = self._calls
        if timeout is not None:
            calls = copy(calls)
            calls.options = copy(calls.options)
            if not isinstance(timeout, (int, float)) or not timeout > 0:
                raise ValueError(f"timeout={timeout!r} must be a number of seconds above 0")
            calls.options.timeout = timeout
        deadline = monotonic() + calls.options.timeout
        data = messages = identity = None
        if method.takes_stream:
            messages = check_messages(method, message)
        else:
            data = serialize(method, message)
            identity = partial(identify, self._path, method.name, data, self._metadata)
        request = GrpcRequest(
            method, self._path, data, messages, self._metadata, self._compress, deadline
        )
        repeatable = method.idempotent and not method.takes_stream
        return calls.start(request, repeatable, identity, GrpcTask)


def grpc_place(
    name: str, members: Sequence[Member], max_conns: int = 32, verify: bool | str = True
) -> Place:
    """The members of a service, to be asked over gRPC.

    Parameters:
        name: for messages and the result cache.
        max_conns: connections to each at most, 0 for no limit.
        verify: how certificates are checked, see ``GrpcBackend``.
    """

    def make(member: Member) -> Backend:
        from skitai.upstream.grpc.backend import GrpcBackend

        return GrpcBackend(member, max_conns, verify)

    return Place(name, PROTO_HTTP, members, make)
