"""Tasks that run a function in a thread or a process, or a command (seed, Thread / Process)."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

from skitai.tasks.reply import Reply
from skitai.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from skitai.tasks.loops import TaskLoop

OPTIONS = ("args", "kwargs", "timeout", "meta", "filter")


class Job(Protocol):
    """What an executor gives for a function that it was given."""

    def cancel(self) -> object: ...


class Executor(Protocol):
    """Runs functions; see ``skitai.executors``."""

    def submit(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        done: Callable[[Any, BaseException | None], None],
    ) -> Job: ...


def execute(
    loop: TaskLoop,
    executor: Executor,
    timeout: float,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    in_context: bool,
) -> Task:
    """A task that calls a function.

    Parameters:
        timeout: seconds, unless the app says something else.
        args, kwargs: of ``was.Thread``. With positional arguments all is for the function; without
            any, ``args``, ``kwargs``, ``timeout``, ``meta`` and ``filter`` are taken out of the
            keywords, and what is left is for the function if there is no ``kwargs``.
        in_context: call it with the context variables of the caller; processes have none.

    Raises ``TypeError`` for what can't be called.
    """
    if not callable(function):
        raise TypeError(f"a function is needed, not {function!r}")
    options: dict[str, Any] = {}
    if not args:
        options = {name: kwargs.pop(name) for name in OPTIONS if name in kwargs}
        args = tuple(options.pop("args", ()))
        kwargs = dict(options.pop("kwargs", kwargs))
    if in_context:
        args, function = (function, *args), copy_context().run

    async def work() -> Reply:
        return Reply(await call(executor, function, *args, **kwargs))

    return Task(
        loop,
        work,
        options.get("timeout", timeout),
        options.get("meta"),
        options.get("filter"),
    )


async def call(
    executor: Executor, function: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    """Call a function in an executor; what was not begun, or can be killed, is cancelled."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def done(result: Any, exc: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the worker has ended, and the loop is closed
            loop.call_soon_threadsafe(_settle, future, result, exc)

    job = executor.submit(function, args, kwargs, done)
    try:
        return await future
    except asyncio.CancelledError:
        job.cancel()
        raise


def _settle(future: asyncio.Future[Any], result: Any, exc: BaseException | None) -> None:
    if future.done():
        return
    if exc is None:
        future.set_result(result)
    elif isinstance(exc, StopIteration):  # a future can't have one
        future.set_exception(RuntimeError(f"the function raised {exc!r}"))
    else:
        future.set_exception(exc)
