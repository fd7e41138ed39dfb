"""Which process is the service of a name: the file that says so, and its lock."""

from __future__ import annotations

import os
import sys

import pytest

from skitai.commands import daemon
from skitai.commands.daemon import Daemon
from skitai.commands.running import RunningService, write_facts
from skitai.config import Settings
from skitai.errors import StartupError


def test_a_service_that_starts_while_another_command_stops_it_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("SKITAI_HOME", str(tmp_path))
    starting = RunningService("shop")
    locks = []

    ending = starting.claim()
    write_facts(ending, pid=2**30)  # a process that is gone

    def end_and_start(self, timeout):
        os.close(ending)
        locks.append(starting.claim())  # another operator starts it at this moment
        write_facts(locks[0], pid=os.getpid())
        return True

    monkeypatch.setattr(RunningService, "wait_until_gone", end_and_start)
    assert Daemon(Settings(name="shop"), [], tmp_path).stop() == 0
    assert starting.pid() == os.getpid()
    os.close(locks[0])
    assert starting.pid() is None


def test_a_file_that_was_removed_meanwhile_is_not_claimed(tmp_path, monkeypatch):
    monkeypatch.setenv("SKITAI_HOME", str(tmp_path))
    service = RunningService("shop")
    opened = []

    def open_and_remove(*args):
        descriptor = os_open(*args)
        if not opened:
            opened.append(descriptor)
            (tmp_path / "shop" / "service.pid").unlink()  # by a command that stops it
        return descriptor

    os_open = os.open
    monkeypatch.setattr(os, "open", open_and_remove)
    lock = service.claim()
    monkeypatch.undo()
    monkeypatch.setenv("SKITAI_HOME", str(tmp_path))
    write_facts(lock, pid=os.getpid())
    assert service.pid() == os.getpid()
    os.close(lock)
    service.forget()
    assert not (tmp_path / "shop" / "service.pid").exists()


SLOW = """
import os, socket, time
time.sleep(0.3)
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
"""


@pytest.mark.parametrize("start_timeout", [0, 100])
def test_a_start_is_awaited_as_long_as_its_workers_may_take(tmp_path, monkeypatch, start_timeout):
    monkeypatch.setenv("SKITAI_HOME", str(tmp_path))
    monkeypatch.setattr(daemon, "SCRIPT_SECONDS", 0)
    settings = Settings(name="shop", start_timeout=start_timeout)
    service = Daemon(settings, [sys.executable, "-c", SLOW], tmp_path)
    assert service.start() == 0


def test_a_start_that_nobody_ends_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setenv("SKITAI_HOME", str(tmp_path))
    monkeypatch.setattr(daemon, "SCRIPT_SECONDS", 0)
    settings = Settings(name="shop", start_timeout=0.2)
    service = Daemon(settings, ["sleep", "100"], tmp_path)
    with pytest.raises(StartupError, match=r"shop did not serve within 0\.2 s; its output:"):
        service.start()
