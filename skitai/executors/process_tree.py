"""Ends a process with everything that it started, and makes sure that it ends with this process.

For the children of `ProcessExecutor` and the commands of `Subprocess`. Each leads a session.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time

ROUNDS = 10
FIRST_LOOK = 0.005  # seconds
LAST_LOOK = 0.1
WAIT_SECONDS = 5.0


class Leash:
    """Lets the kernel kill a process group when this process ends, even if that is killed.

    A pipe whose writing end only this process has: when it is closed, the kernel sends SIGKILL to
    the group that owns the reading end. The group needs that end open; it is the one descriptor
    that a child gets beside those it needs (fcntl(2), F_SETOWN, F_SETSIG; pipe(7)).

    Attributes:
        descriptor: to be passed to the child.
    """

    __slots__ = ("_hand", "descriptor")

    def __init__(self) -> None:
        self.descriptor, self._hand = os.pipe()

    def fasten(self, leader: int) -> None:
        """Bind the group of a process that has been started and is not reaped yet."""
        # A kernel without these signals leaves the group alone, that is all.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self.descriptor, fcntl.F_SETOWN, -leader)
            fcntl.fcntl(self.descriptor, fcntl.F_SETSIG, signal.SIGKILL)
            self._set_flags(os.O_ASYNC)

    def release(self) -> None:
        """Let the group go; what is left of it may live on."""
        with contextlib.suppress(OSError):
            self._set_flags(0)
        os.close(self.descriptor)
        os.close(self._hand)

    def _set_flags(self, flags: int) -> None:
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags)


def watch_process(pid: int) -> int:
    """A descriptor that can be read when a process has ended; -1 where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def members(leader: int) -> dict[int, str]:
    """The processes of a session and all that descend from its leader, which is not reaped yet.

    Returns their ids, with the time when each was started: an id may be given to another process.
    """
    parents: dict[int, int] = {}
    started: dict[int, str] = {}
    found: set[int] = set()
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and (facts := _facts(int(entry))) is not None:
            state, parent, _, session, *_ = facts
            if state in "ZX":
                continue
            parents[int(entry)] = int(parent)
            started[int(entry)] = facts[19]
            if int(session) == leader:
                found.add(int(entry))
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent == leader or parent in found}
        grown = not more <= found
        found |= more
    return {pid: started[pid] for pid in found}


def _facts(pid: int) -> list[str] | None:
    """The fields of /proc/pid/stat from the third on, see proc(5); None: no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def _alive(tree: dict[int, str]) -> dict[int, str]:
    living = {}
    for pid, started in tree.items():
        facts = _facts(pid)
        if facts is not None and facts[19] == started and facts[0] not in "ZX":
            living[pid] = started
    return living


def _signal(leader: int, tree: dict[int, str], signum: signal.Signals) -> None:
    # The group at once, so that nothing in it can start something new in between.
    for target in (-leader, *_alive(tree)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(target, signum)


def kill_tree(process: subprocess.Popen[bytes], patience: float = 0.0) -> None:
    """End a process and all that it started, and reap it; blocks for about ``patience`` seconds.

    Parameters:
        process: a leader of a session. Nothing is done when it was reaped before.
        patience: seconds between SIGTERM and SIGKILL; 0 sends SIGKILL at once.
    """
    if process.returncode is not None:
        return  # its number may be that of another by now
    leader = process.pid
    tree = members(leader)
    if patience:
        _signal(leader, tree, signal.SIGTERM)
        _wait_for(tree, patience)
        tree = {**_alive(tree), **members(leader)}
    for _ in range(ROUNDS):
        _signal(leader, tree, signal.SIGKILL)
        _wait_for(tree, LAST_LOOK)
        # What left the session has lost its parent by now; it is known from before.
        tree = {**_alive(tree), **members(leader)}
        if not tree:
            break
    with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel
        process.wait(WAIT_SECONDS)


def _wait_for(tree: dict[int, str], seconds: float) -> None:
    """Wait until all have ended, for so many seconds at most."""
    until, pause = time.monotonic() + seconds, FIRST_LOOK
    while _alive(tree) and (left := until - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(2 * pause, LAST_LOOK)
