"""The life of an ASGI app beside its requests (ASGI, Lifespan Protocol): start and end."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("skitai")


class Lifespan:
    """Runs the lifespan of one app, as a task of the worker's loop.

    Parameters:
        app: the ASGI app.
        name: of the app, for the log.
        loop: of the worker.

    Attributes:
        state: what the app keeps for its requests; None when it has no lifespan.
    """

    def __init__(self, app: Callable[..., Any], name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self._name = name
        self._loop = loop
        self._task: asyncio.Task[None] | None = None
        self._received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answered = asyncio.Event()
        self._stage = "startup"
        self._failure: str | None = None
        self.state: dict[str, Any] | None = {}

    def start(self) -> str | None:
        """Wait for the app to start; called in a thread. Returns why it could not."""
        return asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        """Wait for the app to stop; called in a thread, or when the loop stands still."""
        if self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        elif not self._loop.is_closed():
            self._loop.run_until_complete(self._stop())

    async def _start(self) -> str | None:
        self._received.put_nowait({"type": "lifespan.startup"})
        self._task = self._loop.create_task(self._run())
        await self._answered.wait()
        return self._failure

    async def _stop(self) -> None:
        task = self._task
        if task is None or task.done():
            return
        self._stage = "shutdown"
        self._answered.clear()
        self._received.put_nowait({"type": "lifespan.shutdown"})
        await self._answered.wait()
        if self._failure is not None:
            log.error("app %s failed while it stopped: %s", self._name, self._failure)

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        try:
            await self._app(scope, self._received.get, self._send)
        except Exception as exc:
            if self._answered.is_set():
                if self._failure is None:  # otherwise it has said so
                    log.exception("the lifespan of app %s failed", self._name)
            elif self._stage == "shutdown":
                self._failure = f"{type(exc).__name__}: {exc}"
            else:
                # That is how an app says that it knows nothing of it.
                log.info("app %s has no lifespan: %r", self._name, exc)
        if self._stage == "startup" and not self._answered.is_set():
            self.state = None
        self._answered.set()

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind not in (f"lifespan.{self._stage}.complete", f"lifespan.{self._stage}.failed"):
            raise RuntimeError(f"{kind!r} can't be sent at {self._stage}")
        if self._answered.is_set():
            raise RuntimeError(f"{kind!r} was sent after the answer to {self._stage}")
        if kind.endswith("failed"):
            self._failure = str(message.get("message", "")).strip() or f"its {self._stage} failed"
        self._answered.set()
