"""A service from its start to its end: under load, in requests, with mistakes in it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket

import psutil
import pytest
from live_service import PATIENCE, eventually, receive, run_script, running, write_files
from load import Load

import skitai

pytestmark = pytest.mark.e2e

APP = """
    import asyncio
    import os
    import time
    from atila import Atila

    def note (line):
        with open ("notes", "a") as notes:
            notes.write (f"{line} {os.getpid ()}\\n")

    def __app__ ():
        return Atila (__name__)

    def __mount__ (app, mntopt):
        @app.route ("/who")
        def who (was, token):
            return f"{token} {os.getpid ()}"

        @app.route ("/wait")
        def wait (was):
            note ("waiting")
            while os.path.exists ("gate"):
                time.sleep (0.01)
            return "waited in a thread"

        @app.route ("/await")
        async def await_ (was):
            note ("waiting")
            while os.path.exists ("gate"):
                await asyncio.sleep (0.01)
            return "waited on the loop"

        @app.route ("/stream")
        def stream (was):
            def pieces ():
                yield "waited "
                note ("waiting")
                while os.path.exists ("gate"):
                    time.sleep (0.01)
                yield "in a stream"
            return pieces ()

        @app.route ("/forever")
        def forever (was):
            note ("waiting")
            while True:
                time.sleep (1)

    def __umount__ (app):
        note ("umount")
"""


def script(**options: object) -> str:
    arguments = "".join(f", {name}={value!r}" for name, value in options.items())
    return f"""
        import skitai
        import myapp

        if __name__ == "__main__":
            skitai.mount ("/", myapp)
            skitai.run (address="127.0.0.1", access_log=False{arguments})
    """


def files(**options: object) -> dict[str, str]:
    return {"serve.py": script(**options), "myapp/__init__.py": APP}


def noted(service, line):
    """The pids of the workers that noted a line, in order."""
    path = service.folder / "notes"
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(pid) for name, _, pid in (text.rpartition(" ") for text in lines) if name == line]


def close_gate(service):
    (service.folder / "gate").touch()


def open_gate(service):
    (service.folder / "gate").unlink()


def begin(service, path):
    """Send a request and don't wait for the answer."""
    connection = service.connect()
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


# Under load


def test_hup_replaces_all_workers_and_no_request_fails(launch):
    service = launch(files(workers=2))
    generations = [set(service.workers())]
    with Load(service.port, keeping=4, changing=2) as load:
        for number in range(1, 4):
            service.send(signal.SIGHUP)
            service.wait_for_log(f"reloaded: generation {number} serves")
            eventually(lambda: len(service.workers()) == 2, "the end of the old workers")
            generations.append(set(service.workers()))
            load.wait_for_more(100)
    assert load.failures == []
    everybody = [pid for generation in generations for pid in generation]
    assert len(set(everybody)) == 8
    assert set(load.answers) <= set(everybody)
    assert generations[0] & set(load.answers)
    assert generations[3] & set(load.answers)
    assert sorted(noted(service, "umount")) == sorted(everybody[:6])


def test_a_terminated_worker_is_replaced_and_no_request_fails(launch):
    service = launch(files(workers=2))
    before = service.workers()
    with Load(service.port, keeping=4, changing=2) as load:
        os.kill(before[0], signal.SIGTERM)
        service.wait_for_log(rf"\(pid {before[0]}\) ended with exit code 0: replaced at once")
        eventually(lambda: len(service.workers()) == 2, "a replacement")
        [successor] = set(service.workers()) - set(before)
        load.wait_for_more(100)
    assert load.failures == []
    assert noted(service, "umount") == [before[0]]
    # Each worker takes its turn with new connections.
    eventually(
        lambda: service.get(f"/who?token={successor}").text == f"{successor} {successor}",
        "an answer of the replacement",
    )


def test_a_killed_worker_takes_only_its_own_requests_with_it(launch):
    service = launch(files(workers=2))
    before = service.workers()
    with Load(service.port, keeping=6) as load:
        os.kill(before[0], signal.SIGKILL)
        service.wait_for_log(rf"\(pid {before[0]}\) was killed by SIGKILL: replaced at once")
        eventually(lambda: len(set(service.workers()) - {before[0]}) == 2, "a replacement")
        load.wait_for_more(100)
        failed = len(load.failures)
        load.wait_for_more(300)
    assert failed <= 6, load.failures  # a connection each
    assert load.failures[failed:] == []
    assert len({failure.partition("-")[0] for failure in load.failures}) == failed


def test_a_draining_worker_answers_what_was_sent_before_it_looked(launch):
    """It is suspended for longer than it keeps idle connections."""
    service = launch(files())
    [worker] = service.workers()
    close_gate(service)
    running_one, idle = begin(service, "/wait"), begin(service, "/who?token=first")
    assert receive(idle).content == f"first {worker}".encode()
    eventually(lambda: noted(service, "waiting"), "the request to be served")
    service.send(signal.SIGTERM)
    eventually(service.refuses, "a refused connection")
    psutil.Process(worker).suspend()
    idle.sendall(b"GET /who?token=second HTTP/1.1\r\nHost: localhost\r\n\r\n")
    idle.settimeout(2)
    with pytest.raises(TimeoutError):
        idle.recv(1)
    idle.settimeout(PATIENCE)
    psutil.Process(worker).resume()
    response = receive(idle)
    assert response.content == f"second {worker}".encode()
    assert response.getheader("Connection") == "close"
    open_gate(service)
    assert receive(running_one).content == b"waited in a thread"
    assert service.wait() == 0


# Stopping


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_stopping_completes_what_runs_and_refuses_what_comes(launch, signum):
    service = launch(files(workers=2, threads=4))
    workers = service.workers()
    close_gate(service)
    paths = ["/wait", "/await", "/stream"] * 2
    connections = [begin(service, path) for path in paths]
    idle = service.connect()
    eventually(lambda: len(noted(service, "waiting")) == len(paths), "all requests to be served")
    service.send(signum)
    eventually(service.refuses, "a refused connection")
    assert service.client.returncode is None
    assert noted(service, "umount") == []
    open_gate(service)
    responses = [receive(connection) for connection in connections]
    assert [response.status for response in responses] == [200] * len(paths)
    assert [response.content for response in responses] == [
        b"waited in a thread", b"waited on the loop", b"waited in a stream",
    ] * 2  # fmt: skip
    assert service.wait() == 0
    assert sorted(noted(service, "umount")) == sorted(workers)
    assert idle.recv(1) == b""
    assert "Traceback" not in service.log()
    service.client.stop()
    assert running(service.pid) == []


def test_draining_is_bounded(launch):
    service = launch(files(drain_timeout=0.5))
    [worker] = service.workers()
    connection = begin(service, "/forever")
    eventually(lambda: noted(service, "waiting"), "the request to be served")
    service.send(signal.SIGTERM)
    assert service.wait() == 0
    with contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""
    assert "requests were still running after 0.5 s" in service.log()
    assert noted(service, "umount") == [worker]


def test_many_busy_threads_do_not_keep_the_worker_from_ending_in_time(launch):
    service = launch(files(drain_timeout=0.5, threads=16))
    for _ in range(16):
        begin(service, "/forever")
    eventually(lambda: len(noted(service, "waiting")) == 16, "all requests to be served")
    service.send(signal.SIGTERM)
    assert service.wait() == 0
    assert "has not ended in time" not in service.log()


def test_workers_of_a_killed_master_finish_their_requests_and_end(launch):
    service = launch(files(workers=2))
    workers = service.workers()
    close_gate(service)
    connection = begin(service, "/wait")
    eventually(lambda: noted(service, "waiting"), "the request to be served")
    service.send(signal.SIGKILL)
    eventually(service.refuses, "a refused connection")
    open_gate(service)
    assert receive(connection).content == b"waited in a thread"
    assert service.wait() == -signal.SIGKILL
    eventually(lambda: [p.pid for p in running(service.pid)] == [service.pid], "the workers' end")
    assert sorted(noted(service, "umount")) == sorted(workers)


def test_replacing_and_reloading_leave_no_process_behind(launch):
    service = launch(files(workers=2))
    os.kill(service.workers()[0], signal.SIGKILL)
    service.wait_for_log("was killed by SIGKILL: replaced at once")
    service.send(signal.SIGHUP)
    service.wait_for_log("reloaded: generation 1 serves")
    eventually(lambda: len(running(service.pid)) == 3, "only master and two workers")
    assert {process.status() for process in running(service.pid)}.isdisjoint({"zombie"})
    service.send(signal.SIGTERM)
    assert service.wait() == 0
    assert [process.pid for process in running(service.pid)] == [service.pid]  # to be reaped by us


# Failing to start

GOOD = "import skitai\nimport myapp\nskitai.mount('/', myapp)\nskitai.run({})\n"
HOOKS = "from atila import Atila\n\ndef __app__():\n    return Atila(__name__)\n\n"


def failing(**sources: str) -> dict[str, str]:
    return {
        "serve.py": sources.get("serve", GOOD.format("port=0")),
        "myapp/__init__.py": sources.get("app", APP),
        **{name: text for name, text in sources.items() if name.endswith(".py")},
    }


MISTAKES = {
    "app": (
        failing(app="def __app__():\n    return 1 / 0\n"), [],
        ["app 'myapp'", "ZeroDivisionError", "myapp/__init__.py", "line 2", "return 1 / 0"],
    ),
    "mount": (
        failing(app=HOOKS + "def __mount__(app, mntopt):\n    mntopt['nothing']\n"), [],
        ["app 'myapp'", "KeyError: 'nothing'", "myapp/__init__.py", "line 7"],
    ),
    "setup": (
        failing(app=HOOKS + "def __setup__(app, mntopt):\n    raise ValueError('no\\nluck')\n"),
        [], ["app 'myapp'", "ValueError: no luck", "myapp/__init__.py", "line 7"],
    ),
    "config": (
        failing(app=HOOKS + "def __config__(pref):\n    raise RuntimeError('no disk')\n"), [],
        ["__config__ of 'myapp'", "RuntimeError: no disk", "myapp/__init__.py", "line 7"],
    ),
    "exit": (
        failing(app="import sys\ndef __app__():\n    sys.exit('give up')\n"), [],
        ["app 'myapp'", "give up", "myapp/__init__.py", "line 3"],
    ),
    "syntax": (
        failing(serve="import skitai\nskitai.mount('/', 'bad.py')\nskitai.run()\n",
                **{"bad.py": "from atila import Atila\ndef broken(:\n    pass\n"}), [],
        ["SyntaxError", "bad.py", "line 2"],
    ),
    "syntax in a service": (
        failing(app=HOOKS + "def __setup__(app, mntopt):\n    from . import services\n",
                **{"myapp/services.py": "def broken(:\n"}), [],
        ["app 'myapp'", "SyntaxError", "myapp/services.py", "line 1"],
    ),
    "missing module": (
        failing(app=HOOKS + "def __setup__(app, mntopt):\n    import no_such_module\n"), [],
        ["app 'myapp'", "no_such_module", "myapp/__init__.py", "line 7"],
    ),
    "bad route": (
        failing(app=HOOKS + "def __mount__(app, mntopt):\n    app.route('a')(lambda was: '')\n"),
        [], ["route 'a' must start with '/'", "myapp/__init__.py", "line 7"],
    ),
    "unknown option": (failing(), ["--wrokers=2"], ["--wrokers", "did you mean '--workers'?"]),
    "wrong option value": (failing(), ["--workers=0"], ["workers", "'0'", "at least 1"]),
    "option without value": (failing(), ["--port"], ["--port", "expected one argument"]),
    "command": (failing(), ["restart"], ["restart", "not available"]),
    "wrong value": (failing(serve=GOOD.format("threads='many'")), [], ["threads", "'many'"]),
    "unknown keyword": (
        failing(serve=GOOD.format("worker=2")), [], ["'worker'", "did you mean 'workers'?"],
    ),
    "wrong address": (failing(serve=GOOD.format("ip='1.2.3'")), [], ["address", "1.2.3"]),
    "nothing mounted": (
        failing(serve="import skitai\nskitai.run(port=0)\n"), [], ["nothing is mounted"],
    ),
    "missing directory": (
        failing(serve="import skitai\nskitai.mount('/', 'public')\nskitai.run(port=0)\n"), [],
        ["public", "does not exist", "serve.py, line 2"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_failing_start_is_explained_once_and_ends_with_code_2(tmp_path, mistake):
    sources, words, texts = MISTAKES[mistake]
    write_files(tmp_path, sources)
    done = run_script(tmp_path, *words)
    assert done.returncode == 2, done.stderr
    for text in texts:
        assert text in done.stderr
    assert done.stdout == ""
    assert "Traceback (most recent call last)" not in done.stderr
    assert os.path.dirname(skitai.__file__) not in done.stderr
    assert sum(texts[0] in line for line in done.stderr.splitlines()) == 1


def test_a_start_that_fails_in_several_workers_is_reported_once(tmp_path):
    write_files(tmp_path, failing(app="def __app__():\n    return 1 / 0\n"))
    done = run_script(tmp_path, "--workers=3")
    assert done.returncode == 2
    assert done.stderr.count("ZeroDivisionError") == 1


def test_a_port_in_use_is_reported(tmp_path):
    write_files(tmp_path, failing())
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run_script(tmp_path, f"--port={port}")
    assert done.returncode == 2
    assert f"port {port} is in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_mistake_in_the_launch_script_itself_is_pythons_to_report(tmp_path):
    write_files(tmp_path, failing(app="def broken(:\n"))
    done = run_script(tmp_path)
    assert done.returncode == 1
    assert 'myapp/__init__.py", line 1' in done.stderr
    assert os.path.dirname(skitai.__file__) not in done.stderr


def test_help_ends_with_code_0(tmp_path):
    write_files(tmp_path, failing())
    done = run_script(tmp_path, "--help")
    assert done.returncode == 0
    assert all(option in done.stdout for option in ("--port", "--workers", "--threads", "--devel"))
    assert done.stderr == ""
