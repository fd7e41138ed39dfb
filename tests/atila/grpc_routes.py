"""Routes of ``demo.Greeter`` in every form that a function may have; for the tests of gRPC."""

from __future__ import annotations

import asyncio
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from calling import Mountable

from atila import Atila

sys.path.insert(0, str(Path(__file__).parents[1] / "skitai"))
from greeter import SERVICE, Text, stub_of
from serving import Serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Called:
    """A service of an app, as grpcio's client calls it: ``called.Say("text")``.

    A method takes a text or a message, or a list of them if it takes a stream, and ``timeout`` and
    so on; it returns the message, or a list of them.
    """

    def __init__(self, channel: Any, serving: Serving) -> None:
        self.channel = channel
        self.serving = serving

    def __getattr__(self, name: str) -> Any:
        stub = stub_of(self.channel, name)

        def call(given: Any = "", /, timeout: float = 10.0, **options: Any) -> Any:
            if isinstance(given, list):
                request: Any = iter([message_of(item) for item in given])
            else:
                request = message_of(given)
            answer = stub(request, timeout=timeout, **options)
            return answer if isinstance(answer, Text) else list(answer)

        return call

    def raw(self, method: str, kind: str = "unary_unary", service: str = SERVICE) -> Any:
        """A method that takes and gives bytes."""
        return getattr(self.channel, kind)(f"/{service}/{method}")


def message_of(given: Any) -> Any:
    return Text(text=given) if isinstance(given, str) else given


@contextmanager
def called(app: Atila, options: Any = (), **settings: Any) -> Iterator[Called]:
    """An app that is served, and a channel to it."""
    with (
        Serving(Mountable(app), **settings) as serving,
        grpc.insecure_channel("{}:{}".format(*serving.address), options=list(options)) as channel,
    ):
        yield Called(channel, serving)


def app_with(*functions: Callable[..., Any], **options: Any) -> Atila:
    """An app with functions as methods of the greeter, named as they are."""
    app = Atila("greeter")
    app.debug = False
    declare(app, *functions, **options)
    return app


def declare(app: Atila, *functions: Callable[..., Any], **options: Any) -> None:
    for function in functions:
        app.route(f"/{SERVICE}/{function.__name__.capitalize()}", **options)(function)


def failure_of(call: Callable[..., Any], *args: Any, **options: Any) -> tuple[str, str]:
    """Name of the status and message of a call that fails."""
    try:
        answer = call(*args, **options)
    except grpc.RpcError as error:
        return error.code().name, error.details()  # type: ignore[attr-defined]  # it is a call too
    raise AssertionError(f"it answered {answer}")


# -- the same service, in different forms


def plain_app() -> Atila:
    def say(was, message):
        return Text(text=message.text.upper())

    def count(was, message):
        for number in range(message.number):
            yield Text(text=message.text, number=number, data=message.data)

    def join(was, messages):
        return Text(text=" ".join(message.text for message in messages), number=len(messages))

    def chat(was, messages):
        answers = []
        for message in messages:
            answers += [message] * (2 if message.text == "twice" else 1)
        return answers

    return app_with(say, count, join, chat)


def async_app() -> Atila:
    async def say(was, message):
        await asyncio.sleep(0)
        return Text(text=message.text.upper())

    async def count(was, message):
        for number in range(message.number):
            yield Text(text=message.text, number=number, data=message.data)

    async def join(was):
        texts = [message.text async for message in was.Input()]
        return Text(text=" ".join(texts), number=len(texts))

    async def chat(was):
        while (message := await was.Input()) is not None:
            yield message
            if message.text == "twice":
                yield message

    app = app_with(say, count)
    declare(app, join, chat, input_stream=True)
    return app


def generator_app() -> Atila:
    def say(was, message):
        yield asyncio.sleep(0)
        return Text(text=message.text.upper())

    def count(was, message):
        for number in range(message.number):
            if number == 2:
                yield asyncio.sleep(0)
            yield Text(text=message.text, number=number, data=message.data)

    def join(was):
        texts = []
        while True:
            message = yield was.Input()
            if message is None:
                break
            texts.append(message.text)
        return Text(text=" ".join(texts), number=len(texts))

    def chat(was):
        while True:
            message = yield was.Input()
            if message is None:
                break
            yield message
            if message.text == "twice":
                yield message

    app = app_with(say, count, coroutine=True)
    declare(app, join, chat, input_stream=True)
    return app
