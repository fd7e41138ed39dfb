"""The service ``demo.Greeter`` and its message, described without protoc, and a server for it.

The server is grpcio's own; what it does is in the texts that it gets:

    Say    "fail NAME details": that status; "sleep S"; "meta"; anything else: back, in capitals
    Count  as many messages as ``number`` says, "fail" behind them if the text is "fail"
    Join   all texts, joined
    Chat   each text back, those that are "twice" twice
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = "demo.Greeter"
# name: takes a stream, gives a stream
METHODS = {
    "Say": (False, False),
    "Count": (False, True),
    "Join": (True, False),
    "Chat": (True, True),
}


def _describe() -> Any:
    pool = descriptor_pool.Default()
    with suppress(KeyError):  # this module may have two names
        return GetMessageClass(pool.FindMessageTypeByName("demo.Text"))
    file = descriptor_pb2.FileDescriptorProto(
        name="greeter.proto", package="demo", syntax="proto3", dependency=[]
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    message = file.message_type.add(name="Text")
    fields = [("text", kinds.TYPE_STRING), ("number", kinds.TYPE_INT32), ("data", kinds.TYPE_BYTES)]
    for number, (name, kind) in enumerate(fields, 1):
        message.field.add(name=name, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    service = file.service.add(name="Greeter")
    for name, (takes, gives) in METHODS.items():
        service.method.add(
            name=name,
            input_type=".demo.Text",
            output_type=".demo.Text",
            client_streaming=takes,
            server_streaming=gives,
        )
    lookup = service.method.add(name="Look", input_type=".demo.Text", output_type=".demo.Text")
    lookup.options.idempotency_level = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("demo.Text"))


Text: Any = _describe()


class Greeter:
    """What the server does.

    Attributes:
        calls: texts that came.
        metadata: of the last call.
        left: seconds to the deadline of the last call.
        cancelled: a client has left a call that sleeps.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.metadata: dict[str, Any] = {}
        self.left: float | None = None
        self.cancelled = threading.Event()
        self.woken = threading.Event()

    def Say(self, request: Any, context: Any) -> Any:
        self.calls.append(request.text)
        self.metadata = dict(context.invocation_metadata())
        self.left = context.time_remaining()
        word, _, rest = request.text.partition(" ")
        if word == "fail":
            name, _, details = rest.partition(" ")
            context.abort(grpc.StatusCode[name], details)
        if word == "sleep":
            context.add_callback(self.cancelled.set)
            self.woken.wait(float(rest))
        if word == "meta":
            context.send_initial_metadata((("x-first", "1"),))
            context.set_trailing_metadata((("x-last", "2"), ("x-last-bin", b"\0\xff")))
        if word == "wrong":
            return b"\xff\xff"
        return Text(text=request.text.upper(), number=len(self.calls), data=request.data)

    Look = Say

    def Count(self, request: Any, context: Any) -> Iterator[Any]:
        for number in range(request.number):
            yield Text(text=request.text, number=number, data=request.data)
        if request.text == "fail":
            context.abort(grpc.StatusCode.NOT_FOUND, "no more")

    def Join(self, requests: Any, context: Any) -> Any:
        texts = [request.text for request in requests]
        return Text(text=" ".join(texts), number=len(texts))

    def Chat(self, requests: Any, context: Any) -> Iterator[Any]:
        for request in requests:
            if request.text == "stop":
                return
            for _ in range(2 if request.text == "twice" else 1):
                yield Text(text=request.text)


def _serialize(message: Any) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


def handlers(greeter: Any) -> Any:
    """The methods of a greeter, for a server of grpcio."""
    found = {}
    for name, (takes, gives) in {**METHODS, "Look": (False, False)}.items():
        kind = "_".join("stream" if stream else "unary" for stream in (takes, gives))
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        found[name] = make(getattr(greeter, name), Text.FromString, _serialize)
    return grpc.method_handlers_generic_handler(SERVICE, found)


@contextmanager
def grpc_server(
    greeter: Greeter, credentials: Any = None, address: str = "127.0.0.1:0"
) -> Iterator[int]:
    """The port of a server of grpcio."""
    with ThreadPoolExecutor(16) as pool:
        server = grpc.server(pool, [handlers(greeter)], options=[("grpc.so_reuseport", 0)])
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        server.start()
        try:
            yield port
        finally:
            greeter.woken.set()
            server.stop(None).wait()


def stub_of(channel: Any, method: str) -> Any:
    """A method as grpcio's client calls it."""
    takes, gives = METHODS.get(method, (False, False))
    kind = "_".join("stream" if stream else "unary" for stream in (takes, gives))
    make = getattr(channel, kind)
    return make(
        f"/{SERVICE}/{method}",
        request_serializer=Text.SerializeToString,
        response_deserializer=Text.FromString,
    )


def until(condition: Any, seconds: float = 10.0) -> None:
    """Poll until the condition is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)
