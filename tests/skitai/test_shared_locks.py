"""Locks by name over the threads of all processes that share a memory."""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, ClassVar

import pytest

from skitai.stores import locks as locks_module
from skitai.stores.locks import SharedLocks
from skitai.stores.memory import HEADER, SharedMemory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 20.0  # seconds


@pytest.fixture
def locks() -> SharedLocks:
    memory = SharedMemory(HEADER)
    memory.make()
    return SharedLocks(memory)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    yield
    while Forked.alive:
        process = Forked.alive[0]
        os.kill(process.pid, signal.SIGKILL)
        process.end()


class Forked:
    """A process that does some work and ends; it can tell and be told to go on."""

    alive: ClassVar[list[Forked]] = []

    def __init__(self, work: Callable[[Forked], None]) -> None:
        self.alive.append(self)
        told, self._tell = os.pipe()
        self._told, tell = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                self._told, self._tell = told, tell
                work(self)
                code = 0
            finally:
                os._exit(code)
        os.close(told)
        os.close(tell)

    def tell(self) -> None:
        os.write(self._tell, b".")

    def wait(self) -> None:
        assert os.read(self._told, 1) == b"."

    def end(self) -> int:
        self.alive.remove(self)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._told)
        os.close(self._tell)
        return code


def in_thread(work: Callable[[], object]) -> object:
    """Do something in another thread; what it returns."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join(PATIENCE)
    return results[0]


def test_a_lock_excludes_other_threads_until_it_is_given_back(locks: SharedLocks) -> None:
    lock = locks.get("a")
    with lock:
        assert in_thread(lambda: locks.get("a").acquire(blocking=False)) is False
        assert in_thread(lambda: locks.get("b").acquire(blocking=False)) is True
    with in_thread(lambda: lock):
        pass
    assert lock.name == "a"


def test_a_thread_may_take_a_lock_several_times(locks: SharedLocks) -> None:
    lock = locks.get("a")
    assert lock.acquire()
    assert locks.get("a").acquire(timeout=1)
    lock.release()
    assert in_thread(lambda: lock.acquire(timeout=0.01)) is False
    lock.release()
    assert in_thread(lambda: lock.acquire(timeout=0.01) and not lock.release()) is True


def test_who_does_not_have_a_lock_cannot_give_it_back(locks: SharedLocks) -> None:
    lock = locks.get("a")
    with pytest.raises(RuntimeError, match="does not have the lock 'a'"):
        lock.release()
    with lock:

        def attempt() -> str:
            try:
                lock.release()
            except RuntimeError as exc:
                return str(exc)
            return "released"

        assert "does not have the lock 'a'" in str(in_thread(attempt))
    with pytest.raises(RuntimeError):
        lock.release()


def test_threads_change_something_one_after_the_other(locks: SharedLocks) -> None:
    inside: list[int] = []
    most = []

    def work() -> None:
        for _ in range(200):
            with locks.get("a"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert (max(most), len(most)) == (1, 800)


def test_a_lock_excludes_other_processes(locks: SharedLocks) -> None:
    lock = locks.get("a")

    def work(process: Forked) -> None:
        assert lock.acquire(blocking=False) is False
        assert lock.acquire(timeout=0.05) is False
        assert locks.get("b").acquire(blocking=False)
        process.tell()
        assert lock.acquire(timeout=PATIENCE)
        lock.release()
        with lock:
            pass

    with lock:
        process = Forked(work)
        process.wait()
    assert process.end() == 0


def test_a_process_that_was_forked_does_not_have_the_locks_of_the_other(locks: SharedLocks) -> None:
    lock = locks.get("a")

    def work(process: Forked) -> None:
        with pytest.raises(RuntimeError):
            lock.release()
        assert lock.acquire(blocking=False) is False

    with lock:
        process = Forked(work)
        assert process.end() == 0
        assert in_thread(lambda: lock.acquire(blocking=False)) is False


def test_processes_with_threads_change_something_one_after_the_other(
    locks: SharedLocks, tmp_path: object
) -> None:
    path = os.path.join(str(tmp_path), "number")
    with open(path, "w") as file:
        file.write("0")

    def add() -> None:
        for _ in range(100):
            with locks.get("a"):
                with open(path) as file:
                    number = int(file.read())
                with open(path, "w") as file:
                    file.write(str(number + 1))

    def work(process: Forked) -> None:
        threads = [threading.Thread(target=add) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)

    processes = [Forked(work) for _ in range(3)]
    assert [process.end() for process in processes] == [0, 0, 0]
    with open(path) as file:
        assert file.read() == "600"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_process_that_dies_is_free(
    locks: SharedLocks, signum: signal.Signals
) -> None:
    def work(process: Forked) -> None:
        locks.get("a").acquire()
        process.tell()
        process.wait()

    process = Forked(work)
    process.wait()
    assert locks.get("a").acquire(blocking=False) is False
    waiting = threading.Thread(target=lambda: locks.get("a").acquire(timeout=PATIENCE))
    waiting.start()
    os.kill(process.pid, signum)
    assert process.end() == -signum
    waiting.join(PATIENCE)
    assert not waiting.is_alive()


def test_a_time_is_kept(locks: SharedLocks) -> None:
    def work(process: Forked) -> None:
        locks.get("a").acquire()
        process.tell()
        process.wait()

    process = Forked(work)
    process.wait()
    before = time.monotonic()
    assert locks.get("a").acquire(timeout=0.1) is False
    assert 0.1 <= time.monotonic() - before < 5
    process.tell()
    assert process.end() == 0
    assert locks.get("a").acquire(timeout=PATIENCE)


def test_what_looks_like_a_deadlock_of_processes_is_none(locks: SharedLocks) -> None:
    """Each of two processes waits for the other in one thread, while another could go on."""

    def hold(mine: str, other: str, process: Forked) -> None:
        passed = []
        waiting = threading.Thread(target=lambda: passed.append(take_and_go(other)))
        with locks.get(mine):
            process.tell()
            process.wait()
            waiting.start()
            process.tell()
            process.wait()
        waiting.join(PATIENCE)
        assert passed == [True]

    def take_and_go(name: str) -> bool:
        with locks.get(name):
            return True

    processes = [
        Forked(lambda process: hold("a", "b", process)),
        Forked(lambda process: hold("b", "a", process)),
    ]
    for ready in (lambda: None, lambda: eventually_waiting(processes)):
        for process in processes:
            process.wait()
        ready()
        for process in processes:
            process.tell()
    assert [process.end() for process in processes] == [0, 0]


def eventually_waiting(processes: list[Forked]) -> None:
    """Until at least one of them is in the kernel's list of those that wait for a lock."""
    deadline = time.monotonic() + PATIENCE
    pids = {str(process.pid) for process in processes}
    while True:
        with open("/proc/locks") as file:
            waiting = {line.split()[5] for line in file if "->" in line}
        if waiting & pids:
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_lock_that_was_asked_for_before_a_fork_is_one_lock() -> None:
    lock = SharedLocks(SharedMemory(HEADER)).get("a")
    process = Forked(lambda process: lock.acquire() and process.tell() or process.wait())
    process.wait()
    assert lock.acquire(blocking=False) is False
    process.tell()
    assert process.end() == 0


def test_unused_locks_take_no_memory(locks: SharedLocks) -> None:
    for number in range(1000):
        with locks.get(f"user {number}"):
            pass
    gc.collect()
    assert len(locks._used) == 0
    kept = locks.get("a")
    assert locks.get("a") is kept


def test_two_names_are_two_locks(locks: SharedLocks) -> None:
    held = [locks.get(str(number)) for number in range(1000)]
    assert len({lock._place for lock in held}) == 1000
    assert min(lock._place for lock in held) >= locks_module.FIRST_PLACE


def test_a_refused_lock_leaves_the_thread_without_it(
    locks: SharedLocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the system has no more locks, nothing is locked in this process either."""

    def refuse(*args: object) -> None:
        raise OSError(37, "No locks available")

    lock = locks.get("a")
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "lockf", refuse)
        with pytest.raises(OSError, match="No locks"):
            lock.acquire()
    assert in_thread(lambda: lock.acquire(blocking=False)) is True
