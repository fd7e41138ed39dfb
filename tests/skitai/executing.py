"""Hands jobs to executors and waits for them; and the functions that other processes can find."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from skitai.errors import HTTPError

PATIENCE = 20.0  # seconds; far more than anything here takes


class Outcome:
    """What ``done`` was told; ``get`` waits for it."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None
        self.thread = ""
        self.times = 0

    def __call__(self, result: Any, error: BaseException | None) -> None:
        self.result, self.error = result, error
        self.thread = threading.current_thread().name
        self.times += 1
        self.told.set()

    def get(self) -> Any:
        assert self.told.wait(PATIENCE), "the job was never done"
        if self.error is not None:
            raise self.error
        return self.result


def call(executor: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    outcome = Outcome()
    executor.submit(function, args, kwargs, outcome)
    return outcome.get()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident() -> int:
    """Kilobytes of memory that this process has."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


# Functions that run in other processes.


def add(left, right=1):
    return left + right


def pid(*_):
    return os.getpid()


def touch_and_wait(path):
    """Say that it runs, and with what process; then run for ever."""
    announce(path, os.getpid())
    time.sleep(1000)


def announce(path, text):
    path = Path(path)
    part = path.with_name(f"{path.name}.part")
    part.write_text(str(text))
    part.rename(path)


def start_tree(path):
    """Start programs in this group, in a group and in a session of their own; run for ever."""
    started = [
        subprocess.Popen(["sleep", "1000"], **options)
        for options in ({}, {"preexec_fn": os.setpgrp}, {"start_new_session": True})
    ]
    announce(path, " ".join(str(process.pid) for process in started))
    time.sleep(1000)


def spin(path):
    """Run for ever without giving another thread a chance."""
    announce(path, os.getpid())
    sys.setswitchinterval(1000)
    while True:
        pass


def die(how):
    if isinstance(how, signal.Signals):
        os.kill(os.getpid(), how)
        time.sleep(1000)
    os._exit(how)


def leave_a_copy_and_die(path):
    """Leave a program behind that has all our descriptors."""
    child = os.fork()
    if child == 0:
        time.sleep(1000)
    announce(path, child)
    os._exit(5)


class Stubborn(Exception):
    """Its constructor does not take what it passes on."""

    def __init__(self, code, reason):
        super().__init__(f"{code} {reason}")
        self.code = code


class Local(Exception):
    """Can't be pickled by what it holds."""

    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


def fail(kind, *args):
    raise kind(*args)


def fail_deeply():
    try:
        {}["key"]
    except KeyError as exc:
        raise ValueError("no such key") from exc


def fail_unpicklably():
    class Hidden(Exception):
        pass

    raise Hidden("can't leave")


def not_found():
    raise HTTPError("404 Not Found", "two\nlines", 40401)


def make_lock():
    return threading.Lock()


def make_unloadable():
    return Unloadable()


class Unloadable:
    def __reduce__(self):
        return refuse_to_load, (os.getpid(),)


def refuse_to_load(made_in):
    if os.getpid() != made_in:
        raise RuntimeError("not here")


class Unpicklable:
    def __reduce__(self):
        raise RuntimeError("never")


def echo(value):
    return value


def size(data):
    return len(data)


def blob(length):
    return b"\0" * length


def surroundings():
    facts = {}
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the listing itself
            facts[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
    return {
        "descriptors": facts,
        "cwd": os.getcwd(),
        "path": sys.path,
        "argv": sys.argv,
        "variable": os.environ.get("EXECUTED_VARIABLE"),
        "session": os.getsid(0),
        "group": os.getpgrp(),
        "parent": os.getppid(),
        "skitai": sorted(name for name in sys.modules if name.startswith("skitai.server")),
    }
