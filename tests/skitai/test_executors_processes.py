"""Processes for ``was.Process``: results, errors, cancelling, and children that die."""

from __future__ import annotations

import functools
import math
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import executing
import psutil
import pytest
from executing import PATIENCE, Outcome, call
from processes import eventually

from skitai.errors import ConfigError, HTTPError
from skitai.executors import child
from skitai.executors.errors import (
    ExecutorFull,
    ExecutorStopped,
    JobExited,
    NotPicklable,
    ProcessDied,
    RemoteError,
    RemoteTraceback,
)
from skitai.executors.processes import ProcessExecutor


@pytest.fixture
def executor_of():
    made = []

    def make(workers=1, **options):
        made.append(ProcessExecutor(workers, **options))
        return made[-1]

    yield make
    for executor in made:
        executor.stop(0)


@pytest.fixture(scope="module")
def shared():
    """An executor for the tests that do no harm."""
    executor = ProcessExecutor(1)
    yield executor
    executor.stop(0)


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def announced(path: Path) -> list[int]:
    return [int(word) for word in eventually(path.exists, path.name) and path.read_text().split()]


def submit(executor, function, *args):
    outcome = Outcome()
    return executor.submit(function, args, {}, outcome), outcome


# Results and errors


def test_a_function_runs_in_another_process(shared):
    assert call(shared, math.sqrt, 4.0) == 2.0
    assert call(shared, executing.add, 1, right=2) == 3
    assert call(shared, executing.pid) == shared.pids[0] != os.getpid()


def test_partials_methods_and_classes_can_be_sent(shared):
    assert call(shared, functools.partial(executing.add, 1), 5) == 6
    assert call(shared, "a-b".split, "-") == ["a", "b"]
    assert call(shared, Path, "/tmp") == Path("/tmp")


@pytest.mark.parametrize("length", [0, 1, 1 << 16, 1 << 20, (1 << 20) + 1, 50_000_000])
def test_arguments_and_results_of_any_size(shared, length):
    assert call(shared, executing.size, b"\0" * length) == length
    assert call(shared, executing.blob, length) == b"\0" * length


def test_an_exception_comes_back_with_the_remote_traceback(shared):
    with pytest.raises(ValueError, match="no such key") as caught:
        call(shared, executing.fail_deeply)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    text = str(caught.value.__cause__)
    assert 'executing.py", line' in text
    assert "in fail_deeply" in text
    assert "KeyError: 'key'" in text


@pytest.mark.parametrize(
    ("kind", "args", "attributes"),
    [
        (FileNotFoundError, (2, "gone", "file"), {"errno": 2, "filename": "file"}),
        (UnicodeDecodeError, ("utf-8", b"\xff", 0, 1, "bad"), {"object": b"\xff"}),
        (StopIteration, (7,), {"value": 7}),
        (executing.Stubborn, (7, "no"), {"code": 7, "args": ("7 no",)}),
        (HTTPError, ("404 Not Found", "x", 40401), {"code": 404, "explain": "x", "errno": 40401}),
    ],
)
def test_exceptions_keep_their_type_and_what_they_know(shared, kind, args, attributes):
    with pytest.raises(kind) as caught:
        call(shared, executing.fail, kind, *args)
    assert type(caught.value) is kind
    assert {name: getattr(caught.value, name) for name in attributes} == attributes


def test_an_error_with_a_status_keeps_it_whatever_its_text(shared):
    with pytest.raises(HTTPError) as caught:
        call(shared, executing.not_found)
    assert (caught.value.status, caught.value.explain) == ("404 Not Found", "two\nlines")


def test_an_exception_that_holds_what_cannot_be_sent_comes_without_it(shared):
    with pytest.raises(executing.Local, match="^locked$") as caught:
        call(shared, executing.fail, executing.Local, "locked")
    assert not hasattr(caught.value, "lock")


def test_an_exception_that_nobody_else_knows_is_described(shared):
    with pytest.raises(RemoteError, match=r"fail_unpicklably raised .*Hidden: can't leave"):
        call(shared, executing.fail_unpicklably)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_would_end_a_process_is_an_error_like_others(shared, kind):
    before = call(shared, executing.pid)
    with pytest.raises(JobExited, match=rf"executing.fail ended with {kind.__name__}\(3\)"):
        call(shared, executing.fail, kind, 3)
    assert call(shared, executing.pid) == before


def nested():
    def inner():
        pass

    return inner


@pytest.mark.parametrize("function", [lambda: None, nested()])
def test_a_function_that_others_cannot_find_is_named_and_the_fix_too(shared, function):
    with pytest.raises(NotPicklable) as caught:
        call(shared, function)
    assert f"{function.__module__}.{function.__qualname__}" in str(caught.value)
    assert "make it a module-level function, or use was.Thread" in str(caught.value)


def test_an_argument_that_cannot_be_sent_is_an_error_that_says_so(shared):
    for argument in (threading.Lock(), executing.Unpicklable(), lambda: None):
        with pytest.raises(NotPicklable, match=r"an argument of executing\.echo can't be sent"):
            call(shared, executing.echo, argument)


def test_an_argument_that_cannot_be_loaded_is_too(shared):
    with pytest.raises(NotPicklable, match="can't be loaded in another process.*not here"):
        call(shared, executing.echo, executing.Unloadable())


def test_a_result_that_cannot_be_sent_or_loaded_is_too(shared):
    with pytest.raises(NotPicklable, match=r"result of executing\.make_lock can't be sent.*lock"):
        call(shared, executing.make_lock)
    with pytest.raises(NotPicklable, match=r"make_unloadable can't be loaded: .*not here"):
        call(shared, executing.make_unloadable)
    assert call(shared, executing.add, 1) == 2


# Processes


def test_processes_start_with_the_first_job_and_stay(executor_of):
    executor = executor_of(4)
    assert executor.pids == []
    assert len({call(executor, executing.pid) for _ in range(50)}) == 1
    assert len(executor.pids) == 1


def test_no_more_processes_than_asked_for(executor_of):
    executor = executor_of(2)
    outcomes = [submit(executor, executing.pid, number)[1] for number in range(50)]
    assert {outcome.get() for outcome in outcomes} <= set(executor.pids)
    assert len(executor.pids) == 2


def test_one_job_too_many_is_refused(executor_of, tmp_path):
    executor = executor_of(1, max_waiting=1)
    submit(executor, executing.touch_and_wait, tmp_path / "runs")
    announced(tmp_path / "runs")
    submit(executor, executing.add, 1)
    with pytest.raises(ExecutorFull, match=r"executing\.add was not started: 1 jobs wait already"):
        submit(executor, executing.add, 1)


@pytest.mark.parametrize("method", ["fork", "forkserver", ""])
def test_processes_are_never_copies_of_the_worker(method):
    with pytest.raises(ConfigError, match=f"process_start_method='{method}' can't be used"):
        ProcessExecutor(1, method)


def test_a_child_has_none_of_the_sockets_pipes_and_files_of_the_worker(executor_of, tmp_path):
    read, write = os.pipe()
    for descriptor in (read, write):
        os.set_inheritable(descriptor, True)
    with socket.create_server(("127.0.0.1", 0)) as listener, open(tmp_path / "file", "w") as file:
        listener.set_inheritable(True)
        os.set_inheritable(file.fileno(), True)
        facts = call(executor_of(), executing.surroundings)
        ours = {os.readlink(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
                if int(number) > 2 and os.path.islink(f"/proc/self/fd/{number}")}  # fmt: skip
    os.close(read)
    os.close(write)
    found = facts["descriptors"]
    assert found.pop(0) == "/dev/null"
    assert (found.pop(1), found.pop(2)) == tuple(os.readlink(f"/proc/self/fd/{n}") for n in (1, 2))
    leash, connection = sorted(link for link in found.values() if not link.startswith("/proc"))
    assert (leash.startswith("pipe:"), connection.startswith("socket:")) == (True, True)
    assert connection not in ours


def test_a_child_has_path_directory_arguments_and_environment_of_the_worker(
    executor_of, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXECUTED_VARIABLE", "kept")
    monkeypatch.setattr(sys, "argv", ["serve.py", "--devel"])
    monkeypatch.syspath_prepend(str(tmp_path / "added"))
    facts = call(executor_of(), executing.surroundings)
    assert facts["cwd"] == str(tmp_path)
    assert facts["variable"] == "kept"
    assert facts["argv"] == ["serve.py", "--devel"]
    assert facts["path"] == sys.path
    assert facts["skitai"] == []


def test_a_child_is_out_of_reach_for_signals_to_the_service(executor_of, tmp_path):
    executor = executor_of()
    facts = call(executor, executing.surroundings)
    pid = executor.pids[0]
    assert facts["session"] == facts["group"] == pid != os.getsid(0)
    _, outcome = submit(executor, executing.touch_and_wait, tmp_path / "runs")
    announced(tmp_path / "runs")
    for signum in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1"):
        os.kill(pid, signal.Signals[signum])
    assert not outcome.told.wait(0.1)
    assert executor.pids == [pid]
    assert is_alive(pid)


def test_signals_that_hit_a_child_while_it_starts_do_no_harm(executor_of, monkeypatch):
    start = child._start

    def start_and_signal(*args):
        process = start(*args)
        for _ in range(10):
            process.send_signal(signal.SIGTERM)
        return process

    monkeypatch.setattr(child, "_start", start_and_signal)
    assert call(executor_of(), executing.add, 1) == 2
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


def test_the_output_of_a_job_appears_at_once(executor_of, capfd):
    call(executor_of(), print, "printed by a job")
    assert "printed by a job" in capfd.readouterr().out


def test_a_worker_without_output_does_not_lend_something_else(executor_of, monkeypatch):
    monkeypatch.setattr(sys, "__stdout__", None)
    facts = call(executor_of(), executing.surroundings)
    assert facts["descriptors"][1] == "/dev/null"


# Death


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (0, "ended with exit code 0"),
        (7, "ended with exit code 7"),
        (signal.SIGKILL, "was killed by signal 9"),
        (signal.SIGSEGV, "was killed by signal 11"),
    ],
)
def test_a_child_that_dies_fails_its_own_job_only(executor_of, tmp_path, how, says):
    executor = executor_of(2)
    _, other = submit(executor, executing.touch_and_wait, tmp_path / "runs")
    announced(tmp_path / "runs")
    with pytest.raises(ProcessDied, match=rf"the process of executing\.die {says}"):
        call(executor, executing.die, how)
    assert call(executor, executing.add, 1) == 2
    assert not other.told.is_set()


def test_a_child_that_is_killed_from_outside_is_replaced(executor_of, tmp_path):
    executor = executor_of()
    _, outcome = submit(executor, executing.touch_and_wait, tmp_path / "runs")
    os.kill(announced(tmp_path / "runs")[0], signal.SIGKILL)
    with pytest.raises(ProcessDied, match="touch_and_wait was killed by signal 9"):
        outcome.get()
    assert call(executor, executing.add, 1) == 2


def test_a_child_that_dies_while_it_is_idle_fails_nobody(executor_of):
    executor = executor_of()
    first = call(executor, executing.pid)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: not is_alive(first), "the child is dead")
    second = call(executor, executing.pid)
    assert executor.pids == [second] != [first]
    assert not psutil.pid_exists(first)  # it was reaped


def test_a_death_is_noticed_though_a_program_has_a_copy_of_the_connection(executor_of, tmp_path):
    executor = executor_of()
    with pytest.raises(ProcessDied, match="exit code 5"):
        call(executor, executing.leave_a_copy_and_die, tmp_path / "copy")
    eventually(lambda: not is_alive(announced(tmp_path / "copy")[0]), "the copy was killed")
    assert call(executor, executing.add, 1) == 2


def test_a_process_that_cannot_be_started_fails_the_job(executor_of, monkeypatch):
    executor = executor_of()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    before = executing.descriptors()
    with pytest.raises(ProcessDied, match=r"executing\.add was not started: no process.*nowhere"):
        call(executor, executing.add, 1)
    assert executing.descriptors() == before
    monkeypatch.undo()
    assert call(executor, executing.add, 1) == 2


def test_an_answer_that_is_too_large_fails_the_job_and_ends_its_process(executor_of, monkeypatch):
    def receive(connection):
        raise MemoryError

    executor, before = executor_of(), executing.descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(child.remote, "receive", receive)
        with pytest.raises(MemoryError):
            call(executor, executing.add, 1)
    assert (executor.pids, executing.descriptors()) == ([], before)
    assert call(executor, executing.add, 1) == 2


# Cancelling


def test_a_job_that_is_cancelled_while_it_waits_never_runs(executor_of, tmp_path):
    executor = executor_of()
    running, _ = submit(executor, executing.touch_and_wait, tmp_path / "runs")
    announced(tmp_path / "runs")
    job, outcome = submit(executor, executing.announce, tmp_path / "never", "ran")
    assert job.cancel()
    assert executor.waiting == 0
    running.cancel()
    assert call(executor, executing.add, 1) == 2
    assert not (tmp_path / "never").exists()
    assert outcome.times == 0


def test_a_job_that_is_cancelled_while_its_process_starts_never_runs(
    executor_of, tmp_path, monkeypatch
):
    starts, goes_on, start = threading.Event(), threading.Event(), child._start

    def wait_and_start(*args):
        starts.set()
        assert goes_on.wait(PATIENCE)
        return start(*args)

    monkeypatch.setattr(child, "_start", wait_and_start)
    executor = executor_of()
    job, outcome = submit(executor, executing.announce, tmp_path / "never", "ran")
    assert starts.wait(PATIENCE)
    assert job.cancel()
    goes_on.set()
    pid = call(executor, executing.pid)
    assert executor.pids == [pid]  # the new process was good for the next job
    assert not (tmp_path / "never").exists()
    assert outcome.times == 0


@pytest.mark.parametrize("function", [executing.touch_and_wait, executing.spin])
def test_a_job_that_is_cancelled_while_it_runs_is_killed(executor_of, tmp_path, function):
    executor = executor_of()
    job, outcome = submit(executor, function, tmp_path / "runs")
    (pid,) = announced(tmp_path / "runs")
    assert job.cancel()
    assert not job.cancel()
    eventually(lambda: not psutil.pid_exists(pid), "the process was killed and reaped")
    assert call(executor, executing.add, 1) == 2
    assert outcome.times == 0


def test_what_a_cancelled_job_started_is_killed_too(executor_of, tmp_path):
    executor = executor_of()
    job, _ = submit(executor, executing.start_tree, tmp_path / "tree")
    pids = announced(tmp_path / "tree")
    assert len(pids) == 3
    job.cancel()
    eventually(lambda: not any(map(is_alive, pids)), "all programs were killed")


class Slow:
    """Takes for ever to be packed, or to be unpacked."""

    def __init__(self, path, there):
        self.path, self.there = path, there

    def __getstate__(self):
        if not self.there:
            executing.announce(self.path, "0")
            assert gate.wait(PATIENCE)
        return self.__dict__

    def __setstate__(self, state):
        executing.touch_and_wait(state["path"])


gate = threading.Event()


def test_a_job_that_is_cancelled_while_it_is_packed_needs_no_process(executor_of, tmp_path):
    gate.clear()
    executor = executor_of()
    job, outcome = submit(executor, executing.echo, Slow(tmp_path / "packs", False))
    announced(tmp_path / "packs")
    assert job.cancel()
    gate.set()
    executor.stop(PATIENCE)
    assert (executor.pids, outcome.times) == ([], 0)


def test_a_job_that_is_cancelled_while_the_process_unpacks_it_is_killed(executor_of, tmp_path):
    executor = executor_of()
    # More than the connection takes: the sending side is stuck as well, behind a job that runs.
    job, outcome = submit(
        executor, executing.echo, [Slow(tmp_path / "loads", True), bytes(1 << 24)]
    )
    (pid,) = announced(tmp_path / "loads")
    assert job.cancel()
    eventually(lambda: not psutil.pid_exists(pid), "the process was killed")
    assert (call(executor, executing.add, 1), outcome.times) == (2, 0)


def test_a_job_that_is_cancelled_while_it_is_sent_is_dropped(executor_of, monkeypatch):
    """The process is stopped, so that it takes nothing."""
    executor = executor_of()
    pid = call(executor, executing.pid)
    os.kill(pid, signal.SIGSTOP)
    sends, send = threading.Event(), child.remote.send

    def send_and_tell(*args):
        sends.set()
        send(*args)

    monkeypatch.setattr(child.remote, "send", send_and_tell)
    job, outcome = submit(executor, executing.size, bytes(1 << 24))
    assert sends.wait(PATIENCE)
    assert job.cancel()
    eventually(lambda: not psutil.pid_exists(pid), "the process was killed")
    assert (call(executor, executing.add, 1), outcome.times) == (2, 0)


def test_cancelling_at_any_moment_never_harms_another_job(executor_of):
    executor = executor_of(2)
    kept = 0
    for number in range(150):
        job, outcome = submit(executor, executing.add, number)
        threading.Event().wait(number / 150 * 0.0005)
        if not job.cancel():
            assert outcome.get() == number + 1
            kept += 1
        else:
            assert outcome.times == 0
        assert call(executor, executing.add, number) == number + 1
    assert kept > 0
    assert len(executor.pids) <= 2


# The end


def test_stopping_ends_idle_children_gently(executor_of):
    executor = executor_of(2)
    barrier = [submit(executor, executing.pid, n)[1] for n in range(10)]
    pids = {outcome.get() for outcome in barrier} | set(executor.pids)
    executor.stop(PATIENCE)
    assert not any(map(psutil.pid_exists, pids))
    with pytest.raises(ExecutorStopped):
        submit(executor, executing.add, 1)


def test_stopping_lets_jobs_end_and_fails_those_that_wait(executor_of, tmp_path):
    executor = executor_of()
    call(executor, executing.add, 1)
    os.mkfifo(tmp_path / "fifo")
    _, running = submit(executor, read_text, tmp_path / "fifo")
    with open(tmp_path / "fifo", "w") as fifo:  # waits until the job runs
        _, waiting = submit(executor, executing.add, 1)
        stopper = threading.Thread(target=executor.stop, args=(PATIENCE,))
        stopper.start()
        with pytest.raises(ExecutorStopped, match=r"executing\.add was not started"):
            waiting.get()
        fifo.write("to the end")
    assert running.get() == "to the end"
    stopper.join(PATIENCE)
    assert executor.pids == []


def read_text(path):
    return Path(path).read_text()


def test_stopping_kills_what_does_not_end(executor_of, tmp_path):
    executor = executor_of()
    _, outcome = submit(executor, executing.start_tree, tmp_path / "tree")
    pids = [*announced(tmp_path / "tree"), *executor.pids]
    executor.stop(0.01)
    with pytest.raises(ExecutorStopped, match="start_tree was still running"):
        outcome.get()
    assert executor.pids == []
    eventually(lambda: not any(map(is_alive, pids)), "everything was killed")


def test_a_thousand_jobs_leave_nothing_behind(executor_of):
    executor = executor_of(2)
    for outcome in [submit(executor, executing.add, n)[1] for n in range(100)]:
        outcome.get()
    pids = set(executor.pids)
    before = executing.descriptors(), threading.active_count()
    memory = executing.resident(), [psutil.Process(pid).memory_info().rss for pid in pids]
    for outcome in [submit(executor, executing.size, bytes(1000))[1] for _ in range(1000)]:
        assert outcome.get() == 1000
    assert set(executor.pids) == pids
    assert (executing.descriptors(), threading.active_count()) == before
    assert executing.resident() - memory[0] < 8 * 1024
    for pid, rss in zip(pids, memory[1], strict=True):
        assert psutil.Process(pid).memory_info().rss - rss < 8 << 20


def test_killed_jobs_leave_nothing_behind(executor_of, tmp_path):
    executor, before = executor_of(2), executing.descriptors()
    others = set(psutil.Process().children())  # e.g. that of other tests
    for _ in range(10):
        with pytest.raises(ProcessDied):
            call(executor, executing.die, 0)
        job, _ = submit(executor, executing.touch_and_wait, tmp_path / "runs")
        announced(tmp_path / "runs")
        (tmp_path / "runs").unlink()
        job.cancel()
    eventually(lambda: executor.pids == [], "the last one was killed")
    assert executing.descriptors() == before
    assert set(psutil.Process().children()) == others
