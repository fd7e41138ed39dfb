"""A service that root starts, with workers that are somebody else; and missing privileges."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from live_service import PATIENCE, LiveService, eventually, receive, run_script, write_files
from tls_project import make_pair

from skitai.testing.launcher import free_port

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
SERVE = """
    import os
    import skitai
    from atila import Atila

    app = Atila("whoami")

    @app.route("/")
    def index(was):
        ids = {"uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups()}
        return was.API(home=os.environ["HOME"], **ids)

    if __name__ == "__main__":
        skitai.mount("/", app)
        skitai.run(address="127.0.0.1")
"""
NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def start(tmp_path):
    """Start the service; the other user may not even look into the directory of the test."""
    write_files(tmp_path, {"serve.py": SERVE})
    with contextlib.ExitStack() as cleanup:

        def start(**options):
            service = LiveService(tmp_path, **options)
            cleanup.callback(service.close)
            return service

        yield start


@as_root
def test_workers_are_the_user_that_was_asked_for(start):
    service = start(user="nobody", workers=2)
    assert service.get("/").json() == {
        "uid": NOBODY.pw_uid,
        "gid": NOBODY.pw_gid,
        "groups": [NOBODY.pw_gid],
        "home": NOBODY.pw_dir,
    }
    assert psutil.Process(service.pid).uids().real == 0  # it binds ports again after a reload
    for worker in service.workers():
        uids = psutil.Process(worker).uids()
        assert {uids.real, uids.effective, uids.saved} == {NOBODY.pw_uid}


@as_root
def test_the_group_can_be_another(start):
    found = start(user="nobody", group="daemon").get("/").json()
    assert (found["uid"], found["gid"]) == (NOBODY.pw_uid, grp.getgrnam("daemon").gr_gid)


@as_root
def test_new_workers_are_that_user_too(start):
    service = start(user="nobody")
    before = service.workers()
    service.send(signal.SIGHUP)
    eventually(lambda: service.workers() and not set(before) & set(service.workers()), "a reload")
    assert service.get("/").json()["uid"] == NOBODY.pw_uid


@as_root
def test_a_low_port_is_bound_before_the_rights_are_gone(tmp_path):
    write_files(tmp_path, {"serve.py": SERVE})
    port = next(port for port in range(1023, 512, -1) if is_free(port))
    with serving(tmp_path, f"--port={port}", "--user=nobody"):
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        with client:
            assert f'"uid":{NOBODY.pw_uid}'.encode() in receive(client).content


@contextlib.contextmanager
def serving(folder, *words, **variables):
    """The script in the foreground, from its first line on until it is told to end."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    command = [sys.executable, "-W", "error", "serve.py", *words]
    with subprocess.Popen(
        command, cwd=folder, env=environ, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            assert "serving on" in process.stderr.readline()
            yield
        finally:
            process.terminate()
            process.stderr.read()
    assert process.returncode == 0


def is_free(port):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@as_root
@pytest.mark.parametrize("quic", [False, True])
def test_keys_that_only_root_may_read_are_used_and_read_again(start, tmp_path, quic):
    if quic:
        pytest.importorskip("aioquic")
    _, key = make_pair(tmp_path, "server")
    source = SERVE.replace(
        "skitai.run(", 'skitai.enable_ssl("server.pem", "server.key"); skitai.run('
    )
    write_files(tmp_path, {"serve.py": source})
    key.chmod(0o600)
    udp = {"quic": free_port()} if quic else {}
    service = start(user="nobody", ssl=True, **udp)
    assert service.get("/").json()["uid"] == NOBODY.pw_uid
    before = certificate_of(service)
    make_pair(tmp_path, "server")[1].chmod(0o600)
    service.send(signal.SIGHUP)
    eventually(lambda: certificate_of(service) != before, "the new certificate")
    assert service.get("/").json()["uid"] == NOBODY.pw_uid


def certificate_of(service):
    return ssl.get_server_certificate(("127.0.0.1", service.port), timeout=PATIENCE)


# Missing privileges


@pytest.mark.parametrize("option", ["user", "group"])
def test_unknown_names_end_it_with_a_hint(tmp_path, option):
    write_files(tmp_path, {"serve.py": SERVE})
    done = run_script(tmp_path, f"--{option}=nosuch")
    assert done.returncode == 2
    assert f"{option} 'nosuch' does not exist: give another with --{option}" in done.stderr


def test_who_is_not_root_can_not_become_somebody(monkeypatch):
    from skitai.errors import ConfigError
    from skitai.privileges import check_owner

    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.pw_uid)
    monkeypatch.setattr(os, "getegid", lambda: NOBODY.pw_gid)
    check_owner("nobody", "")  # it is already, as under systemd
    with pytest.raises(ConfigError, match="user='root' needs the rights of root"):
        check_owner("root", "")


LOW_PORT = """
import os, skitai.net.listeners, encodings.idna
os.setgroups([]); os.setgid(65534); os.setuid(65534)
from skitai.net.listeners import bind_listeners
try:
    bind_listeners("127.0.0.1", 81)
except Exception as exc:
    print(exc)
"""


@as_root
def test_a_low_port_without_the_right_to_it_tells_the_ways_out():
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 81:
        pytest.skip("on this machine everybody may bind every port")
    done = subprocess.run(
        [sys.executable, "-c", LOW_PORT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "port 81" in done.stdout, done.stderr


@pytest.mark.parametrize("home", ["missing", "a file"])
def test_a_service_serves_without_a_home(tmp_path, home):
    """In the foreground nothing is kept, so a home that can't be used is no reason to stop."""
    write_files(tmp_path, {"serve.py": SERVE})
    place = tmp_path / "home"
    if home == "a file":
        place.write_text("")
    with serving(tmp_path, f"--port={free_port()}", SKITAI_HOME=str(place)):
        pass
    assert not place.is_dir()


def test_a_key_that_is_gone_when_a_worker_is_replaced_is_told(start, tmp_path):
    make_pair(tmp_path, "server")
    source = SERVE.replace(
        "skitai.run(", 'skitai.enable_ssl("server.pem", "server.key"); skitai.run('
    )
    write_files(tmp_path, {"serve.py": source})
    service = start(ssl=True)
    (tmp_path / "server.key").unlink()
    os.kill(service.workers()[0], signal.SIGKILL)
    service.wait_for_log("keyfile .*server.key' can't be read")
