"""The upstreams of a worker, without the worker: a loop in a thread, and aliases."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from skitai.executors.config import ExecutorConfig
from skitai.stores.locks import SharedLocks
from skitai.stores.memory import SharedMemory
from skitai.stores.result_cache import ResultCache
from skitai.stores.shared import MEMORY_BYTES, SharedSlots
from skitai.upstream.aliases import Aliases
from skitai.upstream.calls import Owner
from skitai.upstream.upstreams import Upstreams
from tests.skitai.task_loop import running_loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.skitai.task_loop import LoopThread


class Reach:
    """What a worker reaches, and who asks.

    Attributes:
        owned: what the owner was told of.
        updated: names that ``rm_cache`` has updated.
    """

    def __init__(self, thread: LoopThread) -> None:
        self.thread = thread
        self.aliases = Aliases()
        memory = SharedMemory(MEMORY_BYTES)
        self.shared = SharedSlots(memory)
        self.results = ResultCache(self.shared)
        self.owned: list[Any] = []
        self.updated: list[str] = []
        self.owner = Owner(Aliases(), self.owned.append, self.updated.extend)
        self.upstreams: Upstreams = thread.call(
            lambda: Upstreams(
                thread.loop,
                self.aliases,
                self.shared,
                SharedLocks(memory),
                ExecutorConfig(),
                self.results,
            )
        )

    def db(self, alias: str, **options: Any) -> Any:
        return self.upstreams.database(self.owner, False, alias, **options)


@contextmanager
def reaching() -> Iterator[Reach]:
    with running_loop() as thread:
        reach = Reach(thread)
        try:
            yield reach
        finally:
            thread.run(reach.upstreams.close())
            reach.upstreams.stop(1.0)
