"""A machine whose clock is set while a service runs: by days, to both sides."""

from __future__ import annotations

import json
import re
import signal
import time

import pytest
from faulty_machine import types
from live_service import eventually, receive, write_files

from skitai.testing.launcher import free_port

pytestmark = pytest.mark.e2e

DAY = 86_400
SERVE = """
    import os, time

    real, real_local, real_strftime = time.time, time.localtime, time.strftime

    def jump():
        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "jump")) as file:
            return float(file.read() or 0)

    time.time = lambda: real() + jump()
    time.localtime = lambda moment=None: real_local(time.time() if moment is None else moment)
    time.strftime = lambda form, moment=None: real_strftime(form, moment or time.localtime())

    import skitai
    from atila import Atila

    app = Atila("clocks")

    @app.route("/")
    def index(was):
        was.log("it is logged")
        return "hello"

    if __name__ == "__main__":
        OPTIONS
        skitai.mount("/", app)
        skitai.run(name="clocks", address="127.0.0.1", RUN)
"""
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def project(options="", run=""):
    return {"serve.py": SERVE.replace("OPTIONS", options).replace("RUN", run), "jump": "0"}


def test_logs_are_rotated_and_connections_and_reloads_go_on(launch):
    service = launch(project("skitai.enable_file_logging('logs')"))
    logs = service.folder / "logs"
    kept = service.connect()

    def ask():
        kept.sendall(GET)
        assert receive(kept).content == b"hello"

    ask()
    eventually(lambda: b"GET /" in (logs / "request.log").read_bytes(), "the first line")
    for count, jump in enumerate((40, -400, 1), 1):
        write_files(service.folder, {"jump": str(jump * DAY)})
        ask()  # idle timeouts, too, know nothing of the jump
        for kind in ("request", "app"):
            pattern = f"{kind}-*.log"
            eventually(lambda p=pattern, n=count: len(list(logs.glob(p))) == n, "a rotated log")
    before = service.workers()
    service.send(signal.SIGHUP)
    eventually(lambda: service.workers() and not set(before) & set(service.workers()), "a reload")
    assert service.get("/").text == "hello"
    assert [line for line in service.log().splitlines() if "error" in line] == []
    text = "".join(path.read_text() for path in logs.glob("app*.log"))
    assert text.count("it is logged") == 5  # none is lost


def test_lines_in_json_have_the_time_that_is_set(launch):
    service = launch(project(run="log_format='json'"))
    for jump in (0, 40, -400):
        write_files(service.folder, {"jump": str(jump * DAY)})
        day = time.strftime("%Y-%m-%d", time.localtime(time.time() + jump * DAY))

        def lines(day=day):
            service.get("/")
            found = [json.loads(line) for line in service.log().splitlines()]
            return [line for line in found if line["time"].startswith(day) and "status" in line]

        line = eventually(lines, "a line of that day")[-1]
        assert re.fullmatch(r"[\d-]{10}T[\d:]{8}\.\d{3}[+-]\d\d:\d\d", line["time"])
        assert 0 <= line["milliseconds"] < 60_000


def test_commands_know_a_service_after_a_jump(tmp_path):
    write_files(tmp_path, project())
    port = f"--port={free_port()}"
    home = {"SKITAI_HOME": str(tmp_path / "home")}
    assert types(tmp_path, port, "start", **home).returncode == 0
    try:
        write_files(tmp_path, {"jump": str(-400 * DAY)})
        status = types(tmp_path, "status", **home)
        assert (status.returncode, status.stdout[:16]) == (0, "clocks [running:")
        assert types(tmp_path, "reload", **home).returncode == 0
        write_files(tmp_path, {"jump": str(400 * DAY)})
        assert types(tmp_path, port, "restart", **home).returncode == 0
    finally:
        assert types(tmp_path, "stop", **home).returncode == 0
    assert types(tmp_path, "status", **home).returncode == 3
