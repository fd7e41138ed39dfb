"""What processes of jobs tell each other, and those who show figures."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time

import pytest

from skitai.schedules.declarations import MOST_JOBS
from skitai.stores.job_board import FIELDS, JobBoard
from skitai.stores.memory import SharedMemory
from skitai.stores.shared import MEMORY_BYTES


@pytest.fixture
def board():
    memory = SharedMemory(MEMORY_BYTES)
    memory.make()
    return JobBoard(memory)


def test_counts_are_added_and_other_figures_replaced(board):
    board.publish([{"name": "a", "when": "always", "runs": 2, "last_start": 5.5}], whole=True)
    board.publish([{"name": "a", "when": "every 1 s", "runs": 1, "running": 1}], whole=True)
    assert board.figures() == [
        {**dict.fromkeys(FIELDS, 0), "name": "a", "when": "every 1 s", "runs": 3, "running": 1,
         "last_start": 5.5},
    ]  # fmt: skip


def test_who_does_not_know_all_jobs_neither_adds_nor_removes_any(board):
    board.publish([{"name": name, "when": "always"} for name in "ab"], whole=True)
    board.publish([{"name": "b", "failures": 1}, {"name": "old", "failures": 1}], whole=False)
    assert [(job["name"], job["failures"]) for job in board.figures()] == [("a", 0), ("b", 1)]
    board.publish([{"name": "b", "when": "always"}], whole=True)
    assert [(job["name"], job["failures"]) for job in board.figures()] == [("b", 1)]


def test_all_jobs_that_a_service_may_have_are_in_the_figures(board):
    moment = 1_800_000_000.123
    jobs = [
        {
            "name": f"{number:03}-".ljust(64, "x"), "when": "0,15,30,45 8-18 * * mon-fri " * 9,
            "runs": 1_000_000 + number, "last_start": moment, "last_seconds": 12345.678,
            "last_success": moment,
        }
        for number in range(MOST_JOBS)
    ]  # fmt: skip
    board.publish(jobs, whole=True)
    assert [job["runs"] for job in board.figures()] == [job["runs"] for job in jobs]
    board.publish(jobs[:10], whole=True)
    assert board.figures()[0]["when"] == jobs[0]["when"]


def test_who_is_killed_while_it_writes_leaves_no_half_of_it(board):
    long = [{"name": f"job-{number}", "when": "always"} for number in range(99)]
    for _ in range(30):
        pid = os.fork()
        if pid == 0:
            for jobs in itertools.cycle((long, long[:1])):
                board.publish(jobs, whole=True)
        time.sleep(random.uniform(0.001, 0.01))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert len(board.figures()) in (0, 1, 99)
