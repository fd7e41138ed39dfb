"""What a user may not: directories that are read only, files of others, low ports, other users."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from faulty_machine import (
    DAC_OVERRIDE,
    NET_BIND_SERVICE,
    SETGID,
    SETUID,
    mode,
    refused,
    types,
    without_override,
    without_rights,
)
from live_service import write_files
from tls_project import make_pair

from skitai.testing.launcher import free_port

pytestmark = pytest.mark.e2e

SERVE = """
    import skitai
    import shop

    OPTIONS
    skitai.mount("/", shop)
    skitai.run(name="shop", address="127.0.0.1")
"""
SHOP = """
    from atila import Atila

    def __config__(pref):
        pref.set_static("/static", "static")

    def __app__():
        return Atila(__name__)
"""
FIX = "give this user the right to write there"
HOME = "set SKITAI_HOME to a directory where this user may write"


@pytest.fixture
def project(tmp_path):
    """A directory with a project; ``options`` are lines of its script."""

    def write(options=""):
        folder = tmp_path / "project"
        script = SERVE.replace("OPTIONS", options)
        write_files(folder, {"serve.py": script, "shop.py": SHOP, "static/a.txt": "a"})
        return folder

    return write


def files_of(folder):
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    )


# Directories that can only be read


def test_logs(project):
    folder = project("skitai.enable_file_logging('logs')")
    with mode(folder, 0o555):
        done = types(folder, "--port=0", fault=without_override)
    refused(done, f"log_path: {folder}/logs can't be written (Permission denied): give the user")
    (folder / "logs").mkdir()
    with mode(folder / "logs", 0o555):
        done = types(folder, "--port=0", fault=without_override)
    refused(done, f"log_path: {folder}/logs/request.log can't be written (Permission denied): give")


def test_the_state_of_a_service(project, tmp_path):
    folder, home = project(), tmp_path / "home"
    (home / "shop").mkdir(parents=True)
    for place in (home / "shop", home):
        with mode(place, 0o555):
            done = types(folder, "--port=0", "start", fault=without_override, SKITAI_HOME=str(home))
        refused(done, f"{home}/shop", f"can't be used (Permission denied): {HOME}")
        assert files_of(home) in ([], ["shop"])
        if place != home:
            place.rmdir()


def test_collected_files_and_the_configuration_of_nginx(project):
    folder = project()
    before = files_of(folder)
    command = ("--port=5000", "--nginx-conf=example.com")
    with mode(folder, 0o555):
        done = types(folder, *command, fault=without_override)
    refused(done, f"'{folder}/.static_root' can't be written: Permission denied: {FIX}")
    assert files_of(folder) == before
    (folder / "conf").mkdir()
    with mode(folder / "conf", 0o555):
        done = types(folder, *command, fault=without_override)
    refused(done, f"'{folder}/conf/nginx", f"can't be written: Permission denied: {FIX}")
    with mode(folder / "static", 0):
        done = types(folder, *command, fault=without_override)
    refused(done, f"static files can't be collected: '{folder}/static' can't be read: Permission")


def test_a_new_project(tmp_path):
    with mode(tmp_path, 0o555):
        done = types(tmp_path, "new", "shop", module="skitai", fault=without_override)
    refused(done, f"skitai: 'shop' can't be written: Permission denied: {FIX}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["install", "update", "remove"])
def test_units(project, tmp_path, command):
    folder, units = project(), tmp_path / "units"
    units.mkdir()
    if command != "install":
        assert types(folder, "install", SKITAI_UNITS=str(units)).returncode == 0
    before = {path.name: path.read_bytes() for path in units.iterdir()}
    with mode(units, 0o555):
        done = types(folder, command, fault=without_override, SKITAI_UNITS=str(units), PATH="/bin")
    refused(done, f"{units}", "ermission denied" if os.geteuid() == 0 else "do it as root")
    assert {path.name: path.read_bytes() for path in units.iterdir()} == before


# Files that can't be read


@pytest.mark.parametrize("command", ["status", "start", "stop"])
def test_a_pid_file_of_somebody_else(project, tmp_path, command):
    folder, state = project(), tmp_path / "home" / "shop"
    state.mkdir(parents=True)
    (state / "service.pid").write_text("{}")
    with mode(state / "service.pid", 0):
        done = types(
            folder, "--port=0", command, fault=without_override, SKITAI_HOME=str(state.parent)
        )
    refused(done, f"'{state}/service.pid' can't be used (Permission denied): {HOME}")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (Path.mkdir, "is no file: remove it"),
        (os.mkfifo, "is no file: remove it"),
        (lambda path: path.symlink_to("/dev/full"), "is no file: remove it"),
        (lambda path: path.symlink_to(path), "can't be used (Too many levels of symbolic links)"),
    ],
)
def test_a_pid_file_that_is_no_file(project, tmp_path, make, text):
    folder, state = project(), tmp_path / "home" / "shop"
    state.mkdir(parents=True)
    make(state / "service.pid")
    for command in ("status", "start"):
        done = types(folder, "--port=0", command, SKITAI_HOME=str(state.parent))
        if (state / "service.pid").is_dir() and command == "start":
            refused(done, "service.pid' can't be used (Is a directory): remove it")
        else:
            refused(done, text)


@pytest.mark.parametrize("kind", ["keyfile", "certfile"])
def test_a_certificate_or_its_key(project, kind):
    folder = project("skitai.enable_ssl('server.pem', 'server.key')")
    certificate, key = make_pair(folder, "server")
    with mode({"keyfile": key, "certfile": certificate}[kind], 0):
        done = types(folder, "--port=0", fault=without_override)
    refused(done, f"{kind} '{folder}/server.", "can't be read (Permission denied): give the path")


def test_an_app_whose_file_can_not_be_read(project):
    folder = project()
    write_files(
        folder, {"serve.py": "import skitai\nskitai.mount('/', 'shop.py')\nskitai.run(port=0)\n"}
    )
    with mode(folder / "shop.py", 0):
        done = types(folder, fault=without_override)
    refused(done, "serve.py, line 2: file 'shop.py' can't be read: PermissionError")
    assert done.stderr.rstrip().endswith("shop.py'")


# What only root may, and not every root


def test_a_low_port(project):
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 81:
        pytest.skip("on this machine everybody may bind every port")
    done = types(project(), "--port=81", fault=without_rights(NET_BIND_SERVICE))
    refused(done, "port 81 needs privileges that this user doesn't have: choose one from 1024 up")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("capability", [SETUID, SETGID])
def test_root_of_a_container_that_may_not_become_another_user(project, capability):
    done = types(project(), "--port=0", "--user=nobody", fault=without_rights(capability))
    refused(done, "user='nobody' can't be had: root may not become somebody else here; give it the")


@pytest.mark.skipif(os.geteuid() != 0, reason="it is root that loses a right")
def test_these_tests_take_rights_away(tmp_path):
    (tmp_path / "serve.py").write_text("open('secret')")
    (tmp_path / "secret").write_text("")
    assert types(tmp_path).returncode == 0
    with mode(tmp_path / "secret", 0):
        assert "PermissionError" in types(tmp_path, fault=without_rights(DAC_OVERRIDE, 2)).stderr


def test_a_port_that_we_have_ourselves(project, tmp_path):
    """Another state directory knows nothing of the service, but the port is taken."""
    folder, port = project(), free_port()
    homes = [str(tmp_path / name) for name in ("one", "two")]
    try:
        assert types(folder, f"--port={port}", "start", SKITAI_HOME=homes[0]).returncode == 0
        done = types(folder, f"--port={port}", SKITAI_HOME=homes[1])
        refused(done, f"port {port} is in use")
        done = types(folder, f"--port={port}", "start", SKITAI_HOME=homes[1])
        assert done.returncode == 2
        assert f"port {port} is in use" in done.stderr
        assert types(folder, "status", SKITAI_HOME=homes[1]).returncode == 3
        assert types(folder, "status", SKITAI_HOME=homes[0]).returncode == 0
    finally:
        assert types(folder, "stop", SKITAI_HOME=homes[0]).returncode == 0
