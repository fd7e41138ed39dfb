"""The notify protocol, against real datagram sockets."""

from __future__ import annotations

import resource
import socket
import uuid
from typing import TYPE_CHECKING

import pytest

from skitai.supervisor import notify as notify_module
from skitai.supervisor.notify import notify, watchdog_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def manager() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(5)
        yield receiver


def test_notify_sends_to_a_socket_file(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    assert notify("READY=1\nMAINPID=7")
    assert manager.recv(100) == b"READY=1\nMAINPID=7"


def test_notify_sends_to_an_abstract_socket(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"skitai-test-{uuid.uuid4().hex}"
    manager.bind(f"\0{name}")
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    assert notify("STOPPING=1")
    assert manager.recv(100) == b"STOPPING=1"


def test_notify_does_nothing_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")


@pytest.mark.parametrize("name", ["gone", "x" * 200])
def test_notify_survives_a_manager_that_is_not_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / name))
    assert not notify("READY=1")


def test_notify_does_not_wait_for_a_manager_that_never_reads(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify_module, "SEND_TIMEOUT", 0.01)
    manager.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    assert not all(notify("READY=1") for _ in range(10_000))


def test_notify_survives_without_descriptors(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.bind(str(tmp_path / "notify"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert not notify("READY=1")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("", None), ("0", None), ("soon", None), ("-5", None), ("30000000", 15.0)],
)
def test_a_service_that_is_watched_reports_twice_in_the_time(monkeypatch, text, expected):
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    if text is not None:
        monkeypatch.setenv("WATCHDOG_USEC", text)
    assert watchdog_seconds() == expected
