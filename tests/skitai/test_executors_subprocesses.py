"""Commands for ``was.Subprocess``: output, errors, limits, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest
import uvloop
from executing import PATIENCE, descriptors, resident
from processes import ROOT, eventually

from skitai.executors import process_tree, subprocesses
from skitai.executors.errors import OutputTooLarge
from skitai.executors.subprocesses import Subprocess, end_commands, run_subprocess

if TYPE_CHECKING:
    from pathlib import Path

NEVER = 1000.0  # seconds that no test takes

others: set[psutil.Process] = set()  # children that other tests have


@pytest.fixture(autouse=True, scope="module")
def look_at_others():
    others.update(psutil.Process().children())


@pytest.fixture(params=["uvloop", "asyncio"])
def on_loop(request):
    def run(coroutine):
        loop = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
        try:
            return loop.run_until_complete(asyncio.wait_for(coroutine, PATIENCE))
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    return run


def output(command, **options):
    return asyncio.run(run_subprocess(command, **options))


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids_in(path: Path, count: int) -> list[int]:
    def read():
        words = path.read_text().split() if path.exists() else []
        return len(words) == count and [int(word) for word in words]

    return eventually(read, f"{count} processes")


def gone(pids):
    eventually(lambda: not any(map(is_alive, pids)), "all processes have ended")


def no_children():
    eventually(lambda: set(psutil.Process().children()) <= others, "all children are reaped")


# Output


def test_the_text_is_what_the_command_wrote(on_loop):
    assert on_loop(run_subprocess("echo one; echo two; printf three")) == "one\ntwo\nthree"


def test_a_list_runs_without_a_shell(on_loop):
    assert on_loop(run_subprocess(["echo", "$HOME; ls", "*"])) == "$HOME; ls *\n"


def test_a_command_without_output_gives_empty_text(on_loop):
    assert on_loop(run_subprocess("true")) == ""


def test_text_is_utf8_and_what_is_not_is_replaced(on_loop):
    assert on_loop(run_subprocess(r"printf 'gr\303\274n \377 \303'")) == "grün \ufffd \ufffd"


def test_characters_across_the_borders_of_chunks_stay_whole():
    source = "import sys; sys.stdout.write('a' + 'ü' * 200000)"
    assert output([sys.executable, "-X", "utf8", "-c", source]) == "a" + "ü" * 200_000


def test_much_output_on_both_sides_does_not_block(on_loop):
    command = "head -c 5000000 /dev/zero >&2; head -c 5000000 /dev/zero; head -c 9 /dev/zero >&2"
    assert len(on_loop(run_subprocess(command))) == 5_000_000


def test_output_that_is_closed_early_does_not_end_the_command(on_loop, tmp_path):
    command = "echo before; exec >&- 2>&-; sleep 0.05; touch file"
    assert on_loop(run_subprocess(command, cwd=str(tmp_path))) == "before\n"
    assert (tmp_path / "file").exists()


def test_also_where_the_system_does_not_tell_of_the_end(on_loop, monkeypatch):
    monkeypatch.delattr(process_tree.os, "pidfd_open")
    assert on_loop(run_subprocess("echo before; exec >&- 2>&-; sleep 0.05")) == "before\n"


def test_there_is_nothing_to_read(on_loop):
    assert on_loop(run_subprocess("cat; echo end")) == "end\n"


def test_directory_and_environment_can_be_given(tmp_path, monkeypatch):
    monkeypatch.setenv("INHERITED", "1")
    assert output("pwd", cwd=str(tmp_path)) == f"{tmp_path}\n"
    assert output("echo $INHERITED $GIVEN", env={"GIVEN": "2"}) == "2\n"
    assert output("echo $INHERITED") == "1\n"


# Errors


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("echo out; echo why >&2; exit 3", "^the command failed, code:3 why$"),
        ("exit 255", "^the command failed, code:255$"),
        ("nothing-like-this", "code:127 .*nothing-like-this.*not found"),
        ("kill -9 $$", "code:-9$"),
        (["sh", "-c", "printf '\\377' >&2; exit 1"], "code:1 \ufffd$"),
    ],
)
def test_another_exit_code_is_an_error_with_what_was_complained(on_loop, command, says):
    with pytest.raises(SystemError, match=says):
        on_loop(run_subprocess(command))


def test_of_long_complaints_the_end_is_kept():
    with pytest.raises(SystemError) as caught:
        output("seq 1000000 >&2; echo the end >&2; exit 1")
    assert len(str(caught.value)) < 5000
    assert str(caught.value).endswith("1000000\nthe end")


def test_complaints_of_a_command_that_succeeds_are_no_error():
    assert output("echo warning >&2; echo fine") == "fine\n"


@pytest.mark.parametrize(
    ("command", "options", "kind"),
    [
        (["/nothing/like/this"], {}, FileNotFoundError),
        ("true", {"cwd": "/nothing/like/this"}, FileNotFoundError),
        (["/etc/passwd"], {}, PermissionError),
        ("", {}, ValueError),
        ("  ", {}, ValueError),
        ([], {}, ValueError),
        ("echo \0", {}, ValueError),
    ],
)
def test_what_can_not_be_started_raises_and_leaves_nothing(command, options, kind):
    before = descriptors()
    with pytest.raises(kind):
        output(command, **options)
    assert descriptors() == before
    no_children()


def test_too_much_output_is_an_error_and_ends_the_command(on_loop):
    with pytest.raises(OutputTooLarge, match="wrote more than 100000 bytes"):
        on_loop(run_subprocess("cat /dev/zero", max_output=100_000))
    no_children()
    assert len(on_loop(run_subprocess("head -c 100000 /dev/zero", max_output=100_000))) == 100_000


# Being alone


def test_a_command_leads_a_session_and_has_no_descriptors_of_the_worker(on_loop):
    read, write = os.pipe()
    os.set_inheritable(read, True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        text = on_loop(
            run_subprocess("ls -l /proc/self/fd | grep -o '[0-9]* -> .*'; cat /proc/$$/stat")
        )
    os.close(read)
    os.close(write)
    *links, stat = text.splitlines()
    found = dict(link.split(" -> ") for link in links if "/proc" not in link)
    assert found.pop("0") == "/dev/null"
    # What is left beside the output is the leash: a pipe in which there is never anything.
    assert [link[:5] for link in found.values()] == ["pipe:"] * 3
    pid, _, group, session = (stat.split()[at] for at in (0, 3, 4, 5))
    assert pid == group == session != str(os.getsid(0))


# Ending


def tree(path):
    """A command that starts programs in its group, in one and in a session of their own."""
    return (
        f"sleep {NEVER} & setsid sleep {NEVER} & "
        f"python3 -c 'import os, time; os.setpgrp(); time.sleep({NEVER})' & "
        f"sleep 0.2; ps -o pid= --ppid $$ | head -3 > {path}; echo $$ >> {path}; wait"
    )


def test_after_the_timeout_the_command_and_all_it_started_is_killed(on_loop, tmp_path):
    path = tmp_path / "pids"

    async def time_out():
        process = Subprocess(tree(path), NEVER)
        text = asyncio.ensure_future(process.text())
        while not path.exists() or len(path.read_text().split()) < 4:
            await asyncio.sleep(0.01)
        process._expire()
        await text

    before = descriptors()
    with pytest.raises(TimeoutError):
        on_loop(time_out())
    gone(pids_in(path, 4))
    eventually(lambda: descriptors() == before, "all descriptors are closed")
    no_children()


def test_a_timeout_is_an_error_in_time(on_loop):
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"did not end within 0\.05 seconds"):
        on_loop(run_subprocess(f"trap '' TERM; sleep {NEVER}; sleep {NEVER}", 0.05))
    assert time.monotonic() - begun < subprocesses.GRACE_SECONDS / 2
    no_children()


def test_a_command_may_tidy_up_when_it_is_ended(on_loop, tmp_path):
    command = f"trap 'sleep 0.05; touch tidy; exit' TERM; echo up; sleep {NEVER} & wait"

    async def start_and_cancel():
        lines = Subprocess(command, cwd=str(tmp_path)).lines()
        assert await anext(lines) == "up\n"
        await lines.aclose()

    on_loop(start_and_cancel())
    eventually((tmp_path / "tidy").exists, "it tidied up")
    no_children()


def test_one_that_does_not_want_to_end_is_killed(on_loop, monkeypatch):
    monkeypatch.setattr(subprocesses, "GRACE_SECONDS", 0.05)

    async def start_and_cancel():
        process = Subprocess(f"trap '' TERM; echo up; while true; do sleep {NEVER}; done")
        lines = process.lines()
        assert await anext(lines) == "up\n"
        await lines.aclose()
        return process.pid

    gone([on_loop(start_and_cancel())])
    no_children()


def test_a_cancelled_command_ends_at_once_for_who_waits_and_soon_for_all(on_loop, tmp_path):
    path = tmp_path / "pids"

    async def cancel():
        task = asyncio.ensure_future(run_subprocess(tree(path)))
        while not path.exists() or len(path.read_text().split()) < 4:
            await asyncio.sleep(0.01)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - begun

    before = descriptors()
    assert on_loop(cancel()) < 0.2
    gone(pids_in(path, 4))
    eventually(lambda: descriptors() == before, "all descriptors are closed")
    no_children()


def test_what_a_command_starts_while_it_is_killed_is_killed_too():
    mark = "4242.5"
    command = f"while true; do setsid sleep {mark} & done"

    async def cancel():
        task = asyncio.ensure_future(run_subprocess(command))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])

    for _ in range(5):
        asyncio.run(cancel())
        assert end_commands(PATIENCE)
        words = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
        assert ["sleep", mark] not in words
    no_children()


@pytest.mark.parametrize("turns", range(6))
def test_a_command_can_be_cancelled_at_every_step(on_loop, turns):
    async def cancel():
        task = asyncio.ensure_future(run_subprocess("echo text"))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            assert await task == "text\n"  # it was faster

    before = descriptors()
    on_loop(cancel())
    no_children()
    eventually(lambda: descriptors() == before, "all descriptors are closed")


@pytest.mark.parametrize(("way", "code"), [("terminate", -15), ("kill", -9)])
def test_it_can_be_ended_by_hand_and_its_output_is_read_to_the_end(on_loop, way, code):
    async def end():
        process = Subprocess(["sh", "-c", f"echo up; exec sleep {NEVER}"])
        lines = process.lines()
        assert await anext(lines) == "up\n"
        getattr(process, way)()
        with pytest.raises(SystemError, match=f"code:{code}"):
            await anext(lines)
        getattr(process, way)()  # does no harm

    on_loop(end())
    no_children()


def test_it_can_be_ended_by_hand_when_it_has_closed_its_output(on_loop):
    async def end():
        process = Subprocess(["sh", "-c", f"exec >&- 2>&-; exec sleep {NEVER}"])
        text = asyncio.ensure_future(process.text())
        while process._death is None:
            await asyncio.sleep(0.001)
        process.terminate()
        with pytest.raises(SystemError, match="code:-15"):
            await text

    on_loop(end())
    no_children()


def test_what_a_command_leaves_in_the_background_may_live_on(on_loop, tmp_path):
    command = f"sleep {NEVER} > /dev/null 2>&1 & echo $!"
    pid = int(on_loop(run_subprocess(command)))
    gc.collect()
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)
    gone([pid])


def test_output_that_is_kept_open_in_the_background_is_waited_for_until_the_timeout(
    on_loop, tmp_path
):
    command = f"sleep {NEVER} & echo $! > pid"
    with pytest.raises(TimeoutError):
        on_loop(run_subprocess(command, 0.2, cwd=str(tmp_path)))
    gone(pids_in(tmp_path / "pid", 1))
    no_children()


def test_a_worker_that_stops_can_wait_for_the_end_of_commands(on_loop, tmp_path):
    path = tmp_path / "pids"

    async def cancel():
        task = asyncio.ensure_future(run_subprocess(f"trap '' TERM; {tree(path)}"))
        while not path.exists() or len(path.read_text().split()) < 4:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])

    on_loop(cancel())
    assert not end_commands(0.05)  # it has a second to end by itself
    assert end_commands(PATIENCE)
    assert not any(map(is_alive, pids_in(path, 4)))
    assert end_commands(0)


def test_the_end_of_the_loop_does_not_keep_a_command_alive(tmp_path):
    async def start_and_leave():
        task = asyncio.ensure_future(run_subprocess(f"echo $$ > {tmp_path}/pid; sleep {NEVER}"))
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.01)
        return task  # cancelled by asyncio.run

    asyncio.run(start_and_leave())
    gone(pids_in(tmp_path / "pid", 1))
    no_children()


def test_nothing_outlives_a_worker_that_is_killed(tmp_path):
    source = (
        "import uvloop\n"
        "from skitai.executors.subprocesses import Subprocess\n"
        f"command = 'sleep {NEVER} & echo $! $$ > pids; exec sleep {NEVER}'\n"
        "async def main():\n"
        "    started = Subprocess(command)\n"
        "    open('started', 'w').close()\n"
        "    await started.text()\n"
        "uvloop.new_event_loop().run_until_complete(main())\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", source], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    with worker:
        pids = pids_in(tmp_path / "pids", 2)
        assert all(map(is_alive, pids))
        # Not before: who is killed in between can't let go of the leash.
        eventually((tmp_path / "started").exists, "the worker knows its command")
        worker.kill()
        worker.wait(PATIENCE)
        gone(pids)


# Lines


def test_lines_come_one_by_one_and_as_soon_as_they_are_written(on_loop, tmp_path):
    os.mkfifo(tmp_path / "fifo")

    async def read():
        lines = Subprocess("echo first; cat fifo; printf rest", cwd=str(tmp_path)).lines()
        assert await anext(lines) == "first\n"  # while the command waits for us
        (tmp_path / "fifo").write_text("second\n\nfo\xfcrth\n", encoding="utf-8")
        return [line async for line in lines]

    assert on_loop(read()) == ["second\n", "\n", "fo\xfcrth\n", "rest"]


def test_lines_longer_than_a_chunk_stay_whole():
    async def read():
        command = "head -c 300000 /dev/zero; echo; echo short"
        return [len(line) async for line in Subprocess(command).lines()]

    assert asyncio.run(read()) == [300_001, 6]


def test_a_line_that_is_too_long_is_an_error():
    async def read(command, most):
        return [line async for line in Subprocess(command, max_output=most).lines()]

    with pytest.raises(OutputTooLarge):
        asyncio.run(read("cat /dev/zero", 100_000))
    with pytest.raises(OutputTooLarge):
        asyncio.run(read("echo long; sleep 0.01; echo longer", 5))
    assert asyncio.run(read("seq 5", 5)) == ["1\n", "2\n", "3\n", "4\n", "5\n"]
    no_children()


def test_errors_come_after_the_last_line(on_loop):
    async def read():
        lines = Subprocess("echo out; echo why >&2; exit 3").lines()
        assert await anext(lines) == "out\n"
        with pytest.raises(SystemError, match="code:3 why"):
            await anext(lines)

    on_loop(read())


def test_a_timeout_reaches_who_reads_lines(on_loop):
    async def read():
        lines = Subprocess(f"echo out; sleep {NEVER}", 0.1).lines()
        assert await anext(lines) == "out\n"
        with pytest.raises(TimeoutError):
            await anext(lines)

    on_loop(read())
    no_children()


def test_a_command_waits_while_nobody_takes_its_lines(on_loop):
    async def read_slowly():
        process = Subprocess("yes")
        lines = process.lines()
        await anext(lines)
        before = resident()
        for _ in range(50):
            await asyncio.sleep(0.001)
        assert process._ahead <= subprocesses.AHEAD + subprocesses.CHUNK
        assert resident() - before < 4096
        for _ in range(300_000):
            assert await anext(lines) == "y\n"
        await lines.aclose()

    on_loop(read_slowly())
    no_children()


# Many


def test_commands_run_beside_each_other(on_loop):
    async def run():
        begun = time.monotonic()
        await asyncio.gather(*(run_subprocess("sleep 0.3") for _ in range(20)))
        return time.monotonic() - begun

    assert on_loop(run()) < 3.0


def test_the_loop_goes_on_while_commands_run(on_loop):
    async def run():
        task = asyncio.ensure_future(run_subprocess("sleep 0.2"))
        turns = 0
        while not task.done():
            await asyncio.sleep(0.01)
            turns += 1
        return turns

    assert on_loop(run()) >= 5


def test_a_thousand_commands_leave_nothing_behind(on_loop):
    async def run(count):
        for _ in range(count // 10):
            texts = await asyncio.gather(*(run_subprocess(["echo", "hi"]) for _ in range(10)))
            assert texts == ["hi\n"] * 10

    on_loop(run(50))
    gc.collect()
    before, memory = (descriptors(), threading.active_count()), resident()
    on_loop(run(1000))
    gc.collect()
    assert (descriptors(), threading.active_count()) <= before
    assert resident() - memory < 4096
    no_children()


def test_a_hundred_cancelled_commands_leave_nothing_behind(on_loop):
    async def run():
        tasks = [asyncio.ensure_future(run_subprocess(f"sleep {NEVER}")) for _ in range(100)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    before = descriptors()
    on_loop(run())
    no_children()
    eventually(lambda: descriptors() == before, "all descriptors are closed")
    killers = [t for t in threading.enumerate() if t.name.startswith("skitai-kill")]
    assert len(killers) <= 16
