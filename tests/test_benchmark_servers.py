"""The benchmark against real servers: start, load, figures, services, and that nothing is left."""

from __future__ import annotations

import os
import shutil
import signal

import pytest
from benchmark_servers import COUNTER, SERVER, alive, started

from benchmarks import figures, launcher, services
from benchmarks.environment import ROOT
from benchmarks.load import drive
from benchmarks.rows import DATABASE, DRAWN, FIGURES, KILOBYTE, UPSTREAM, Figure, Request

HOME = Request("/")
POST = Request("/post", "POST", {"X-Kind": "a b"}, "a=1&b=%20")


def figure(name: str) -> Figure:
    return next(one for one in FIGURES if one.name == name)


@pytest.mark.e2e
def test_a_started_server_is_timed_measured_and_gone_afterwards(tmp_path):
    with started(tmp_path, SERVER) as server:
        assert 0 < server.wait(HOME) < launcher.START_SECONDS
        answer = launcher.ask(server.port, HOME)
        assert (answer.status, answer.content_type) == (200, "text/plain")
        assert os.sched_getaffinity(server.pid) == {min(os.sched_getaffinity(0))}
        assert server.cpu_seconds() > 0
        memory = server.memory()
        assert 0 < memory.unique <= memory.proportional
        child = int(answer.body)
        assert alive(server.pid)
        assert alive(child)
    assert not alive(server.pid)
    assert not alive(child)


@pytest.mark.e2e
def test_method_headers_and_body_are_sent_and_cookies_come_back(tmp_path):
    with started(tmp_path, SERVER) as server:
        server.wait(HOME)
        answer = launcher.ask(server.port, POST)
        assert (answer.status, answer.cookies) == (200, {"kept": "va=lue", "other": "1"})


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_the_load_generator_sends_the_same_request(tmp_path):
    core = min(os.sched_getaffinity(0))
    with started(tmp_path, SERVER) as server:
        server.wait(HOME)
        right = drive(server.port, POST, seconds=1, connections=1, core=core)
        assert right.requests > 0
        assert right.faults == {}


@pytest.mark.e2e
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_the_load_generator_draws_keys(tmp_path):
    core = min(os.sched_getaffinity(0))
    with started(tmp_path, COUNTER) as server:
        server.wait(Request("/count"))
        drive(server.port, Request("/row/{id}"), seconds=1, connections=1, core=core)
        asked = launcher.ask(server.port, Request("/count")).body.decode().split()
    assert len(asked) > 10
    assert all(1 <= int(one.removeprefix("/row/")) <= DRAWN for one in asked)


@pytest.mark.e2e
def test_figures_are_taken_of_a_server_that_answers_rightly(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "WAITING", 5)
    monkeypatch.setattr(figures, "STREAMED", 2**20)
    with started(tmp_path, COUNTER) as server:
        for name in ("waiting", "stream-route"):
            seconds, memory = figures.take(figure(name), server)
            assert 0 < seconds < 5
            assert 0 <= memory < 50 * 1024**2
        with pytest.raises(figures.FigureError, match="status 404 and 6 bytes"):
            figures.take(figure("stream-proxy"), server)


@pytest.mark.e2e
def test_the_upstream_runs_for_the_time_of_a_block():
    cores = tuple(sorted(os.sched_getaffinity(0)))
    with services.running({UPSTREAM}, cores, ROOT) as asked:
        assert asked.failures == {}
        port = int(asked.environment["UPSTREAM_PORT"])
        assert launcher.ask(port, Request("/kilobyte")).body == KILOBYTE
        assert asked.cpu_seconds(UPSTREAM) > 0
        assert asked.cpu_seconds(DATABASE) == 0
    assert tuple(sorted(os.sched_getaffinity(0))) == cores
    with pytest.raises(ConnectionRefusedError):
        launcher.ask(port, Request("/kilobyte"))


@pytest.mark.e2e
def test_an_interrupted_run_leaves_no_process(tmp_path):
    pids = []

    def interrupted() -> None:
        with started(tmp_path, SERVER) as server:
            server.wait(HOME)
            pids.extend([server.pid, int(launcher.ask(server.port, HOME).body)])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(pids) == 2
    assert not any(alive(pid) for pid in pids)


@pytest.mark.e2e
def test_a_server_deaf_to_term_is_killed(tmp_path):
    deaf = f"import signal; signal.signal({int(signal.SIGTERM)}, signal.SIG_IGN)\n{SERVER}"
    with started(tmp_path, deaf) as server:
        server.wait(HOME)
        server.stop(timeout=0.05)
        assert not alive(server.pid)


@pytest.mark.e2e
def test_a_server_that_ends_at_start_gives_its_error_as_reason(tmp_path):
    with (
        started(tmp_path, "raise ImportError('no module named peer')") as server,
        pytest.raises(launcher.LaunchError, match="code 1: ImportError: no module named peer"),
    ):
        server.wait(HOME)


@pytest.mark.e2e
def test_a_silent_server_is_given_up(tmp_path):
    silent = "import signal; signal.pause()"
    with (
        started(tmp_path, silent) as server,
        pytest.raises(launcher.LaunchError, match="no answer within 0.5 s"),
    ):
        server.wait(HOME, timeout=0.5)
