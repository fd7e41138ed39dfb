"""A service in the background: the commands of its script, as an operator types them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from live_service import PATIENCE, eventually, running, write_files

from skitai.testing.launcher import free_port

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "serve.py": """
        import skitai
        import shop

        skitai.mount("/", shop)
        skitai.run(name="shop", address="127.0.0.1")
    """,
    "shop.py": """
        import time
        from atila import Atila

        def __app__():
            app = Atila(__name__)

            @app.route("/")
            def index(was):
                return "version 1"

            @app.route("/slow")
            def slow(was):
                time.sleep(1)
                return "slow"

            return app
    """,
}


class Operator:
    """Types commands in the service's directory."""

    def __init__(self, folder, home):
        self.folder, self.home, self.port = folder, home, free_port()
        self.environ = {
            **os.environ, "PYTHONPATH": str(ROOT), "SKITAI_HOME": str(home),
        }  # fmt: skip
        self.environ.pop("SKITAIENV", None)

    def types(self, *words, **options):
        return subprocess.run(
            [sys.executable, "-W", "error", "serve.py", f"--port={self.port}", *words],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
            **options,
        )

    def get(self, path="/"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    @property
    def pid_file(self):
        return self.home / "shop" / "service.pid"

    @property
    def pid(self):
        return json.loads(self.pid_file.read_text())["pid"]


@pytest.fixture
def operator(tmp_path):
    write_files(tmp_path / "shop", FILES)
    operator = Operator(tmp_path / "shop", tmp_path / "home")
    yield operator
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        pid = operator.pid
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def test_from_start_to_stop(operator):
    assert (operator.types("status").stdout, operator.types("status").returncode) == (
        "shop [stopped]\n", 3,
    )  # fmt: skip
    started = operator.types("start")
    assert (started.returncode, started.stderr) == (0, "")
    assert started.stdout == f"shop [running:{operator.pid}]\n"
    assert operator.get() == "version 1"  # it serves as soon as the command is back
    status = operator.types("status")
    assert (status.returncode, status.stdout) == (0, started.stdout)
    group = operator.pid
    stopped = operator.types("stop")
    assert (stopped.returncode, stopped.stdout) == (0, "shop [stopped]\n")
    assert running(group) == []
    assert not operator.pid_file.exists()
    assert operator.types("status").returncode == 3
    assert operator.types("stop").returncode == 0


def test_it_belongs_to_no_terminal_and_its_output_is_kept(operator):
    assert operator.types("-d").returncode == 0
    process = psutil.Process(operator.pid)
    assert os.getsid(process.pid) == process.pid
    assert process.terminal() is None
    assert Path(process.cwd()) == operator.folder
    log = (operator.home / "shop" / "output.log").read_text()
    assert "serving on http://127.0.0.1:" in log
    assert (operator.home / "shop").stat().st_mode & 0o077 == 0


def test_a_start_names_the_other_service_that_has_the_name(operator, tmp_path):
    operator.types("start")
    write_files(tmp_path / "second", FILES)
    other = Operator(tmp_path / "second", operator.home)
    refused = other.types("start")
    operator.types("stop")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"from '{operator.folder}': stop it there, or give this one another --name" in (
        refused.stderr
    )


def closed(*words):
    """A command line that runs words without standard input, output and error."""
    return ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "serve.py", *words]


def answers(operator):
    with contextlib.suppress(ConnectionError):
        return operator.get() == "version 1"


def test_a_start_without_standard_streams_is_known(operator):
    words = closed(f"--port={operator.port}", "start")
    subprocess.run(words, cwd=operator.folder, env=operator.environ, timeout=PATIENCE, check=True)
    try:
        assert operator.types("status").returncode == 0
        assert operator.get() == "version 1"
    finally:
        operator.types("stop")
    assert processes_in(operator.folder) == []


def test_a_service_without_standard_streams_gives_their_numbers_to_nothing_else(operator):
    words = closed(f"--port={operator.port}")
    with subprocess.Popen(words, cwd=operator.folder, env=operator.environ) as service:
        try:
            eventually(lambda: answers(operator), "an answer")
            master = psutil.Process(service.pid)
            for process in [master, *master.children()]:
                for number in range(3):
                    place = os.readlink(f"/proc/{process.pid}/fd/{number}")
                    assert place == os.devnull, (process, number)
        finally:
            service.terminate()
    assert service.returncode == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["status"], ["routes"]])
def test_a_reader_that_leaves_is_no_error(operator, words, unbuffered):
    operator.environ["PYTHONUNBUFFERED"] = unbuffered
    routes = "".join(
        f"@app.route('/{number}')\ndef route_{number}(was):\n    return ''\n"
        for number in range(500)
    )
    text = "from atila import Atila\n\napp = Atila(__name__)\n\n" + routes
    (operator.folder / "shop.py").write_text(text)  # more than a buffer has room for
    (operator.folder / "serve.py").write_text(
        "import skitai\n\nskitai.mount('/', 'shop.py')\nskitai.run(name='shop')\n"
    )
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", "serve.py", *words],
            cwd=operator.folder, env=operator.environ, stdout=writing, stderr=subprocess.PIPE,
            text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    finally:
        os.close(writing)
    assert done.stderr == ""
    assert done.returncode in (0, 3)


@pytest.mark.parametrize(
    ("word", "unbuffered"), [("--help", ""), ("status", ""), ("routes", ""), ("routes", "1")]
)
def test_a_disk_without_room_for_what_is_printed_is_told_in_one_line(operator, word, unbuffered):
    operator.environ["PYTHONUNBUFFERED"] = unbuffered
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-W", "error", "serve.py", word],
            cwd=operator.folder, env=operator.environ, stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    assert done.stderr == "serve.py: standard output can't be written: No space left on device\n"
    assert done.returncode == 2


def test_a_script_is_started_from_a_directory_that_is_gone(operator, tmp_path):
    (tmp_path / "gone").mkdir()
    (operator.folder / "serve.py").write_text(
        "import skitai\n\nskitai.mount('/', 'shop.py')\nskitai.run(name='shop')\n"
    )
    done = subprocess.run(
        ["sh", "-c", 'rmdir ../gone && exec "$@"', "sh", sys.executable,
         str(operator.folder / "serve.py"), "status"],
        cwd=tmp_path / "gone", env=operator.environ, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (3, "shop [stopped]\n", "")


def test_a_second_start_is_refused(operator):
    operator.types("start")
    for words in (["start"], []):
        second = operator.types(*words)
        assert second.returncode == 2
        assert f"pid {operator.pid}: stop it first" in second.stderr


def test_of_two_starts_at_once_one_wins(operator):
    done = []
    threads = [
        threading.Thread(target=lambda: done.append(operator.types("start"))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.returncode for one in done) == [0, 2]
    assert operator.get() == "version 1"


def test_restart_takes_new_code_and_starts_what_was_stopped(operator):
    assert operator.types("restart").returncode == 0
    before = operator.pid
    source = (operator.folder / "shop.py").read_text().replace("version 1", "another version")
    write_files(operator.folder, {"shop.py": source})
    assert operator.types("restart").returncode == 0
    assert operator.pid != before
    assert operator.get() == "another version"


def test_reload_takes_new_code_without_a_new_master(operator):
    operator.types("start")
    before = operator.pid
    source = (operator.folder / "shop.py").read_text().replace("version 1", "another version")
    write_files(operator.folder, {"shop.py": source})
    reloaded = operator.types("reload")
    assert (reloaded.returncode, reloaded.stdout) == (0, f"shop [running:{before}] reloads\n")
    eventually(lambda: operator.get() == "another version", "the new code")
    assert operator.pid == before


def test_reload_of_what_does_not_run(operator):
    done = operator.types("reload")
    assert done.returncode == 2
    assert "shop does not run: start it" in done.stderr


def test_stop_waits_for_what_runs(operator):
    operator.types("start")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(operator.get("/slow")))
    log = operator.home / "shop" / "output.log"
    thread.start()
    worker = psutil.Process(operator.pid).children()[0]
    eventually(lambda: worker.net_connections() and len(worker.net_connections()) > 1, "a request")
    assert operator.types("stop").returncode == 0
    thread.join()
    assert answers == ["slow"], log.read_text()


def test_a_start_that_fails_tells_why_and_leaves_nothing(operator):
    source = (operator.folder / "shop.py").read_text()
    write_files(
        operator.folder, {"shop.py": source.replace("def __app__():", "def __app__():\n    1 / 0")}
    )
    failed = operator.types("start")
    assert failed.returncode == 2
    assert "shop ended; its output:" in failed.stderr
    assert "ZeroDivisionError" in failed.stderr
    assert operator.types("status").returncode == 3


def test_a_port_that_is_taken_tells_so(operator):
    operator.types("start")
    other = operator.types("start", "--name=other")
    assert other.returncode == 2
    assert f"port {operator.port} is in use" in other.stderr
    assert operator.types("status", "--name=other").returncode == 3
    assert operator.get() == "version 1"


def test_a_killed_service_is_stopped_and_can_be_started(operator):
    operator.types("start")
    group = operator.pid
    os.kill(group, signal.SIGKILL)
    eventually(lambda: operator.types("status").returncode == 3, "the end to be seen")
    eventually(lambda: not running(group), "the workers to end without a master")
    assert operator.types("start").returncode == 0
    assert operator.get() == "version 1"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"pid": 1}'])
def test_a_stale_file_is_no_obstacle(operator, content):
    operator.pid_file.parent.mkdir(parents=True)
    operator.pid_file.write_bytes(content)
    assert operator.types("status").returncode == 3
    assert operator.types("stop").returncode == 0
    assert operator.types("start").returncode == 0


def test_a_place_that_can_not_be_written(operator):
    operator.home.write_text("a file")
    for command in ("start", "status"):
        done = operator.types(command)
        assert done.returncode == 2, done
        assert "set SKITAI_HOME to a directory where this user may write" in done.stderr


def processes_in(folder):
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, FileNotFoundError):
            if process.cwd() == str(folder):
                found.append(process)
    return found


def test_a_home_that_is_read_only(operator):
    operator.environ["SKITAI_HOME"] = "/proc/skitai"  # not even root may write there
    started = operator.types("start")
    assert started.returncode == 2
    assert "set SKITAI_HOME to a directory where this user may write" in started.stderr
    assert operator.types("status").returncode == 3


def test_a_disk_that_is_full_when_it_is_started(operator):
    operator.types("status")
    failed = operator.types(
        "start", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    )
    assert (failed.returncode, failed.stdout) == (2, "")
    assert "shop can't be started: " in failed.stderr
    assert processes_in(operator.folder) == []
    assert operator.types("start").returncode == 0


def test_who_gives_up_a_start_leaves_nothing(operator):
    source = (operator.folder / "shop.py").read_text()
    slow = source.replace("def __app__():", "def __app__():\n    time.sleep(60)")
    write_files(operator.folder, {"shop.py": slow})
    command = [sys.executable, "serve.py", f"--port={operator.port}", "start"]
    with subprocess.Popen(
        command, cwd=operator.folder, env=operator.environ, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # as in a terminal
    ) as process:  # fmt: skip
        eventually(lambda: len(processes_in(operator.folder)) >= 3, "master and worker")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 130
    eventually(lambda: processes_in(operator.folder) == [], "the end of what was started")


def test_old_output_is_cut(operator):
    log = operator.home / "shop" / "output.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"first\n" + b"x" * 1023 * 1024 + b"\n" + b"y" * 8 * 1024 + b"\nlast\n")
    operator.types("start")
    text = log.read_text()
    assert "first" not in text
    assert "x" * 10 not in text.splitlines()[0]
    assert "\nlast\n" in text
    assert "serving on" in text


def test_a_watching_manager_hears_that_it_lives(operator, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        watching = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        environ = {**operator.environ, **watching}
        command = [sys.executable, "serve.py", f"--port={operator.port}"]
        with subprocess.Popen(command, cwd=operator.folder, env=environ) as service:
            heard = [manager.recv(4096) for _ in range(10)]
            service.terminate()
            while (last := manager.recv(4096)) == b"WATCHDOG=1":
                pass
    assert heard.count(b"WATCHDOG=1") >= 8
    assert any(message.startswith(b"READY=1\nMAINPID=") for message in heard)
    assert last == b"STOPPING=1"
