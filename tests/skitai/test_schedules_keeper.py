"""The process of jobs with a clock that the test sets; its jobs are real processes."""

from __future__ import annotations

import logging
import os
import resource
import signal
import threading
import time
from datetime import datetime, timezone

import pytest
from processes import eventually, is_gone

from skitai.schedules import keeper
from skitai.schedules.declarations import Schedules
from skitai.schedules.keeper import Keeper
from skitai.schedules.runs import Run
from skitai.stores.job_board import JobBoard
from skitai.stores.memory import SharedMemory
from skitai.stores.shared import MEMORY_BYTES
from skitai.supervisor.seats import WorkerSeat

PATIENCE = 30.0
START = datetime(2026, 11, 19, 10, 0, 30, tzinfo=timezone.utc).timestamp()


class Clock:
    """Both clocks."""

    def __init__(self) -> None:
        self.ahead = 0.0  # of the clock on the wall
        self.asleep = 0.0
        self._began = time.monotonic()

    def monotonic(self) -> float:
        return time.monotonic() + self.asleep

    def wall(self) -> float:
        return START + self.monotonic() - self._began + self.ahead


class Desk:
    """A place for keepers, one after the other, with what the master would give them."""

    def __init__(self, folder, caplog) -> None:
        self.clock = Clock()
        self.drain_timeout = PATIENCE
        self.schedules = Schedules(lambda: folder, lambda: True)
        self.board = JobBoard(SharedMemory(MEMORY_BYTES))
        self.caplog = caplog

    def said(self, words: str) -> int:
        return sum(words in record.getMessage() for record in self.caplog.records)

    def wait_for(self, words: str, times: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE
        while self.said(words) < times:
            assert time.monotonic() < deadline, f"waited in vain for {times} times: {words}"
            time.sleep(0.005)

    def set_clock(self, seconds: float) -> None:
        """Set the clock on the wall."""
        self.clock.ahead += seconds
        self._let_it_look()

    def pass_time(self, seconds: float) -> None:
        self.clock.asleep += seconds
        self._let_it_look()

    def _let_it_look(self) -> None:
        now, deadline = self.clock.monotonic(), time.monotonic() + PATIENCE
        os.kill(os.getpid(), signal.SIGUSR1)
        while self.board.began()[2] < now:
            assert time.monotonic() < deadline, "the keeper sleeps"
            time.sleep(0.001)

    def run(self, scene) -> None:
        """Run a keeper in this thread, and a scene in another one; then the master is gone."""
        alive_read, alive_write = os.pipe()
        report_read, report_write = os.pipe()
        failures: list[BaseException] = []

        def play() -> None:
            try:
                os.read(report_read, 100)  # it is ready
                scene()
            except BaseException as exc:
                failures.append(exc)
            finally:
                os.close(alive_write)

        seat = WorkerSeat(0, [], alive_read, report_write, jobs=True)
        before = signal.getsignal(signal.SIGUSR2)
        process = Keeper(
            self.schedules, seat, self.board, lambda job, fd: 1, self.drain_timeout,
            wall=self.clock.wall, monotonic=self.clock.monotonic,
        )  # fmt: skip
        thread = threading.Thread(target=play)
        thread.start()
        try:
            assert process.run() == 0
        finally:
            thread.join(PATIENCE)
            assert signal.getsignal(signal.SIGUSR2) == before
            for descriptor in (alive_read, report_read, seat.report_fd):
                if descriptor >= 0:
                    os.close(descriptor)
        if failures:
            raise failures[0]


@pytest.fixture
def desk(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("skitai"), "propagate", True)
    caplog.set_level(logging.INFO, "skitai")
    return Desk(tmp_path, caplog)


def figures(desk, name):
    return next(job for job in desk.board.figures() if job["name"] == name)


def test_a_job_runs_when_the_clock_says_so_and_missed_runs_are_one(desk):
    desk.schedules.cron("30 3 * * *", "echo good night", timezone="UTC", name="nightly")

    def scene():
        desk.pass_time(17 * 3600)
        assert desk.said("nightly") == 0
        desk.pass_time(1800)
        desk.wait_for("nightly: good night")
        desk.wait_for("job nightly ended")
        desk.set_clock(5 * 86400)  # it was asleep for days
        desk.wait_for("job nightly ended", 2)
        desk.set_clock(-86400)
        desk.pass_time(23.9 * 3600)
        assert desk.said("job nightly begins") == 2
        desk.pass_time(3600)
        desk.wait_for("job nightly ended", 3)

    desk.run(scene)
    assert figures(desk, "nightly")["runs"] == 3


def test_the_next_process_of_jobs_goes_on_where_the_last_one_was(desk):
    desk.schedules.cron("0 * * * *", "echo bong", timezone="UTC", name="clock")
    desk.schedules.cron("@reboot", "echo up", name="start")
    desk.schedules.sched(600, "echo ding", name="bell")
    desk.run(lambda: desk.wait_for("job start ended"))
    desk.clock.asleep += 3 * 3600

    def scene():
        desk.wait_for("job clock ended")
        desk.wait_for("job bell ended")

    desk.run(scene)
    desk.run(lambda: None)
    assert [desk.said(f"job {name} begins") for name in ("clock", "start", "bell")] == [1, 1, 1]
    assert [figures(desk, name)["runs"] for name in ("clock", "start", "bell")] == [1, 1, 1]


def test_a_task_that_keeps_failing_has_longer_and_longer_pauses(desk):
    desk.schedules.background_task("weak", "exit 7")
    pauses = ["at once", *(f"in {0.1 * 2**step:g} s" for step in range(6)), "in 5 s"]

    def scene():
        for pause in pauses:
            desk.wait_for(f"it is started again {pause}")
            desk.pass_time(5)
        desk.wait_for("it is started again in 5 s", 2)

    desk.run(scene)
    assert figures(desk, "weak")["restarts"] == len(pauses) + 1


def test_what_can_not_be_started_is_told_and_tried_again(desk, tmp_path):
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho here\nsleep 100\n")
    tool.chmod(0o755)
    desk.schedules.background_task("tool", "./tool")
    tool.rename(tmp_path / "gone")

    def scene():
        desk.wait_for("job tool can't be started")
        (tmp_path / "gone").rename(tool)
        desk.pass_time(10)
        desk.wait_for("tool: here")

    desk.run(scene)
    assert desk.said("job tool was stopped, it was killed by SIGTERM") == 1


def test_many_runs_that_were_left_out_are_told_once(desk):
    desk.schedules.sched(1, ["sleep", "1000"], name="slow", timeout=20)

    def scene():
        desk.pass_time(1)
        desk.wait_for("job slow begins")
        for _ in range(5):
            desk.pass_time(1)
        desk.pass_time(20)
        desk.wait_for("job slow has not ended within 20 s, and was ended")
        desk.pass_time(1)
        desk.wait_for("runs were left out")

    desk.run(scene)
    assert desk.said("job slow still runs") == 1
    assert figures(desk, "slow")["skipped"] >= 5
    assert figures(desk, "slow")["timeouts"] == 1


def test_a_run_that_finds_no_descriptors_keeps_none(tmp_path):
    schedules = Schedules(lambda: tmp_path, lambda: True)
    schedules.sched(1, ["true"])
    [job] = schedules
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = os.listdir("/proc/self/fd")
    lowest = os.dup(0)
    os.close(lowest)
    failures = 0
    for limit in range(lowest, lowest + 20):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            run = Run(job, lambda fd: 0, lambda line: None, time.monotonic())
        except OSError:
            failures += 1
        else:
            break
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert os.listdir("/proc/self/fd") == before, f"with up to {limit} descriptors"
    assert failures > 4
    run.terminate(time.monotonic())
    eventually(lambda: run.collect(time.monotonic()) is not None, "its end")
    run.close()
    assert os.listdir("/proc/self/fd") == before


def test_what_may_not_be_signalled_does_not_end_the_others(desk, monkeypatch):
    desk.schedules.background_task("root", "sleep 1000", stop_timeout=0)
    desk.schedules.sched(600, "echo ding", name="bell")

    def refuse(group, signum):  # as the system does when it has become somebody else
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "killpg", refuse)

    def scene():
        desk.wait_for("job root begins")
        desk.pass_time(600)
        desk.wait_for("job bell ended")

    desk.run(scene)
    assert desk.said("job root was stopped, it was killed by SIGKILL") == 1


def test_a_stop_waits_no_longer_than_the_service_and_leaves_nothing(desk, monkeypatch):
    monkeypatch.setattr(keeper, "KILL_MARGIN", 0.1)
    desk.drain_timeout = 0
    desk.schedules.background_task(
        "deaf", "trap '' TERM; setsid sh -c 'echo pid $$; exec sleep 1000' & wait; sleep 1000",
        stop_timeout=1000,
    )  # fmt: skip
    desk.run(lambda: desk.wait_for("deaf: pid "))
    assert desk.said("job deaf was stopped, it was killed by SIGKILL") == 1
    [line] = [words for each in desk.caplog.records if "deaf: pid" in (words := each.getMessage())]
    assert is_gone(int(line.split()[-1]))
