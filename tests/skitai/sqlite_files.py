"""What the tests of SQLite share: backends on real files, on the loop of the worker."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from skitai.sql.statement import Statement, changes_data
from skitai.upstream.interface import Member
from skitai.upstream.sqlite.backend import SqliteBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

# A select that never ends by itself.
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Run a coroutine on a loop like that of a worker."""
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def sql(text: str, *values: Any) -> Statement:
    """A statement as the facade makes it from text."""
    return Statement(text, values, changes_data(text))


@asynccontextmanager
async def opened(path: Path | str, **options: Any) -> AsyncIterator[SqliteBackend]:
    """A backend for a file; nothing of it may be left at the end."""
    backend = SqliteBackend(Member("", 0, str(path)), **options)
    try:
        yield backend
    finally:
        await backend.close()
    assert threads() == []
    assert backend.busy == 0
    assert not log_of(path).exists()


def log_of(path: Path | str) -> Path:
    """The file that SQLite writes to first."""
    return Path(f"{path}-wal")


def threads() -> list[str]:
    """The threads that backends have."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("sqlite-")]


async def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait until something holds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while not condition():
        assert loop.time() < until, "it never happened"
        await asyncio.sleep(0.002)
