"""Units of systemd: what is written, when it is refused, and what is left alone."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from skitai.commands import installation
from skitai.commands.dispatch import Launch, carry_out
from skitai.commands.installation import Installation, find_owner
from skitai.config import Settings
from skitai.errors import ConfigError, StartupError
from skitai.options import parse

ME = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture(autouse=True)
def units(tmp_path, monkeypatch):
    """A directory for units; nobody called sudo."""
    directory = tmp_path / "units"
    directory.mkdir()
    monkeypatch.setenv("SKITAI_UNITS", str(directory))
    for name in ("SUDO_USER", "SKITAIENV", "STATIC_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return directory


def make(tmp_path, *words, dry=False, force=False, home="", script="serve.py", **settings):
    directory = tmp_path / (home or "project")
    directory.mkdir(exist_ok=True)
    (directory / script).touch()
    return Installation(
        Settings(**{"name": "shop", **settings}),
        directory,
        [sys.executable, str(directory / script), *words],
        dry=dry,
        force=force,
    )


def lines_of(path):
    return path.read_text().splitlines()


def value_of(path, key):
    return next(line.partition("=")[2] for line in lines_of(path) if line.startswith(f"{key}="))


def verify(path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False
    )
    # What the machine's own units lack is not ours to judge.
    return [line for line in done.stderr.splitlines() if path.name in line]


# What is written


def test_the_unit_keeps_the_options_and_is_sound(tmp_path, units, capsys):
    unit = make(tmp_path, "--port=8080", "--workers=4")
    assert unit.install() == 0
    assert value_of(unit.path, "ExecStart") == (
        f"{sys.executable} {tmp_path}/project/serve.py --port=8080 --workers=4"
    )
    assert value_of(unit.path, "WorkingDirectory") == f"{tmp_path}/project"
    assert (value_of(unit.path, "Type"), value_of(unit.path, "User")) == ("notify", ME)
    assert "start it: sudo systemctl start shop" in capsys.readouterr().err
    assert unit.path.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in units.iterdir()] == ["shop.service"]
    assert verify(unit.path) == []


@pytest.mark.parametrize(
    ("home", "word", "written"),
    [
        ("with blank", "--name=shop", "--name=shop"),
        ("50% off", "--title=50% off", '"--title=50%% off"'),
        ("it's", "--title=it's", '"--title=it\'s"'),
        ('say "hi"', '--title=say "hi"', '"--title=say \\"hi\\""'),
        ("back\\slash", "--title=a\\b", '"--title=a\\\\b"'),
        ("money", "--title=$HOME", '"--title=$HOME"'),
        ("lines", "--title=a\nb", '"--title=a\\x0ab"'),
        ("empty", "", '""'),
    ],
)
def test_hard_paths_and_words_arrive_as_they_are(tmp_path, home, word, written):
    unit = make(tmp_path, word, home=home)
    unit.install()
    command = value_of(unit.path, "ExecStart")
    assert command.endswith(f" {written}")
    assert command.startswith(":") == ("$" in word)
    assert value_of(unit.path, "WorkingDirectory") == str(tmp_path / home).replace("%", "%%")
    assert verify(unit.path) == []


def test_a_directory_that_no_unit_can_name(tmp_path, units):
    with pytest.raises(ConfigError, match="can't be named in a unit"):
        make(tmp_path, home="two\nlines").install()
    assert list(units.iterdir()) == []


def test_variables_are_kept_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("STATIC_ROOT", '/a b/$x "q" 100%')
    monkeypatch.setenv("SKITAIENV", "STAGING")
    unit = make(tmp_path)
    unit.install()
    assert [line for line in lines_of(unit.path) if line.startswith("Environment=")] == [
        "Environment=SKITAIENV=STAGING",
        'Environment="STATIC_ROOT=/a b/$x \\"q\\" 100%%"',
    ]
    assert verify(unit.path) == []


@pytest.mark.parametrize(
    ("port", "user", "given"),
    [(80, "nobody", True), (1023, "nobody", True), (1024, "nobody", False), (80, "root", False)],
)
def test_low_ports_need_a_capability(tmp_path, port, user, given):
    unit = make(tmp_path, user=user, port=port)
    unit.install()
    assert ("AmbientCapabilities=CAP_NET_BIND_SERVICE" in lines_of(unit.path)) == given


def test_user_and_group_can_be_chosen(tmp_path):
    unit = make(tmp_path, user="nobody", group="daemon")
    unit.install()
    assert (value_of(unit.path, "User"), value_of(unit.path, "Group")) == ("nobody", "daemon")


def test_who_calls_sudo_is_whom_it_runs_as(monkeypatch):
    monkeypatch.setenv("SUDO_USER", "nobody")
    assert find_owner("", "").user == "nobody"
    assert find_owner("daemon", "").user == "daemon"


@pytest.mark.parametrize("key", ["user", "group"])
def test_unknown_users_and_groups_are_refused_before_anything_is_written(tmp_path, units, key):
    with pytest.raises(ConfigError, match=f"{key} 'nosuch' does not exist"):
        make(tmp_path, **{key: "nosuch"}).install()
    assert list(units.iterdir()) == []


# What is there already


def test_a_second_install_is_told_to_update(tmp_path):
    make(tmp_path).install()
    with pytest.raises(StartupError, match=r"shop.service' exists: use update"):
        make(tmp_path).install()


def test_update_takes_the_options_of_now(tmp_path, capsys):
    make(tmp_path, "--port=80").install()
    unit = make(tmp_path, "--disable-static")
    assert unit.update() == 0
    assert value_of(unit.path, "ExecStart").endswith("serve.py --disable-static")
    assert "sudo systemctl restart shop" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "fix"), [("update", "use install"), ("remove", "nothing is to be removed")]
)
def test_what_is_not_installed(tmp_path, command, fix):
    with pytest.raises(StartupError, match=f"there is no .*: {fix}"):
        getattr(make(tmp_path), command)()


@pytest.mark.parametrize("command", ["update", "remove"])
def test_somebody_elses_unit_is_left_alone(tmp_path, units, command):
    (units / "shop.service").write_text("[Service]\nExecStart=/bin/true\n")
    with pytest.raises(StartupError, match="was not written by skitai: it is left alone"):
        getattr(make(tmp_path, force=True), command)()
    assert (units / "shop.service").read_text().endswith("/bin/true\n")


@pytest.mark.parametrize("command", ["update", "remove"])
def test_an_edited_unit_is_left_alone_unless_forced(tmp_path, command):
    unit = make(tmp_path)
    unit.install()
    edited = unit.path.read_text().replace("RestartSec=2", "RestartSec=9")
    unit.path.write_text(edited)
    with pytest.raises(StartupError, match=r"was edited.*drop-in \(systemctl edit shop\).*--force"):
        getattr(make(tmp_path), command)()
    assert unit.path.read_text() == edited
    assert getattr(make(tmp_path, force=True), command)() == 0
    assert unit.path.exists() == (command == "update")


def test_remove_deletes_it_even_when_its_user_is_gone(tmp_path, units):
    make(tmp_path).install()
    assert make(tmp_path, user="nosuch").remove() == 0
    assert list(units.iterdir()) == []


# Rehearsals


def test_a_dry_run_prints_and_does_nothing(tmp_path, units, capsys):
    for command in ("install", "update"):
        assert getattr(make(tmp_path, "--port=80", dry=True), command)() == 0
        printed = capsys.readouterr().out
        assert printed.startswith(f"# {units}/shop.service\n# written by skitai, sha256 ")
        assert "--port=80" in printed
    assert list(units.iterdir()) == []


def test_a_dry_run_of_remove_tells_what_would_be_run(tmp_path, capsys):
    unit = make(tmp_path)
    unit.install()
    capsys.readouterr()
    make(tmp_path, dry=True).remove()
    assert f"would run: rm -f {unit.path}" in capsys.readouterr().err
    assert unit.path.exists()


# What may be broken on a machine


def test_without_a_directory_for_units(tmp_path, units):
    units.rmdir()
    with pytest.raises(StartupError, match=r"unit directory .* does not exist: is systemd"):
        make(tmp_path).install()


def test_a_directory_for_units_that_is_none(tmp_path, units):
    units.rmdir()
    units.write_text("a file")
    with pytest.raises(StartupError, match="can't be read: Not a directory"):
        make(tmp_path).install()


def test_what_can_not_be_written_leaves_nothing(tmp_path, units):
    unit = make(tmp_path)
    (units / "shop.service.new").mkdir()  # tee can't write there, not even as root
    with pytest.raises(StartupError, match=r"tee .* failed: .*directory"):
        unit.install()
    assert not unit.path.exists()


@pytest.fixture
def machine(tmp_path, units, monkeypatch):
    """The system's own directory for units, with programs that only note what they are called."""
    programs = tmp_path / "bin"
    programs.mkdir()
    calls = tmp_path / "calls"

    def provide(name, then=""):
        path = programs / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {calls}\n{then}\n')
        path.chmod(0o755)

    for name in ("tee", "mv", "rm", "chmod", "sh"):
        (programs / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("SKITAI_UNITS")
    monkeypatch.setattr(installation, "UNITS", units)
    return SimpleNamespace(
        provide=provide, calls=lambda: calls.read_text().splitlines() if calls.exists() else []
    )


def test_systemd_is_told(tmp_path, machine):
    machine.provide("systemctl")
    make(tmp_path).install()
    make(tmp_path).update()
    make(tmp_path).remove()
    assert machine.calls() == [
        "systemctl daemon-reload",
        "systemctl enable shop.service",
        "systemctl daemon-reload",
        "systemctl disable --now shop.service",
        "systemctl daemon-reload",
    ]


def test_a_machine_without_systemd(tmp_path, units, machine):
    with pytest.raises(StartupError, match="systemctl is not installed"):
        make(tmp_path).install()
    assert list(units.iterdir()) == []


def test_what_systemd_says_is_shown(tmp_path, machine):
    machine.provide("systemctl", "echo no bus >&2; exit 1")
    with pytest.raises(StartupError, match="systemctl daemon-reload failed: no bus"):
        make(tmp_path).install()


@pytest.mark.parametrize("failing", ["daemon-reload", "enable"])
def test_what_systemd_refuses_is_not_half_installed(tmp_path, units, machine, failing):
    machine.provide("systemctl", f'test "$1" != {failing} || {{ echo no bus >&2; exit 1; }}')
    with pytest.raises(StartupError, match=f"systemctl {failing}.* failed: no bus"):
        make(tmp_path).install()
    assert list(units.iterdir()) == []
    machine.provide("systemctl")
    assert make(tmp_path).install() == 0  # the next try is not told to update


def test_a_unit_that_systemd_does_not_read_anew_can_be_updated_again(tmp_path, machine):
    machine.provide("systemctl")
    unit = make(tmp_path)
    unit.install()
    machine.provide("systemctl", "exit 1")
    with pytest.raises(StartupError, match="systemctl daemon-reload failed: exit code 1"):
        make(tmp_path, "--port=80").update()
    machine.provide("systemctl")
    assert make(tmp_path, "--port=80").update() == 0


def test_a_service_that_can_not_be_stopped_keeps_its_unit(tmp_path, machine):
    machine.provide("systemctl")
    unit = make(tmp_path)
    unit.install()
    machine.provide("systemctl", 'test "$1" != disable || { echo Access denied >&2; exit 1; }')
    with pytest.raises(StartupError, match="disable --now shop.service failed: Access denied"):
        make(tmp_path).remove()
    assert unit.path.exists()


def test_a_program_that_can_not_be_run(tmp_path, units, machine):
    machine.provide("systemctl")
    (tmp_path / "bin" / "tee").unlink()
    with pytest.raises(StartupError, match="tee can't be run: No such file or directory"):
        make(tmp_path).install()
    assert list(units.iterdir()) == []


@pytest.mark.parametrize("command", ["install", "update", "remove"])
def test_a_directory_at_the_place_of_a_unit(tmp_path, units, command):
    (units / "shop.service").mkdir()
    with pytest.raises(StartupError, match="shop.service' can't be read: Is a directory"):
        getattr(make(tmp_path, force=True), command)()


def test_a_group_without_a_name(tmp_path, units, monkeypatch):
    def unknown(gid):
        raise KeyError(gid)

    monkeypatch.setattr(installation.grp, "getgrgid", unknown)
    with pytest.raises(ConfigError, match="group number .* has no name: give one with --group"):
        make(tmp_path).install()
    assert list(units.iterdir()) == []


def test_a_sudo_that_refuses(tmp_path, units, machine, monkeypatch):
    machine.provide("systemctl")
    machine.provide("sudo", "echo 'sudo: a password is required' >&2; exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(shutil, "which", lambda name: name)  # it asks os.access, too
    with pytest.raises(StartupError, match=r"sudo tee .* failed: sudo: a password is required"):
        make(tmp_path, user="nobody").install()
    assert list(units.iterdir()) == []


def test_who_may_not_write_needs_sudo(tmp_path, units, machine, monkeypatch):
    machine.provide("systemctl")
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    # shutil.which asks os.access, too
    found = {"systemctl", "sudo"}
    monkeypatch.setattr(shutil, "which", lambda name: name if name in found else None)
    machine.provide("sudo", 'exec "$@"')
    make(tmp_path, user="nobody").install()
    assert machine.calls()[-1] == "systemctl enable shop.service"
    assert machine.calls()[0].startswith(f"sudo tee {units}/shop.service.new")
    found.discard("sudo")
    with pytest.raises(StartupError, match="sudo is not installed: do it as root"):
        make(tmp_path, user="nobody").remove()


# The command line


def launch_of(tmp_path, *words, named=True):
    line = parse(words, "serve.py", {})
    service = SimpleNamespace(directory=tmp_path)
    settings = Settings(name="shop")
    command = [sys.executable, str(tmp_path / "serve.py"), *line.words]
    return line, Launch(service, settings, command, named)


def test_commands_of_the_line_are_carried_out(tmp_path, units):
    unit = units / "shop.service"
    assert carry_out(*launch_of(tmp_path, "--port=80", "install")) == 0
    assert value_of(unit, "ExecStart").endswith("serve.py --port=80")
    unit.write_text(unit.read_text() + "\n")
    assert carry_out(*launch_of(tmp_path, "--force", "--devel", "update")) == 0
    assert value_of(unit, "ExecStart").endswith("serve.py --devel")
    assert carry_out(*launch_of(tmp_path, "uninstall")) == 0
    assert not unit.exists()


@pytest.mark.parametrize("words", [["install"], ["update"], ["remove"], ["--nginx-conf=a.com"]])
def test_a_service_without_a_name_is_not_installed(tmp_path, words):
    with pytest.raises(ConfigError, match="needs a name for the service"):
        carry_out(*launch_of(tmp_path, *words, named=False))


def test_times_are_whole_seconds_however_long(tmp_path, units):
    unit = make(tmp_path, drain_timeout=2_000_000.5, start_timeout=1_500_000.0)
    unit.install()
    assert value_of(unit.path, "TimeoutStopSec") == "2000011"
    assert value_of(unit.path, "TimeoutStartSec") == "1500005"
    assert verify(unit.path) == []
