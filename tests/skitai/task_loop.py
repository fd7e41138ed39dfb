"""A loop in a thread, as a worker has one, for tests of tasks from other threads."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvloop

from skitai.tasks.loops import TaskLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


class LoopThread:
    """Runs a loop; ``loop`` is what tasks take."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait(10)

    loop: TaskLoop

    def _run(self) -> None:
        loop = uvloop.new_event_loop()
        self.loop = TaskLoop(loop)
        loop.call_soon(self._ready.set)
        loop.run_forever()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the loop, from here."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop.loop).result(10)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function on the loop."""

        async def work() -> Any:
            return function(*args)

        return self.run(work())

    def stop(self) -> None:
        self.loop.loop.call_soon_threadsafe(self.loop.loop.stop)
        self._thread.join(10)


@contextmanager
def running_loop() -> Iterator[LoopThread]:
    thread = LoopThread()
    try:
        yield thread
    finally:
        thread.stop()
