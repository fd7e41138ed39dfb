"""Tasks, masks and groups: one object for threads, generators and coroutines."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import pytest

from skitai.errors import HTTPError
from skitai.tasks import status
from skitai.tasks.errors import (
    NetworkError,
    OperationTimeout,
    TaskCancelled,
    gateway_code,
    network_failure,
    request_failure,
)
from skitai.tasks.group import Tasks
from skitai.tasks.mask import Mask
from skitai.tasks.naming import collect
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


def giving(thread: LoopThread, data: Any, **options: Any) -> Task:
    """A task whose data comes in the next turn of the loop."""

    async def work() -> Reply:
        await asyncio.sleep(0)
        return Reply(data)

    return Task(thread.loop, work, **options)


def raising(thread: LoopThread, error: BaseException, **options: Any) -> Task:
    async def work() -> Reply:
        raise error

    return Task(thread.loop, work, **options)


def endless(thread: LoopThread, **options: Any) -> Task:
    async def work() -> Reply:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nothing ends it")

    return Task(thread.loop, work, **options)


# -- one task


def test_a_thread_fetches_the_data_as_often_as_it_likes(thread):
    task = giving(thread, [1, 2])
    assert (task.fetch(), task.fetch(), task.data) == ([1, 2], [1, 2], [1, 2])
    assert (task.status, task.status_code, task.reason, task.done) == (
        status.STA_NORMAL,
        200,
        "OK",
        True,
    )


def test_a_task_starts_when_it_is_made_and_not_when_it_is_fetched(thread):
    started = threading.Event()

    async def work() -> Reply:
        started.set()
        return Reply(None)

    task = Task(thread.loop, work)
    assert started.wait(10)
    task.commit()


def test_a_coroutine_awaits_a_task_and_gets_it_back(thread):
    async def main() -> tuple[bool, Any]:
        task = giving(thread, 7)
        same = await task
        again = await task
        return same is task is again, task.fetch()

    assert thread.run(main()) == (True, 7)


def test_a_coroutine_can_await_a_task_that_a_thread_has_made(thread):
    task = giving(thread, 7)

    async def main() -> Any:
        return (await task).fetch()

    assert thread.run(main()) == 7


def test_many_threads_can_wait_for_the_same_task(thread):
    task = giving(thread, "same")
    seen: list[Any] = []
    threads = [threading.Thread(target=lambda: seen.append(task.fetch())) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    assert seen == ["same"] * 20


def test_waiting_on_the_loop_is_refused_instead_of_blocking_everybody(thread):
    def wait() -> str:
        task = endless(thread)
        with pytest.raises(RuntimeError, match="yield it or await it"):
            task.fetch()
        task.cancel()
        return "refused"

    assert thread.call(wait) == "refused"


def test_fetch_raises_what_the_upstream_failed_with_and_dispatch_does_not(thread):
    task = raising(thread, network_failure(NetworkError("gone"), sent=True))
    assert task.dispatch() is task
    assert (task.status, task.status_code, task.data) == (status.STA_NETERR, 502, None)
    for method in (task.fetch, task.one, task.commit, task.reraise):
        with pytest.raises(NetworkError, match="gone") as raised:
            method()
        assert gateway_code(raised.value) == 502
    with pytest.raises(NetworkError):
        task.dispatch(reraise=True)


def test_a_request_that_could_not_be_made_has_its_own_status(thread):
    task = raising(thread, request_failure(ValueError("no such command")))
    assert task.wait().status == status.STA_REQFAIL
    with pytest.raises(ValueError, match="no such command"):
        task.fetch()


def test_an_exception_of_the_work_itself_is_a_crash_and_not_the_fault_of_an_upstream(thread):
    task = raising(thread, ZeroDivisionError("oh"))
    with pytest.raises(ZeroDivisionError) as raised:
        task.fetch()
    assert gateway_code(raised.value) is None


def test_an_answer_with_an_error_is_raised_as_that_error(thread):
    async def work() -> Reply:
        return Reply("body", 404, "Not Found", LookupError("404 Not Found"))

    task = Task(thread.loop, work)
    assert (task.dispatch().status_code, task.data, task.status) == (404, "body", 3)
    with pytest.raises(LookupError):
        task.fetch()


def test_the_deadline_counts_from_the_start_and_ends_the_work(thread):
    ended = threading.Event()

    async def work() -> Reply:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()
        raise AssertionError

    task = Task(thread.loop, work, timeout=0.05)
    with pytest.raises(OperationTimeout, match="Operation Timeout") as raised:
        task.fetch()
    assert gateway_code(raised.value) == 504
    assert (task.status, task.status_code) == (status.STA_TIMEOUT, 504)
    assert ended.wait(10)


def test_a_deadline_that_the_loop_sees_a_little_early_is_one_all_the_same(thread):
    tasks = [endless(thread, timeout=0.02 + number * 0.00013) for number in range(100)]
    assert {task.dispatch().status for task in tasks} == {status.STA_TIMEOUT}


def test_work_that_does_not_end_when_told_to_is_left_behind_by_its_deadline(thread):
    release: list[asyncio.Future[None]] = []

    async def work() -> Reply:
        release.append(asyncio.get_running_loop().create_future())
        while not release[0].done():
            try:
                await asyncio.shield(release[0])
            except asyncio.CancelledError:  # noqa: PERF203 - it is about work that goes on
                continue
        return Reply("too late")

    task = Task(thread.loop, work, timeout=0.01)
    with pytest.raises(OperationTimeout):
        task.fetch()
    thread.call(release[0].set_result, None)
    assert task.status == status.STA_TIMEOUT


def test_another_deadline_can_be_given_when_it_is_fetched(thread):
    task = endless(thread)
    with pytest.raises(OperationTimeout):
        task.fetch(timeout=0.01)
    assert task.get_timeout() == 0.0


def test_a_thread_does_not_wait_for_ever_for_a_loop_that_is_stuck(thread, monkeypatch):
    monkeypatch.setattr("skitai.tasks.task.LATE_SECONDS", 0.01)
    stuck = threading.Event()
    thread.loop.loop.call_soon_threadsafe(stuck.wait, 10)
    task = giving(thread, "late", timeout=0.01)
    with pytest.raises(OperationTimeout):
        task.fetch()
    stuck.set()


def test_a_cancelled_task_ends_its_work_and_those_who_wait(thread):
    ended = threading.Event()
    began = threading.Event()

    async def work() -> Reply:
        began.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.set()
        raise AssertionError

    task = Task(thread.loop, work)
    assert began.wait(10)
    task.cancel()
    with pytest.raises(TaskCancelled):
        task.fetch()
    assert ended.wait(10)
    task.cancel()


def test_a_coroutine_that_is_cancelled_breaks_its_task_off(thread):
    task = endless(thread)

    async def main() -> str:
        waiter = asyncio.ensure_future(_wait_for(task))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        return "cancelled"

    assert thread.run(main()) == "cancelled"
    with pytest.raises(TaskCancelled):
        task.fetch()


async def _wait_for(task: Task) -> None:
    await task


def test_a_filter_replaces_the_data_and_is_called_once(thread):
    calls = []

    def double(rows: list[int]) -> list[int]:
        calls.append(rows)
        return [row * 2 for row in rows]

    task = giving(thread, [1, 2], filter=double)
    assert task.fetch() == task.data == task.fetch() == [2, 4]
    assert calls == [[1, 2]]


def test_a_filter_is_not_asked_about_a_failure(thread):
    task = raising(thread, network_failure(NetworkError("gone"), False), filter=lambda data: 1 / 0)
    assert task.dispatch().data is None


def test_meta_stays_with_the_task(thread):
    assert giving(thread, 1, meta={"a": 1}).wait().meta == {"a": 1}
    assert giving(thread, 1).wait().meta == {}


def test_a_failed_task_can_be_raised_again_and_again(thread):
    task = raising(thread, network_failure(NetworkError("gone"), True))
    for _ in range(3):
        with pytest.raises(NetworkError):
            task.fetch()


@pytest.mark.parametrize(
    ("data", "only"),
    [
        ([5], 5),
        ((5,), 5),
        ({"cnt": 3}, 3),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}),
        ("text", "text"),
        (7, 7),
        (None, None),
        ([{"cnt": 3}], {"cnt": 3}),
    ],
)
def test_one_gives_the_only_element(thread, data, only):
    assert giving(thread, data).one() == only
    assert Mask(data).one() == only


@pytest.mark.parametrize(("data", "code"), [([], 410), ({}, 410), ([1, 2], 409), ((1, 2), 409)])
def test_one_is_an_http_error_when_there_is_not_one_element(thread, data, code):
    for task in (giving(thread, data), Mask(data)):
        with pytest.raises(HTTPError) as raised:
            task.one()
        assert raised.value.code == code


def test_one_makes_a_violated_constraint_a_conflict_and_fetch_does_not(thread):
    from skitai.tasks.errors import Failure

    error = sqlite3.IntegrityError("UNIQUE constraint failed: city.name")
    task = raising(thread, Failure(error))
    with pytest.raises(HTTPError, match="UNIQUE") as raised:
        task.one()
    assert raised.value.code == 409
    with pytest.raises(sqlite3.IntegrityError):
        task.fetch()


def test_what_a_task_brought_is_kept_on_demand(thread):
    kept: list[tuple[Any, float | None]] = []
    task = giving(thread, [1], keep=lambda reply, seconds: kept.append((reply.data, seconds)))
    task.fetch(cache=60)
    task.fetch()
    task.dispatch(cache=30, cache_if=(201,))
    assert task.cache(5) is task
    assert kept == [([1], None), ([1], 60), ([1], 5)]


def test_nothing_is_kept_of_a_task_that_runs_or_failed(thread):
    kept: list[Any] = []
    running = endless(thread, keep=lambda *what: kept.append(what))
    with pytest.raises(ValueError, match="fetch it first"):
        running.cache()
    running.cancel()
    failed = raising(
        thread, network_failure(NetworkError("x"), True), keep=lambda *what: kept.append(what)
    )
    failed.dispatch(cache=60)
    assert kept == []


def test_a_task_that_nobody_fetches_ends_all_the_same(thread):
    ended = threading.Event()
    giving(thread, 1).when_done(ended.set)
    assert ended.wait(10)


def test_ten_thousand_tasks_leave_nothing_behind(thread):
    import gc
    import weakref

    alive: weakref.WeakSet[Task] = weakref.WeakSet()
    for _ in range(100):
        tasks = [giving(thread, number) for number in range(100)]
        alive.update(tasks)
        assert [task.fetch() for task in tasks] == list(range(100))
    del tasks
    thread.call(gc.collect)
    assert len(alive) == 0
    assert thread.call(lambda: len(asyncio.all_tasks())) == 1


# -- masks


def test_a_mask_is_data_with_the_methods_of_a_task():
    mask = Mask([1, 2], meta={"a": 1})
    first, second = mask.fetch()
    assert (first, second, mask.dispatch() is mask, mask.status_code) == (1, 2, True, 200)
    assert (mask.commit(), mask.status, mask.meta) == (None, status.STA_NORMAL, {"a": 1})
    assert Mask([1, 2], keys=["a", "b"]).fetch() == {"a": 1, "b": 2}


def test_a_mask_can_stand_for_an_exception():
    mask = Mask(_expt=KeyError("k"))
    for method in (mask.fetch, mask.one, mask.commit):
        with pytest.raises(KeyError):
            method()
    assert mask.status_code == 500
    assert Mask(_expt=KeyError("k"), _status_code=404).status_code == 404


def test_a_mask_can_be_awaited():
    async def main() -> Any:
        return (await Mask(1)).fetch()

    assert asyncio.run(main()) == 1


# -- groups


def test_a_group_fetches_a_list_in_the_order_of_its_tasks(thread):
    a, b, c = Tasks([giving(thread, 1), giving(thread, 2)], giving(thread, 3)).fetch()
    assert (a, b, c) == (1, 2, 3)


def test_a_group_with_names_fetches_what_has_one(thread):
    done = threading.Event()
    unnamed = giving(thread, "unseen")
    unnamed.when_done(done.set)
    results = Tasks(unnamed, a=giving(thread, 1), b=Mask(2), c="constant").fetch()
    assert results == {"a": 1, "b": 2, "c": "constant"}
    assert (results.a, results["b"], done.is_set()) == (1, 2, True)
    assert {**results} == {"a": 1, "b": 2, "c": "constant"}


def test_a_group_raises_what_an_unnamed_task_failed_with(thread):
    failed = raising(thread, network_failure(NetworkError("gone"), True))
    tasks = Tasks(failed, a=giving(thread, 1))
    assert [task.status for task in tasks.wait()] == [status.STA_NORMAL, status.STA_NETERR]
    for method in (tasks.fetch, tasks.commit, tasks.one):
        with pytest.raises(NetworkError):
            method()


def test_groups_can_be_nested(thread):
    inner = Tasks(giving(thread, 1), giving(thread, 2))
    named = Tasks(x=giving(thread, 3))
    assert Tasks(inner, named, giving(thread, 4)).fetch() == [[1, 2], {"x": 3}, 4]


def test_the_only_elements_of_a_group_come_as_list_or_by_name(thread):
    assert Tasks(giving(thread, [1]), giving(thread, [2])).one() == [1, 2]
    assert Tasks(a=giving(thread, [1]), b=3).one() == {"a": 1, "b": 3}


def test_a_group_is_indexed_iterated_extended_and_merged(thread):
    group = Tasks(giving(thread, 1), x=giving(thread, 2))
    group.add(giving(thread, 3))
    assert [task.fetch() for task in group] == [2, 1, 3]
    assert (group[0].data, group["x"].data, len(group)) == (2, 2, 3)
    other = Tasks(giving(thread, 4), y=giving(thread, 5))
    group.merge(other)
    assert group.dict() == {"x": 2, "y": 5}
    with pytest.raises(AttributeError, match="name"):
        Tasks(giving(thread, 1)).dict()


def test_a_group_has_one_deadline(thread):
    group = Tasks(endless(thread), giving(thread, 1), timeout=0.02)
    results = group.dispatch()
    assert [result.status for result in results] == [status.STA_TIMEOUT, status.STA_NORMAL]
    with pytest.raises(OperationTimeout):
        Tasks(endless(thread)).fetch(timeout=0.01)


def test_a_coroutine_awaits_a_group(thread):
    async def main() -> Any:
        group = await Tasks(a=giving(thread, 1), b=giving(thread, 2))
        return group.fetch()

    assert thread.run(main()) == {"a": 1, "b": 2}


def test_an_empty_group_has_ended(thread):
    assert (Tasks().done, Tasks().fetch()) == (True, [])


def test_a_group_takes_nothing_but_tasks():
    with pytest.raises(TypeError, match="give it a name"):
        Tasks(1)
    with pytest.raises(TypeError, match="give it a name"):
        Tasks().add("x")


# -- names


class _Row(dict):
    pass


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("n", [1], {"n": [1]}),
        ("n__one", [{"cnt": 3}], {"n": {"cnt": 3}}),
        ("n__one__cnt", [{"cnt": 3, "x": 1}], {"n": 3}),
        ("n__fetch", [1], {"n": [1]}),
        ("n__fetch__1", [1, 2], {"n": 2}),
        ("n__0", [1, 2], {"n": 1}),
        ("n__1", [1, 2], {"n": 2}),
        ("n__x", {"x": 5}, {"n": 5}),
        ("n__dict", {"x": 5}, {"n": {"x": 5}}),
        ("n__dict__x", {"x": 5}, {"n": 5}),
    ],
)
def test_what_follows_a_name_says_what_is_taken(name, data, expected):
    assert collect({name: Mask(data)}) == expected


def test_a_suffix_with_no_meaning_is_an_error():
    with pytest.raises(ValueError, match="one, fetch or dict"):
        collect({"n__two__x": Mask([1])})
    with pytest.raises(AttributeError, match="no result named"):
        _ = collect({"n": 1}).other


def test_a_constant_keeps_its_name_as_it_is():
    assert collect({"a__b": 1}) == {"a__b": 1}
