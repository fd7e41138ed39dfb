"""``Tasks``: several tasks as one (seed, Tasks)."""

from __future__ import annotations

import threading
from time import monotonic
from typing import TYPE_CHECKING, Any

from skitai.tasks.awaitable import Awaitable
from skitai.tasks.naming import Results, collect
from skitai.tasks.task import LATE_SECONDS, TIMEOUT, Task

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping


class Tasks(Awaitable):
    """A group of tasks.

    Parameters:
        tasks: tasks, groups, masks; also one list of them in the place of the first.
        timeout: seconds from now until those that still run are broken off.
        meta: anything of the app's.
        named: tasks whose results get names; see ``skitai.tasks.naming.collect``. Values that are
            no tasks are constants.

    With a name, ``fetch`` gives a dictionary of what has one; the others are only waited for.
    """

    __slots__ = ("_deadline", "_named", "_tasks")

    def __init__(
        self,
        *tasks: Any,
        timeout: float = TIMEOUT,
        meta: dict[str, Any] | None = None,
        **named: Any,
    ) -> None:
        given: list[Any] = []
        for task in tasks:
            given += task if isinstance(task, (list, tuple)) else [task]
        for task in given:
            _check(task)
        self.meta = {} if meta is None else meta
        self._deadline = monotonic() + timeout
        self._tasks: list[Awaitable] = given
        self._named: dict[str, Any] = named
        for task in self:
            self._limit(task)

    def _limit(self, task: Awaitable) -> None:
        """Let a member run no longer than the group."""
        if isinstance(task, Task):
            left = self._deadline - monotonic()
            if not task.done and task.get_timeout() > left:
                task.set_timeout(max(0.0, left))
        elif isinstance(task, Tasks):
            task._deadline = min(task._deadline, self._deadline)
            for member in task:
                task._limit(member)

    # -- members

    @property
    def named(self) -> Mapping[str, Any]:
        """What has a name."""
        return self._named

    @property
    def unnamed(self) -> list[Awaitable]:
        """What has none."""
        return list(self._tasks)

    def __iter__(self) -> Iterator[Awaitable]:
        """The members: those with names first, as they were given."""
        for value in self._named.values():
            if isinstance(value, Awaitable):
                yield value
        yield from self._tasks

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: int | str) -> Any:
        """A member that has ended, by number or name; waits for it in a thread."""
        task = self._named[index] if isinstance(index, str) else list(self)[index]
        return task.dispatch() if isinstance(task, Awaitable) else task

    def add(self, task: Awaitable) -> None:
        """Add a member without a name."""
        _check(task)
        self._tasks.append(task)
        self._limit(task)

    def merge(self, tasks: Tasks) -> None:
        """Add the members of another group, with their names."""
        self._named.update(tasks._named)
        self._tasks += tasks._tasks
        for task in tasks:
            self._limit(task)

    # -- waiting

    @property
    def done(self) -> bool:
        """Whether all of them have ended."""
        return all(task.done for task in self)

    def __await__(self) -> Generator[Any, None, Tasks]:
        try:
            for task in self:
                if not task.done:
                    yield from task.__await__()
        except BaseException:
            self.cancel()
            raise
        return self

    def cancel(self) -> None:
        for task in self:
            task.cancel()

    def dispatch(self, timeout: float | None = None, **_: Any) -> list[Any]:
        """Wait for all; return them. Their ``status`` tells what became of each."""
        if timeout is not None:
            self.set_timeout(timeout)
        self._wait_for_all()
        return [task.dispatch() for task in self]

    wait = dispatch

    def _wait_for_all(self) -> None:
        """In a thread, wait until all tasks have ended or should have."""
        # PERF: woken by the last one only, a thread switches 5 times for 20 queries, not 37 times.
        running = [task for task in self if isinstance(task, Task) and not task.done]
        if len(running) < 2 or running[0].on_loop:
            return  # one waits for itself, and on the loop it refuses to
        left = len(running)
        counting, ended = threading.Lock(), threading.Lock()
        ended.acquire()

        def count() -> None:
            nonlocal left
            with counting:
                left -= 1
                if left == 0:
                    ended.release()

        for task in running:
            task.when_done(count)
        longest = max(task.get_timeout() for task in running) + LATE_SECONDS
        ended.acquire(timeout=min(longest, threading.TIMEOUT_MAX))

    def set_timeout(self, timeout: float) -> None:
        """Set the deadline of what still runs to ``timeout`` seconds from now."""
        self._deadline = monotonic() + timeout
        for task in self:
            if isinstance(task, (Task, Tasks)) and not task.done:
                task.set_timeout(timeout)

    # -- outcomes

    def fetch(self, timeout: float | None = None, **_: Any) -> Any:
        """The data of all: a list in their order, or by name if any has one.

        Raises what the first of them raises that failed.
        """
        self.dispatch(timeout)
        return self._collect() if self._named else [task.fetch() for task in self._tasks]

    def _collect(self) -> Results:
        for task in self._tasks:
            task.commit()
        return collect(self._named)

    def dict(self, timeout: float | None = None) -> Results:
        """The results by name; ``AttributeError`` when none has one."""
        if not self._named:
            raise AttributeError("none of these tasks has a name")
        self.dispatch(timeout)
        return self._collect()

    def one(self, timeout: float | None = None, **_: Any) -> Any:
        """The only element of each: a list, or by name if any has one. Raises as ``Task.one``."""
        self.dispatch(timeout)
        if not self._named:
            return [task.one() for task in self._tasks]
        for task in self._tasks:
            task.commit()
        return Results(
            {
                name: value.one() if isinstance(value, Awaitable) else value
                for name, value in self._named.items()
            }
        )

    def commit(self, timeout: float | None = None, **_: Any) -> None:
        """Wait for all; raise what the first raises that failed."""
        self.dispatch(timeout)
        for task in self:
            task.commit()

    reraise = commit


def _check(task: Any) -> None:
    if not isinstance(task, Awaitable):
        raise TypeError(f"a group is made of tasks, not of {task!r}: give it a name")
