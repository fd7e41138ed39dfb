"""``RowStream``: the rows of a select, read from the server while they are used.

``db.stream (...)`` and ``was.cursor`` give one; threads iterate over it, coroutines asynchronously,
generators yield its batches.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from skitai.tasks.reply import Reply
from skitai.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from skitai.sql.rows import Row
    from skitai.sql.statement import Statement
    from skitai.upstream.calls import Calls


class RowStream:
    """Rows in batches; it holds a connection from the first batch until it is closed or at its end.

    Parameters:
        calls: of the database.
        statement: a select.
        size: rows of a batch.
    """

    def __init__(self, calls: Calls, statement: Statement, size: int) -> None:
        if size < 1:
            raise ValueError(f"size={size!r} must be a number of rows, 1 or more")
        self._loop = calls.loop
        self._place = calls.place
        self._options = calls.options
        self._own = calls.owner.own
        self._statement = statement
        self._size = size
        self._batches: AsyncGenerator[list[Row], None] | None = None
        self._reading = asyncio.Lock()
        self.closed = False
        if self._own is not None:
            self._own(self)

    def fetchmany(self) -> Task:
        """A task for the next batch; its data is empty when there are no more rows."""
        options = self._options
        task = Task(self._loop, self._next, options.timeout, options.meta, options.filter)
        if self._own is not None:
            self._own(task)
        return task

    async def _next(self) -> Reply:
        async with self._reading:
            if self.closed:
                return Reply([])
            if self._batches is None:
                batch = await self._place.cluster.use(self._begin, True)
            else:
                batch = await anext(self._batches, None)
            if batch is None:
                self._end()
                return Reply([])
            return Reply(batch)

    async def _begin(self, backend: Any) -> list[Row] | None:
        """The first batch, from one of the members."""
        batches = backend.batches(self._statement, self._size)
        batch: list[Row] | None = await anext(batches, None)
        self._batches = batches
        return batch

    def _end(self) -> None:
        self.closed = True
        self._own = None  # the request that owns it shall be freed without the collector

    # -- in a thread

    def __iter__(self) -> Iterator[Row]:
        try:
            while True:
                task = self.fetchmany()
                batch = task.fetch()
                if _at_end(task):
                    return
                yield from batch
        finally:
            self.close()

    def __enter__(self) -> RowStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back; what was not read is dropped. Any thread."""
        if not self.closed:
            self._loop.call(self._start_closing)

    cancel = close

    @property
    def done(self) -> bool:
        """Whether it is closed, or at its end."""
        return self.closed

    def _start_closing(self) -> None:
        # A task keeps the coroutine alive until it has ended.
        Task(self._loop, self._close)

    async def _close(self) -> Reply:
        await self.aclose()
        return Reply(None)

    # -- on the loop

    async def __aiter__(self) -> AsyncIterator[Row]:
        try:
            while True:
                task = await self.fetchmany()
                batch = task.fetch()
                if _at_end(task):
                    return
                for row in batch:
                    yield row
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """``close`` for coroutines, which waits until it is done."""
        self._end()
        async with self._reading:
            if self._batches is not None:
                await self._batches.aclose()
                self._batches = None


def _at_end(task: Task) -> bool:
    """Whether there was no batch any more; a filter may have left nothing of one."""
    return task.reply is None or not task.reply.data
