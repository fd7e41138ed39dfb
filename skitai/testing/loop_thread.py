"""An event loop in a thread of its own, for clients of protocols that live on one.

The adapters of HTTP/2 and HTTP/3 have one each; it starts with the first request.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from skitai.errors import SkitaiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for threads that wait for them.

    Parameters:
        cleanup: awaited on the loop at its end.
    """

    def __init__(self, cleanup: Callable[[], Awaitable[None]]) -> None:
        self._cleanup = cleanup
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What a coroutine returns, or raises. Raises ``SkitaiError`` after ``close``."""
        with self._lock:
            if self._closed:
                raise SkitaiError("this test client has been stopped")
            if self._thread is None:
                self._start()
            future = asyncio.run_coroutine_threadsafe(make(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C, or the limit of a test; nothing if it has ended
            raise

    def close(self) -> None:
        """Clean up, and wait for the end of the thread. May be called again."""
        with self._lock:
            thread, was_closed, self._closed = self._thread, self._closed, True
        if thread is None or was_closed:
            return
        self._loop.call_soon_threadsafe(self._end.set)
        if thread is not threading.current_thread():  # garbage is found in any thread
            thread.join()

    def _start(self) -> None:
        started = threading.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._end = asyncio.Event()
            started.set()
            await self._end.wait()
            await self._cleanup()

        self._thread = threading.Thread(
            target=lambda: asyncio.run(serve()), name="test client", daemon=True
        )
        self._thread.start()
        started.wait()
