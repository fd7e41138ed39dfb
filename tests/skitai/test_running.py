"""Which process is the service of a name: the file that says so, and its lock."""

from __future__ import annotations

import os

from skitai.commands.daemon import Daemon
from skitai.commands.running import RunningService, write_facts
from skitai.config import Settings


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
