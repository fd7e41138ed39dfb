"""The limits of a worker: when it asks for a replacement, and what it counts as memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from skitai.config import LEAST_MEMORY, Settings
from skitai.errors import ConfigError
from skitai.monitoring import limits as module
from skitai.monitoring import memory
from skitai.monitoring.limits import Limits
from skitai.supervisor.takeover import held, hold, wanted

MB = 2**20


class Asked:
    """Takes the place of the master."""

    def __init__(self):
        self.requests = []

    def __call__(self, cause, reason, *, vain=False):
        self.requests.append((cause, reason, vain))


def test_without_limits_nothing_stands_in_the_way():
    for settings in (Settings(), Settings(devel=True, max_requests=5, max_memory="16 MB")):
        limits, dispatched = Limits(settings, Asked()), [].append
        assert limits.guard(dispatched) is dispatched


def test_a_worker_asks_once_and_goes_on():
    asked, dispatched = Asked(), []
    dispatch = Limits(Settings(max_requests=3, max_requests_jitter=0), asked).guard(
        dispatched.append
    )
    for number in range(9):
        dispatch(number)
        assert bool(asked.requests) == (number >= 2)
    assert dispatched == list(range(9))
    assert asked.requests == [("max_requests", "has had 3 requests", False)]


@pytest.mark.parametrize(("jitter", "most"), [(None, 110), (0, 100), (7, 107)])
def test_workers_do_not_leave_together(jitter, most):
    settings = Settings(max_requests=100, max_requests_jitter=jitter)
    numbers = set()
    for _ in range(500):
        asked = Asked()
        dispatch = Limits(settings, asked).guard(lambda exchange: None)
        count = 0
        while not asked.requests:
            count += 1
            dispatch(count)
        numbers.add(count)
    assert numbers == set(range(100, most + 1))


def look(monkeypatch, *amounts):
    """What a worker asks for, whose memory is so many MB in turn."""
    values = iter(amounts)
    monkeypatch.setattr(module, "memory_used", lambda: next(values) * MB)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    asked = Asked()

    async def serve():
        limits = Limits(Settings(max_memory="100 MB"), asked)
        limits.start(asyncio.get_running_loop())
        while not asked.requests:
            await asyncio.sleep(0)
        limits.stop()

    asyncio.run(serve())
    return asked.requests


def test_a_worker_with_too_much_memory_asks(monkeypatch):
    reason = "has 101 MB of memory, more than max_memory, 100 MB"
    assert look(monkeypatch, 50, 100, 99, 101) == [("max_memory", reason, False)]


def test_a_worker_says_that_another_one_would_not_help(monkeypatch):
    reason = "has 300 MB as it starts, before any request, more than max_memory, 100 MB"
    assert look(monkeypatch, 300) == [("max_memory", reason, True)]


def test_memory_is_what_a_process_has_for_itself():
    script = """if True:
        import mmap
        from skitai.monitoring.memory import memory_used
        before = memory_used()
        kept = bytearray(50 * 2 ** 20)
        kept[::4096] = b"x" * len(kept[::4096])
        own = memory_used() - before
        shared = mmap.mmap(-1, 50 * 2 ** 20)
        shared[::4096] = b"x" * len(shared[::4096])
        print(own, memory_used() - before - own)
    """
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    own, shared = map(int, output.split())
    assert 50 * MB <= own < 55 * MB
    assert shared < 2 * MB


def test_where_the_system_says_less_all_that_is_in_memory_counts(monkeypatch, tmp_path):
    (tmp_path / "status").write_text("VmRSS: 1 kB\n")
    for path in (tmp_path / "status", tmp_path / "missing"):
        monkeypatch.setattr(memory, "PROCESS", str(path))
        assert memory.memory_used() > MB


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (0, 0), ("0", 0), (512 * MB, 512 * MB), ("512 MB", 512 * MB), ("512MiB", 512 * MB),
        ("512m", 512 * MB), (" 2 gb ", 2048 * MB), ("65536 K", 64 * MB), (str(LEAST_MEMORY),
        LEAST_MEMORY),
    ],
)  # fmt: skip
def test_memory_is_given_in_bytes_or_with_a_unit(given, expected):
    assert Settings(max_memory=given).max_memory == expected


@pytest.mark.parametrize("given", [512, "512", -1, True, 1.5, "much", "1 TB", None, "5 MB"])
def test_a_limit_of_memory_that_can_not_be_meant_is_refused(given):
    with pytest.raises(
        ConfigError, match=r"max_memory must be .*give --max-memory=512MB or skitai"
    ):
        Settings(max_memory=given)


def test_a_jitter_is_a_number_or_none():
    assert Settings(max_requests_jitter="5").max_requests_jitter == 5
    with pytest.raises(ConfigError, match=r"a whole number of at least 0, or None, not 'x'"):
        Settings(max_requests_jitter="x")


# What a reload takes over


def test_settings_of_the_master_stay_and_a_change_is_told():
    master = Settings(port=5000, name="shop", user="me", workers=2)
    script = Settings(port=5001, name="shop", threads=9, workers=3, drain_timeout=5)
    settings, changes = hold(script, held(master))
    assert (settings.port, settings.user, settings.threads, settings.workers) == (5000, "me", 9, 3)
    assert changes == ["port 5000 -> 5001", "user 'me' -> ''"]
    assert wanted(settings) == {"workers": 3, "drain_timeout": 5.0, "start_timeout": 120.0}


def test_the_number_of_workers_stays_with_http3():
    master = Settings(quic=443, workers=2)
    settings, changes = hold(Settings(quic=443, workers=3), held(master))
    assert settings.workers == 2
    assert changes == ["workers 2 -> 3"]
