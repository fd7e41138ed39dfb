"""Ends a process with everything that it started, and makes sure that it ends with this process.

For the children of `ProcessExecutor` and the commands of `Subprocess`. Each leads a session.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

ROUNDS = 10
FIRST_LOOK = 0.005  # seconds
LAST_LOOK = 0.1
WAIT_SECONDS = 5.0
ENDED = (b"Z", b"X")  # states of a process that nobody has reaped yet
REST = 2  # times as long as a census took, until the next one
LONGEST_REST = 0.5  # seconds


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
        """Bind the group of a process that has been started and is not reaped yet.

        It outlives a worker that is killed before this, within a millisecond of the start.
        """
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

    def drop(self) -> None:
        """In a forked child: keep what its group needs, and leave the other end to the parent."""
        os.close(self._hand)

    def _set_flags(self, flags: int) -> None:
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, flags)


def watch_process(pid: int) -> int:
    """A descriptor that can be read when a process has ended; -1 where the system has none."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


class Entry(NamedTuple):
    """A process that runs."""

    parent: int
    group: int
    session: int
    started: bytes


@dataclass(slots=True)
class Tree:
    """The processes of a session and all that descend from its leader.

    Attributes:
        leader: id of the process, its group and its session; not reaped yet.
        started: ids, with the time when each was started: an id may be given to another process.
        grouped: whether all of them are in the group of the leader.
    """

    leader: int
    started: dict[int, bytes] = field(default_factory=dict)
    grouped: bool = True

    def alive(self) -> list[int]:
        """Those that have not ended."""
        return [pid for pid, started in self.started.items() if _is_alive(pid, started)]

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to all: to the group at once, so that nothing in it can fork meanwhile."""
        for target in (-self.leader, *(() if self.grouped else self.alive())):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(target, signum)

    def wait(self, seconds: float) -> bool:
        """Wait until all have ended, for so many seconds at most; whether they have."""
        until, pause = time.monotonic() + seconds, FIRST_LOOK
        while alive := self.alive():
            left = until - time.monotonic()
            if left <= 0:
                break
            time.sleep(min(pause, left))
            pause = min(2 * pause, LAST_LOOK)
        return not alive


class Census:
    """The processes of the system, counted once for all who ask at the same time.

    PERF: counting takes 10 us for each process and is felt on the loop, so two thirds of the time
    nobody does. With eight clients whose commands are all killed the loop is late by 10 ms at the
    median instead of 60, and 250 a second are killed instead of 90 (two cores, 1000 processes).
    """

    def __init__(self) -> None:
        self._counting = threading.Lock()
        self._began = self._ended = 0.0
        self._found: dict[int, Entry] = {}

    def take(self) -> dict[int, Entry]:
        """All that run now, by their ids."""
        asked = time.monotonic()
        with self._counting:
            if self._began < asked:
                rest = self._ended + REST * (self._ended - self._began) - time.monotonic()
                if rest > 0:
                    time.sleep(min(rest, LONGEST_REST))
                self._began = time.monotonic()
                self._found = _count()
                self._ended = time.monotonic()
            return self._found


def _count() -> dict[int, Entry]:
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal() and (facts := _facts(entry)) is not None and facts[0] not in ENDED:
            found[int(entry)] = Entry(int(facts[1]), int(facts[2]), int(facts[3]), facts[19])
    return found


def look(leader: int) -> Tree:
    """The tree as it is."""
    processes = _census.take()
    found = {pid for pid, process in processes.items() if process.session == leader}
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    ancestors = [leader, *found]
    while ancestors:
        new = [pid for pid in children.get(ancestors.pop(), ()) if pid not in found]
        found.update(new)
        ancestors += new
    grouped = all(processes[pid].group == leader for pid in found)
    return Tree(leader, {pid: processes[pid].started for pid in found}, grouped)


_census = Census()


def freeze(leader: int) -> Tree:
    """Stop a tree and look at it: what is started at the same moment would be overlooked else."""
    tree = Tree(leader)
    tree.send(signal.SIGSTOP)
    for _ in range(ROUNDS):
        seen = set(tree.started)
        tree = look(leader)
        # Those in the group were stopped before anybody looked.
        if tree.grouped or seen.issuperset(tree.started):
            break
        tree.send(signal.SIGSTOP)
    return tree


class Leader(Protocol):
    """A child of this process that leads a session; ``subprocess.Popen`` is one."""

    @property
    def pid(self) -> int:
        """Its id."""

    @property
    def returncode(self) -> int | None:
        """Its exit code, None until it was reaped."""

    def wait(self, timeout: float | None = None) -> int:
        """Reap it."""


def kill_tree(process: Leader, patience: float = 0.0) -> None:
    """End a process and all that it started, and reap it; blocks for about ``patience`` seconds.

    Parameters:
        process: a leader of a session. Nothing is done when it was reaped before.
        patience: seconds between SIGTERM and SIGKILL; 0 sends SIGKILL at once.
    """
    if process.returncode is not None:
        return  # its number may be that of another by now
    first = freeze(process.pid)
    if patience:
        first.send(signal.SIGTERM)
        first.send(signal.SIGCONT)
        first.wait(patience)
        last = freeze(process.pid)
        # What left the session has lost its parent by now; it is known from before.
        last.grouped = last.grouped and first.grouped
        last.started = {**first.started, **last.started}
    else:
        last = first
    last.send(signal.SIGKILL)
    last.wait(WAIT_SECONDS)
    with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel
        process.wait(LAST_LOOK)


def _is_alive(pid: int, started: bytes) -> bool:
    facts = _facts(str(pid))
    return facts is not None and facts[19] == started and facts[0] not in ENDED


def _facts(pid: str) -> list[bytes] | None:
    """The fields of /proc/pid/stat from the third on, see proc(5); None: no such process."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
    except OSError:
        return None
    return text[text.rindex(b")") + 2 :].split()
