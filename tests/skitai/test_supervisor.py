"""The master with real workers: scripts are started, killed, reloaded, asked through sockets."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from skitai.errors import ConfigError
from skitai.supervisor.children import Generation, describe_end
from skitai.supervisor.seats import SEAT_VARIABLE, seat_from_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.e2e

PATIENCE = 20.0  # seconds; far more than anything here takes
HERE = Path(__file__).parent


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Poll until the condition gives something true; that is the result."""
    deadline = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.01)
    return result


class Toy:
    """A toy service run from a script (or from standard input), and what can be seen of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "toy.py"
        self.log = folder / "log"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.settimeout(PATIENCE)
        self.manager.bind(str(folder / "notify"))
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.seen: set[int] = set()

    def write(self, arguments: str, before: str = "") -> None:
        self.script.write_text(
            f"import os, sys, time, toy_service\n{before}\ntoy_service.run({arguments})\n"
        )

    def launch(self, *, stdin: bool = False) -> None:
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parent.parent)]),
            "NOTIFY_SOCKET": str(self.folder / "notify"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        source = self.script if stdin else Path(os.devnull)
        with self.log.open("wb") as log, source.open("rb") as script:
            self.process = subprocess.Popen(
                [sys.executable, "-" if stdin else str(self.script)],
                stdin=script, stdout=log, stderr=log,
                env=environ, cwd=self.folder, start_new_session=True,
            )  # fmt: skip

    def start(self, arguments: str, before: str = "", *, stdin: bool = False) -> None:
        """Launch and wait until the service says that it is ready."""
        self.write(arguments, before)
        self.launch(stdin=stdin)
        message = self.notified()
        assert message.startswith(f"READY=1\nMAINPID={self.pid}\nSTATUS=serving on http://"), (
            message, self.log.read_text(),
        )  # fmt: skip
        self.port = int(message.rpartition(":")[2])

    def notified(self) -> str:
        return self.manager.recv(1000).decode()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def send(self, signum: signal.Signals) -> None:
        os.kill(self.pid, signum)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(PATIENCE)

    def workers(self) -> list[int]:
        pids = [child.pid for child in psutil.Process(self.pid).children()]
        self.seen.update(pids)
        return pids

    def connect(self, line: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        connection.sendall(line)
        return connection

    def who(self) -> dict[str, Any]:
        with self.connect(b"who\n") as connection:
            answer: dict[str, Any] = read_answer(connection)
            return answer

    def wait_for_answer(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask until a worker answers what is wanted."""

        def ask() -> dict[str, Any] | None:
            answer = self.who()
            return answer if condition(answer) else None

        answer: dict[str, Any] = eventually(ask, "an answer that fits")
        return answer

    def wait_for_log(self, pattern: str) -> re.Match[str]:
        match: re.Match[str] = eventually(
            lambda: re.search(pattern, self.log.read_text(), re.MULTILINE), f"{pattern} in the log"
        )
        return match

    def close(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
        self.manager.close()


def read_answer(connection: socket.socket) -> Any:
    with connection.makefile("rb") as stream:
        return json.loads(stream.readline())


def held(toy: Toy) -> tuple[socket.socket, int]:
    """A connection that a worker has accepted and will answer later, and that worker's pid."""
    toy.workers()
    connection = toy.connect(b"wait\n")
    return connection, read_answer(connection)


def finish(connection: socket.socket) -> dict[str, Any]:
    with connection:
        connection.sendall(b"go\n")
        answer: dict[str, Any] = read_answer(connection)
        return answer


def is_gone(pid: int) -> bool:
    """Ended; nobody may be left to reap what a killed master leaves behind."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[Toy]:
    service = Toy(tmp_path)
    yield service
    service.close()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """While this file exists, workers of a script with GATE make a file "waiting" and wait."""
    path = tmp_path / "gate"
    path.touch()
    return path


GATE = (
    "def gate(seat):\n"
    "    open('waiting', 'w').close()\n"
    "    while os.path.exists('gate'): time.sleep(0.01)"
)


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

    pid = toy.who()["pid"]
    os.kill(pid, signal.SIGKILL)  # once the master replaces it, all of its start is behind it
    toy.wait_for_log(rf"\(pid {pid}\) was killed")
    eventually(lambda: len(toy.workers()) == 2, "a replacement")
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


# Reload


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


# Seats


def test_other_processes_have_no_seat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SEAT_VARIABLE, raising=False)
    assert seat_from_environment() is None


def seat_text(changes: dict[str, Any]) -> str:
    seat: dict[str, Any] = {
        "master": os.getppid(), "slot": 0, "workers": 1, "alive": 0, "report": 1, "listeners": [],
    }  # fmt: skip
    return json.dumps({**seat, **changes})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value"),
        ("nonsense", "Expecting value"),
        ("[1, 2]", "not a JSON object of master, slot"),
        ('{"slot": 0}', "not a JSON object of master, slot"),
        ({"other": 0}, "not a JSON object of master, slot"),
        ({"slot": "0"}, "not all values are numbers"),
        ({"slot": -1}, "not all values are numbers"),
        ({"slot": True}, "not all values are numbers"),
        ({"listeners": 3}, "not all values are numbers"),
        ({"listeners": ["a"]}, "not all values are numbers"),
        ({"master": 1}, "process 1 is not the parent"),
        ({"alive": 987654}, "Bad file descriptor"),
        ({"alive": 10**30}, "too large"),
    ],
)
def test_a_seat_that_no_master_made_is_refused(
    monkeypatch: pytest.MonkeyPatch, text: str | dict[str, Any], problem: str
) -> None:
    monkeypatch.setenv(SEAT_VARIABLE, text if isinstance(text, str) else seat_text(text))
    with pytest.raises(ConfigError, match=rf"^SKITAI_SEAT=.*\(.*{problem}.*\): unset it"):
        seat_from_environment()
    assert SEAT_VARIABLE not in os.environ


def test_a_seat_is_refused_when_its_descriptors_are_no_pipes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open(os.devnull, "rb") as file:
        monkeypatch.setenv(SEAT_VARIABLE, seat_text({"alive": file.fileno()}))
        with pytest.raises(ConfigError, match=f"descriptor {file.fileno()} is not a pipe"):
            seat_from_environment()


def test_the_end_of_a_process_is_told_in_words() -> None:
    assert describe_end(3) == "ended with exit code 3"
    assert describe_end(-11) == "was killed by SIGSEGV"
    assert describe_end(-signal.SIGRTMIN - 1) == f"was killed by signal {signal.SIGRTMIN + 1}"
