"""Handlers that live as long as their socket: ``WS_CHATTY`` and ``WS_COROUTINE``."""

from __future__ import annotations

import asyncio
import dis
import inspect
from collections import deque
from contextlib import aclosing
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from atila.context import current
from atila.failures import FAILURES
from atila.invoking import in_pool
from atila.websockets.client import EndOfMessages, writable
from atila.websockets.conversation import CRASHED, Conversation, spawn
from atila.websockets.messages import Malformed
from skitai.server.exchange import ClientGone
from skitai.tasks.awaitable import Awaitable

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import CodeType, GeneratorType

    from atila.websockets.conversation import Plan, SocketWas
    from skitai.server.websocket.session import WebSocket

MANY = 16  # messages that wait, before nothing more is read
LARGE = 256 * 1024  # bytes of them
MAX_REPLIES = 10_000  # of a chat to one message
IN_A_ROW = 64  # messages sent before others have their turn
LAST_SECONDS = 5.0  # for a handler to notice that its socket is closed


class Chat(Conversation):
    """A generator on the loop: ``message = yield``, then ``yield`` of its answers."""

    __slots__ = ("_slow", "_steps")

    _steps: GeneratorType[Any, Any, Any]

    def begin(self) -> None:
        self._slow = False
        self._steps = self.plan.function(self.was, **self.arguments)
        self._advance(None, True)

    def receive(self, message: str | bytes) -> None:
        try:
            value = self.decode(message)
        except Malformed:
            return
        self._advance(value, False)

    def closed(self, code: int, reason: str) -> None:
        """The generator gets None, once."""
        steps = self._steps
        if steps.gi_running:
            asyncio.get_running_loop().call_soon(self.closed, code, reason)
            return
        self.ended = True
        if inspect.getgeneratorstate(steps) == inspect.GEN_SUSPENDED:
            self._run(steps.send, None)
            self._run(steps.close)
        self.end()

    def _run(self, step: Any, *args: Any) -> None:
        token = current.set(self.was) if self.plan.watched else None
        try:
            step(*args)
        except StopIteration:
            pass
        except FAILURES as exc:
            self.report(exc)
        finally:
            if token is not None:
                current.reset(token)

    def _advance(self, message: Any, answered: bool) -> None:
        """Let the generator have a message, and run until it waits for the next one.

        Parameters:
            answered: there is none to answer yet.
        """
        token = current.set(self.was) if self.plan.watched else None
        try:
            self._converse(message, answered)
        except StopIteration:
            self.client.close()
        except FAILURES as exc:
            self.report(exc)
            self.client.close(CRASHED)
        finally:
            if token is not None:
                current.reset(token)

    def _converse(self, message: Any, answered: bool) -> None:
        steps = self._steps
        value = steps.send(message)
        for _ in range(MAX_REPLIES):
            if value is None and (answered or not ignores_value(steps)):
                return
            answered = True  # by nothing, if that is what it has yielded
            for reply in self.plan.codec.split(value):
                if not self.tell(reply) and not self._slow:
                    self._slow = True
                    self.websocket.hold()
                    self.websocket.when_writable(self._read_on)
            value = steps.send(None)
        raise RuntimeError(
            f"a WS_CHATTY generator has yielded {MAX_REPLIES} times without waiting for a message: "
            "'message = yield' does that"
        )

    def _read_on(self) -> None:
        self._slow = False
        if not self.ended:
            self.websocket.resume()


def ignores_value(steps: GeneratorType[Any, Any, Any]) -> bool:
    """Whether a generator stands at a ``yield`` that nobody wants to know the value of.

    ``yield None`` as an answer is told from ``message = yield`` by that.
    """
    frame = steps.gi_frame
    return frame is not None and frame.f_lasti in _ignoring(frame.f_code)


@lru_cache(maxsize=256)
def _ignoring(code: CodeType) -> frozenset[int]:
    """Where a generator stands while it waits at such a yield."""
    found, behind = set(), []
    for step in dis.get_instructions(code):
        if step.opname == "YIELD_VALUE":
            behind = [step.offset]
        elif behind and step.opname in ("RESUME", "CACHE", "NOP"):
            behind.append(step.offset)
        elif behind:
            if step.opname == "POP_TOP":
                found.update(behind)
            behind = []
    return frozenset(found)


class Talk(Conversation):
    """A coroutine, a generator that yields tasks, or an asynchronous generator."""

    __slots__ = ("_closing", "_done", "_held", "_messages", "_row", "_size", "_told", "_waiter")

    def __init__(
        self, plan: Plan, was: SocketWas, websocket: WebSocket, arguments: dict[str, Any]
    ) -> None:
        super().__init__(plan, was, websocket, arguments)
        self.client.source = self
        self._messages: deque[str | bytes] = deque()
        self._size = 0
        self._held = False
        self._row = 0  # messages sent without letting others have their turn
        self._done = False  # the handler wants no more
        self._told = False  # the handler knows that nothing comes any more
        self._waiter: asyncio.Future[None] | None = None
        self._closing: asyncio.Future[None] | None = None

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._closing = loop.create_future()
        spawn(self._run())

    def receive(self, message: str | bytes) -> None:
        if self._done:
            return
        self._messages.append(message)
        self._size += len(message)
        self._wake()
        if not self._held and (len(self._messages) > MANY or self._size > LARGE):
            self._held = True
            self.websocket.hold()

    def closed(self, code: int, reason: str) -> None:
        self.ended = True
        assert self._closing is not None
        self._closing.set_result(None)
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def next_message(self) -> Any:
        """The next message; None at the end, once: who asks again is cancelled."""
        try:
            return await self.take()
        except EndOfMessages:
            if self._told:
                raise asyncio.CancelledError from None
            self._told = True
            return None

    async def take(self) -> Any:
        """The next message. Raises ``EndOfMessages``."""
        while True:
            while self._messages:
                message = self._messages.popleft()
                self._size -= len(message)
                if self._held and len(self._messages) <= MANY // 2 and self._size <= LARGE // 2:
                    self._held = False
                    self.websocket.resume()
                try:
                    return self.decode(message)
                except Malformed:
                    continue
            if self.ended:
                raise EndOfMessages
            if self._waiter is not None:
                raise RuntimeError("two coroutines wait for messages of the same socket")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    async def _run(self) -> None:
        if self.plan.watched:
            current.set(self.was)
        assert self._closing is not None
        talk = asyncio.ensure_future(self._talk())
        try:
            await asyncio.wait((talk, self._closing), return_when=asyncio.FIRST_COMPLETED)
            if not talk.done():
                await asyncio.wait((talk,), timeout=LAST_SECONDS)
                talk.cancel()
                await asyncio.wait((talk,))
            self._done = True
            if talk.cancelled() or talk.exception() is not None:
                self.client.close(CRASHED)
            self.websocket.resume()  # the end comes behind the messages that are held
            await self._closing
        except asyncio.CancelledError:  # the worker ends
            self._done = True
            talk.cancel()
            raise
        finally:
            self.end()

    async def _talk(self) -> None:
        """Let the handler run; never raises but when it is cancelled."""
        function, was = self.plan.function, self.was
        try:
            if inspect.isasyncgenfunction(function):
                async with aclosing(function(was, **self.arguments)) as values:
                    async for value in values:
                        await self._send(value)
            elif inspect.iscoroutinefunction(function):
                await self._send(await function(was, **self.arguments))
            else:
                await self._drive(function(was, **self.arguments))
        except ClientGone:
            pass
        except FAILURES as exc:
            self.report(exc)
            self.client.close(CRASHED)
        else:
            self.client.close()

    async def _drive(self, steps: Generator[Any, Any, Any]) -> None:
        """Run a generator: in a thread up to its first yield, on the loop behind it."""
        pool = self.plan.pool
        failure: Exception | None = None
        value: Any = None
        try:
            if pool is None:
                over, value = _step(steps, None, None)
            else:
                over, value = await in_pool(pool, _step, steps, None, None)
            while not over:
                sent = failure = None
                if isinstance(value, Awaitable) and value.done:
                    sent = value
                elif inspect.isawaitable(value):
                    try:
                        sent = await value
                    except Exception as exc:
                        failure = exc
                elif value is None:
                    raise TypeError(
                        "a WS_COROUTINE generator yields was.Input(), tasks and messages, not "
                        "None: write message = yield was.Input()"
                    )
                else:
                    await self._send(value)
                over, value = _step(steps, sent, failure)
            await self._send(value)
        finally:
            steps.close()

    async def _send(self, value: Any) -> None:
        """Send what the handler has yielded or returned, as fast as the client reads."""
        for message in self.plan.codec.split(value):
            self._row += 1
            if self._row % IN_A_ROW == 0:
                await asyncio.sleep(0)
            if not self.tell(message):
                await writable(self.websocket)


class AsyncReport(Talk):
    """``async def`` that is called for each message; what it returns is sent."""

    __slots__ = ()

    async def _talk(self) -> None:
        function, was = self.plan.function, self.was
        self.client.source = None  # messages are arguments
        while True:
            try:
                message = await self.take()
            except EndOfMessages:
                return
            try:
                await self._send(await function(was, message, **self.arguments))
            except FAILURES as exc:
                self.report(exc)
            except asyncio.CancelledError as exc:
                if self.ended or self._done:
                    raise
                self.report(exc)  # what it waited for was cancelled
            self._row += 1
            if self._row % IN_A_ROW == 0:
                await asyncio.sleep(0)


def _step(
    steps: Generator[Any, Any, Any], sent: Any, failure: Exception | None
) -> tuple[bool, Any]:
    """Whether a generator is over, and what it has yielded or returned."""
    try:
        return False, steps.send(sent) if failure is None else steps.throw(failure)
    except StopIteration as end:
        return True, end.value
