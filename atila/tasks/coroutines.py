"""Generator routes: ``task = yield task`` without ``async`` (seed, Generator Based Coroutine).

Each becomes a coroutine function, which the endpoints run like any other.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from atila.errors import ConfigError
from atila.invoking import in_pool
from skitai.server.streaming import to_bytes
from skitai.tasks.awaitable import Awaitable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from atila.routing.router import Route
    from atila.was import Was

    Steps: TypeAlias = Generator[Any, Any, Any]

# Pieces of a body that are collected while no task is waited for.
BURST_SIZE = 64 * 1024

_COROUTINE = "__atila_coroutine__"

F = TypeVar("F")


def mark_coroutine(function: F) -> F:
    """What ``@app.coroutine`` does: like ``coroutine=True`` in ``@app.route``."""
    setattr(function, _COROUTINE, True)
    return function


def is_coroutine_route(route: Route) -> bool:
    """Whether the function of a route is a generator whose tasks are waited for.

    Raises ``ConfigError`` for a function that was declared so and is none.
    """
    function, options = route.function, route.options
    generates = inspect.isgeneratorfunction(inspect.unwrap(function))
    if options.get("coroutine") or getattr(function, _COROUTINE, False):
        if generates or inspect.iscoroutinefunction(function):
            return generates
        if inspect.isasyncgenfunction(function):
            return False
        raise ConfigError(
            f"handler {function.__qualname__} has coroutine=True but no 'yield': "
            "yield tasks in it, or leave coroutine=True out"
        )
    # The seed's first example of request streaming leaves coroutine=True out.
    return generates and bool(options.get("input_stream"))


def as_coroutine(function: Callable[..., Steps]) -> Callable[..., Any]:
    """A coroutine function that runs a generator function.

    It begins in a thread, and goes on on the loop after the first task. Its result is what the
    generator returns, with the text it has yielded in front; an asynchronous generator when there
    was text and then a task.
    """

    @functools.wraps(function)
    async def run(was: Was, /, *args: Any, **kwargs: Any) -> Any:
        pack = getattr(was.exchange, "pack", None)
        return await _Run(function(was, *args, **kwargs), pack).start(was)

    return run


class _Run:
    """A generator that runs.

    Parameters:
        steps: the generator.
        pack: makes bytes of what it yields, for exchanges that take messages (gRPC).

    Attributes:
        pieces: yielded and not yet sent.
        waiting: what it has yielded to wait for.
        result: what it has returned.
    """

    __slots__ = ("_pack", "_steps", "ended", "pieces", "result", "waiting")

    def __init__(self, steps: Steps, pack: Callable[[Any], bytes] | None) -> None:
        self._steps = steps
        self._pack = pack
        self.pieces: list[bytes] = []
        self.waiting: Any = None
        self.ended = False
        self.result: Any = None

    async def start(self, was: Was) -> Any:
        """Run until there is a result, or a stream begins."""
        streaming = False
        try:
            pool = was.app.pool
            if pool is None:
                self._advance(None)
            else:
                await in_pool(pool, self._advance, None)
            while not self.ended and not self.pieces:
                await self._go_on()
            streaming = not self.ended
            return self._stream() if streaming else self._whole()
        finally:
            if not streaming:
                self._close()

    async def _go_on(self) -> None:
        """Wait for what was yielded, and run on with that or with what it raises."""
        try:
            sent = await self.waiting
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            self._advance(None, exc)
        else:
            self._advance(sent)

    def _advance(self, sent: Any, failure: Exception | None = None) -> None:
        """Run until something has to be waited for, or to the end."""
        size, steps = 0, self._steps
        try:
            while size < BURST_SIZE:
                item = steps.send(sent) if failure is None else steps.throw(failure)
                sent = failure = None
                if isinstance(item, (str, bytes, bytearray, memoryview)) or (
                    self._pack is not None and not inspect.isawaitable(item)
                ):
                    piece = self._bytes_of(item)
                    self.pieces.append(piece)
                    size += len(piece)
                elif isinstance(item, Awaitable) and item.done:
                    sent = item
                elif inspect.isawaitable(item):
                    self.waiting = item
                    return
                else:
                    raise TypeError(
                        f"a coroutine yields tasks, text and bytes, not {type(item).__name__}: "
                        "return what is a response"
                    )
            self.waiting = _NOTHING
        except StopIteration as end:
            self.ended, self.result = True, end.value

    def _take(self) -> bytes:
        data = b"".join(self.pieces)
        self.pieces.clear()
        return data

    def _whole(self) -> Any:
        """The result of a generator that ended without a task behind its text."""
        if not self.pieces:
            return self.result
        return self._take() + self._rest()

    def _rest(self) -> bytes:
        """What was returned behind text that was yielded."""
        return b"" if self.result is None else self._bytes_of(self.result)

    def _bytes_of(self, item: Any) -> bytes:
        return to_bytes(item) if self._pack is None else self._pack(item)

    def _close(self) -> None:
        if inspect.iscoroutine(self.waiting):
            self.waiting.close()  # cancelled before it was awaited
        self._steps.close()

    async def _stream(self) -> AsyncGenerator[bytes, None]:
        try:
            yield self._take()
            while not self.ended:
                await self._go_on()
                if self.pieces:
                    yield self._take()
            if rest := self._rest():
                yield rest
        finally:
            self._close()


class _Nothing:
    """Waited for between two bursts, so that the client can take the first."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


_NOTHING = _Nothing()
