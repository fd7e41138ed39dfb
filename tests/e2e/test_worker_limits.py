"""Workers that have had their requests or their memory: replaced, and nobody notices."""

from __future__ import annotations

import re

import pytest
from live_service import eventually
from load import Load
from protocol_load import Http2Load, Http3Load, SocketLoad
from tls_project import make_certificates

from skitai.testing.launcher import free_port

pytestmark = pytest.mark.e2e

SERVE = """
    import os
    import skitai
    from atila import Atila

    app = Atila (__name__)
    kept = []

    @app.route ("/who")
    def who (was, token):
        return f"{token} {os.getpid ()}"

    @app.route ("/echo")
    @app.websocket (skitai.WS_REPORTY, 60)
    def echo (was, message):
        return f"{message} {os.getpid ()}"

    @app.route ("/leak")
    def leak (was, megabytes: int):
        kept.append (os.urandom (megabytes * 2 ** 20))
        return f"leaked {os.getpid ()}"

    if __name__ == "__main__":
        SETUP
        skitai.mount ("/", app)
        skitai.run (address = "127.0.0.1", access_log = False, metrics_path = "/-/metrics", OPTIONS)
"""


def project(options, setup=""):
    return {"serve.py": SERVE.replace("OPTIONS", options).replace("SETUP", setup)}


def replaced(service, reason):
    text = service.get("/-/metrics").text
    [found] = re.findall(rf'worker_restarts_total{{reason="{reason}"}} (\d+)', text)
    return int(found)


@pytest.mark.parametrize("kind", [Load, Http2Load, SocketLoad])
def test_workers_are_replaced_after_their_requests_and_none_fails(launch, kind):
    number = 2 if kind is SocketLoad else 60  # a websocket is one request
    options = f"workers = 2, max_requests = {number}, max_requests_jitter = {number // 20}"
    service = launch(project(options))
    before = set(service.workers())
    with kind(service.port, keeping=3) as load:
        eventually(
            lambda: service.log().count("takes over from") >= (1 if kind is SocketLoad else 3),
            "the replacements",
        )
        eventually(lambda: set(load.answers) - before, "an answer of a replacement")
        load.wait_for_more(50)
    assert load.failures == []
    service.wait_for_log(r"worker w\d \(pid \d+\) has had \d+ requests: its replacement")
    assert "WARNING" not in service.log()


def test_replacements_come_one_at_a_time_and_are_counted(launch):
    service = launch(project("workers = 3, max_requests = 20, max_requests_jitter = 0"))
    most = 0
    with Load(service.port, keeping=4, changing=2) as load:
        while service.log().count("takes over from") < 6:
            most = max(most, len(service.workers()))
            load.wait_for_more(1)
    assert load.failures == []
    assert most <= 4, "three workers, and one that is about to be or was"
    assert eventually(lambda: replaced(service, "max_requests") >= 6, "the count")
    assert replaced(service, "died") == 0


def test_workers_are_replaced_under_http3_and_no_request_fails(launch, tmp_path):
    pytest.importorskip("aioquic")
    folder = tmp_path / "project"
    folder.mkdir()
    make_certificates(folder)
    port = free_port()
    options = f"workers = 2, max_requests = 60, quic = {port}"
    service = launch(project(options, "skitai.enable_ssl ('server.pem')"))
    with Http3Load(port, folder / "ca.pem") as load:
        eventually(lambda: service.log().count("takes over from") >= 2, "the replacements")
        load.wait_for_more(20)
    assert load.failures == []


def test_a_worker_with_too_much_memory_is_replaced_and_no_request_fails(launch):
    service = launch(project("max_memory = '150 MB'"))
    [first] = service.workers()
    with Load(service.port, keeping=2, changing=1) as load:
        assert service.get("/leak?megabytes=150").text == f"leaked {first}"
        service.wait_for_log(
            rf"INFO|info:m\] worker w0 \(pid {first}\) has \d+ MB of memory, more than max_memory, "
        )
        service.wait_for_log(rf"worker w0 \(pid \d+\) takes over from pid {first}")
        eventually(lambda: first not in service.workers(), "the end of the old worker")
        load.wait_for_more(20)
    assert load.failures == []
    assert replaced(service, "max_memory") == 1
    assert len(service.workers()) == 1


def test_a_worker_that_needs_more_memory_than_it_may_have_is_no_endless_loop(launch):
    service = launch(project("max_memory = '16 MB'"))
    before = service.workers()
    service.wait_for_log(
        r"error:m\] worker w0 \(pid \d+\) has \d+ MB as it starts, before any request, more than "
        r"max_memory, 16 MB: replaced in 30 s$"
    )
    assert service.get("/who?token=x").status_code == 200
    assert service.workers() == before


def test_no_limits_hold_while_somebody_develops(launch):
    service = launch(project("devel = True, max_requests = 3, max_memory = '16 MB'"))
    [worker] = service.workers()
    answers = [service.get("/who?token=x").text for _ in range(10)]
    assert answers == [f"x {worker}"] * 10
    assert "replace" not in service.log()
