"""Commands for a service that systemd runs: it is seen, and left to systemctl."""

from __future__ import annotations

import pytest

from skitai.commands import daemon
from skitai.commands.daemon import STOPPED, Daemon
from skitai.config import Settings
from skitai.errors import StartupError


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A service with a unit. ``systemctl`` stands for a systemd, which no test can be sure of."""
    (tmp_path / "shop.service").touch()
    monkeypatch.setenv("SKITAI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(daemon, "UNITS", tmp_path)
    return Daemon(Settings(name="shop"), [], tmp_path / "project")


@pytest.fixture
def systemd(tmp_path):
    """Lets systemctl show a main process and a directory, or do something else."""

    def shows(pid, directory=tmp_path / "project", then=""):
        program = tmp_path / "systemctl"
        program.write_text(
            f"#!/bin/sh\n{then}\n"
            'test "$1 $3" = "show shop.service" || exit 1\n'
            f"echo MainPID={pid}\necho WorkingDirectory={directory}\n"
        )
        program.chmod(0o755)

    return shows


def test_status_tells_of_it(shop, systemd, capsys):
    systemd(186)
    assert shop.status() == 0
    assert capsys.readouterr().out == "shop [running:186] under systemd\n"


@pytest.mark.parametrize(
    ("command", "instead"),
    [("start", "restart"), ("stop", "stop"), ("restart", "restart"), ("reload", "reload")],
)
def test_other_commands_leave_it_alone_and_say_what_to_do(shop, systemd, command, instead):
    systemd(186)
    with pytest.raises(
        StartupError, match=f"shop runs under systemd, pid 186: sudo systemctl {instead} shop"
    ):
        getattr(shop, command)()


def is_stopped(shop, capsys):
    assert shop.status() == STOPPED
    assert capsys.readouterr().out == "shop [stopped]\n"
    assert shop.stop() == 0


def test_a_unit_that_is_not_started_is_a_stopped_service(shop, systemd, capsys):
    systemd(0)
    is_stopped(shop, capsys)


def test_a_unit_of_another_project_is_not_meant(shop, systemd, capsys):
    systemd(186, "/srv/elsewhere")
    is_stopped(shop, capsys)


def test_a_machine_with_units_and_without_systemd(shop, capsys):
    is_stopped(shop, capsys)


def test_a_systemd_that_can_not_be_asked(shop, systemd, capsys):
    systemd(186, then="echo no bus >&2; exit 1")
    is_stopped(shop, capsys)


def test_without_a_unit_nobody_is_asked(shop, systemd, tmp_path, capsys):
    (tmp_path / "shop.service").unlink()
    systemd(186)
    is_stopped(shop, capsys)
