"""Starting, replacing and stopping workers: a master with real processes."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING

import psutil
import pytest
from toy_observer import GATE, Toy, eventually, finish, free_port, held, is_gone

from skitai.supervisor.children import Generation, describe_end

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.e2e


# Start


def test_a_service_is_ready_when_all_its_workers_are(toy: Toy) -> None:
    toy.start("'one', workers=3, name='toys'")
    assert len(toy.workers()) == 3
    line = toy.wait_for_log(r"INFO serving on (\S+) with 3 workers, pid (\d+)$")
    assert line.groups() == (f"http://127.0.0.1:{toy.port}", str(toy.pid))
    titles = [" ".join(psutil.Process(pid).cmdline()).strip() for pid in sorted(toy.workers())]
    assert titles == ["toys:w0", "toys:w1", "toys:w2"]
    assert " ".join(psutil.Process(toy.pid).cmdline()).strip() == "toys:m"


def test_a_worker_knows_its_number_and_how_many_there_are(toy: Toy) -> None:
    toy.start("'one', workers=2")
    answer = toy.who()
    number = str(answer["slot"])
    assert answer["environ"] == {"SKITAI_WORKERS": "2", "SKITAI_WORKER_ID": number}
    assert answer["notify"] is None
    assert answer["ppid"] == toy.pid


def test_a_service_without_a_name_has_that_of_its_script(toy: Toy) -> None:
    toy.start("'one'")
    assert " ".join(psutil.Process(toy.pid).cmdline()).strip() == "toy:m"


def test_connecting_is_refused_until_the_first_worker_is_ready(toy: Toy, gate: Path) -> None:
    toy.port = free_port()
    toy.write(f"'one', port={toy.port}, start=gate", GATE)
    toy.launch()
    eventually(toy.workers, "a worker")
    with pytest.raises(ConnectionRefusedError):
        toy.connect(b"who\n")
    gate.unlink()
    assert toy.notified().startswith("READY=1")
    assert toy.who()["code"] == "one"


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("lambda seat: toy_service.refuse(seat, 'no database: start it')", "no database: start it"),
        ("lambda seat: toy_service.refuse(seat, 'first\\nsecond')", "first\nsecond"),
        ("lambda seat: sys.exit(2)", r"worker w\d \(pid \d+\) ended with exit code 2 before .*"),
        (
            "lambda seat: 1 / 0",
            r"worker w\d \(pid \d+\) ended with exit code 1 before it was ready",
        ),
        (
            "lambda seat: os.kill(os.getpid(), 9)",
            r"worker w\d \(pid \d+\) was killed by SIGKILL .*",
        ),
    ],
)
def test_a_failing_start_ends_the_service_with_code_2_and_the_reason_once(
    toy: Toy, start: str, reason: str
) -> None:
    toy.write(f"'one', workers=3, start={start}")
    toy.launch()
    assert toy.wait() == 2
    text = toy.log.read_text()
    assert len(re.findall(f"^ERROR start-up failed: {reason}$", text, re.MULTILINE)) == 1
    assert text.count("ERROR") == 1


def test_one_failing_worker_takes_those_with_it_that_serve(toy: Toy) -> None:
    fail_last = (
        "def fail_last(seat):\n"
        "    if seat.slot < 2: return\n"
        "    while not os.path.exists('fail'): time.sleep(0.01)\n"
        "    toy_service.refuse(seat, 'no database')"
    )
    toy.port = free_port()
    toy.write(f"'one', port={toy.port}, workers=3, start=fail_last", fail_last)
    toy.launch()
    toy.wait_for_log(r"w0 \(pid \d+\) is ready")
    assert toy.who()["code"] == "one"
    toy.workers()
    (toy.folder / "fail").touch()
    assert toy.wait() == 2
    assert all(is_gone(pid) for pid in toy.seen)


def test_a_worker_that_fails_but_does_not_end_is_killed(toy: Toy) -> None:
    linger = "def linger(seat):\n    seat.report_failed('stuck')\n    time.sleep(1000)"
    toy.write("'one', start=linger, quick=True", linger)
    toy.launch()
    assert toy.wait() == 2
    assert "ERROR start-up failed: stuck\n" in toy.log.read_text()


def test_a_service_that_is_stopped_while_it_starts_ends_with_code_0(toy: Toy, gate: Path) -> None:
    toy.write("'one', start=gate, quick=True", GATE)
    toy.launch()
    eventually(toy.workers, "a worker")
    toy.send(signal.SIGTERM)
    assert toy.wait() == 0
    assert toy.notified() == "STOPPING=1"


# Replacing


def test_a_killed_worker_is_replaced_in_its_slot(toy: Toy) -> None:
    toy.start("'one', workers=2")
    victim = toy.who()
    os.kill(victim["pid"], signal.SIGKILL)
    successor = toy.wait_for_answer(
        lambda answer: answer["slot"] == victim["slot"] and answer["pid"] != victim["pid"]
    )
    assert successor["environ"]["SKITAI_WORKER_ID"] == str(victim["slot"])
    toy.wait_for_log(rf"WARNING .* \(pid {victim['pid']}\) was killed by SIGKILL: replaced at once")
    assert len(toy.workers()) == 2


def test_replacements_wait_longer_each_time(toy: Toy) -> None:
    toy.start("'one'")
    for delay in ("at once", "in 0.1 s", "in 0.2 s"):
        pid = toy.who()["pid"]
        os.kill(pid, signal.SIGKILL)
        toy.wait_for_log(rf"\(pid {pid}\) was killed by SIGKILL: replaced {delay}$")
    assert toy.who()["pid"] != pid


def test_the_delays_double_up_to_five_seconds() -> None:
    [slot] = Generation.of_size(0, 1).slots
    delays = [slot.next_delay() for _ in range(9)]
    assert delays == [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]
    assert [slot.next_delay() for _ in range(2000)][-1] == 5
    slot.losses = 0
    assert slot.next_delay() == 0


def test_a_worker_that_served_long_enough_has_a_clean_record(toy: Toy) -> None:
    toy.start("'one', steady_after=0")
    for _ in range(3):
        pid = toy.who()["pid"]
        os.kill(pid, signal.SIGKILL)
        toy.wait_for_log(rf"\(pid {pid}\) was killed by SIGKILL: replaced at once$")


def test_a_worker_that_ends_by_itself_is_replaced_too(toy: Toy) -> None:
    toy.start("'one'")
    pid = toy.who()["pid"]
    os.kill(pid, signal.SIGTERM)
    toy.wait_for_log(rf"\(pid {pid}\) ended with exit code 0: replaced at once$")
    assert toy.who()["pid"] != pid


REFUSE_ONCE_RUN = (
    "def refuse(seat):\n    if os.path.exists('bad'): toy_service.refuse(seat, 'bad file')"
)


def test_the_only_worker_whose_replacement_cannot_start_ends_the_service(toy: Toy) -> None:
    toy.start("'one', start=refuse", REFUSE_ONCE_RUN)
    (toy.folder / "bad").touch()
    os.kill(toy.workers()[0], signal.SIGKILL)
    assert toy.wait() == 2
    assert toy.log.read_text().count("ERROR start-up failed: bad file") == 1


def test_other_workers_go_on_while_a_replacement_cannot_start(toy: Toy) -> None:
    toy.start("'one', workers=2, start=refuse", REFUSE_ONCE_RUN)
    (toy.folder / "bad").touch()
    os.kill(toy.workers()[0], signal.SIGKILL)
    toy.wait_for_log(r"WARNING bad file: replaced in 0.1 s$")
    toy.wait_for_log(r"WARNING bad file: replaced in 0.2 s$")
    assert toy.who()["code"] == "one"
    (toy.folder / "bad").unlink()
    eventually(lambda: {toy.who()["slot"] for _ in range(4)} == {0, 1}, "both workers")


def test_a_replacement_that_dies_while_starting_is_tried_again(toy: Toy) -> None:
    die = "def die(seat):\n    if os.path.exists('bad'): os.kill(os.getpid(), 9)"
    toy.start("'one', start=die", die)
    (toy.folder / "bad").touch()
    os.kill(toy.workers()[0], signal.SIGKILL)
    toy.wait_for_log(r"WARNING .* was killed by SIGKILL before it was ready: replaced in 0.2 s$")
    (toy.folder / "bad").unlink()
    assert toy.who()["code"] == "one"


def test_twenty_replacements_and_five_reloads_leave_nothing_behind(toy: Toy) -> None:
    toy.start("'one', workers=2, quick=True")

    def state() -> tuple[int, int, int]:
        return (
            len(os.listdir(f"/proc/{toy.pid}/fd")),
            len(toy.workers()),
            psutil.Process(toy.pid).num_threads(),
        )

    toy.workers()
    pid = toy.who()["pid"]
    os.kill(pid, signal.SIGKILL)  # once the master has replaced it, all of its start is behind it
    toy.wait_for_answer(lambda answer: answer["pid"] not in toy.seen)
    # That one has closed its report pipe; when the master acts on a signal, it has noticed.
    toy.send(signal.SIGUSR1)
    toy.wait_for_log("SIGUSR1: logs are reopened$")
    before, in_worker = state(), toy.who()["descriptors"]
    for _ in range(20):
        pid = toy.who()["pid"]
        os.kill(pid, signal.SIGKILL)
        toy.wait_for_log(rf"\(pid {pid}\) was killed")
    forked = toy.wait_for_answer(lambda answer: answer["pid"] not in toy.seen)
    assert forked["descriptors"] == in_worker
    for number in range(5):
        toy.send(signal.SIGHUP)
        toy.wait_for_log(rf"reloaded: generation {number + 1} serves$")
    eventually(lambda: state() == before, "as many descriptors, workers and threads as before")
    assert toy.who()["descriptors"] == in_worker
    assert all(psutil.Process(pid).status() != "zombie" for pid in toy.workers())


# Stopping


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_stopping_finishes_what_runs_and_refuses_what_comes(
    toy: Toy, signum: signal.Signals
) -> None:
    toy.start("'one', workers=2")
    connection, _ = held(toy)
    toy.send(signum)
    assert toy.notified() == "STOPPING=1"

    def refused() -> bool:
        try:
            toy.connect(b"").close()
        except ConnectionRefusedError:
            return True
        return False

    eventually(refused, "a refused connection")
    assert finish(connection)["code"] == "one"
    assert toy.wait() == 0
    assert all(is_gone(pid) for pid in toy.seen)


def test_ctrl_c_reaches_the_whole_group_and_still_drains(toy: Toy) -> None:
    toy.start("'one', workers=2")
    reloaded = toy.who()["pid"]
    toy.send(signal.SIGHUP)  # one generation is forked, the next started: both must bear it
    toy.wait_for_answer(lambda answer: answer["pid"] != reloaded)
    toy.wait_for_log("generation 1 serves")
    eventually(lambda: len(toy.workers()) == 2, "the end of the old workers")
    connection, _ = held(toy)
    os.killpg(toy.pid, signal.SIGINT)
    toy.wait_for_log("INFO SIGINT: stopping")
    assert finish(connection)["code"] == "one"
    assert toy.wait() == 0
    assert "Traceback" not in toy.log.read_text()


def test_a_second_signal_kills(toy: Toy) -> None:
    toy.start("'one', workers=2, stubborn=True")
    toy.workers()
    toy.send(signal.SIGTERM)
    toy.wait_for_log("INFO SIGTERM: stopping")
    toy.send(signal.SIGINT)
    assert toy.wait() == 0
    assert all(is_gone(pid) for pid in toy.seen)


def test_workers_that_do_not_end_in_time_are_killed(toy: Toy) -> None:
    toy.start("'one', workers=2, stubborn=True, quick=True, drain_timeout=0.2")
    toy.workers()
    toy.send(signal.SIGTERM)
    assert toy.wait() == 0
    assert toy.log.read_text().count("has not ended in time: killed") == 2
    assert all(is_gone(pid) for pid in toy.seen)


def test_no_worker_outlives_a_killed_master(toy: Toy) -> None:
    toy.start("'one', workers=2")
    os.kill(toy.who()["pid"], signal.SIGKILL)  # its successor and its sibling know other pipes
    eventually(lambda: len(toy.workers()) == 2, "a replacement")
    toy.send(signal.SIGHUP)
    toy.wait_for_log("generation 1 serves")
    toy.workers()
    toy.send(signal.SIGKILL)
    toy.wait()
    eventually(lambda: all(is_gone(pid) for pid in toy.seen), "the end of all workers")


def test_the_end_of_a_process_is_told_in_words() -> None:
    assert describe_end(3) == "ended with exit code 3"
    assert describe_end(-11) == "was killed by SIGSEGV"
    assert describe_end(-signal.SIGRTMIN - 1) == f"was killed by signal {signal.SIGRTMIN + 1}"
