"""Health, figures, status page and reports of real services."""

from __future__ import annotations

import json
import os
import re
import signal

import httpx
import pytest
from chromium import Chromium
from live_service import eventually
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

pytestmark = pytest.mark.e2e

APP = """
    import time
    import skitai
    from atila import Atila

    app = Atila (__name__)

    @app.route ("/")
    def index (was):
        return "hello"

    @app.route ("/<path:path>")
    def everything (was, path):
        return "the app has all paths"

    @app.route ("/slow")
    def slow (was, seconds = 1.0):
        time.sleep (float (seconds))
        return "done"

    @app.route ("/blocking")
    async def blocking (was):
        time.sleep (0.6)
        return "done"

    @app.route ("/called")
    def called (was):
        return was.API (data = was.get ("@upstream/").fetch ())

    @app.route ("/broken")
    def broken (was):
        return was.API (data = was.get ("@nobody/").fetch ())

    @app.route ("/chat")
    @app.websocket (skitai.WS_CHANNEL, 60)
    def chat (was, message):
        return message

    if __name__ == "__main__":
        skitai.mount ("/", app)
        OPTIONS
"""
ALL = "health_path='/-/health', metrics_path='/-/metrics', status_path='/-/status'"


def script(options):
    return {"serve.py": APP.replace("OPTIONS", options.replace("\n", "\n        "))}


def figures(service):
    """All samples by name and labels, read by the parser of Prometheus."""
    text = service.get("/-/metrics").text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def service(launch_once):
    return launch_once(script(f"skitai.run (address='127.0.0.1', workers=2, {ALL})"))


def test_health_is_asked_before_the_apps(service):
    answer = service.get("/-/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["Cache-Control"] == "no-store"
    assert service.get("/-/other").text == "the app has all paths"
    refused = service.client.post("/-/health")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["health", "metrics", "status", "status/data", "status/status.js"])
def test_others_get_what_they_would_get_if_there_was_nothing(service, path):
    answer = service.get(f"/-/{path}", headers={"X-Forwarded-For": "192.0.2.1"})
    assert answer.status_code == 404
    assert service.get(f"/-/{path}").status_code == 200


def test_figures_are_summed_over_workers_and_outlive_them(service):
    before = figures(service)
    for _ in range(20):
        service.get("/")
    victim = service.workers()[0]
    after = figures(service)
    requests = ("skitai_requests_total", "GET", "2xx")
    assert after[requests] == before[requests] + 21
    assert after["skitai_request_duration_seconds_count",] == sum(
        value for name, value in after.items() if name[0] == "skitai_requests_total"
    )
    os.kill(victim, signal.SIGKILL)
    restarts = ("skitai_worker_restarts_total", "died")
    eventually(lambda: figures(service).get(restarts) == before[restarts] + 1, "the replacement")
    service.send(signal.SIGHUP)
    eventually(lambda: figures(service)["skitai_reloads_total",] == 1, "the reload")
    later = eventually(
        lambda: (now := figures(service))["skitai_workers",] == 2 and now, "two workers"
    )
    assert later[requests] >= after[requests] + 3
    assert later[restarts] == before[restarts] + 1, "a reload replaces nobody"
    memory = [value for name, value in later.items() if name[0] == "skitai_worker_memory_bytes"]
    assert len(memory) == 2
    assert all(value > 10 << 20 for value in memory)


def test_open_sockets_are_seen(service):
    with connect(f"ws://127.0.0.1:{service.port}/chat", proxy=None) as socket:
        socket.send("x")
        assert socket.recv() == "x"
        eventually(lambda: figures(service)["skitai_websockets",] == 1, "the websocket")
        assert figures(service)["skitai_connections", "websocket"] == 1
    eventually(lambda: figures(service)["skitai_websockets",] == 0, "its end")


def test_connections_are_told_apart_by_what_they_speak(service):
    with httpx.Client(http1=False, http2=True) as client:
        assert client.get(f"http://127.0.0.1:{service.port}/").http_version == "HTTP/2"
        eventually(lambda: figures(service).get(("skitai_connections", "http/2")) == 1, "HTTP/2")
    assert figures(service)["skitai_connections", "http/1"] >= 1


def test_upstreams_are_seen(service, launch):
    options = (
        f"skitai.alias ('@upstream', skitai.PROTO_HTTP, '127.0.0.1:{service.port}')\n"
        "skitai.alias ('@nobody', skitai.PROTO_HTTP, '127.0.0.1:9')\n"
        f"skitai.run (address='127.0.0.1', {ALL})"
    )
    caller = launch(script(options))
    caller.get("/called")
    assert caller.get("/broken").status_code == 502
    found = figures(caller)
    assert found["skitai_upstream_up", "@upstream", f"127.0.0.1:{service.port}"] == 1
    assert found["skitai_upstream_up", "@nobody", "127.0.0.1:9"] == 0
    assert found["skitai_upstream_failures", "@nobody", "127.0.0.1:9"] == 1


def test_a_worker_that_ends_is_not_healthy(launch):
    service = launch(script("skitai.run (address='127.0.0.1', health_path='/up')"))
    waiting, idle = service.connect(), service.connect()
    idle.sendall(b"GET /up HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b" 200 OK" in idle.recv(65536)
    waiting.sendall(b"GET /slow?seconds=0.8 HTTP/1.1\r\nHost: a\r\n\r\n")
    service.send(signal.SIGTERM)
    eventually(service.refuses, "the end of listening")
    idle.sendall(b"GET /up HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = idle.recv(65536)
    assert b" 503 " in answer
    assert answer.endswith(b'{"status":"draining"}')
    assert b" 200 OK" in waiting.recv(65536)


def test_what_takes_too_long_is_reported_once_with_its_stack(launch):
    service = launch(
        script("skitai.run (address='127.0.0.1', report_stuck=0.3, report_blocked=0.2)")
    )
    service.get("/slow?seconds=0.7")
    service.get("/blocking")
    service.wait_for_log("the loop goes on, it was blocked for 0.[5-9] s")
    log = service.log()
    assert log.count("GET /slow?seconds=0.7 has run for more than 0.3 s, and is in\n") == 1
    assert re.search(r"in slow\n +time.sleep \(float \(seconds\)\)\n", log)
    assert log.count("the loop is blocked for ") == 1
    assert re.search(r"in blocking\n +time.sleep \(0.6\)\n", log)
    assert "has run for more" not in log[log.index("the loop is blocked") :]


def test_the_status_page_lives(service, tmp_path):
    with Chromium(tmp_path) as browser:
        browser.screen(1280, 900)
        browser.open(f"http://127.0.0.1:{service.port}/-/status")

        def shows(script, wanted):
            service.get("/")
            return wanted(browser.run(script))

        eventually(
            lambda: shows("document.getElementById('state').innerText", "serving".__eq__), "figures"
        )
        eventually(
            lambda: shows("parseFloat(document.getElementById('rate-now').innerText)", bool),
            "the rate",
        )
        assert browser.run("document.querySelectorAll('#workers tr').length") == 2
        line = browser.run("document.querySelector('#rate .one').getAttribute('d')")
        assert re.match(r"M[\d.]+ [\d.]+", line)
        requests = browser.run("document.querySelector('[data-name=requests] b').innerText")
        assert int(requests) > 1
        browser.screen(390, 800)
        overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert browser.run(overflow) is False
        assert browser.errors == []
    answer = service.get("/-/status")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "<script>" not in answer.text
    assert "style=" not in answer.text
    data = json.loads(service.get("/-/status/data").content)
    assert {worker["worker"] for worker in data["workers"]} == {"w0", "w1"}
