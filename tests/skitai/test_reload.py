"""Reloading: new workers with new code, without losing a request."""

from __future__ import annotations

import os
import re
import signal
import threading
from typing import TYPE_CHECKING

import psutil
import pytest
from toy_observer import GATE, PATIENCE, Toy, eventually, finish, held, is_gone

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


def test_a_reload_brings_new_code_in_new_workers_only(toy: Toy) -> None:
    toy.start("'one', workers=2")
    old = set(toy.workers())
    toy.write("'two', workers=2")
    toy.send(signal.SIGHUP)
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", toy.notified())
    assert toy.notified() == "READY=1"
    eventually(lambda: set(toy.workers()).isdisjoint(old), "the end of the old workers")
    assert len(toy.workers()) == 2
    assert [toy.who()["code"] for _ in range(10)] == ["two"] * 10
    answer = toy.who()
    number = str(answer["slot"])
    assert answer["environ"] == {"SKITAI_WORKERS": "2", "SKITAI_WORKER_ID": number}
    assert answer["notify"] is None


def test_a_worker_of_a_later_generation_is_replaced_by_one_with_its_code(toy: Toy) -> None:
    toy.start("'one'")
    toy.write("'two'")
    toy.send(signal.SIGHUP)
    toy.wait_for_log("generation 1 serves")
    eventually(lambda: len(toy.workers()) == 1, "the end of the old worker")
    answer = toy.who()
    os.kill(answer["pid"], signal.SIGKILL)
    assert toy.wait_for_answer(lambda a: a["pid"] != answer["pid"])["code"] == "two"


def test_the_old_workers_serve_until_all_new_ones_are_ready(toy: Toy, gate: Path) -> None:
    toy.start("'one', workers=2")
    old = set(toy.workers())
    toy.write("'two', workers=2, start=gate", GATE)
    toy.send(signal.SIGHUP)
    eventually(lambda: len(toy.workers()) == 4, "the new workers")
    assert {toy.who()["code"] for _ in range(10)} == {"one"}
    assert old <= set(toy.workers())
    gate.unlink()
    toy.wait_for_answer(lambda answer: answer["code"] == "two")
    eventually(lambda: set(toy.workers()).isdisjoint(old), "the end of the old workers")


def test_an_old_worker_finishes_what_it_serves_during_a_reload(toy: Toy) -> None:
    toy.start("'one'")
    connection, pid = held(toy)
    toy.write("'two'")
    toy.send(signal.SIGHUP)
    toy.wait_for_log("generation 1 serves")
    answer = finish(connection)
    assert (answer["pid"], answer["code"]) == (pid, "one")
    eventually(lambda: pid not in toy.workers(), "the end of the old worker")


def test_reloads_under_load_lose_no_request(toy: Toy) -> None:
    toy.start("'one', workers=2")
    answers: list[int] = []
    problems: list[Exception] = []
    enough = threading.Event()

    def ask_on() -> None:
        while not enough.is_set():
            try:
                answers.append(toy.who()["pid"])
            except (OSError, ValueError) as exc:  # noqa: PERF203 - each request counts by itself
                problems.append(exc)

    askers = [threading.Thread(target=ask_on) for _ in range(4)]
    for asker in askers:
        asker.start()
    for number in range(3):
        toy.send(signal.SIGHUP)
        toy.wait_for_log(rf"generation {number + 1} serves")
    enough.set()
    for asker in askers:
        asker.join(PATIENCE)
    assert problems == []
    assert len(answers) > 100


BROKEN = [
    ("'two', workers=2", "1 / 0", r"worker w\d \(pid \d+\) ended with exit code 1 before .*"),
    (
        "'two', workers=2",
        "def broken(:",
        r"worker w\d \(pid \d+\) ended with exit code 1 before .*",
    ),
    ("'two', start=lambda seat: toy_service.refuse(seat, 'no template')", "", "no template"),
]


@pytest.mark.parametrize(("arguments", "before", "reason"), BROKEN)
def test_broken_new_code_leaves_the_old_workers_alone(
    toy: Toy, arguments: str, before: str, reason: str
) -> None:
    toy.start("'one', workers=2")
    old = set(toy.workers())
    toy.write(arguments, before)
    toy.send(signal.SIGHUP)
    assert toy.notified().startswith("RELOADING=1")
    assert toy.notified() == "READY=1"
    toy.wait_for_log(f"ERROR reload given up, the old workers go on: {reason}$")
    eventually(lambda: set(toy.workers()) == old, "the end of the new workers")
    assert {toy.who()["code"] for _ in range(10)} == {"one"}
    toy.write("'three', workers=2")
    toy.send(signal.SIGHUP)
    toy.wait_for_answer(lambda answer: answer["code"] == "three")


def test_a_new_worker_that_the_system_cannot_start_leaves_the_old_ones_alone(toy: Toy) -> None:
    toy.start("'one', workers=2, command=['/nowhere/python']")
    toy.send(signal.SIGHUP)
    toy.wait_for_log("ERROR reload given up, .*: worker w0 can't be started: .*/nowhere/python")
    assert len(toy.workers()) == 2
    assert toy.who()["code"] == "one"


def test_a_new_worker_that_serves_already_drains_when_its_sibling_fails(toy: Toy) -> None:
    toy.start("'one', workers=2")
    old = set(toy.workers())
    second = (
        "def second(seat):\n"
        "    if seat.slot == 0: return\n"
        "    while not os.path.exists('fail'): time.sleep(0.01)\n"
        "    toy_service.refuse(seat, 'too late')"
    )
    toy.write("'two', workers=2, start=second", second)
    toy.send(signal.SIGHUP)
    answer = toy.wait_for_answer(lambda answer: answer["code"] == "two")
    for pid in old:  # the new worker alone can accept the next connection
        os.kill(pid, signal.SIGSTOP)
    connection, pid = held(toy)
    assert pid == answer["pid"]
    for pid in old:
        os.kill(pid, signal.SIGCONT)
    (toy.folder / "fail").touch()
    toy.wait_for_log("reload given up, the old workers go on: too late")
    assert finish(connection)["code"] == "two"
    eventually(lambda: set(toy.workers()) == old, "the end of the new workers")


def test_a_reload_asked_for_during_a_reload_comes_after_it(toy: Toy, gate: Path) -> None:
    toy.start("'one'")
    toy.write("'two', start=gate", GATE)
    toy.send(signal.SIGHUP)
    eventually(lambda: len(toy.workers()) == 2, "the new worker")
    toy.send(signal.SIGHUP)
    eventually(lambda: toy.log.read_text().count("SIGHUP: reloading") == 2, "the second request")
    gate.unlink()
    toy.wait_for_log("generation 2 serves")
    assert "generation 1 serves" in toy.log.read_text()


def test_a_reload_asked_for_during_the_start_comes_after_it(toy: Toy, gate: Path) -> None:
    toy.write("'one', start=gate", GATE)
    toy.launch()
    eventually(toy.workers, "a worker")
    toy.send(signal.SIGHUP)
    toy.wait_for_log("SIGHUP: reloading")
    gate.unlink()
    toy.wait_for_log("generation 1 serves")


def test_a_service_stops_in_the_middle_of_a_reload(toy: Toy, gate: Path) -> None:
    toy.start("'one'")
    toy.write("'two', start=gate", GATE)
    toy.send(signal.SIGHUP)
    eventually(lambda: len(toy.workers()) == 2, "the new worker")
    toy.send(signal.SIGTERM)
    assert toy.wait() == 0
    assert all(is_gone(pid) for pid in toy.seen)


def test_a_script_from_standard_input_reloads_with_its_old_code(toy: Toy) -> None:
    toy.start("'one', command=None, workers=2", stdin=True)
    old = set(toy.workers())
    toy.send(signal.SIGHUP)
    toy.wait_for_log("WARNING the script is not in a file: new workers have the old code")
    eventually(lambda: set(toy.workers()).isdisjoint(old), "the end of the old workers")
    assert toy.who()["code"] == "one"


def test_usr1_reaches_all_workers_once(toy: Toy) -> None:
    toy.start("'one'")
    toy.send(signal.SIGUSR1)
    toy.wait_for_answer(lambda answer: answer["usr1"] == 1)


def test_usr1_reaches_a_worker_that_is_not_ready_yet(toy: Toy, gate: Path) -> None:
    toy.write("'one', start=gate", GATE)
    toy.launch()
    eventually(toy.workers, "a worker")
    toy.send(signal.SIGUSR1)
    toy.wait_for_log("SIGUSR1")
    gate.unlink()
    toy.port = int(toy.notified().rpartition(":")[2])
    toy.wait_for_answer(lambda answer: answer["usr1"] == 1)


# Reload on save


def test_saving_a_source_file_reloads(toy: Toy) -> None:
    sources = toy.folder / "sources"
    (sources / "__pycache__").mkdir(parents=True)
    toy.start(f"'one', watch={str(sources)!r}")
    toy.write(f"'two', watch={str(sources)!r}")
    for ignored in ("page.html", "__pycache__/x.py", "module.pyc"):
        (sources / ignored).touch()
    (sources / "module.py").write_text("x = 1")
    toy.wait_for_answer(lambda answer: answer["code"] == "two")
    toy.wait_for_log(r"INFO sources/module.py changed: reloading$")
    toy.wait_for_log("generation 1 serves")
    assert toy.log.read_text().count("changed") == 1


def test_saving_while_the_new_worker_starts_starts_it_again(toy: Toy, gate: Path) -> None:
    watched = f"watch={str(toy.folder)!r}"
    toy.start(f"'one', {watched}")
    toy.write(f"'two', start=gate, {watched}", GATE)
    eventually((toy.folder / "waiting").exists, "the new worker")
    toy.write(f"'three', {watched}")
    toy.wait_for_log(r"INFO toy.py changed during a reload: starting it again$")
    toy.wait_for_answer(lambda answer: answer["code"] == "three")
    assert "serving" in toy.log.read_text()


def test_what_is_saved_while_the_service_starts_is_not_missed(toy: Toy, gate: Path) -> None:
    watched = f"watch={str(toy.folder)!r}"
    toy.write(f"'one', start=gate, {watched}", GATE)
    toy.launch()
    # The library's own thread is there before it watches anything, ours comes after that.
    eventually(lambda: psutil.Process(toy.pid).num_threads() == 3, "the watcher")
    toy.write(f"'two', {watched}")
    gate.unlink()
    toy.port = int(toy.notified().rpartition(":")[2])
    toy.wait_for_answer(lambda answer: answer["code"] == "two")


def test_a_crashed_worker_of_a_watched_service_is_replaced(toy: Toy) -> None:
    toy.start(f"'one', watch={str(toy.folder)!r}")
    pid = toy.who()["pid"]
    os.kill(pid, signal.SIGKILL)
    toy.wait_for_answer(lambda answer: answer["pid"] != pid)


def test_a_directory_that_is_not_there_turns_reload_on_save_off(toy: Toy) -> None:
    toy.start("'one', watch='nowhere'")
    toy.wait_for_log("WARNING reload on save is off: there is no directory to watch")
    toy.send(signal.SIGTERM)
    assert toy.wait() == 0
