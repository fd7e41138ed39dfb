"""Kills, hanging starts and signals at the wrong moment: a clear word, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from toy_observer import GATE, Toy, eventually, finish, held, is_gone

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


def all_end(toy: Toy) -> None:
    eventually(lambda: all(is_gone(pid) for pid in toy.seen), "the end of all workers")


# Starts that hang


def test_a_first_start_that_hangs_ends_the_service(toy: Toy, gate: Path) -> None:
    toy.write("'one', workers=2, start=gate, start_timeout=0.3, quick=True", GATE)
    toy.launch()
    assert toy.wait() == 2
    toy.wait_for_log(
        r"ERROR start-up failed: worker w\d \(pid \d+\) was not ready within 0.3 s "
        r"\(start_timeout\): killed$"
    )


def test_a_reload_that_hangs_is_given_up(toy: Toy, gate: Path) -> None:
    # The toy's worker tells what its script wants, as real ones do.
    tell = (
        "def tell(seat):\n"
        "    seat.report_settings({'workers': 1, 'drain_timeout': 1, 'start_timeout': 0.3})\n"
        "    while os.path.exists('gate'): time.sleep(0.01)"
    )
    toy.start("'one'")
    old = toy.workers()
    toy.write("'two', start=tell", tell)
    toy.send(signal.SIGHUP)
    toy.wait_for_log(
        r"ERROR reload given up, the old workers go on: worker w0 \(pid \d+\) was not ready within "
        r"0.3 s \(start_timeout\): killed$"
    )
    assert toy.who()["code"] == "one"
    eventually(lambda: toy.workers() == old, "the end of the new worker")
    toy.write("'three'")
    toy.send(signal.SIGHUP)
    toy.wait_for_answer(lambda answer: answer["code"] == "three")


def test_a_replacement_that_hangs_is_killed_and_tried_again(toy: Toy) -> None:
    hang = (
        "def hang(seat):\n"
        "    if seat.cause == 'died':\n"
        "        seat.report_settings({'workers': 1, 'drain_timeout': 1, 'start_timeout': 0.3})\n"
        "        while os.path.exists('bad'): time.sleep(0.01)"
    )
    toy.start("'one', start=hang", hang)
    (toy.folder / "bad").touch()
    os.kill(toy.workers()[0], signal.SIGKILL)
    toy.wait_for_log(r"WARNING .* not ready within 0.3 s \(start_timeout\): killed: replaced in 0")
    (toy.folder / "bad").unlink()
    assert toy.who()["code"] == "one"


# Signals


def test_a_reload_asked_for_during_the_stop_is_not_made(toy: Toy) -> None:
    toy.start("'one'")
    connection, _ = held(toy)
    toy.send(signal.SIGTERM)
    toy.wait_for_log("SIGTERM: stopping")
    toy.send(signal.SIGHUP)
    toy.wait_for_log("INFO SIGHUP: not reloaded, the service stops$")
    assert finish(connection)["code"] == "one"
    assert toy.wait() == 0
    assert "generation" not in toy.log.read_text()


# The master is killed


def test_workers_that_start_end_with_a_killed_master(toy: Toy, gate: Path) -> None:
    toy.write("'one', workers=2, start=gate", GATE)
    toy.launch()
    eventually((toy.folder / "waiting").exists, "a worker")
    toy.workers()
    toy.send(signal.SIGKILL)
    all_end(toy)


def test_both_generations_end_with_a_master_that_is_killed_in_a_reload(
    toy: Toy, gate: Path
) -> None:
    toy.start("'one', workers=2")
    toy.write("'two', workers=2, start=gate", GATE)
    toy.send(signal.SIGHUP)
    eventually((toy.folder / "waiting").exists, "a new worker")
    eventually(lambda: len(toy.workers()) == 4, "the new workers")
    toy.send(signal.SIGKILL)
    all_end(toy)


def test_workers_that_drain_end_with_a_killed_master(toy: Toy) -> None:
    toy.start("'one', workers=2")
    connection, _ = held(toy)
    with connection:
        toy.send(signal.SIGTERM)
        toy.wait_for_log("SIGTERM: stopping")
        toy.send(signal.SIGKILL)
        all_end(toy)


# A worker is killed


def test_a_worker_that_is_killed_while_it_drains_is_told_and_not_replaced(toy: Toy) -> None:
    toy.start("'one'")
    connection, pid = held(toy)
    with connection:
        toy.send(signal.SIGHUP)
        toy.wait_for_log("generation 1 serves")
        os.kill(pid, signal.SIGKILL)
        toy.wait_for_log(rf"WARNING worker w0 \(pid {pid}\) was killed by SIGKILL$")
    assert len(toy.workers()) == 1
    assert toy.who()["pid"] != pid


def test_a_new_worker_that_is_killed_gives_the_reload_up(toy: Toy, gate: Path) -> None:
    toy.start("'one', workers=2")
    old = set(toy.workers())
    toy.write("'two', workers=2, start=gate", GATE)
    toy.send(signal.SIGHUP)
    eventually(lambda: len(toy.workers()) == 4, "the new workers")
    os.kill(max(set(toy.workers()) - old), signal.SIGKILL)
    toy.wait_for_log(r"ERROR reload given up, .* was killed by SIGKILL before it was ready$")
    eventually(lambda: set(toy.workers()) == old, "the end of the new workers")
    assert toy.who()["code"] == "one"


def test_an_old_worker_that_is_killed_in_a_reload_is_replaced_meanwhile(
    toy: Toy, gate: Path
) -> None:
    toy.start("'one'")
    [old] = toy.workers()
    toy.write("'two', start=gate", GATE)
    toy.send(signal.SIGHUP)
    eventually((toy.folder / "waiting").exists, "the new worker")
    os.kill(old, signal.SIGKILL)
    toy.wait_for_log(rf"WARNING .* \(pid {old}\) was killed by SIGKILL: replaced at once$")
    assert toy.who()["code"] == "one"
    gate.unlink()
    toy.wait_for_log("generation 1 serves")
    toy.wait_for_answer(lambda answer: answer["code"] == "two")
    eventually(lambda: len(toy.workers()) == 1, "the end of the others")


# Times that no clock of the system takes


def test_times_of_months_end_nothing_but_the_wait(toy: Toy) -> None:
    toy.start("'one', drain_timeout=3e6, start_timeout=3e6")
    connection, pid = held(toy)
    toy.send(signal.SIGTERM)
    toy.wait_for_log("SIGTERM: stopping")
    toy.send(signal.SIGUSR1)  # the master is there to take it
    toy.wait_for_log("SIGUSR1: logs are reopened")
    assert finish(connection)["pid"] == pid
    assert toy.wait() == 0
    assert "Traceback" not in toy.log.read_text()


# The first process of a container


ORPHANS = (
    "def orphans(seat):\n"
    "    for _ in range(20):\n"
    "        pid = os.fork()\n"
    "        if not pid:\n"
    "            if not os.fork(): time.sleep(0.05)\n"
    "            os._exit(0)\n"
    "        os.waitpid(pid, 0)\n"
    "    while sum(name.isdecimal() for name in os.listdir('/proc')) > 2: time.sleep(0.01)\n"
    "    os.kill(1, 15)"
)
CONTAINER = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child")


@pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run([*CONTAINER, "true"]).returncode != 0,
    reason="this user may make no container",
)
def test_as_the_first_process_of_a_container_it_reaps_orphans(toy: Toy) -> None:
    toy.write("'one', start=orphans, start_timeout=20", ORPHANS)
    toy.launch(wrapper=CONTAINER)
    assert toy.wait() == 0, toy.log.read_text()
