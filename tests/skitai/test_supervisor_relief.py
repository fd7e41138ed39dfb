"""Workers that want to leave: their successor is ready first, and nothing else changes."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from toy_observer import Toy, eventually, finish, held, is_gone, read_answer

from skitai.supervisor.children import Generation

pytestmark = pytest.mark.e2e

# The first worker of a slot starts at once, its replacements wait while there is a file "closed".
CLOSED = (
    "def closed(seat):\n"
    "    if seat.cause == 'start': return\n"
    "    open('waiting', 'w').close()\n"
    "    while os.path.exists('closed'): time.sleep(0.01)\n"
    "    if os.path.exists('bad'): toy_service.refuse(seat, 'bad file')"
)


def leave(toy: Toy) -> dict[str, Any]:
    """Let a worker ask for its replacement."""
    with toy.connect(b"leave\n") as connection:
        answer: dict[str, Any] = read_answer(connection)
        return answer


def close(toy: Toy) -> None:
    (toy.folder / "closed").touch()


def test_the_old_worker_serves_until_the_new_one_is_ready_and_then_drains(toy: Toy) -> None:
    toy.start("'one', tired=True, start=closed", CLOSED)
    close(toy)
    connection, pid = held(toy)
    assert leave(toy)["pid"] == pid
    toy.wait_for_log(rf"INFO worker w0 \(pid {pid}\) is tired: its replacement starts$")
    eventually((toy.folder / "waiting").exists, "the replacement")
    assert toy.who()["pid"] == pid
    (toy.folder / "closed").unlink()
    found = toy.wait_for_log(rf"INFO worker w0 \(pid (\d+)\) takes over from pid {pid}$")
    assert finish(connection)["pid"] == pid
    eventually(lambda: toy.workers() == [int(found[1])], "the end of the old worker")
    assert toy.who()["slot"] == 0
    assert "WARNING" not in toy.log.read_text()


def test_of_several_that_want_to_leave_one_goes_at_a_time(toy: Toy) -> None:
    toy.start("'one', workers=3, tired=True")
    tired = {leave(toy)["pid"] for _ in range(9)}
    most = 0

    def done() -> bool:
        nonlocal most
        most = max(most, len(toy.workers()))
        return toy.log.read_text().count("takes over") == len(tired)

    eventually(done, "the replacements")
    assert most <= 4
    eventually(lambda: len(toy.workers()) == 3 and tired.isdisjoint(toy.workers()), "the new ones")


def test_a_replacement_that_cannot_start_leaves_the_old_worker_alone(toy: Toy) -> None:
    toy.start("'one', tired=True, start=closed", CLOSED)
    (toy.folder / "bad").touch()
    pid = leave(toy)["pid"]
    toy.wait_for_log(
        rf"ERROR worker w0 \(pid {pid}\) goes on, its replacement has failed: bad file; "
        r"tried again in 30 s$"
    )
    assert toy.who()["pid"] == pid


def test_a_replacement_that_is_killed_leaves_the_old_worker_alone(toy: Toy) -> None:
    toy.start("'one', tired=True, start=closed", CLOSED)
    close(toy)
    pid = leave(toy)["pid"]
    eventually((toy.folder / "waiting").exists, "the replacement")
    [successor] = set(toy.workers()) - {pid}
    os.kill(successor, signal.SIGKILL)
    toy.wait_for_log(r"ERROR .* goes on, .* failed: .* was killed by SIGKILL before it was ready;")
    assert toy.who()["pid"] == pid


def test_an_old_worker_that_dies_first_is_replaced_by_its_replacement(toy: Toy) -> None:
    toy.start("'one', tired=True, start=closed", CLOSED)
    close(toy)
    pid = leave(toy)["pid"]
    eventually((toy.folder / "waiting").exists, "the replacement")
    [successor] = set(toy.workers()) - {pid}
    os.kill(pid, signal.SIGKILL)
    toy.wait_for_log(rf"WARNING .*{pid}\) was killed by SIGKILL: its replacement starts already$")
    (toy.folder / "closed").unlink()
    assert toy.who()["pid"] == successor
    assert leave(toy)["pid"] == successor
    toy.wait_for_log(rf"takes over from pid {successor}$")


@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL])
def test_a_reload_and_an_end_take_a_replacement_with_them(toy: Toy, signum: signal.Signals) -> None:
    toy.start("'one', workers=2, tired=True, quick=True, start=closed", CLOSED)
    close(toy)
    leave(toy)
    eventually((toy.folder / "waiting").exists, "the replacement")
    assert len(toy.workers()) == 3
    old = set(toy.seen)
    if signum == signal.SIGHUP:
        toy.write("'two', workers=2, tired=True")
    toy.send(signum)
    if signum == signal.SIGHUP:
        toy.wait_for_log("generation 1 serves")
        (toy.folder / "closed").unlink()
        eventually(lambda: old.isdisjoint(toy.workers()), "the end of all old workers")
        assert leave(toy)["code"] == "two"
        toy.wait_for_log("takes over")
        assert toy.who()["code"] == "two"
    else:
        toy.wait()
        eventually(lambda: all(is_gone(pid) for pid in toy.seen), "the end of all workers")


def test_pauses_after_replacements_in_vain_double_up_to_an_hour() -> None:
    [slot] = Generation.of_size(0, 1).slots
    pauses = [slot.next_pause() for _ in range(9)]
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert [slot.next_pause() for _ in range(2000)][-1] == 3600
