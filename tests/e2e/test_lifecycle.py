"""A service from its start to its end: under load, in requests, with mistakes in it."""

from __future__ import annotations

import contextlib
import os
import re
import signal

import psutil
import pytest
from live_service import PATIENCE, eventually, receive, running
from load import Load

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
    assert set(noted(service, "waiting")).isdisjoint(noted(service, "umount"))
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


@pytest.mark.parametrize("failure", ["1 / 0", "raise SystemExit (3)"])
def test_a_failing_umount_hook_is_logged_and_does_not_hold_up_the_others(launch, failure):
    service = launch(
        {
            **files(),
            "myapp/__init__.py": APP
            + """
    def __setup__ (app, mntopt):
        from . import first, last
        app.mount ("/", first)
        app.mount ("/", last)
    """,
            "myapp/first.py": "def __mount__ (app): pass\n",
            "myapp/last.py": f"""
                def __mount__ (app): pass
                def __umount__ (app):
                    {failure}
            """,
        }
    )
    workers = service.workers()
    service.send(signal.SIGTERM)
    assert service.wait() == 0
    assert noted(service, "umount") == workers
    assert len(re.findall(r"\[error:w0\] myapp.last.__umount__ failed$", service.log(), re.M)) == 1
    assert 'myapp/last.py", line 3, in __umount__' in service.log()


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
