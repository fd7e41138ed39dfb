"""Coroutines that answer exchanges, on the worker's loop.

The app handler starts the endpoints of ``async def`` routes here.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from skitai.server.exchange import Exchange


def spawn(exchange: Exchange, coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that answers an exchange and does not raise; called on the loop.

    Its task is cancelled when the client leaves.
    """
    loop = exchange.channel.server.loop
    if sys.version_info >= (3, 12):
        # PERF: an eager task that never waits is not scheduled at all.
        task = asyncio.Task(coroutine, loop=loop, eager_start=True)
    else:
        task = loop.create_task(coroutine)
    # The bound method also keeps the task alive as long as the exchange.
    if exchange.gone:
        loop.call_soon(task.cancel)  # not before it has begun: it has to clear up too
    elif exchange.on_gone is None:
        exchange.on_gone = task.cancel
    else:
        exchange.when_gone(task.cancel)
