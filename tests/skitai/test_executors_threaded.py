"""Threads for ``was.Thread``: growth and shrinking, order, limits, cancelling, stopping."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import logging
import threading
import weakref

import pytest
from executing import PATIENCE, Outcome, call, descriptors
from processes import eventually

from skitai.executors import threaded
from skitai.executors.errors import ExecutorFull, ExecutorStopped, JobExited
from skitai.executors.threaded import ThreadExecutor


@pytest.fixture
def executor_of():
    made = []

    def make(workers=4, **options):
        made.append(ThreadExecutor(workers, **options))
        return made[-1]

    yield make
    for executor in made:
        executor.stop(5)


class Blocker:
    """A job that runs until it is released."""

    def __init__(self, executor):
        self.runs, self.release = threading.Event(), threading.Event()
        self.outcome = Outcome()
        self.job = executor.submit(self, (), {}, self.outcome)

    def __call__(self):
        self.runs.set()
        assert self.release.wait(PATIENCE)
        return "released"

    def running(self):
        assert self.runs.wait(PATIENCE)
        return self


def test_the_result_comes_in_a_thread_of_the_executor(executor_of):
    outcome = Outcome()
    executor_of().submit(divmod, (7, 2), {}, outcome)
    assert outcome.get() == (3, 1)
    assert outcome.thread == "skitai-task-1"
    assert outcome.times == 1


def test_keywords_reach_the_function(executor_of):
    assert call(executor_of(), sorted, [1, 3, 2], reverse=True) == [3, 2, 1]


def test_an_exception_reaches_the_caller_as_it_is(executor_of):
    with pytest.raises(ZeroDivisionError):
        call(executor_of(), divmod, 1, 0)


def stop_iteration():
    raise StopIteration(3)


def test_even_one_that_means_something_to_generators(executor_of):
    with pytest.raises(StopIteration):
        call(executor_of(), stop_iteration)


@pytest.mark.parametrize(
    "kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]
)
def test_what_would_end_a_thread_or_a_loop_is_contained(executor_of, kind):
    def leave():
        raise kind(3)

    executor = executor_of(1)
    with pytest.raises(JobExited, match=rf"leave ended with {kind.__name__}\(3\)") as caught:
        call(executor, leave)
    assert isinstance(caught.value.__cause__, kind)
    assert call(executor, abs, -1) == 1
    assert executor.threads == 1


def test_no_thread_exists_before_the_first_job_and_one_job_needs_one(executor_of):
    executor = executor_of(32)
    assert executor.threads == 0
    for _ in range(100):
        call(executor, abs, -1)
        eventually(lambda: executor._benches, "the thread waits")
    assert executor.threads == 1


def test_jobs_that_meet_get_a_thread_each(executor_of):
    executor, barrier = executor_of(8), threading.Barrier(8)
    outcomes = [Outcome() for _ in range(8)]
    for outcome in outcomes:
        executor.submit(barrier.wait, (PATIENCE,), {}, outcome)
    assert sorted(outcome.get() for outcome in outcomes) == list(range(8))
    assert executor.threads == 8


def test_no_more_threads_than_asked_for_and_the_rest_waits_in_order(executor_of):
    executor, order = executor_of(2), []
    blockers = [Blocker(executor).running() for _ in range(2)]
    outcomes = [Outcome() for _ in range(50)]
    for number, outcome in enumerate(outcomes):
        executor.submit(order.append, (number,), {}, outcome)
    assert (executor.threads, executor.waiting) == (2, 50)
    blockers[0].release.set()
    for outcome in outcomes:
        outcome.get()
    assert order == list(range(50))
    blockers[1].release.set()


def test_idle_threads_end_and_new_ones_come(executor_of):
    executor = executor_of(4, idle_seconds=0.01)
    blockers = [Blocker(executor).running() for _ in range(4)]
    assert executor.threads == 4
    for blocker in blockers:
        blocker.release.set()
    eventually(lambda: executor.threads == 0, "all threads have ended")
    assert call(executor, abs, -1) == 1


def test_a_job_that_comes_while_a_thread_ends_is_not_lost(executor_of):
    executor = executor_of(2, idle_seconds=0.0001)
    for number in range(2000):
        assert call(executor, abs, -number) == number


def test_one_job_too_many_is_refused(executor_of):
    executor = executor_of(1, max_waiting=2)
    blocker = Blocker(executor).running()
    outcomes = [Outcome(), Outcome()]
    for outcome in outcomes:
        executor.submit(abs, (-1,), {}, outcome)
    with pytest.raises(ExecutorFull, match="builtins.abs was not started: 2 jobs wait already"):
        executor.submit(abs, (-1,), {}, outcome)
    blocker.release.set()
    assert [outcome.get() for outcome in outcomes] == [1, 1]


def test_a_waiting_job_that_is_cancelled_never_runs_and_frees_its_place(executor_of):
    executor, ran = executor_of(1, max_waiting=1), []
    blocker = Blocker(executor).running()
    for _ in range(100):
        outcome = Outcome()
        job = executor.submit(ran.append, (1,), {}, outcome)
        assert job.cancel()
        assert not job.cancel()
        assert executor.waiting == 0
    blocker.release.set()
    assert blocker.outcome.get() == "released"
    assert call(executor, abs, -1) == 1
    assert (ran, outcome.times) == ([], 0)


def test_the_outcome_of_a_cancelled_running_job_is_dropped(executor_of):
    executor = executor_of(1)
    blocker = Blocker(executor).running()
    assert blocker.job.cancel()
    assert blocker.job.ended
    blocker.release.set()
    assert call(executor, abs, -1) == 1
    assert blocker.outcome.times == 0


def test_a_job_that_has_ended_can_not_be_cancelled(executor_of):
    outcome = Outcome()
    job = executor_of().submit(abs, (-1,), {}, outcome)
    assert outcome.get() == 1
    assert not job.cancel()


def test_cancelling_and_ending_at_the_same_time_is_one_of_both(executor_of):
    executor = executor_of(2)
    for _ in range(2000):
        outcome = Outcome()
        job = executor.submit(abs, (-1,), {}, outcome)
        if not job.cancel():
            assert outcome.get() == 1
        else:
            assert outcome.times == 0


variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")


def test_a_job_has_the_context_of_who_submitted_it_and_does_not_change_it(executor_of):
    def look_and_set():
        seen = variable.get()
        variable.set("changed")
        return seen

    executor = executor_of(1)
    token = variable.set("mine")
    try:
        assert call(executor, look_and_set) == "mine"
        assert call(executor, look_and_set) == "mine"
        assert variable.get() == "mine"
    finally:
        variable.reset(token)
    assert call(executor, look_and_set) == "none"


def test_a_context_can_be_given(executor_of):
    context, outcome = contextvars.copy_context(), Outcome()
    context.run(variable.set, "given")
    executor_of().submit(variable.get, (), {}, outcome, context)
    assert outcome.get() == "given"


def test_jobs_are_called_by_the_name_of_what_they_run(executor_of):
    def leave(*_):
        raise SystemExit

    executor = executor_of()
    for function, args in [
        (functools.partial(leave, 1), ()),
        (contextvars.copy_context().run, (leave,)),
    ]:
        with pytest.raises(JobExited, match=r"^test_executors_threaded\.test_jobs.*leave ended"):
            call(executor, function, *args)


def test_a_delivery_that_fails_is_logged_and_the_thread_goes_on(executor_of, caplog):
    executor = executor_of(1)
    with caplog.at_level(logging.ERROR, "skitai"):
        executor.submit(abs, (-1,), {}, lambda result, error: 1 / 0)
        assert call(executor, abs, -1) == 1
    assert "the outcome of builtins.abs could not be delivered" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_even_one_that_would_end_the_thread(executor_of, caplog):
    def leave(result, error):
        raise SystemExit

    executor = executor_of(1)
    with caplog.at_level(logging.ERROR, "skitai"):
        executor.submit(abs, (-1,), {}, leave)
        assert call(executor, abs, -1) == 1
    assert "SystemExit" in caplog.text
    assert executor.threads == 1


def test_an_idle_thread_keeps_nothing_of_its_last_job(executor_of):
    class Thing:
        def fail(self, other):
            raise ValueError(other)

    executor = executor_of(1)
    thing, other, outcome = Thing(), Thing(), Outcome()
    references = [weakref.ref(thing), weakref.ref(other), weakref.ref(outcome)]
    gc.disable()
    try:
        job = executor.submit(thing.fail, (other,), {}, outcome)
        assert outcome.told.wait(PATIENCE)
        eventually(lambda: executor._benches, "the thread waits")
        del thing, other, outcome
        assert [reference() for reference in references] == [None] * 3
        del job
    finally:
        gc.enable()


def test_a_cancelled_job_keeps_nothing_even_if_its_handle_is_kept(executor_of):
    class Thing:
        pass

    executor = executor_of(1)
    blocker, thing = Blocker(executor).running(), Thing()
    job = executor.submit(abs, (thing,), {}, Outcome())
    reference = weakref.ref(thing)
    job.cancel()
    del thing
    assert reference() is None
    blocker.release.set()


def test_jobs_that_wait_for_their_own_kind_go_on_when_the_waiting_side_gives_up(executor_of):
    executor = executor_of(2)
    both_run = threading.Barrier(2)

    def submit_and_wait():
        both_run.wait(PATIENCE)
        inner = Outcome()
        executor.submit(abs, (-1,), {}, inner)
        return inner.told.wait(0.05)

    outcomes = [Outcome(), Outcome()]
    for outcome in outcomes:
        executor.submit(submit_and_wait, (), {}, outcome)
    assert False in [outcome.get() for outcome in outcomes]  # nobody was there to run it
    assert call(executor, abs, -1) == 1


def test_stopping_ends_all_threads_and_fails_what_waits(executor_of):
    executor = executor_of(2)
    blockers = [Blocker(executor).running() for _ in range(2)]
    waiting = Outcome()
    executor.submit(abs, (-1,), {}, waiting)
    stopper = threading.Thread(target=executor.stop, args=(PATIENCE,))
    stopper.start()
    with pytest.raises(ExecutorStopped, match="abs was not started: the worker stops"):
        waiting.get()
    for blocker in blockers:
        blocker.release.set()
    stopper.join(PATIENCE)
    assert not stopper.is_alive()
    assert [blocker.outcome.get() for blocker in blockers] == ["released"] * 2
    assert executor.threads == 0
    with pytest.raises(ExecutorStopped):
        executor.submit(abs, (-1,), {}, waiting)


def test_stopping_waits_no_longer_than_asked_and_leaves_nobody_waiting(executor_of):
    executor = executor_of(1)
    blocker = Blocker(executor).running()
    executor.stop(0.01)
    with pytest.raises(ExecutorStopped, match="was still running: the worker stops"):
        blocker.outcome.get()
    blocker.release.set()
    executor.stop(PATIENCE)
    assert (executor.threads, blocker.outcome.times) == (0, 1)


def test_stopping_ends_idle_threads_and_an_unused_executor(executor_of):
    executor = executor_of(2)
    call(executor, abs, -1)
    executor.stop(PATIENCE)
    assert executor.threads == 0
    executor_of().stop(PATIENCE)


def test_when_the_system_has_no_more_threads_jobs_wait_for_those_that_exist(
    executor_of, monkeypatch
):
    class NoThread(threading.Thread):
        def start(self):
            raise RuntimeError("can't start new thread")

    executor = executor_of(4)
    blocker = Blocker(executor).running()
    monkeypatch.setattr(threaded.threading, "Thread", NoThread)
    outcome = Outcome()
    executor.submit(abs, (-1,), {}, outcome)
    assert executor.waiting == 1
    blocker.release.set()
    assert outcome.get() == 1
    with pytest.raises(ExecutorFull, match="can't start new thread"):
        executor_of(4).submit(abs, (-1,), {}, outcome)


def test_thousands_of_jobs_leave_no_threads_and_descriptors(executor_of):
    executor = executor_of(8)
    before = descriptors()
    done, left = threading.Semaphore(0), 10_000
    for number in range(left):
        executor.submit(abs, (-number,), {}, lambda result, error: done.release())
    for _ in range(left):
        assert done.acquire(timeout=PATIENCE)
    assert executor.threads <= 8
    eventually(lambda: not executor._running, "nothing runs")
    assert (executor.waiting, descriptors()) == (0, before)
