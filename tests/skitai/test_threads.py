"""The thread pool: order, limits, as many awake threads as the jobs need."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from skitai.executors import threads
from skitai.executors.threads import PoolFull, ThreadPool


@pytest.fixture
def pool_of(request):
    pools = []

    def make(size, max_queued=1000, loop=None):
        pools.append(ThreadPool(size, max_queued, loop=loop))
        return pools[-1]

    yield make
    for pool in pools:
        pool.stop(5)


def test_jobs_of_one_thread_run_in_the_order_of_submission(pool_of):
    seen, done = [], threading.Event()
    pool = pool_of(1)
    for number in range(100):
        pool.submit(seen.append, number)
    pool.submit(lambda _: done.set(), None)
    assert done.wait(5)
    assert seen == list(range(100))


def test_a_failing_job_is_logged_and_its_thread_goes_on(pool_of, caplog):
    pool, done = pool_of(1), threading.Event()
    with caplog.at_level(logging.ERROR, "skitai"):
        pool.submit(lambda _: 1 / 0, None)
        pool.submit(lambda _: done.set(), None)
        assert done.wait(5)
    assert "ZeroDivisionError" in caplog.text


def test_one_job_too_many_is_refused_but_admitted_work_continues(pool_of):
    pool, release, started = pool_of(1, max_queued=2), threading.Event(), threading.Event()

    def block(_):
        started.set()
        release.wait(5)

    pool.submit(block, None)
    assert started.wait(5)
    pool.submit(block, None)
    pool.submit(block, None)
    with pytest.raises(PoolFull):
        pool.submit(block, None)
    pool.resubmit(block, None)
    assert pool.waiting == 3
    release.set()


def test_jobs_that_wait_for_each_other_get_all_the_threads_they_need(pool_of):
    met = []

    async def submit_and_wait():
        loop = asyncio.get_running_loop()
        pool, barrier, done = pool_of(8, loop=loop), threading.Barrier(8), asyncio.Event()
        assert pool.awake == 1

        def meet(number):
            barrier.wait(10)
            met.append(number)
            if len(met) == 8:
                loop.call_soon_threadsafe(done.set)

        for number in range(8):
            pool.submit(meet, number)
        await asyncio.wait_for(done.wait(), 10)
        assert pool.awake == 8

    asyncio.run(submit_and_wait())
    assert sorted(met) == list(range(8))


@pytest.mark.parametrize("way", ["submit", "resubmit"])
def test_a_job_that_finds_the_only_awake_thread_blocked_gets_another(pool_of, way):
    async def block_and_submit():
        loop = asyncio.get_running_loop()
        pool, done = pool_of(2, loop=loop), asyncio.Event()
        started, release = threading.Event(), threading.Event()

        def block(_):
            started.set()
            release.wait(10)

        pool.submit(block, None)
        while not started.is_set() or pool._watching:  # the queue is empty and nobody looks
            await asyncio.sleep(0.001)
        getattr(pool, way)(lambda _: loop.call_soon_threadsafe(done.set), None)
        await asyncio.wait_for(done.wait(), 10)
        release.set()

    asyncio.run(block_and_submit())


def test_threads_that_are_not_missed_go_back_to_sleep(pool_of, monkeypatch):
    monkeypatch.setattr(threads, "RELAX_SECONDS", 0.01)

    async def wake_and_rest():
        loop = asyncio.get_running_loop()
        pool, barrier = pool_of(4, loop=loop), threading.Barrier(4)
        for _ in range(4):
            pool.submit(lambda _: barrier.wait(10), None)
        while pool.awake < 4:
            await asyncio.sleep(0.001)
        while pool.awake > 1:
            await asyncio.sleep(0.001)
        again = threading.Barrier(4)
        for _ in range(4):
            pool.submit(lambda _: again.wait(10), None)
        while pool.awake < 4:
            await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(wake_and_rest(), 10))


def test_stopping_finishes_what_is_queued_and_ends_sleeping_threads_too():
    async def run():
        pool = ThreadPool(4, 100, loop=asyncio.get_running_loop())
        for number in range(50):
            pool.submit(seen.append, number)
        pool.stop(5)
        assert not any(thread.is_alive() for thread in pool._threads)

    seen: list[int] = []
    asyncio.run(run())
    assert sorted(seen) == list(range(50))
