"""The seat that a worker finds in its environment."""

from __future__ import annotations

import json
import os
import signal
import threading
from typing import Any

import pytest

from skitai.errors import ConfigError
from skitai.supervisor.seats import SEAT_VARIABLE, WorkerSeat, seat_from_environment


def test_other_processes_have_no_seat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SEAT_VARIABLE, raising=False)
    assert seat_from_environment() is None


def seat_text(changes: dict[str, Any]) -> str:
    seat: dict[str, Any] = {
        "master": os.getppid(), "slot": 0, "workers": 1, "alive": 0, "report": 1,
        "memory": None, "listeners": [], "udp": [], "cause": "start", "held": {}, "jobs": 0,
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
        ({"udp": ["a"]}, "not all values are numbers"),
        ({"master": 1}, "process 1 is not the parent"),
        ({"alive": 987654}, "Bad file descriptor"),
        ({"alive": 10**30}, "too large"),
        ({"memory": "a"}, "not all values are numbers"),
        ({"cause": "whim"}, "its cause is none"),
        ({"held": 1}, "no settings are held"),
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


def test_a_long_report_is_whole_when_a_signal_interrupts_it() -> None:
    reader, writer = os.pipe()
    full = threading.Event()
    received = bytearray()

    def read() -> None:
        full.wait()
        while piece := os.read(reader, 65536):
            received.extend(piece)

    thread = threading.Thread(target=read)
    thread.start()
    before = signal.signal(signal.SIGALRM, lambda *_: full.set())
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        WorkerSeat(0, [], -1, writer).report_failed("no way", "deep " * 100_000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        full.set()
        os.close(writer)
        thread.join()
        os.close(reader)
    lines = [json.loads(line) for line in received.splitlines()]
    assert lines == [["trace", "deep " * 100_000], ["failed", "no way"]]
