"""Coroutines that answer exchanges, on the worker's loop.

The app handler starts the endpoints of ``async def`` routes here.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from skitai.server.exchange import Exchange


def spawn(exchange: Exchange, coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that answers an exchange and does not raise; called on the loop.

    Its task is cancelled when the client leaves.
    """
    loop = exchange.channel.server.loop
    if sys.version_info >= (3, 12):
        # PERF: an eager task that never waits is not scheduled at all.
        task = asyncio.Task(coroutine, loop=loop, eager_start=True)
        cancel: Callable[[], object] = task.cancel
    else:
        task = loop.create_task(coroutine)
        cancel = partial(_cancel, loop, task)
    # This also keeps the task alive as long as the exchange.
    if exchange.on_gone is None and not exchange.gone:
        exchange.on_gone = cancel
    else:
        exchange.when_gone(cancel)


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    coroutine: Any = task.get_coro()
    if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        loop.call_soon(task.cancel)  # one that never began would not clear up
    else:
        task.cancel()
