"""A service on a unix socket, behind nginx, and on sockets that systemd hands over."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from live_service import PATIENCE, eventually, run_script, running, write_files
from tls_project import script

from skitai.testing.launcher import free_port
from skitai.testing.readiness import ReadinessSocket

pytestmark = pytest.mark.e2e

ADDRESS = 'address="127.0.0.1"'


def on_socket(**settings):
    given = "".join(f", {name}={value!r}" for name, value in settings.items())
    return script("pass").replace(ADDRESS, f"address='unix:run.sock'{given}")


class Process:
    """serve.py, started by a command of the test, ready when it says so."""

    def __init__(self, folder, command, *, at_once):
        self.log_file = folder / "log"
        with ReadinessSocket() as ready, self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "NOTIFY_SOCKET": ready.path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            if at_once:
                eventually(lambda: ready.wait(1) or self.process.poll() is not None, "the start")

    def log(self):
        return self.log_file.read_text()

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        eventually(lambda: not running(self.process.pid), "the end of all processes")
        return self.process.returncode


@pytest.fixture
def folder():
    # Paths of unix sockets are short, those of pytest's folders are not.
    with tempfile.TemporaryDirectory(prefix="skitai-") as folder:
        yield Path(folder)


@pytest.fixture
def start(folder):
    started = []

    def start(source, *command):
        write_files(folder, {"serve.py": source})
        words = [*command, sys.executable, "serve.py"]
        started.append(Process(folder, words, at_once=not command))
        return started[-1]

    yield start
    for process in started:
        if process.process.poll() is None:
            process.stop()


def curl(folder, url="http://localhost/", *words):
    found = shutil.which("curl")
    assert found is not None, "this test needs curl"
    command = [found, "-sS", "--max-time", "20", *words, url]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout or done.stderr


def through_socket(folder, path="/"):
    return curl(folder, f"http://localhost{path}", "--unix-socket", "run.sock")


def test_a_unix_socket_serves_reloads_and_goes_away(folder, start):
    service = start(on_socket(workers=2))
    path = folder / "run.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert f"serving on http+unix:{path} with 2 workers" in service.log()
    first = through_socket(folder, "/who?token=a")
    assert first.startswith("a ")
    service.process.send_signal(signal.SIGHUP)
    eventually(lambda: "generation 1 serves" in service.log(), "the reload")
    eventually(lambda: through_socket(folder, "/who?token=a") != first, "a new worker")
    assert path.exists()
    assert service.stop() == 0
    assert not path.exists()


def test_its_mode_is_a_setting(folder, start):
    start(on_socket(socket_mode="606"))
    assert stat.S_IMODE((folder / "run.sock").stat().st_mode) == 0o606


def test_what_a_killed_service_left_is_replaced(folder, start):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "run.sock"))
    start(on_socket())
    assert through_socket(folder) == "http 1.1"


def test_a_socket_in_use_is_not_taken(folder, start):
    start(on_socket())
    done = run_script(folder)
    assert done.returncode == 2
    assert "run.sock' is in use by another program" in done.stderr
    assert through_socket(folder) == "http 1.1"


def test_a_file_is_not_taken_for_a_socket(folder):
    write_files(folder, {"serve.py": on_socket(), "run.sock": "important"})
    done = run_script(folder)
    assert done.returncode == 2
    assert "is a file of another kind" in done.stderr
    assert (folder / "run.sock").read_text() == "important"


@pytest.mark.parametrize("path", ["no/such/folder.sock", "long" * 40])
def test_a_path_that_can_not_be_had_is_an_error(folder, path):
    write_files(folder, {"serve.py": on_socket().replace("run.sock", path)})
    done = run_script(folder)
    assert done.returncode == 2
    assert f"{path}' can't be used" in done.stderr


def test_the_file_of_a_successor_is_left_alone(folder, start):
    service = start(on_socket())
    (folder / "run.sock").rename(folder / "old.sock")
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(str(folder / "run.sock"))
        assert service.stop() == 0
        assert (folder / "run.sock").exists()


# -- nginx in front

NGINX = """
    daemon off;
    worker_processes 1;
    pid nginx.pid;
    error_log stderr;
    events {{}}
    http {{
        access_log off;
        client_body_temp_path tmp;
        proxy_temp_path tmp;
        fastcgi_temp_path tmp;
        uwsgi_temp_path tmp;
        scgi_temp_path tmp;
        server {{
            listen 127.0.0.1:{port};
            location / {{
                proxy_pass http://unix:{folder}/run.sock;
                proxy_http_version 1.1;
                proxy_set_header Host $http_host;
                proxy_set_header X-Forwarded-For $remote_addr;
                proxy_set_header X-Forwarded-Proto https;
            }}
        }}
    }}
"""


def test_nginx_reaches_it_through_the_socket(folder, start):
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    port = free_port()
    folder.chmod(0o755)
    service = start(on_socket(socket_mode="666"))
    write_files(folder, {"nginx.conf": NGINX.format(port=port, folder=folder)})
    proxy = subprocess.Popen([nginx, "-p", str(folder), "-c", "nginx.conf"], cwd=folder)
    try:
        url = f"http://127.0.0.1:{port}/"
        eventually(lambda: curl(folder, url) == "https 1.1", "nginx")
    finally:
        proxy.terminate()
        proxy.wait(PATIENCE)
    assert service.stop() == 0


# -- sockets from systemd


@pytest.fixture
def activate():
    found = shutil.which("systemd-socket-activate")
    assert found is not None, "this test needs systemd-socket-activate"
    return found


def test_systemd_hands_sockets_over(folder, start, activate):
    port = free_port()
    service = start(
        script("pass"), activate, f"--listen=127.0.0.1:{port}", f"--listen={folder}/a.sock"
    )
    # The first client makes systemd start it, and waits till then.
    assert eventually(lambda: curl_if_open(folder, port), "the service") == "http 1.1"
    assert curl(folder, "http://a/", "--unix-socket", "a.sock") == "http 1.1"
    eventually(lambda: "serving on" in service.log(), "the start")
    assert f"http://127.0.0.1:{port}, http+unix:{folder}/a.sock" in service.log()
    service.process.send_signal(signal.SIGHUP)
    eventually(lambda: "generation 1 serves" in service.log(), "the reload")
    assert curl(folder, "http://a/", "--unix-socket", "a.sock") == "http 1.1"
    assert service.stop() == 0
    assert (folder / "a.sock").exists()  # it is systemd's


def curl_if_open(folder, port):
    answer = curl(folder, f"http://127.0.0.1:{port}/")
    return "" if answer.startswith("curl:") else answer


def test_one_of_them_may_redirect(folder, start, activate):
    ports = free_port(), free_port()
    source = script("skitai.enable_forward()")
    listening = [f"--listen=127.0.0.1:{port}" for port in ports]
    start(source, activate, *listening, "--fdname=main:forward")
    assert eventually(lambda: curl_if_open(folder, ports[0]), "the service") == "http 1.1"
    connection = http.client.HTTPConnection("127.0.0.1", ports[1])
    connection.request("GET", "/x", headers={"Host": "a.com"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Location")) == (301, "https://a.com/x")
    connection.close()


def test_connections_are_not_taken_for_listening_sockets(folder):
    write_files(folder, {"serve.py": script("pass")})
    ours, theirs = socket.socketpair()
    with ours, theirs:
        shell = 'exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        done = subprocess.run(
            ["bash", "-c", shell, str(theirs.fileno()), sys.executable, "serve.py"],
            cwd=folder, pass_fds=[theirs.fileno()], capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert "Accept=no" in done.stderr


def test_variables_for_another_process_mean_nothing(launch):
    files = {"serve.py": script("os.environ.update(LISTEN_PID='1', LISTEN_FDS='3')")}
    service = launch(files)
    assert service.get("/").text == "http 1.1"
