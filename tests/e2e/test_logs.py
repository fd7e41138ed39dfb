"""Log files of a real service: its workers, its master, signals, and what clients send along."""

from __future__ import annotations

import json
import re
import signal

import pytest
from live_service import eventually, run_script

pytestmark = pytest.mark.e2e

APP = """
    import skitai
    from atila import Atila

    app = Atila (__name__)
    app.debug = False

    @app.route ("/")
    def index (was):
        return "hello"

    @app.route ("/log")
    def log (was):
        was.log ("it is logged")
        return was.txnid ()

    @app.route ("/headers")
    def headers (was):
        names = ("x-gtxn-id", "x-ltxn-id", "traceparent", "tracestate")
        return was.API ({name: was.request.get_header (name) for name in names})

    @app.route ("/relayed")
    def relayed (was):
        return was.API (was.get ("@upstream/headers").fetch ())

    @app.route ("/crash")
    def crash (was):
        raise ValueError ("oops")

    if __name__ == "__main__":
        skitai.log_off ("*.css")
        skitai.mount ("/", app)
        OPTIONS
"""


def script(options):
    return {"serve.py": APP.replace("OPTIONS", options.replace("\n", "\n        "))}


FILES = "skitai.enable_file_logging('logs')\nskitai.run (address='127.0.0.1', workers=2)"


def test_three_logs_go_to_files_and_are_opened_anew_by_a_signal(launch):
    service = launch(script(FILES))
    logs = service.folder / "logs"
    for path in ("/", "/log", "/crash", "/x.css"):
        service.get(path)
    requests = eventually(
        lambda: (text := (logs / "request.log").read_text()).count("\n") == 3 and text, "3 requests"
    )
    assert re.search(r"\[request:w[01]\] 127\.0\.0\.1 GET /log HTTP/1\.1 0 200 ", requests)
    assert ".css" not in requests
    app = (logs / "app.log").read_text()
    transaction = re.search(r"it is logged \[(\S+)\]", app)[1]
    assert re.search(rf"GET /log .*\"-\" {transaction}$", requests, re.MULTILINE)
    assert "ValueError: oops" in app
    assert "[info:m] serving on http" in (logs / "server.log").read_text()
    assert "serving on" not in service.log()
    for name in ("request", "app", "server"):
        (logs / f"{name}.log").rename(logs / f"{name}.old")
    service.send(signal.SIGUSR1)
    eventually(lambda: (logs / "server.log").exists(), "the master's new file")

    def renewed():
        service.get("/log")
        return (logs / "request.log").exists() and (logs / "app.log").exists()

    eventually(renewed, "new files")
    assert (logs / "request.old").read_text().startswith(requests)


def test_a_log_directory_that_can_not_be_written_ends_the_start(tmp_path):
    (tmp_path / "serve.py").write_text(
        "import skitai\n"
        "skitai.mount('/', '.')\n"
        "open('file', 'w').close()\n"
        "skitai.run(port=0, log_path='file/logs')\n"
    )
    done = run_script(tmp_path)
    assert done.returncode == 2
    assert re.search(r"log_path: \S+ can't be written \(Not a directory\): give", done.stderr)


def test_json_lines_of_all_logs(launch):
    service = launch(script("skitai.run (address='127.0.0.1', log_format='json')"))
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    service.get("/", headers={"User-Agent": 'a "b"', "traceparent": traceparent})
    service.get("/crash")
    service.wait_for_log('"target": "/crash"')
    lines = [json.loads(line) for line in service.log().splitlines()]
    first = next(line for line in lines if line.get("target") == "/")
    assert (first["status"], first["agent"], first["client"]) == (200, 'a "b"', "127.0.0.1")
    assert first["traceparent"] == traceparent
    assert first["transaction"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert any("ValueError: oops" in line.get("exception", "") for line in lines)


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def test_a_trace_and_a_transaction_go_on_in_calls_of_services(launch):
    run = "skitai.run (address='127.0.0.1')"
    upstream = launch(script(run))
    alias = f"skitai.alias ('@upstream', skitai.PROTO_HTTP, '127.0.0.1:{upstream.port}')"
    service = launch(script(f"{alias}\n{run}"))
    sent = {"traceparent": PARENT, "tracestate": "a=1", "X-Gtxn-Id": "abc", "X-Ltxn-Id": "7"}
    got = service.get("/relayed", headers=sent).json()
    assert (got["x-gtxn-id"], got["x-ltxn-id"], got["tracestate"]) == ("abc", "8", "a=1")
    version, trace, span, flags = got["traceparent"].split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert re.fullmatch("[0-9a-f]{16}", span)
    assert span not in (PARENT.split("-")[2], "0" * 16)
    service.wait_for_log(r'GET /relayed HTTP.*"-" abc/8$')
    for bad in (
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        PARENT.upper(),
        f"{PARENT}-more",
        "ff" + PARENT[2:],
    ):
        got = service.get("/relayed", headers={"traceparent": bad, "tracestate": "a=1"}).json()
        assert got["traceparent"] is None, bad
        assert got["tracestate"] is None
    later = service.get("/relayed", headers={"traceparent": f"cc{PARENT[2:]}-more"}).json()
    assert later["traceparent"].startswith(f"00-{TRACE}-")
