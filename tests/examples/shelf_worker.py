"""The loop and the databases of a worker around the demo's library, without a server."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from atila import Atila
from skitai import DB_SQLITE3
from skitai.handlers.peers import Peers
from skitai.service import Service
from skitai.tasks.loops import TaskLoop
from skitai.upstream.upstreams import Upstreams

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
fields = importlib.import_module("shelf.fields")
library = importlib.import_module("shelf.library")


@contextmanager
def working(path: Path | str) -> Iterator[Any]:
    """What hooks of the demo have as ``app.was``, with ``@shelf`` at a file."""
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    service = Service()
    service.aliases.add("@shelf", DB_SQLITE3, str(path))

    async def start() -> Upstreams:
        return Upstreams(
            TaskLoop(loop),
            service.aliases,
            service.shared,
            service.locks,
            service.executors,
            service.results,
        )

    upstreams = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    app = Atila("shelf")
    app.peers = Peers(loop, upstreams=upstreams)
    try:
        yield app.was
    finally:
        asyncio.run_coroutine_threadsafe(upstreams.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        upstreams.stop(1.0)
