"""The benchmark's options, figures and tables, and its launcher against a real small server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import psutil
import pytest

from benchmarks import launcher, report, suite
from benchmarks.contenders import CONTENDERS, LIMIT, OURS
from benchmarks.environment import ROOT
from benchmarks.load import Load, LoadError, drive, parse
from benchmarks.plan import Plan
from benchmarks.plan import parse as parse_options
from benchmarks.rows import REFUSED, ROWS, Request, Row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = """
import subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

child = subprocess.Popen(
    [sys.executable, "-c", "import sys; sys.stdin.read()"],
    stdin=subprocess.PIPE,
    start_new_session=True,
)

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(child.pid).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        right = body == b"a=1&b=%20" and self.headers["X-Kind"] == "a b" and self.path == "/post"
        self.send_response(200 if right else 400)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Set-Cookie", "kept=va=lue; Path=/; HttpOnly")
        self.send_header("Set-Cookie", "other=1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass

HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

HOME = Request("/")
POST = Request("/post", "POST", {"X-Kind": "a b"}, "a=1&b=%20")


def row(name: str) -> Row:
    return next(one for one in ROWS if one.name == name)


def outcome(name: str, *rates: float, share: float = 1.0, client: float = 0.5) -> suite.Outcome:
    contender = next(one for one in CONTENDERS if one.name == name)
    made = suite.Outcome(contender)
    made.samples["json-sync"] = [
        suite.Sample(rate, share / rate * 1e6, share, client, 1.0, 2.0, {}) for rate in rates
    ]
    return made


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@contextmanager
def started(folder: Path, source: str) -> Iterator[launcher.Server]:
    script = folder / "server.py"
    script.write_text(source)
    port = launcher.free_port()
    with launcher.Server(
        [sys.executable, str(script), str(port)],
        port=port,
        core=min(os.sched_getaffinity(0)),
        folder=folder,
        log=folder / "server.log",
    ) as server:
        yield server


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_ratio_has_two_decimals_and_a_dash_for_what_is_missing():
    assert report.ratio(3.0, 2.0) == "1.50"
    assert report.ratio(None, 2.0) == report.ratio(2.0, None) == report.ratio(1.0, 0.0) == "–"


def test_table_is_aligned_markdown_with_figures_to_the_right():
    assert report.table(("name", "figure", "remark"), [("a", "1", ""), ("bb", "1,000", "x")]) == (
        "| name | figure | remark |\n"
        "| ---- | -----: | ------ |\n"
        "| a    |      1 |        |\n"
        "| bb   |  1,000 | x      |"
    )


def test_row_table_shows_medians_and_ratios_fastest_first():
    outcomes = [
        outcome("granian-wsgi", 30_000, 10_000, 20_000),
        outcome(OURS, 41_000, 40_000, 39_000),
        outcome(LIMIT, 80_000, 90_000, 70_000),
    ]
    lines = report.row_table(row("json-sync"), outcomes).splitlines()
    limit, ours, peer = (cells(line) for line in lines[2:])
    assert limit[:5] == ["bare uvloop + httptools", "80,000", "70,000–90,000", "0.50", "1.00"]
    assert ours[:5] == ["skitai + atila", "40,000", "39,000–41,000", "1.00", "0.50"]
    assert peer[:7] == [
        "Granian, raw WSGI",
        "20,000",
        "10,000–30,000",
        "2.00",
        "0.25",
        "50.0",
        "2.00",
    ]


def test_row_table_names_who_did_not_run_and_why():
    lost = suite.Outcome(CONTENDERS[0], failures={"json-sync": f"a | b\nin {ROOT}/app.py"})
    lines = report.row_table(row("json-sync"), [outcome(OURS, 10.0), lost]).splitlines()
    assert cells(lines[-1])[0] == "bare uvloop + httptools"
    assert cells(lines[-1])[-1] == "not run: a / b in app.py"


def test_row_table_leaves_out_who_cannot_do_the_row():
    assert "Granian" not in report.row_table(row("json-async"), [outcome("granian-wsgi", 1.0)])


def test_row_table_tells_failed_requests_and_missing_rounds():
    made = outcome(OURS, 10.0)
    made.samples["json-sync"] = [suite.Sample(10.0, 1.0, 1.0, 0.5, 1.0, 2.0, {"timeout": 3})] * 2
    made.failures["json-sync"] = "it broke"
    remark = cells(report.row_table(row("json-sync"), [made]).splitlines()[-1])[-1]
    assert remark == "6 requests timeout; only 2 rounds: it broke"


def test_a_busy_server_gives_no_warning():
    assert report.warnings(ROWS, [outcome(OURS, 10.0, share=0.95)]) == []


@pytest.mark.parametrize(
    ("client", "reason"), [(0.99, "load generator was saturated"), (0.40, "other processes")]
)
def test_an_idle_server_gives_a_warning_with_the_likely_reason(client, reason):
    (note,) = report.warnings(ROWS, [outcome(OURS, 10.0, share=0.7, client=client)])
    assert note.startswith("json-sync, skitai + atila: the server used 70% of its core")
    assert reason in note


def test_a_package_that_could_not_be_installed_is_the_reason_shown():
    made = outcome("bjoern-falcon")
    made.failures = {"json-sync": "ended with code 1"}
    report.explain(made, {"bjoern": "ev.h: No such file"})
    assert made.failures == {"json-sync": "bjoern could not be installed: ev.h: No such file"}


def test_document_has_every_row_the_facts_and_the_warnings():
    text = report.document(
        Plan(rounds=2, seconds=7),
        [outcome(OURS, 10.0, share=0.5)],
        cores=(3, 4),
        now=datetime(2030, 1, 2, 3, 4, tzinfo=timezone.utc),
        machine={"CPU": "a processor"},
        versions={"falcon": "9.9"},
    )
    assert text.startswith("# Benchmark of 2030-01-02 03:04 UTC\n")
    expected = ["CPU: a processor", "falcon 9.9", "pinned to core 3", "Rounds: 2", "for 7 s"]
    for part in [*expected, "## Start-up and memory", "## Warnings", *(one.name for one in ROWS)]:
        assert part in text


def test_sample_is_rate_and_cpu_time_per_request():
    load = Load(requests=1000, seconds=2.0, p50=1.0, p99=3.0, faults={}, client_seconds=0.5)
    taken = suite.sample(load, server_seconds=1.9)
    assert (taken.per_second, taken.microseconds) == (500.0, pytest.approx(1900.0))
    assert (taken.server_share, taken.client_share) == (0.95, 0.25)


def test_the_summary_of_wrk_is_read_from_its_last_line():
    load = parse(
        "Running 2s test\n  Requests/sec: 5\n\n"
        '{"requests": 10, "microseconds": 2000000, "p50": 1500, "p99": 2500,'
        ' "refused": 0, "broken": 2, "status": 0, "timeout": 0}\n',
        client_seconds=0.1,
    )
    assert load == Load(10, 2.0, 1.5, 2.5, {"broken": 2}, 0.1)


@pytest.mark.parametrize("output", ["", "unable to connect", '{"requests": 0}'])
def test_a_run_of_wrk_without_figures_is_an_error(output):
    with pytest.raises(LoadError):
        parse(output, client_seconds=0.0)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (launcher.Answer(404, "text/plain", b"Hello, World!"), "status 404"),
        (launcher.Answer(200, "text/html", b"Hello, World!"), "type 'text/html'"),
        (launcher.Answer(200, "text/plain", b"Hello"), "body b'Hello'"),
    ],
)
def test_a_wrong_answer_is_refused_with_what_is_wrong(answer, said):
    with pytest.raises(suite.WrongAnswer, match="wrong answer to /plaintext") as caught:
        suite.check(row("plaintext-sync"), lambda request: answer)
    assert said in str(caught.value)


def test_json_is_compared_by_value_and_a_constant_is_found_out():
    constant = launcher.Answer(200, "application/json", b'{"q": "hello",\n "id": 42}')
    with pytest.raises(suite.WrongAnswer, match=r"/items/7\?q=other"):
        suite.check(row("json-sync"), lambda request: constant)


def test_no_answer_is_a_wrong_answer():
    def refuse(request: Request) -> launcher.Answer:
        raise ConnectionRefusedError

    with pytest.raises(suite.WrongAnswer, match="no answer"):
        suite.check(row("json-sync"), refuse)


def test_a_form_that_is_not_refused_is_a_wrong_answer():
    form = row("form-sync")
    right = {one.request.body: one.answer for one in form.cases if one.answer is not REFUSED}

    def take(request: Request) -> launcher.Answer:
        body = json.dumps(right.get(request.body, {})).encode()
        return launcher.Answer(200, "application/json", body)

    with pytest.raises(suite.WrongAnswer, match="with name=Al&.*: status 200, not refused"):
        suite.check(form, take)


def test_cookies_are_kept_through_the_cases_and_given_to_the_load_generator():
    held = []

    def count(request: Request) -> launcher.Answer:
        held.append(request.headers.get("Cookie"))
        body = b'{"count": %d}' % len(held)
        return launcher.Answer(200, "application/json", body, {"s": f"v{len(held)}"})

    timed = suite.check(row("session-sync"), count)
    assert held == [None, "s=v1", "s=v2"]
    assert timed == Request("/session", headers={"Cookie": "s=v3"})


def test_every_row_is_done_by_us_and_a_contender_does_only_what_it_can():
    able = {one.name: {row.name for row in one.rows()} for one in CONTENDERS}
    assert able[OURS] == {one.name for one in ROWS}
    assert able["granian-falcon"] == {"plaintext-sync", "json-sync", "form-sync"}
    assert able["uvicorn-starlette"] == able[OURS] - {"form-sync"}


def test_options_have_defaults_and_a_full_run_is_not_partial():
    plan = parse_options([])
    assert (plan.rounds, plan.seconds, plan.connections) == (5, 3, 64)
    assert plan.contenders == CONTENDERS
    assert not plan.partial()


def test_options_choose_contenders_and_rows_that_fit():
    plan = parse_options(["--only", "granian-wsgi,bare", "--row", "json-async", "--quick"])
    assert [one.name for one in plan.contenders] == ["bare"]
    assert [one.name for one in plan.rows] == ["json-async"]
    assert (plan.rounds, plan.seconds, plan.partial()) == (1, 1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "bare,nobody"], "--only knows no nobody; choose of: bare, ours"),
        (["--row", "json"], "--row knows no json; choose of: plaintext-sync"),
        (["--rounds", "0"], "--rounds: '0' is not a whole number above 0"),
        (["--duration", "1.5"], "--duration: '1.5' is not a whole number"),
        (["--only", "granian-wsgi", "--row", "json-async"], "nobody who can do --row json-async"),
    ],
)
def test_a_wrong_option_is_named_with_the_choices(arguments, said, capsys):
    with pytest.raises(SystemExit) as caught:
        parse_options(arguments)
    assert caught.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


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
