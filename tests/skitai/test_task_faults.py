"""Tasks when something around them fails: callbacks, loops that are late or gone, odd deadlines."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from skitai.tasks import status
from skitai.tasks.errors import OperationTimeout, TaskCancelled
from skitai.tasks.reply import Reply
from skitai.tasks.task import Task
from tests.skitai.task_loop import running_loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.skitai.task_loop import LoopThread


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    with running_loop() as running:
        yield running


async def endless() -> Reply:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nothing ends it")


class Gate:
    """Work that ends when it is told to, and says what became of it."""

    def __init__(self, thread: LoopThread) -> None:
        self.ended = threading.Event()
        self.cancelled = False
        self._open: asyncio.Future[Any] = thread.call(thread.loop.loop.create_future)
        self._thread = thread

    async def work(self) -> Reply:
        try:
            return Reply(await asyncio.shield(self._open))
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.ended.set()

    def open(self, data: Any = None) -> None:
        self._thread.call(self._open.set_result, data)


def fetched(task: Task, seconds: float = 5.0) -> bool:
    """Whether a thread that waits for the task gets on."""
    waiter = threading.Thread(target=task.dispatch, daemon=True)
    waiter.start()
    waiter.join(seconds)
    return not waiter.is_alive()


@pytest.mark.parametrize("error", [LookupError(), SystemExit(), KeyboardInterrupt()])
def test_what_one_of_those_who_wait_does_wrong_is_logged_and_keeps_nobody_back(
    thread, caplog, error
):
    gate = Gate(thread)
    task = Task(thread.loop, gate.work, timeout=60)

    def fail() -> None:
        raise error

    task.when_done(fail)
    heard = threading.Event()
    task.when_done(heard.set)
    gate.open()
    assert heard.wait(5)
    assert fetched(task)
    assert thread.call(len, "the loop runs") == 13
    assert type(error).__name__ in caplog.text


def test_a_coroutine_whose_loop_has_ended_keeps_nobody_back(thread):
    gate = Gate(thread)
    task = Task(thread.loop, gate.work, timeout=60)

    async def leave() -> asyncio.Task[Any]:
        async def wait() -> Task:
            return await task

        job = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        return job

    other = asyncio.new_event_loop()
    job = other.run_until_complete(leave())
    heard = threading.Event()
    other.close()
    task.when_done(heard.set)
    gate.open("x")
    assert heard.wait(5)
    assert task.fetch() == "x"
    job._log_destroy_pending = False  # type: ignore[attr-defined]  # its loop was closed here


def test_a_result_that_can_not_be_kept_is_there_all_the_same(thread, caplog):
    def keep(reply: Reply, seconds: float | None) -> None:
        raise RecursionError("too deep")

    gate = Gate(thread)
    task = Task(thread.loop, gate.work, timeout=60, keep=keep)
    gate.open("x")
    assert fetched(task)
    assert task.fetch() == "x"
    assert "too deep" in caplog.text


def test_work_is_broken_off_although_the_loop_was_late_for_its_deadline(thread, monkeypatch):
    monkeypatch.setattr("skitai.tasks.task.LATE_SECONDS", 0.01)
    gate = Gate(thread)
    task = Task(thread.loop, gate.work, timeout=0.05)
    thread.call(len, "begun")
    stuck = threading.Event()
    thread.loop.loop.call_soon_threadsafe(stuck.wait, 10)
    with pytest.raises(OperationTimeout):
        task.fetch()
    stuck.set()
    assert gate.ended.wait(5)
    assert gate.cancelled
    assert task.status == status.STA_TIMEOUT


def test_what_has_ended_is_not_thrown_away_by_a_deadline_in_the_same_moment(thread):
    async def work() -> Reply:
        return Reply("x")

    def expire_in_between() -> Task:
        task = Task(thread.loop, work)
        job = task._job
        assert job is not None
        # Called before the task hears of the end: callbacks run in the order of their adding.
        job.remove_done_callback(task._finished)
        job.add_done_callback(lambda _: task._expire())
        job.add_done_callback(task._finished)
        return task

    task = thread.call(expire_in_between)
    assert task.fetch() == "x"


def test_a_longer_deadline_does_not_keep_what_was_cancelled(thread):
    release = threading.Event()

    async def work() -> Reply:
        while not release.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:  # noqa: PERF203 - it is about work that goes on
                continue
        return Reply("too late")

    task = Task(thread.loop, work)
    thread.call(len, "begun")
    task.cancel()
    task.set_timeout(60)
    assert fetched(task)
    assert isinstance(task.error, TaskCancelled)
    release.set()


def test_work_that_can_not_even_be_made_fails_the_task(thread):
    def work() -> Any:
        raise LookupError("no driver")

    with pytest.raises(LookupError):
        Task(thread.loop, work, timeout=60).fetch()
    with pytest.raises(LookupError):
        thread.call(Task, thread.loop, work).fetch()


@pytest.mark.parametrize("seconds", [float("inf"), 1e12])
def test_a_deadline_can_be_as_far_away_as_one_likes(thread, seconds):
    gate = Gate(thread)
    task = Task(thread.loop, gate.work, timeout=seconds)
    waiting = threading.Thread(target=task.dispatch)
    waiting.start()
    gate.open("x")
    waiting.join(5)
    assert task.fetch(timeout=seconds) == "x"


def test_what_was_cancelled_before_it_began_holds_nothing_of_its_work(thread):
    class Thing:
        async def work(self) -> Reply:
            return await endless()

    async def main() -> tuple[Task, weakref.ref[Any]]:
        thing = Thing()
        made: list[Task] = []
        maker = threading.Thread(target=lambda: made.append(Task(thread.loop, thing.work)))
        maker.start()
        maker.join()  # the loop stands still, so it has not begun
        made[0].cancel()
        return made[0], weakref.ref(thing)

    gc.disable()
    try:
        task, thing = thread.run(main())
        thread.call(len, "another turn")
        assert isinstance(task.error, TaskCancelled)
        assert thing() is None
    finally:
        gc.enable()


def test_more_time_that_a_thread_gives_in_the_last_moment_counts(thread):
    gate = Gate(thread)
    task = Task(thread.loop, gate.work, timeout=60)
    thread.call(task._expire)  # the timer was faster than the loop, which has to be told
    assert not task.done
    gate.open("x")
    assert task.fetch() == "x"
